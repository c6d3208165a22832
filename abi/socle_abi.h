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

#define SOCLE_ABI_VERSION 3u

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

	/*
	 * Domains. The first five want the root key, the others the domain's. A frame is given by
	 * its number: its host-physical address / SOCLE_FRAME_BYTES.
	 */
	SOCLE_CALL_DOMAIN_CREATE = 4,  /* arg0: frame to donate; struct socle_domain_created */
	SOCLE_CALL_DOMAIN_DONATE = 5,  /* arg0: domain, arg1: frame */
	SOCLE_CALL_DOMAIN_ASSIGN = 6,  /* arg0: domain, arg1: first frame, arg2: how many, <= 512 */
	SOCLE_CALL_DOMAIN_DESTROY = 7, /* arg0: domain; to be repeated while it gives SOCLE_AGAIN */
	SOCLE_CALL_DOMAIN_INFO = 8,    /* arg0: domain; struct socle_domain_info */
	SOCLE_CALL_MAP = 9,	       /* arg0: domain, arg1: guest-physical, arg2: host-physical |
					  enum socle_access, arg3: bytes; result: bytes mapped */
	SOCLE_CALL_UNMAP = 10, /* arg0: domain, arg1: guest-physical, arg2: bytes; result: bytes */
	SOCLE_CALL_VCPU_CREATE = 11, /* arg0: domain, arg1: vCPU, arg2: host-physical of its area */
	SOCLE_CALL_VCPU_RUN = 12,    /* arg0: domain, arg1: vCPU; result: enum socle_exit_reason */
	SOCLE_CALL_VCPU_KICK = 13,   /* arg0: domain, arg1: vCPU: ends its run, or the next one */
	SOCLE_CALL_DIRTY_LOG = 14,   /* arg0: domain, arg1: guest-physical, arg2: bytes, arg3:
					SOCLE_DIRTY_FLUSH; result: bytes; struct socle_dirty_bits */
	SOCLE_CALL_COUNT
};

enum socle_error {
	SOCLE_OK = 0,
	SOCLE_ERROR_KEY = -1,	   /* the key is not one that allows this call */
	SOCLE_ERROR_RING = -2,	   /* not called from CPL 3 */
	SOCLE_ERROR_CALL = -3,	   /* no such call number */
	SOCLE_ERROR_ARGUMENT = -4, /* an argument is out of range */
	SOCLE_ERROR_DOMAIN = -5,   /* no such domain, or it is being destroyed */
	SOCLE_ERROR_OWNER = -6, /* a frame is outside the pool, or not owned as the call needs it */
	SOCLE_ERROR_MEMORY = -7, /* the domain's donated frames are used up: donate another */
	SOCLE_ERROR_BUSY = -8,	 /* the vCPU runs, or exists already; something is mapped there */
	SOCLE_ERROR_LIMIT = -9	 /* no domain or vCPU number is left */
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
#define SOCLE_FEATURE_DIRTY_LOG (1ull << 4) /* second-level accessed and dirty bits */
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
	/*
	 * Six counters of the VM in arg2, from reason arg3. Arg1 is the CPU for the service VM, and
	 * the vCPU for a domain.
	 */
	SOCLE_STATS_EXITS = 1
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
	SOCLE_EXIT_CR_ACCESS, /* control registers, and debug registers */
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
	SOCLE_EXIT_INTERRUPT_WINDOW,
	SOCLE_EXIT_EOI,
	SOCLE_EXIT_IPI,
	SOCLE_EXIT_WAKE,
	SOCLE_EXIT_TIMER, /* the VMX-preemption timer: a guest's own timer is due */
	SOCLE_EXIT_COUNT
};

/* Domains
 * ------------------------------------------------------------------------------------------ */

#define SOCLE_FRAME_BYTES 0x200000u /* the unit of ownership in the pool */
#define SOCLE_MAX_DOMAINS 1024u	    /* numbers 1 .. SOCLE_MAX_DOMAINS - 1; 0 is the service VM */
#define SOCLE_MAX_VCPUS	  64u	    /* of a domain */
#define SOCLE_AGAIN	  1 /* a result: part of the work is done, make the same call again */

/* What a guest may do with memory: the low bits of SOCLE_CALL_MAP's arg2. */
enum socle_access {
	SOCLE_ACCESS_READ = 1,
	SOCLE_ACCESS_WRITE = 2,
	SOCLE_ACCESS_EXECUTE = 4,
};

struct socle_domain_created {
	uint64_t domain;
	struct socle_key key; /* allows the calls on this domain's memory and vCPUs, and no other */
	uint64_t reserved[3];
};

