/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exits of ring-3 code in awkward places: single-stepped, behind MOV SS, at the end of a 32-bit
 * address space, and instructions that are nobody's. Each has to end as it would without a
 * hypervisor, and the machine has to go on: an entry that the processor refuses would stop it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "service_test.h"

#define RFLAGS_TF   (1 << 8)
#define USER_CODE32 0x23 /* Linux' __USER32_CS */
#define LAST_PAGE32 0xfffff000ul
#define STEPS_MAX   16
#define PAGE_BYTES  4096

static sigjmp_buf away;
static volatile int last_signal;
static volatile uint64_t last_rip;

/* Where single steps stopped, and where they end. */
static volatile uint64_t step[STEPS_MAX];
static volatile unsigned int steps;
static volatile uint64_t steps_end;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)info;
	last_signal = signal;
	last_rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	siglongjmp(away, 1);
}

static void on_step(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)signal;
	(void)info;
	if (steps < STEPS_MAX)
		step[steps++] = (uint64_t)registers[REG_RIP];
	if ((uint64_t)registers[REG_RIP] == steps_end || steps == STEPS_MAX)
		registers[REG_EFL] &= ~RFLAGS_TF;
}

static void catch (int signal, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigemptyset(&action.sa_mask);
	sigaction(signal, &action, NULL);
}

static void catch_all(void)
{
	static uint8_t stack[65536];
	stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};

	sigaltstack(&own, NULL);
	catch (SIGILL, on_fault);
	catch (SIGSEGV, on_fault);
	catch (SIGBUS, on_fault);
	catch (SIGTRAP, on_step);
}

/* Code that is written at run time: a page of instructions, called as a function. */
static uint8_t *code;

static size_t put(size_t at, const void *bytes, size_t count)
{
	memcpy(code + at, bytes, count);
	return at + count;
}
#define PUT(at, ...) put(at, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The two instructions that exit by design: CPUID, and the hypercall (with a wrong key). */
static const uint8_t cpuid_bytes[] = {0x0f, 0xa2};
static uint8_t call_bytes[] = {0x0f, 0x01, 0xc1};

/* The three expected places in this order; behind MOV SS there may be a trap more. */
static void check_steps(const uint8_t *instruction, const uint64_t expected[3], int behind_mov_ss)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < steps && found < 3; i++)
		found += step[i] == expected[found];
	if (found != 3 || (!behind_mov_ss && steps != 3))
		test_fail("single-stepping %02x %02x: %u traps, first at code + %" PRIu64
			  ", expected 3 from code + %" PRIu64,
			  instruction[0], instruction[1], steps, step[0] - (uint64_t)code,
			  expected[0] - (uint64_t)code);
}

/*
 * Single-steps "NOP, instruction, NOP", with MOV SS before the instruction or not. MOV SS is not
 * followed by a trap; every other instruction is, the one that exits too.
 */
static void single_step(const uint8_t *instruction, size_t bytes, int behind_mov_ss)
{
	uint64_t expected[3];
	size_t at = PUT(0, 0x53,				  /* push rbx */
			0x31, 0xc0, 0x31, 0xc9,			  /* xor eax, eax; xor ecx, ecx */
			0x31, 0xff, 0x31, 0xf6,			  /* xor edi, edi; xor esi, esi */
			0x8c, 0xd2,				  /* mov edx, ss */
			0x9c, 0x81, 0x0c, 0x24, 0x00, 0x01, 0, 0, /* pushf; or [rsp], TF */
			0x9d, 0x90);				  /* popf; nop */

	expected[0] = (uint64_t)code + at;
	if (behind_mov_ss)
		at = PUT(at, 0x8e, 0xd2); /* mov ss, edx */
	at = put(at, instruction, bytes);
	expected[1] = (uint64_t)code + at;
	at = PUT(at, 0x90);
	expected[2] = (uint64_t)code + at;
	PUT(at, 0x90, 0x5b, 0xc3); /* nop; pop rbx; ret */

	steps = 0;
	steps_end = expected[2];
	if (sigsetjmp(away, 1) != 0)
		test_fail("single-stepping gives signal %d at code + %" PRIu64, last_signal,
			  last_rip - (uint64_t)code);
	__asm__ volatile("call *%0"
			 :
			 : "r"(code)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc",
			   "memory");
	check_steps(instruction, expected, behind_mov_ss);
}

