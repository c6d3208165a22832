/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypercall ABI: the only header that the hypervisor and user space share.
 *
 * A hypercall is VMMCALL (AMD-V) or VMCALL (VT-x) executed at CPL 3 in the service VM:
 *
 *   RAX             call number (enum socle_call); on return the result: >= 0, or enum socle_error
 *   RDI, RSI        the key, low and high 64 bits
 *   RDX R10 R8 R9   arguments 0..3
 *
 * On success RDI RSI RDX R10 R8 R9 hold the reply (struct socle_reply, words 0..5). On an error
 * they are unchanged. Every other register, RCX and R11 included, is preserved. The hypervisor
 * reads and writes no memory of its caller.
 *
 * The key is checked before anything else, so without it every call number gives SOCLE_ERROR_KEY.
 */
#ifndef SOCLE_ABI_H
#define SOCLE_ABI_H

#include <stdint.h>

#define SOCLE_ABI_VERSION 1u

#define SOCLE_VERSION_MAJOR 0
#define SOCLE_VERSION_MINOR 1
#define SOCLE_VERSION_PATCH 0
/* The form in which SOCLE_CALL_INFO gives the hypervisor's version. */
#define SOCLE_VERSION_PACK(major, minor, patch)                                                    \
	(((uint64_t)(major) << 32) | ((uint64_t)(minor) << 16) | (uint64_t)(patch))

enum socle_call {
	SOCLE_CALL_INFO = 0, /* arg0: enum socle_info_page, arg1: CPU for SOCLE_INFO_CPU */
	SOCLE_CALL_LOG_READ =
		1, /* arg0: position; result: bytes returned; struct socle_log_chunk */
	SOCLE_CALL_STATS_READ =
		2,	     /* arg0: enum socle_stats_page, arg1: CPU, arg2: VM, arg3: reason */
	SOCLE_CALL_POKE = 3, /* does nothing; reply word 0 is arg0 */
	SOCLE_CALL_COUNT
};

enum socle_error {
	SOCLE_OK = 0,
	SOCLE_ERROR_KEY = -1,	  /* the key is not one that allows this call */
	SOCLE_ERROR_RING = -2,	  /* not called from CPL 3 */
	SOCLE_ERROR_CALL = -3,	  /* no such call number */
	SOCLE_ERROR_ARGUMENT = -4 /* an argument is out of range */
};

struct socle_key {
	uint64_t word[2];
};

struct socle_reply {
	uint64_t word[6];
};

/* SOCLE_CALL_INFO ------------------------------------------------------------------------------ */

enum socle_info_page {
	SOCLE_INFO_GENERAL = 0, /* struct socle_info_general */
	SOCLE_INFO_MEMORY = 1,	/* struct socle_info_memory */
	SOCLE_INFO_CPU = 2	/* struct socle_info_cpu of the CPU in arg1 */
};

enum socle_vendor { SOCLE_VENDOR_SVM = 1, SOCLE_VENDOR_VMX = 2 };

/* Bits of socle_info_general.features: what the processors offer. */
#define SOCLE_FEATURE_PAGE_1G	(1ull << 0) /* 1 GiB second-level pages */
#define SOCLE_FEATURE_APICV	(1ull << 1) /* virtual-interrupt delivery (APICv or AVIC) */
#define SOCLE_FEATURE_NEXT_RIP	(1ull << 2) /* the next instruction pointer is given on exits */
#define SOCLE_FEATURE_TIMER	(1ull << 3) /* VMX-preemption timer */
#define SOCLE_FEATURE_DIRTY_LOG (1ull << 4) /* second-level accessed and dirty bits, or PML */
#define SOCLE_FEATURE_ASID	(1ull << 5) /* ASIDs or VPIDs: no full TLB flush on a world switch */
#define SOCLE_FEATURE_X2APIC	(1ull << 6) /* local APICs run in x2APIC mode */

struct socle_info_general {
	uint32_t abi_version;	     /* SOCLE_ABI_VERSION */
	uint32_t vendor;	     /* enum socle_vendor */
	uint64_t hypervisor_version; /* SOCLE_VERSION_PACK */
	uint64_t features;	     /* SOCLE_FEATURE_* */
	uint32_t cpus_online;	     /* CPUs in root mode; their numbers are 0 .. cpus_online - 1 */
	uint32_t cpus_found;	     /* CPUs that the firmware reported */
	uint64_t tsc_hz;	     /* time-stamp counter frequency */
	uint64_t boot_tsc;	     /* time-stamp counter when the hypervisor started */
};