struct socle_domain_info {
	uint64_t vcpus;		  /* created */
	uint64_t donated_frames;  /* the hypervisor's for this domain */
	uint64_t assigned_frames; /* the guest's, shared with the service VM */
	uint64_t metadata_bytes;  /* of the donated frames: used */
	uint64_t reserved[2];
};

#define SOCLE_DIRTY_PAGES 384u /* that one SOCLE_CALL_DIRTY_LOG looks at */
#define SOCLE_DIRTY_FLUSH 1ull /* writes after this call are found by the next one */

struct socle_dirty_bits {
	uint64_t word[SOCLE_DIRTY_PAGES / 64]; /* bit n % 64 of word n / 64: page n was written */
};

/* A segment register: attributes are type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11. */
struct socle_segment {
	uint16_t selector, attributes;
	uint32_t limit;
	uint64_t base;
};

/* The state of a vCPU beside its general registers. */
struct socle_system_state {
	struct socle_segment es, cs, ss, ds, fs, gs, ldtr, tr, gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, efer;
	uint64_t xcr0; /* 0: as it is */
	uint64_t dr[4], dr6, dr7;
	uint64_t pat, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t tsc_offset;	   /* guest TSC - host TSC */
	uint64_t interrupt_shadow; /* 1: after STI or MOV SS */
	uint64_t nmi_blocked;	   /* bit 0: until IRET; bit 1: another NMI waits for that */
	uint64_t pdpte[4];	   /* VT-x: what CR3 pointed at when PAE paging loaded it */
};

/* Bits of socle_vcpu_area.load: what the VMM changed since the last run. */
#define SOCLE_LOAD_RUN	  (1ull << 0) /* rip, rsp, rflags */
#define SOCLE_LOAD_SYSTEM (1ull << 1) /* all of the system state */
#define SOCLE_LOAD_APIC                                                                            \
	(1ull << 2)		      /* the local APIC's image but for its timer: see docs/abi.md \
				       */
#define SOCLE_LOAD_WINDOW (1ull << 3) /* exit as soon as the guest can take an interrupt */
/*
 * XMM0 .. XMM15, their low 128 bits: those of the processor at the call. When a run has ended, the
 * caller's processor holds the guest's, so the way back needs no bit.
 */
#define SOCLE_LOAD_VECTORS (1ull << 4)

/* socle_vcpu_area.event: as the VMCB's EVENTINJ (APM volume 2, section 15.20). */
#define SOCLE_EVENT_VALID      (1ull << 31)
#define SOCLE_EVENT_ERROR_CODE (1ull << 11) /* in bits 63:32 */
#define SOCLE_EVENT_INTERRUPT  (0ull << 8)
#define SOCLE_EVENT_NMI	       (2ull << 8)
#define SOCLE_EVENT_EXCEPTION  (3ull << 8)

/* info[0] of SOCLE_EXIT_IO. */
#define SOCLE_IO_PORT(info)  ((uint16_t)(info))
#define SOCLE_IO_BYTES(info) ((unsigned)((info) >> 16 & 7))
#define SOCLE_IO_IN	     (1ull << 24)
#define SOCLE_IO_STRING	     (1ull << 25)
#define SOCLE_IO_REP	     (1ull << 26)

/* info[0] of SOCLE_EXIT_SHUTDOWN. */
#define SOCLE_SHUTDOWN_TRIPLE_FAULT 0
#define SOCLE_SHUTDOWN_TASK_GATE    1 /* an exception whose gate is a task gate */

/* Where a vCPU is. */
enum socle_where { SOCLE_WHERE_VMM = 0, SOCLE_WHERE_GUEST = 1, SOCLE_WHERE_IDLE = 2 };

/*
 * One CPUID answer. A leaf's place is its low five bits behind 0 (basic) or 32 (0x80000000), or its
 * low four behind 64 (0x40000000) or 80 (0x40000100: a second hypervisor interface). If SUBLEAVES
 * is set there, the answer is the entry from 96 on with the same leaf and subleaf. An entry without
 * VALID answers zeros.
 */
struct socle_cpuid_entry {
	uint32_t leaf, subleaf, flags, eax, ebx, ecx, edx, reserved;
};
#define SOCLE_CPUID_VALID      1u
#define SOCLE_CPUID_SUBLEAVES  2u
#define SOCLE_CPUID_ENTRIES    128
#define SOCLE_CPUID_EXTENDED   32
#define SOCLE_CPUID_HYPERVISOR 64
#define SOCLE_CPUID_SECOND     80
#define SOCLE_CPUID_LIST       96