/* An instruction that has to fault, single-stepped behind MOV SS or plainly. RAX is an address. */
static void refused(const uint8_t *instruction, size_t bytes, int behind_mov_ss)
{
	static uint64_t buffer[512] __attribute__((aligned(4096)));
	static size_t at; /* static: it lives across siglongjmp() */

	at = 0;
	if (behind_mov_ss)
		at = PUT(at, 0x8c, 0xd2, 0x9c, 0x81, 0x0c, 0x24, 0x00, 0x01, 0, 0, 0x9d, 0x8e,
			 0xd2);
	PUT(put(at, instruction, bytes), 0xc3);
	last_signal = 0;
	steps_end = 0;
	steps = 0;
	if (sigsetjmp(away, 1) == 0)
		__asm__ volatile("call *%1"
				 :
				 : "a"(buffer), "r"(code), "c"(0ul)
				 : "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc", "memory");
	if (last_signal != SIGILL && last_signal != SIGSEGV)
		test_fail("%02x %02x %02x gives signal %d, expected SIGILL or SIGSEGV",
			  instruction[0], instruction[1], instruction[2], last_signal);
	if (last_rip != (uint64_t)code + at)
		test_fail("%02x %02x %02x faults at code + %" PRIu64 ", expected %zu",
			  instruction[0], instruction[1], instruction[2], last_rip - (uint64_t)code,
			  at);
}

struct instruction {
	uint8_t length, bytes[6];
};

/* SDM volume 2 and APM volume 3: those of both virtualization extensions, and of ring 0. */
static const struct instruction nobodys[] = {
	{3, {0x0f, 0x01, 0xc2}},	     /* VMLAUNCH */
	{3, {0x0f, 0x01, 0xc3}},	     /* VMRESUME */
	{3, {0x0f, 0x01, 0xc4}},	     /* VMXOFF */
	{4, {0xf3, 0x0f, 0xc7, 0x30}},	     /* VMXON [rax] */
	{4, {0x66, 0x0f, 0xc7, 0x30}},	     /* VMCLEAR [rax] */
	{3, {0x0f, 0xc7, 0x30}},	     /* VMPTRLD [rax] */
	{3, {0x0f, 0xc7, 0x38}},	     /* VMPTRST [rax] */
	{3, {0x0f, 0x78, 0xc1}},	     /* VMREAD rcx, rax */
	{3, {0x0f, 0x79, 0xc1}},	     /* VMWRITE rax, rcx */
	{5, {0x66, 0x0f, 0x38, 0x80, 0x08}}, /* INVEPT rcx, [rax] */
	{5, {0x66, 0x0f, 0x38, 0x81, 0x08}}, /* INVVPID rcx, [rax] */
	{3, {0x0f, 0x01, 0xd4}},	     /* VMFUNC */
	{2, {0x0f, 0x37}},		     /* GETSEC */
	{3, {0x0f, 0x01, 0xd8}},	     /* VMRUN */
	{3, {0x0f, 0x01, 0xda}},	     /* VMLOAD */
	{3, {0x0f, 0x01, 0xdb}},	     /* VMSAVE */
	{3, {0x0f, 0x01, 0xdc}},	     /* STGI */
	{3, {0x0f, 0x01, 0xdd}},	     /* CLGI */
	{3, {0x0f, 0x01, 0xde}},	     /* SKINIT */
	{3, {0x0f, 0x01, 0xdf}},	     /* INVLPGA */
	{2, {0x0f, 0x08}},		     /* INVD */
	{2, {0x0f, 0x09}},		     /* WBINVD */
	{3, {0x0f, 0x01, 0xd1}},	     /* XSETBV */
	{2, {0x0f, 0x30}},		     /* WRMSR */
	{2, {0x0f, 0x32}},		     /* RDMSR */
	{2, {0x0f, 0xaa}},		     /* RSM */
	{1, {0xf4}},			     /* HLT */
};

