/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libsocle: hypercalls for programs of the service VM.
 *
 * A program opens a handle (socle_open), which takes the key and the vendor from the ACPI table
 * "SOCL", and passes it to every call. A handle is plain data without a lock: it may be copied,
 * and used by any number of threads at once, as the calls do not change it. Nothing here
 * allocates memory, prints or exits.
 */
#ifndef SOCLE_H
#define SOCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "socle_abi.h"

/* Where Linux shows the ACPI table "SOCL". */
#define SOCLE_KEY_PATH "/sys/firmware/acpi/tables/SOCL"

/* Result of the library itself beside enum socle_error: the hypervisor's reply makes no sense. */
#define SOCLE_ERROR_REPLY (-64)

/*
 * One hypercall as the processor sees it: loads the registers, executes the instruction, stores
 * the reply. Gives RAX; *reply is written only if that is >= 0.
 */
typedef int64_t socle_raw_call(uint64_t call, const struct socle_key *key,
			       const uint64_t argument[4], struct socle_reply *reply);

/* XMM0 .. XMM15. */
struct socle_vectors {
	uint64_t xmm[16][2];
};

/*
 * SOCLE_CALL_VCPU_RUN with the vector registers: loads those of *vectors first if `load`, the
 * area's word, says so with SOCLE_LOAD_VECTORS, and stores the guest's there if it was left with
 * SOCLE_EXIT_SECOND_LEVEL. Gives RAX.
 */
typedef int64_t socle_raw_run(const struct socle_key *key, uint64_t vcpu, uint64_t domain,
			      struct socle_vectors *vectors, uint64_t load);

struct socle_handle {
	socle_raw_call *raw; /* every call goes through it: tests put a fake hypervisor here */
	struct socle_key key;
	enum socle_vendor vendor;
	socle_raw_run *run; /* beside `raw`; NULL: vectors are left alone */
};

/* key.c: opening ------------------------------------------------------------------------------- */

enum socle_open_status {
	SOCLE_OPEN_OK = 0,
	SOCLE_OPEN_ABSENT,     /* there is no such table: not running on Socle */
	SOCLE_OPEN_PERMISSION, /* only root can read it */
	SOCLE_OPEN_IO,	       /* it is there and cannot be read for another reason */
	SOCLE_OPEN_DAMAGED,    /* wrong signature, length, checksum or vendor */
	SOCLE_OPEN_ABI	       /* the hypervisor speaks another version of the ABI */
};

#define SOCLE_OPEN_MESSAGE_BYTES 320

struct socle_open_error {
	enum socle_open_status status;
	int system_error;			/* errno of the failed system call, or 0 */
	uint32_t abi_version;			/* the hypervisor's, if status is SOCLE_OPEN_ABI */
	char message[SOCLE_OPEN_MESSAGE_BYTES]; /* expected, found and what to do; no newline */
};

/*
 * Reads the root key and the vendor from the ACPI table at path.
 *
 * @path   the table's file; NULL for SOCLE_KEY_PATH
 * @handle filled on success, otherwise unchanged
 * @error  filled on failure; may be NULL
 *
 * Gives SOCLE_OPEN_OK or the reason of the failure. Makes no hypercall.
 */
enum socle_open_status socle_open(const char *path, struct socle_handle *handle,
				  struct socle_open_error *error);

/*
 * Says whether CPUID leaf 0x40000000 carries Socle's signature. Any process may ask, but it costs
 * an exit.
 */
bool socle_present(void);

/* hypercall.c: the instruction ----------------------------------------------------------------- */

socle_raw_call socle_raw_vmmcall; /* AMD-V */
socle_raw_call socle_raw_vmcall;  /* VT-x */
socle_raw_run socle_run_vmmcall;
socle_raw_run socle_run_vmcall;

/* call.c: calls -------------------------------------------------------------------------------- */

/*
 * Any hypercall, with the handle's key.
 *
 * @call     enum socle_call
 * @argument the four arguments
 * @reply    filled on success, otherwise unchanged
 *
 * Gives the result (>= 0) or enum socle_error.
 */
int64_t socle_hypercall(const struct socle_handle *handle, uint64_t call,
			const uint64_t argument[4], struct socle_reply *reply);

/*
 * Typed calls. Each fills *out on success only and gives 0 or enum socle_error;
 * SOCLE_ERROR_ARGUMENT means that there is no such CPU, VM or page.
 */
int socle_info_general(const struct socle_handle *handle, struct socle_info_general *out);
int socle_info_memory(const struct socle_handle *handle, struct socle_info_memory *out);
int socle_info_cpu(const struct socle_handle *handle, uint32_t cpu, struct socle_info_cpu *out);
int socle_stats_cpu(const struct socle_handle *handle, uint32_t cpu, struct socle_stats_cpu *out);

/* The exits of one VM on one CPU, by reason. Takes several calls, so it is no atomic snapshot. */
int socle_stats_exits(const struct socle_handle *handle, uint32_t cpu, uint32_t vm,
		      uint64_t out[SOCLE_EXIT_COUNT]);

/* The call that does nothing: *out becomes value. */
int socle_poke(const struct socle_handle *handle, uint64_t value, uint64_t *out);