/*
 * What a vCPU's VMM and the hypervisor share: 8 KiB, aligned, in a frame assigned to the domain.
 * Either may write it at any time; the hypervisor takes each value once and checks it.
 */
struct socle_vcpu_area {
	/*
	 * The local APIC's registers: x2APIC register n is at apic[4 * n]. First, because they are
	 * the processor's virtual-APIC page where it has one.
	 */
	uint32_t apic[256];
	/* In the hypervisor's order; the guest's own registers while it runs. */
	uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rsp, rip, rflags;
	/* The exit. */
	uint64_t exit_reason; /* enum socle_exit_reason */
	uint64_t info[4];
	/* From the VMM. */
	uint64_t load;		 /* SOCLE_LOAD_* */
	uint64_t event;		 /* to be raised at the next entry */
	uint64_t where;		 /* enum socle_where */
	uint64_t timer_deadline; /* host TSC; 0: none. The hypervisor's, for the VMM to sleep by */
	uint64_t apic_base;	 /* IA32_APIC_BASE: the VMM's, for it decides the mode */
	uint64_t reserved0[4];
	uint64_t posted[4]; /* interrupts for this vCPU, set by atomic OR */
	uint64_t reserved1[92];
	struct socle_system_state system;
	uint8_t reserved2[2048 - sizeof(struct socle_system_state)];
	struct socle_cpuid_entry cpuid[SOCLE_CPUID_ENTRIES];
};
#define SOCLE_VCPU_AREA_BYTES	  8192
#define SOCLE_VCPU_REGISTER_BYTES 144 /* from rax to rflags */
_Static_assert(sizeof(struct socle_vcpu_area) == SOCLE_VCPU_AREA_BYTES, "socle_vcpu_area");
_Static_assert(__builtin_offsetof(struct socle_vcpu_area, rax) == 1024, "socle_vcpu_area");
_Static_assert(__builtin_offsetof(struct socle_vcpu_area, exit_reason) ==
		       1024 + SOCLE_VCPU_REGISTER_BYTES,
	       "socle_vcpu_area");
_Static_assert(__builtin_offsetof(struct socle_vcpu_area, posted) == 1280, "socle_vcpu_area");
_Static_assert(__builtin_offsetof(struct socle_vcpu_area, system) == 2048, "socle_vcpu_area");
_Static_assert(__builtin_offsetof(struct socle_vcpu_area, cpuid) == 4096, "socle_vcpu_area");

// clang-format off
/*
 * Exits that SOCLE_CALL_VCPU_RUN returns, and info[]:
 *
 * SOCLE_EXIT_IO             info[0]: SOCLE_IO_*. rip is past the instruction; at a string one it is not, and the
 *                           system state is in the area.
 * SOCLE_EXIT_SECOND_LEVEL   info[0]: guest-physical address, info[1]: enum socle_access. The system state is in
 *                           the area: the VMM decodes the instruction at rip and does it.
 * SOCLE_EXIT_HLT            rip is past it. timer_deadline says when to run at the latest.
 * SOCLE_EXIT_MSR_READ, SOCLE_EXIT_MSR_WRITE
 *                           info[0]: the MSR, info[1]: the instruction's address. rip is past it; the VMM sets it
 *                           back if it raises #GP.
 * SOCLE_EXIT_EOI            info[0]: vector. A level-triggered interrupt was acknowledged.
 * SOCLE_EXIT_IPI            info[0]: ICR. An IPI that is not a fixed interrupt: INIT, SIPI, NMI, SMI.
 * SOCLE_EXIT_WAKE           info[0]: bit mask of idle vCPUs that have an interrupt now.
 * SOCLE_EXIT_INTERRUPT      a physical interrupt, or a kick: nothing to do.
 * SOCLE_EXIT_INTERRUPT_WINDOW
 *                           SOCLE_LOAD_WINDOW was set, and the guest can take an interrupt now.
 * SOCLE_EXIT_CR_ACCESS      AMD-V without decode assists: a MOV to CR8 at rip that the VMM is to do. The system
 *                           state is in the area.
 * SOCLE_EXIT_SHUTDOWN       triple fault. The system state is in the area.
 * SOCLE_EXIT_ENTRY_FAILURE  the state is not one that the processor takes. info[0]: the vendor's code.
 */
// clang-format on

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
SOCLE_ABI_REPLY(socle_domain_created);
SOCLE_ABI_REPLY(socle_domain_info);
SOCLE_ABI_REPLY(socle_dirty_bits);
_Static_assert(sizeof(struct socle_acpi_body) == 24, "socle_acpi_body");

#endif