static void refuse_all(void)
{
	for (size_t i = 0; i < sizeof(nobodys) / sizeof(nobodys[0]); i++)
		for (int behind_mov_ss = 0; behind_mov_ss < 2; behind_mov_ss++)
			refused(nobodys[i].bytes, nobodys[i].length, behind_mov_ss);
}

/*
 * An instruction that exits, as the last bytes of the 32-bit address space: execution goes on at
 * address 0, where nothing is. (AMD-V leaves a carry into the upper half of RIP, which nothing
 * uses.)
 */
static void wrap(const uint8_t *instruction, size_t bytes)
{
	static uint8_t *page;
	struct __attribute__((packed)) {
		uint32_t offset;
		uint16_t selector;
	} target = {(uint32_t)(LAST_PAGE32 + PAGE_BYTES - bytes), USER_CODE32};

	if (page == NULL)
		page = mmap((void *)LAST_PAGE32, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (page == MAP_FAILED)
		test_fail("cannot map the last page of 4 GiB: %s", strerror(errno));
	memcpy(page + PAGE_BYTES - bytes, instruction, bytes);
	last_signal = 0;
	if (sigsetjmp(away, 1) == 0)
		__asm__ volatile("ljmpl *%0" : : "m"(target), "a"(0), "c"(0) : "memory");
	if (last_signal != SIGSEGV || (uint32_t)last_rip != 0)
		test_fail("%02x %02x at 0x%x: signal %d at 0x%" PRIx64 ", expected SIGSEGV at 0",
			  instruction[0], instruction[1], target.offset, last_signal, last_rip);
}

/* A prefix does not change what the instructions do, but how long they are. */
static void prefixed(int bare)
{
	static const uint8_t long_cpuid[] = {0x66, 0x2e, 0x48, 0x0f, 0xa2};
	const uint8_t long_call[] = {0x48, 0x0f, 0x01, call_bytes[2]};

	single_step(long_cpuid, sizeof(long_cpuid), 0);
	if (!bare)
		single_step(long_call, sizeof(long_call), 0);
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"bare", 0, 1}, {0}};
	struct socle_handle handle;
	struct socle_info_general general = {0};
	uint64_t echo = 7;
	int bare;

	test_options(argc, argv, "[--bare (CPUID only: for a machine without Socle)]", option);
	bare = option[0].value != 0;
	if (!bare)
		test_open(&handle);
	if (!bare && socle_info_general(&handle, &general) != SOCLE_OK)
		test_fail("info fails");
	if (!bare && handle.vendor == SOCLE_VENDOR_SVM)
		call_bytes[2] = 0xd9; /* VMMCALL */
	code = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		test_fail("no page for code: %s", strerror(errno));
	catch_all();

	for (int behind_mov_ss = 0; behind_mov_ss < 2; behind_mov_ss++) {
		single_step(cpuid_bytes, sizeof(cpuid_bytes), behind_mov_ss);
		if (!bare)
			single_step(call_bytes, sizeof(call_bytes), behind_mov_ss);
	}
	puts("single steps are right");
	if (bare || (general.features & SOCLE_FEATURE_NEXT_RIP)) {
		prefixed(bare);
		puts("prefixes are right");
	} else {
		puts("prefixes are not tried: the processor does not give the next RIP");
	}
	refuse_all();
	puts("refused instructions are right");
	wrap(cpuid_bytes, sizeof(cpuid_bytes));
	if (!bare)
		wrap(call_bytes, sizeof(call_bytes));
	puts("the end of 4 GiB is right");
	if (!bare && (socle_poke(&handle, 7, &echo) != SOCLE_OK || echo != 7))
		test_fail("poke gives %" PRIu64 " afterwards, expected 7", echo);
	test_pass("exits in awkward places end as without a hypervisor");
}
