/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Domains: memory that the service VM gave them, second-level tables, vCPUs. All that the
 * hypervisor knows of a domain lies in frames donated for it.
 *
 * Lock order: domains_lock, then the log's. The calls below take domains_lock; running a vCPU does
 * not: it counts itself in domain->users, and destruction waits for that to be 0.
 */
#ifndef HV_DOMAIN_H
#define HV_DOMAIN_H

#include "arch/x86/vcpu.h"
#include "ept/ept.h"

#define DOMAIN_MAX_DONATED 64

enum domain_state { DOMAIN_ALIVE = 1, DOMAIN_DYING };

struct domain {
	struct socle_key key;
	uint32_t id;
	uint32_t state; /* enum domain_state */
	uint32_t users; /* atomic: CPUs that run a vCPU of it */
	uint32_t vcpu_count;
	struct vcpu *vcpu[SOCLE_MAX_VCPUS];
	struct ept memory;
	struct page_arena arena; /* what is left of the newest donated frame */
	uint64_t assigned;	 /* frames */
	uint64_t scan;		 /* destruction: the next frame of the pool to look at */
	uint32_t donated_count;
	hpa_t donated[DOMAIN_MAX_DONATED];
};

/* The handlers of the calls: arguments in RDX R10 R8 R9, reply in the registers. See socle_abi.h.
 */
int64_t domain_create(struct vcpu_registers *regs);
int64_t domain_donate(struct vcpu_registers *regs);
int64_t domain_assign(struct vcpu_registers *regs);
int64_t domain_destroy(struct vcpu_registers *regs);
int64_t domain_info(struct vcpu_registers *regs);
int64_t domain_map(struct vcpu_registers *regs);
int64_t domain_unmap(struct vcpu_registers *regs);
int64_t domain_dirty_log(struct vcpu_registers *regs);
int64_t domain_vcpu_create(struct vcpu_registers *regs);

/*
 * The domain of a number, if the key is its own; else NULL. Without the lock the pointer is good
 * until this CPU's next exit, or as long as it counts in users.
 */
extern struct domain *domains[SOCLE_MAX_DOMAINS];

static inline struct domain *domain_find(uint64_t number, uint64_t key_low, uint64_t key_high)
{
	struct domain *domain;

	if (number >= SOCLE_MAX_DOMAINS)
		return NULL;
	domain = __atomic_load_n(&domains[number], __ATOMIC_ACQUIRE);
	if (domain == NULL ||
	    ((domain->key.word[0] ^ key_low) | (domain->key.word[1] ^ key_high)) != 0)
		return NULL;
	return domain;
}

static inline bool domain_is_alive(const struct domain *domain)
{
	return __atomic_load_n(&domain->state, __ATOMIC_ACQUIRE) == DOMAIN_ALIVE;
}

/*
 * The exits by reason of a vCPU of a domain that is alive, else NULL. For the root key's calls;
 * good until this CPU's next exit.
 */
const uint64_t *domain_exits(uint64_t number, uint64_t vcpu);

#endif
