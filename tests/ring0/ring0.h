/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the ring-0 test share. See main.c. */
#ifndef RING0_H
#define RING0_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "socle_abi.h"

#define VECTOR_UD      6
#define VECTOR_DF      8
#define VECTOR_GP      13
#define VECTOR_PF      14
#define NO_FAULT       (-1)
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Serial output; say() knows %s %x (64 bits, hexadecimal) %u. */
void say(const char *format, ...);

/* A finding of the running test, unless the two are equal. */
void check_equal(const char *what, uint64_t found, uint64_t expected);
#define CHECK_EQ(found, expected) check_equal(#found, (uint64_t)(found), (uint64_t)(expected))

/* Calls a function; the vector of the exception that ended it, or NO_FAULT. */
int try_call(void (*function)(void));

/* The last exception's error code, RIP and the address in CR2. */
extern volatile uint64_t fault_code, fault_rip, fault_address;

/* The machine, from the ACPI tables. */
extern bool is_amd;
extern uint64_t hypervisor_base, hypervisor_bytes;
extern unsigned cpu_count;

/* A hypercall from ring 3 with the root key. regs: RAX RDI RSI RDX R10 R8 R9. */
int64_t hypercall(uint64_t number, const uint64_t argument[4], uint64_t reply[6]);

/* Exits of a CPU for a reason. */
uint64_t exits(unsigned cpu, enum socle_exit_reason reason);

/* All exits of a CPU, but hypercalls. */
uint64_t exits_all(unsigned cpu);

/* Sends an NMI to a CPU by its APIC id, and what NMIs did so far: by CPU. */
void send_nmi(unsigned cpu);
extern volatile uint64_t nmi_count[2];
extern volatile int nmi_depth[2], nmi_depth_max[2];
extern volatile uint64_t nmi_resend; /* NMIs that the handler of CPU 0 sends to itself */

/* Makes the second CPU run a function for ever, with NMIs handled. False: it does not come. */
bool second_cpu(void (*function)(void));

/* Waits until *count has reached a number; false: it took too long. */
bool wait_for(const volatile uint64_t *count, uint64_t number);

static inline uint64_t read_msr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

struct cpuid_words {
	uint32_t a, b, c, d;
};

static inline struct cpuid_words cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_words r;

	__asm__ volatile("cpuid"
			 : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
			 : "a"(leaf), "c"(subleaf)
			 : "memory");
	return r;
}

#define REGISTER(name)                                                                             \
	static inline uint64_t get_##name(void)                                                    \
	{                                                                                          \
		uint64_t v;                                                                        \
                                                                                                   \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(v));                                 \
		return v;                                                                          \
	}                                                                                          \
	static inline void set_##name(uint64_t v)                                                  \
	{                                                                                          \
		__asm__ volatile("mov %0, %%" #name : : "r"(v) : "memory");                        \
	}
REGISTER(cr0)
REGISTER(cr2)
REGISTER(cr3)
REGISTER(cr4)
REGISTER(cr8)
REGISTER(dr0)
REGISTER(dr7)

#define CR0_MP	    (1ull << 1)
#define CR0_TS	    (1ull << 3)
#define CR0_NE	    (1ull << 5)
#define CR0_NW	    (1ull << 29)
#define CR0_CD	    (1ull << 30)
#define CR4_DE	    (1ull << 3)
#define CR4_OSFXSR  (1ull << 9)
#define CR4_VMXE    (1ull << 13)
#define CR4_SMXE    (1ull << 14)
#define CR4_OSXSAVE (1ull << 18)

void test_control_registers(void);
void test_state_survives(void);
void test_msrs(void);
void test_xsetbv(void);
void test_refused(void);
void test_invd(void);
void test_hypercall_rings(void);
void test_hole(void);
void test_no_exits(void);
void test_real_mode(void);
void test_own_nmi(void);
void test_nested_nmi(void);
void test_nmi_in_root(void);
void test_nmi_wakes(void);

#endif