struct socle_info_memory {
	uint64_t pool_base;	   /* guest pool: host-physical address, 2 MiB aligned */
	uint64_t pool_bytes;	   /* its size */
	uint64_t pool_free_bytes;  /* of these, bytes in frames that nobody owns */
	uint64_t hypervisor_base;  /* the hypervisor's own memory: host-physical address */
	uint64_t hypervisor_bytes; /* its size: all memory that the hypervisor keeps for itself */
	uint64_t log_bytes;	   /* size of the log ring */
};

struct socle_info_cpu {
	uint32_t apic_id;
	uint32_t reserved0;
	uint64_t reserved[5];
};

/* SOCLE_CALL_LOG_READ -------------------------------------------------------------------------- */

#define SOCLE_LOG_CHUNK 40

/*
 * The log is a stream of text. A position counts the bytes logged since the start; the ring holds
 * the last log_bytes of them. The reply starts at the asked position, or at the oldest byte still
 * held if that is later; the next call asks for position + result. A result of 0 means no more
 * text.
 */
struct socle_log_chunk {
	uint64_t position;
	char text[SOCLE_LOG_CHUNK];
};

/* SOCLE_CALL_STATS_READ ------------------------------------------------------------------------ */

enum socle_stats_page {
	SOCLE_STATS_CPU = 0, /* struct socle_stats_cpu of the CPU in arg1 */
	SOCLE_STATS_EXITS =
		1 /* six counters of the CPU in arg1 and the VM in arg2, from reason arg3 */
};

#define SOCLE_VM_SERVICE 0u /* the VM number of the service VM */

struct socle_stats_cpu {
	uint64_t hypervisor_cycles; /* TSC ticks from exits to the next entry */
	uint64_t exits;		    /* all exits */
	uint64_t hypercalls;	    /* all hypercalls, denied ones included */
	uint64_t hypercalls_denied; /* hypercalls with a wrong key or from a wrong ring */
	uint64_t reserved[2];
};

/* Why a VM was left. Both vendors' exit codes are mapped to these. */
enum socle_exit_reason {
	SOCLE_EXIT_CPUID = 0,
	SOCLE_EXIT_HYPERCALL,
	SOCLE_EXIT_XSETBV,
	SOCLE_EXIT_MSR_READ,
	SOCLE_EXIT_MSR_WRITE,
	SOCLE_EXIT_SECOND_LEVEL, /* nested page fault (AMD-V), EPT violation (VT-x) */
	SOCLE_EXIT_NMI,
	SOCLE_EXIT_NMI_WINDOW,
	SOCLE_EXIT_INIT,
	SOCLE_EXIT_SIPI,
	SOCLE_EXIT_CR_ACCESS,
	SOCLE_EXIT_INVD,
	SOCLE_EXIT_REFUSED,  /* an instruction that does not exist for the VM, VMRUN or VMXON for
				example */
	SOCLE_EXIT_SHUTDOWN, /* triple fault */
	SOCLE_EXIT_INTERRUPT,
	SOCLE_EXIT_EXCEPTION,
	SOCLE_EXIT_HLT,
	SOCLE_EXIT_IO,
	SOCLE_EXIT_ENTRY_FAILURE,
	SOCLE_EXIT_OTHER,
	SOCLE_EXIT_COUNT
};

/* ACPI table "SOCL" ---------------------------------------------------------------------------- */

/*
 * Only root can read it (/sys/firmware/acpi/tables/SOCL). The fields after the 36-byte standard
 * header (ACPI 6.4, section 5.2.6). Little endian, packed.
 */
#define SOCLE_ACPI_SIGNATURE	"SOCL"
#define SOCLE_ACPI_REVISION	1
#define SOCLE_ACPI_HEADER_BYTES 36

struct socle_acpi_body {
	uint32_t abi_version;
	uint32_t vendor;      /* enum socle_vendor: which instruction makes a hypercall */
	struct socle_key key; /* the root key, at offset 44: not aligned to 8 */
} __attribute__((packed));

#define SOCLE_ABI_REPLY(type)                                                                      \
	_Static_assert(sizeof(struct type) == sizeof(struct socle_reply), #type)
SOCLE_ABI_REPLY(socle_info_general);
SOCLE_ABI_REPLY(socle_info_memory);
SOCLE_ABI_REPLY(socle_info_cpu);
SOCLE_ABI_REPLY(socle_log_chunk);
SOCLE_ABI_REPLY(socle_stats_cpu);
_Static_assert(sizeof(struct socle_acpi_body) == 24, "socle_acpi_body");

#endif