/* domain.c: domains and their vCPUs ------------------------------------------------------------ */

/* Frames that one SOCLE_CALL_DOMAIN_ASSIGN takes at most. */
#define SOCLE_ASSIGN_FRAMES 512u

/*
 * Memory is given as host-physical addresses and bytes; of frames, both are multiples of
 * SOCLE_FRAME_BYTES. The first five calls want a handle with the root key, the others one with the
 * domain's. Each gives 0 (or what is said) or enum socle_error.
 */

/* Makes a domain whose metadata goes into the frame at `donated`; *out has its number and key. */
int socle_domain_create(const struct socle_handle *handle, uint64_t donated,
			struct socle_domain_created *out);

/* Gives the hypervisor one more frame for the domain's metadata. */
int socle_domain_donate(const struct socle_handle *handle, uint32_t domain, uint64_t physical);

/* Makes free frames the domain's. On an error, those before the refused part stay assigned. */
int socle_domain_assign(const struct socle_handle *handle, uint32_t domain, uint64_t physical,
			uint64_t bytes);

/*
 * One bounded step of taking a domain apart: SOCLE_AGAIN while there is more to do, and then 0: all
 * of its frames are free again, the donated ones scrubbed.
 */
int socle_domain_destroy(const struct socle_handle *handle, uint32_t domain);

int socle_domain_info(const struct socle_handle *handle, uint32_t domain,
		      struct socle_domain_info *out);

/*
 * Maps [physical, physical + bytes), of frames assigned to the domain, at guest-physical `guest`,
 * in as many calls as it takes. All are multiples of 4 KiB; access is of enum socle_access. Gives
 * bytes, or the first error, before which a part may have been mapped.
 */
int64_t socle_map(const struct socle_handle *handle, uint32_t domain, uint64_t guest,
		  uint64_t physical, unsigned int access, uint64_t bytes);
int64_t socle_unmap(const struct socle_handle *handle, uint32_t domain, uint64_t guest,
		    uint64_t bytes);

/*
 * Finds which pages of [guest, guest + bytes) the guest has written since the last time, or since
 * they were mapped, in as many calls as it takes. What is written from now on is found the next
 * time: so read the pages after this. The VMM's own writes are not found.
 *
 * @bits (bytes / 4096 + 63) / 64 words; bit n % 64 of word n / 64 is set for page n, the others
 * stay
 *
 * Gives bytes, or the first error. SOCLE_ERROR_MEMORY: the first time takes a page of the domain's
 * donated memory for each 2 MiB; what was found before is in the bits. SOCLE_ERROR_CALL: the
 * processor cannot do it.
 */
int64_t socle_dirty_log(const struct socle_handle *handle, uint32_t domain, uint64_t guest,
			uint64_t bytes, uint64_t *bits);

/* Makes vCPU number `vcpu`; area is the host-physical address of its struct socle_vcpu_area. */
int socle_vcpu_create(const struct socle_handle *handle, uint32_t domain, uint32_t vcpu,
		      uint64_t area);

/* Runs the vCPU on this CPU until it exits; gives enum socle_exit_reason. */
int socle_vcpu_run(const struct socle_handle *handle, uint32_t domain, uint32_t vcpu);
/* The same with the guest's vector registers: see socle_raw_run. */
static inline int socle_vcpu_run_vectors(const struct socle_handle *handle, uint32_t domain,
					 uint32_t vcpu, struct socle_vectors *vectors,
					 uint64_t load)
{
	if (handle->run == NULL)
		return socle_vcpu_run(handle, domain, vcpu);
	return (int)handle->run(&handle->key, vcpu, domain, vectors, load);
}

/* Ends the vCPU's run with SOCLE_EXIT_INTERRUPT, or its next one if it does not run. */
int socle_vcpu_kick(const struct socle_handle *handle, uint32_t domain, uint32_t vcpu);

/* log.c: the hypervisor's log ------------------------------------------------------------------ */

/*
 * Reads the log from *position on until the buffer is full or there is no more text.
 *
 * @position in: the position to read from, in bytes since the start; out: the one to go on from
 * @buffer   receives the text, not terminated
 * @size     its size in bytes, at least SOCLE_LOG_CHUNK
 * @lost     increased by the bytes that the ring no longer held; may be NULL
 *
 * Gives the number of bytes read (0: no more text for now), or enum socle_error.
 */
int64_t socle_log_read(const struct socle_handle *handle, uint64_t *position, char *buffer,
		       size_t size, uint64_t *lost);

/* names.c: names and texts --------------------------------------------------------------------- */

/* The back end: "svm" or "vmx"; "unknown" for anything else. */
const char *socle_vendor_name(enum socle_vendor vendor);

/*
 * An exit reason in lower case. The second-level fault is called as the vendor calls it: "npf" on
 * AMD-V, "ept_violation" on VT-x. NULL for a reason that does not exist.
 */
const char *socle_exit_reason_name(enum socle_vendor vendor, unsigned int reason);

/* The name of feature bit number 0 .. 63 (socle_info_general.features), or NULL. */
const char *socle_feature_name(unsigned int bit);

/* What a negative result means, as the end of a sentence; never NULL. */
const char *socle_error_text(int64_t error);

#endif
