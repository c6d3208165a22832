/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of the fake hypervisor that keeps domains: frames and their owners, keys, vCPUs. */
#ifndef SOCLE_FAKE_DOMAINS_H
#define SOCLE_FAKE_DOMAINS_H

#include "fake_hypervisor.h"

#define FAKE_DOMAINS_MAX 64
#define FAKE_FRAMES	 (FAKE_POOL_BYTES / SOCLE_FRAME_BYTES)

/* Frames that one call to destroy takes back. */
#define FAKE_DESTROY_STEP 16

/* The guest-physical page from which on a dirty log finds no memory. */
#define FAKE_DIRTY_END 1000u

struct fake_domain {
	bool used, dying;
	struct socle_key key;
	struct socle_domain_info info;
	uint64_t kicks;
	uint64_t area[SOCLE_MAX_VCPUS];
};

struct fake_domains {
	struct fake_domain domain[FAKE_DOMAINS_MAX]; /* by number; 0 is not used */
	uint8_t owner[FAKE_FRAMES];		     /* 0: free */
	bool donated[FAKE_FRAMES];
	uint64_t created;     /* so far, for keys */
	unsigned int flushes; /* of dirty logs */
};

extern struct fake_domains fake_domains;

/* All free again. */
void fake_domains_start(void);

/* Frames that nobody owns. */
unsigned int fake_frames_free(void);

/* Domains that exist. */
unsigned int fake_domains_count(void);

/* The calls on domains, SOCLE_CALL_DOMAIN_CREATE and above; checks the key itself. */
int64_t fake_domains_call(uint64_t call, const struct socle_key *key, const uint64_t argument[4],
			  struct socle_reply *reply);

#endif
