/* SPDX-License-Identifier: BSD-2-Clause */
/* The service VM's exits on a fake CPU: CPUID, hypercalls, MSRs, XSETBV, and what must stop all. */
#include <string.h>

#include "arch/fake/fake_cpu.h"
#include "arch/fake/fake_machine.h"
#include "arch/x86/guest_cpuid.h"
#include "hv/cpus.h"
#include "hv/hypercall.h"
#include "hv/log.h"
#include "hv/pool.h"
#include "hv/service.h"
#include "unit.h"

#define KEY_LOW	 0x0123456789abcdefull
#define KEY_HIGH 0xfedcba9876543210ull
#define CPUS	 3

static struct boot_info boot;
static struct cpu cpu[CPUS];
static struct vcpu *vcpu;

static void start(void)
{
	fake_start();
	boot = (struct boot_info){
		.vendor = SOCLE_VENDOR_VMX,
		.cpus_found = 5,
		.base = GIB(1),
		.bytes = MIB(4),
		.pool_base = GIB(2),
		.pool_bytes = MIB(512),
		.tsc_hz = 3000000000,
		.boot_tsc = 77,
		.root_key = {{KEY_LOW, KEY_HIGH}},
	};
	log_init(LOG_INFO, boot.tsc_hz, 0);
	for (uint32_t i = 0; i < CPUS; i++) {
		cpu[i].index = i;
		cpu[i].apic_id = 4 * i;
		cpu[i].service.cpu = &cpu[i];
		cpu[i].service.regs = &cpu[i].service_regs;
		cpus_add(&cpu[i]);
	}
	fake_machine_start(&boot);
	pool_init(&boot);
	hypercall_init(&boot, SOCLE_FEATURE_ASID | SOCLE_FEATURE_NEXT_RIP);
	vcpu = &cpu[1].service;
}

/* All registers hold something different, so that a clobbered one shows. */
static struct vcpu_registers all_different(void)
{
	struct vcpu_registers regs;
	uint64_t *word = (uint64_t *)&regs;

	for (unsigned i = 0; i < sizeof(regs) / 8; i++)
		word[i] = 0x1111111111111111ull * (i + 1);
	return regs;
}

/* A hypercall from ring 3 with the right key. Gives RAX. */
static int64_t call(uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	*vcpu->regs = all_different();
	vcpu->regs->rax = number;
	vcpu->regs->rdi = KEY_LOW;
	vcpu->regs->rsi = KEY_HIGH;
	vcpu->regs->rdx = a0;
	vcpu->regs->r10 = a1;
	vcpu->regs->r8 = a2;
	vcpu->regs->r9 = a3;
	vcpu->exit.cpl = 3;
	hypercall(vcpu);
	return (int64_t)vcpu->regs->rax;
}

static struct socle_reply reply(void)
{
	const struct vcpu_registers *r = vcpu->regs;

	return (struct socle_reply){{r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
}

/* RCX and R11 are preserved too, unlike with SYSCALL. */
static void check_preserved(void)
{
	struct vcpu_registers expected = all_different();
	const struct vcpu_registers *r = vcpu->regs;

	ck_assert_uint_eq(r->rbx, expected.rbx);
	ck_assert_uint_eq(r->rcx, expected.rcx);
	ck_assert_uint_eq(r->rbp, expected.rbp);
	ck_assert_uint_eq(r->r11, expected.r11);
	ck_assert_uint_eq(r->r12, expected.r12);
	ck_assert_uint_eq(r->r13, expected.r13);
	ck_assert_uint_eq(r->r14, expected.r14);
	ck_assert_uint_eq(r->r15, expected.r15);
}

/* An error changes RAX and nothing else. */
static void check_error(int64_t result, int64_t error, uint64_t a0, uint64_t a1, uint64_t a2,
			uint64_t a3)
{
	ck_assert_int_eq(result, error);
	check_preserved();
	ck_assert_uint_eq(vcpu->regs->rdx, a0);
	ck_assert_uint_eq(vcpu->regs->r10, a1);
	ck_assert_uint_eq(vcpu->regs->r8, a2);
	ck_assert_uint_eq(vcpu->regs->r9, a3);
}

static void refused(int64_t error, uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2,
		    uint64_t a3)
{
	check_error(call(number, a0, a1, a2, a3), error, a0, a1, a2, a3);
	ck_assert_uint_eq(vcpu->regs->rdi, KEY_LOW);
	ck_assert_uint_eq(vcpu->regs->rsi, KEY_HIGH);
}

START_TEST(poke)
{
	struct socle_reply r;

	ck_assert_int_eq(call(SOCLE_CALL_POKE, 0x5050, 1, 2, 3), SOCLE_OK);
	check_preserved();
	r = reply();
	ck_assert_uint_eq(r.word[0], 0x5050);
	for (unsigned i = 1; i < 6; i++)
		ck_assert_uint_eq(r.word[i], 0);
}
END_TEST

START_TEST(info)
{
	struct socle_reply r;
	struct socle_info_general general;
	struct socle_info_memory memory;

	ck_assert_int_eq(call(SOCLE_CALL_INFO, SOCLE_INFO_GENERAL, 9, 9, 9), SOCLE_OK);
	check_preserved();
	r = reply();
	memcpy(&general, &r, sizeof(r));
	ck_assert_uint_eq(general.abi_version, SOCLE_ABI_VERSION);
	ck_assert_uint_eq(general.vendor, SOCLE_VENDOR_VMX);
	ck_assert_uint_eq(general.features, SOCLE_FEATURE_ASID | SOCLE_FEATURE_NEXT_RIP);
	ck_assert_uint_eq(general.cpus_online, CPUS);
	ck_assert_uint_eq(general.cpus_found, 5);
	ck_assert_uint_eq(general.tsc_hz, 3000000000);
	ck_assert_uint_eq(general.boot_tsc, 77);

	ck_assert_int_eq(call(SOCLE_CALL_INFO, SOCLE_INFO_MEMORY, 0, 0, 0), SOCLE_OK);
	r = reply();
	memcpy(&memory, &r, sizeof(r));
	ck_assert_uint_eq(memory.pool_base, GIB(2));
	ck_assert_uint_eq(memory.pool_bytes, MIB(512));
	ck_assert_uint_eq(memory.pool_free_bytes, MIB(512));
	ck_assert_uint_eq(memory.hypervisor_base, GIB(1));
	ck_assert_uint_eq(memory.hypervisor_bytes, MIB(4));
	ck_assert_uint_eq(memory.log_bytes, LOG_RING_BYTES);

	ck_assert_int_eq(call(SOCLE_CALL_INFO, SOCLE_INFO_CPU, 2, 0, 0), SOCLE_OK);
	r = reply();
	ck_assert_uint_eq(r.word[0], 8);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_INFO, SOCLE_INFO_CPU, CPUS, 0, 0);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_INFO, SOCLE_INFO_CPU, UINT64_MAX, 0, 0);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_INFO, SOCLE_INFO_CPU, 1ull << 32, 0, 0);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_INFO, 3, 0, 0, 0);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_INFO, UINT64_MAX, 0, 0, 0);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_INFO, 1ull << 32, 0, 0, 0);
}
END_TEST

START_TEST(reads_the_log)
{
	static const char text[] = "some lines\nof the log, more than a chunk holds, so two\n";
	struct socle_log_chunk chunk;
	struct socle_reply r;

	log_text(text, sizeof(text) - 1);
	ck_assert_int_eq(call(SOCLE_CALL_LOG_READ, 0, 0, 0, 0), SOCLE_LOG_CHUNK);
	check_preserved();
	r = reply();
	memcpy(&chunk, &r, sizeof(chunk));
	ck_assert_uint_eq(chunk.position, 0);
	ck_assert_mem_eq(chunk.text, text, SOCLE_LOG_CHUNK);
	ck_assert_int_eq(call(SOCLE_CALL_LOG_READ, SOCLE_LOG_CHUNK, 0, 0, 0),
			 sizeof(text) - 1 - SOCLE_LOG_CHUNK);
	r = reply();
	memcpy(&chunk, &r, sizeof(chunk));
	ck_assert_uint_eq(chunk.position, SOCLE_LOG_CHUNK);
	ck_assert_str_eq(chunk.text, text + SOCLE_LOG_CHUNK);
	ck_assert_int_eq(call(SOCLE_CALL_LOG_READ, UINT64_MAX, 0, 0, 0), 0);
}
END_TEST

START_TEST(counters)
{
	struct socle_reply r;
	uint64_t sum = 0;

	for (unsigned i = 0; i < SOCLE_EXIT_COUNT; i++) {
		cpu[2].service.exits[i] = 1000 + i;
		sum += 1000 + i;
	}
	cpu[2].hypervisor_cycles = 123456;
	cpu[2].hypercalls_denied = 7;
	ck_assert_int_eq(call(SOCLE_CALL_STATS_READ, SOCLE_STATS_CPU, 2, 0, 0), SOCLE_OK);
	check_preserved();
	r = reply();
	ck_assert_uint_eq(r.word[0], 123456);
	ck_assert_uint_eq(r.word[1], sum);
	ck_assert_uint_eq(r.word[2], 1000 + SOCLE_EXIT_HYPERCALL);
	ck_assert_uint_eq(r.word[3], 7);

	for (uint64_t first = 0; first < SOCLE_EXIT_COUNT; first++) {
		ck_assert_int_eq(
			call(SOCLE_CALL_STATS_READ, SOCLE_STATS_EXITS, 2, SOCLE_VM_SERVICE, first),
			SOCLE_OK);
		r = reply();
		for (uint64_t i = 0; i < 6; i++)
			ck_assert_uint_eq(r.word[i],
					  first + i < SOCLE_EXIT_COUNT ? 1000 + first + i : 0);
	}
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_STATS_READ, SOCLE_STATS_EXITS, 2, 0,
		SOCLE_EXIT_COUNT);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_STATS_READ, SOCLE_STATS_EXITS, 2, 0, UINT64_MAX);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_STATS_READ, SOCLE_STATS_EXITS, 2, 1, 0);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_STATS_READ, SOCLE_STATS_EXITS, CPUS, 0, 0);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_STATS_READ, SOCLE_STATS_CPU, UINT64_MAX, 0, 0);
	refused(SOCLE_ERROR_ARGUMENT, SOCLE_CALL_STATS_READ, 2, 0, 0, 0);
}
END_TEST

START_TEST(no_such_call)
{
	for (uint64_t number = SOCLE_CALL_COUNT; number < 256; number++)
		refused(SOCLE_ERROR_CALL, number, 1, 2, 3, 4);
	refused(SOCLE_ERROR_CALL, 1ull << 32, 1, 2, 3, 4);
	refused(SOCLE_ERROR_CALL, UINT64_MAX, 1, 2, 3, 4);
	ck_assert_uint_eq(cpu[1].hypercalls_denied, 0);
}
END_TEST

/* The key with any one bit flipped, for every call number: denied and counted. */
START_TEST(wrong_key)
{
	uint64_t denied = 0;

	for (unsigned bit = 0; bit < 128; bit++) {
		for (uint64_t number = 0; number < 256; number += bit < 2 ? 1 : 85) {
			*vcpu->regs = all_different();
			vcpu->regs->rax = number;
			vcpu->regs->rdi = KEY_LOW ^ (bit < 64 ? 1ull << bit : 0);
			vcpu->regs->rsi = KEY_HIGH ^ (bit >= 64 ? 1ull << (bit - 64) : 0);
			vcpu->exit.cpl = 3;
			hypercall(vcpu);
			ck_assert_int_eq((int64_t)vcpu->regs->rax, SOCLE_ERROR_KEY);
			check_preserved();
			ck_assert_uint_eq(vcpu->regs->rdx, all_different().rdx);
			ck_assert_uint_eq(cpu[1].hypercalls_denied, ++denied);
		}
	}
	ck_assert_uint_eq(cpu[0].hypercalls_denied, 0);
	/* logged as the count doubles, not each time */
	ck_assert_ptr_nonnull(strstr(fake_console(), "with a wrong key; 512 refused so far"));
	ck_assert_ptr_null(strstr(fake_console(), "; 513 refused so far"));
}
END_TEST

START_TEST(wrong_ring)
{
	for (uint32_t cpl = 0; cpl < 3; cpl++) {
		*vcpu->regs = all_different();
		vcpu->regs->rax = SOCLE_CALL_POKE;
		vcpu->regs->rdi = KEY_LOW;
		vcpu->regs->rsi = KEY_HIGH;
		vcpu->exit.cpl = cpl;
		hypercall(vcpu);
		ck_assert_int_eq((int64_t)vcpu->regs->rax, SOCLE_ERROR_RING);
		check_preserved();
	}
	ck_assert_uint_eq(cpu[1].hypercalls_denied, 3);
}
END_TEST

static struct cpuid_result guest(uint32_t leaf, uint32_t subleaf)
{
	*vcpu->regs = all_different();
	vcpu->regs->rax = leaf | 0xffffffff00000000ull;
	vcpu->regs->rcx = subleaf | 0xffffffff00000000ull;
	guest_cpuid(vcpu);
	/* the upper halves are cleared, as the instruction does */
	ck_assert_uint_eq(
		(vcpu->regs->rax | vcpu->regs->rbx | vcpu->regs->rcx | vcpu->regs->rdx) >> 32, 0);
	ck_assert_uint_eq(vcpu->regs->rsi, all_different().rsi);
	return (struct cpuid_result){(uint32_t)vcpu->regs->rax, (uint32_t)vcpu->regs->rbx,
				     (uint32_t)vcpu->regs->rcx, (uint32_t)vcpu->regs->rdx};
}

static const struct cpuid_result ones = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};

START_TEST(cpuid_masks)
{
	struct cpuid_result r;

	fake_cpuid(1, 0, ones);
	r = guest(1, 0);
	ck_assert_uint_eq(r.ecx, ~(1u << 2 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 27));
	ck_assert_uint_eq(r.edx, ~(1u << 21));
	ck_assert_uint_eq(r.eax, UINT32_MAX);
	fake_register(VCPU_CR4, CR4_OSXSAVE | CR4_PKE);
	ck_assert_uint_eq(guest(1, 0).ecx >> 27 & 1, 1);
	fake_cpuid(1, 0,
		   (struct cpuid_result){0}); /* the hypervisor is there whatever the CPU says */
	ck_assert_uint_eq(guest(1, 0).ecx >> 31, 1);

	fake_cpuid(6, 0, ones);
	ck_assert_uint_eq(guest(6, 0).eax, ~(1u << 19 | 1u << 23));
	ck_assert_uint_eq(guest(6, 0).edx, 0);
	fake_cpuid(7, 0, ones);
	fake_cpuid(7, 1, ones);
	r = guest(7, 0);
	ck_assert_uint_eq(r.ebx, ~(1u << 25));
	ck_assert_uint_eq(r.ecx, UINT32_MAX);
	ck_assert_uint_eq(r.edx, ~(1u << 18));
	fake_register(VCPU_CR4, 0);
	ck_assert_uint_eq(guest(7, 0).ecx, ~(1u << 4));
	ck_assert_uint_eq(guest(7, 1).ecx, UINT32_MAX);
	fake_cpuid(0x80000001, 0, ones);
	ck_assert_uint_eq(guest(0x80000001, 0).ecx, ~(1u << 2 | 1u << 12));
	fake_cpuid(0x8000000a, 0, ones);
	fake_cpuid(0x14, 0, ones);
	ck_assert_uint_eq(guest(0x8000000a, 0).edx, 0);
	ck_assert_uint_eq(guest(0x14, 0).eax, 0);
	fake_cpuid(4, 3, (struct cpuid_result){1, 2, 3, 4}); /* the others as they are */
	r = guest(4, 3);
	ck_assert_uint_eq(r.eax, 1);
	ck_assert_uint_eq(r.ebx, 2);
	ck_assert_uint_eq(r.ecx, 3);
	ck_assert_uint_eq(r.edx, 4);
}
END_TEST

START_TEST(cpuid_signature)
{
	struct cpuid_result r = guest(0x40000000, 0);
	char text[13] = "";

	memcpy(text, &r.ebx, 4);
	memcpy(text + 4, &r.ecx, 4);
	memcpy(text + 8, &r.edx, 4);
	ck_assert_str_eq(text, "SocleSocleSo");
	ck_assert_uint_eq(r.eax, 0x40000000);
	/* nothing of a hypervisor that Socle itself runs on */
	for (uint32_t leaf = 0x40000001; leaf <= 0x400000ff; leaf++) {
		fake_cpuid(leaf % 32 + 0x40000000, 0, ones);
		r = guest(leaf, 0);
		ck_assert_uint_eq(r.eax | r.ebx | r.ecx | r.edx, 0);
	}
}
END_TEST

static void exits(enum socle_exit_reason reason)
{
	service_handlers[reason](vcpu);
}

static void check_fault(unsigned count, uint8_t vector)
{
	ck_assert_uint_eq(fake_faults(), count);
	ck_assert_uint_eq(fake_fault_vector(), vector);
	ck_assert_uint_eq(fake_fault_code(), 0);
}

START_TEST(msr_exits)
{
	fake_vendor_msr_set(0x1122334455667788ull);
	*vcpu->regs = all_different();
	vcpu->regs->rcx = FAKE_MSR | 0xffffffff00000000ull; /* ECX counts */
	exits(SOCLE_EXIT_MSR_READ);
	ck_assert_uint_eq(vcpu->regs->rax, 0x55667788);
	ck_assert_uint_eq(vcpu->regs->rdx, 0x11223344);
	ck_assert_uint_eq(fake_faults(), 0);
	vcpu->regs->rax = 0xffffffff89abcdefull;
	vcpu->regs->rdx = 0xffffffff01234567ull;
	exits(SOCLE_EXIT_MSR_WRITE);
	ck_assert_uint_eq(fake_vendor_msr(), 0x0123456789abcdefull);
	ck_assert_uint_eq(fake_faults(), 0);
	vcpu->regs->rcx = FAKE_MSR + 1;
	exits(SOCLE_EXIT_MSR_WRITE);
	check_fault(1, VECTOR_GP);
	vcpu->regs->rax = 5;
	exits(SOCLE_EXIT_MSR_READ);
	check_fault(2, VECTOR_GP);
	ck_assert_uint_eq(vcpu->regs->rax, 5);
}
END_TEST

START_TEST(xsetbv_exits)
{
	fake_cpuid(0xd, 0, (struct cpuid_result){.eax = 0xe7});
	*vcpu->regs = all_different();
	vcpu->regs->rcx = 0xffffffff00000000ull;
	vcpu->regs->rax = 0xffffffff00000007ull;
	vcpu->regs->rdx = 0xffffffff00000000ull;
	exits(SOCLE_EXIT_XSETBV);
	ck_assert_uint_eq(fake_xcr0(), 7);
	ck_assert_uint_eq(fake_faults(), 0);
	vcpu->regs->rax = 0;
	exits(SOCLE_EXIT_XSETBV);
	check_fault(1, VECTOR_GP);
	vcpu->regs->rax = 7;
	vcpu->regs->rdx = 0x80000000;
	exits(SOCLE_EXIT_XSETBV);
	check_fault(2, VECTOR_GP);
	ck_assert_uint_eq(fake_xcr0(), 7);
}
END_TEST

START_TEST(other_exits)
{
	*vcpu->regs = all_different();
	exits(SOCLE_EXIT_REFUSED);
	check_fault(1, VECTOR_UD);
	exits(SOCLE_EXIT_INVD);
	ck_assert_uint_eq(fake_wbinvd_count(), 1);
	exits(SOCLE_EXIT_NMI);
	exits(SOCLE_EXIT_NMI_WINDOW);
	exits(SOCLE_EXIT_CR_ACCESS);
	exits(SOCLE_EXIT_INIT);
	exits(SOCLE_EXIT_SIPI);
	ck_assert_uint_eq(fake_faults(), 1);
	ck_assert_mem_eq(vcpu->regs, &(struct vcpu_registers[]){all_different()}[0],
			 sizeof(*vcpu->regs));
}
END_TEST

/* Faults for ever, but a few lines in the log. */
START_TEST(second_level_exits)
{
	const char *at;
	unsigned lines = 0;

	vcpu->exit.address = gpa(0x40001234);
	vcpu->exit.rip = 0xabc;
	vcpu->exit.write = true;
	for (unsigned i = 1; i <= 100; i++) {
		exits(SOCLE_EXIT_SECOND_LEVEL);
		check_fault(i, VECTOR_GP);
	}
	for (at = fake_console(); (at = strstr(at, "a write at 40001234, rip abc")) != NULL; at++)
		lines++;
	ck_assert_uint_gt(lines, 0);
	ck_assert_uint_le(lines, 10);
}
END_TEST

static void run_handler(void *argument)
{
	service_handlers[*(const int *)argument](vcpu);
}

/* What cannot go on says so, shows the state, and resets the machine. */
START_TEST(fatal_exits)
{
	static const int reasons[] = {SOCLE_EXIT_SHUTDOWN,  SOCLE_EXIT_ENTRY_FAILURE,
				      SOCLE_EXIT_OTHER,	    SOCLE_EXIT_INTERRUPT,
				      SOCLE_EXIT_EXCEPTION, SOCLE_EXIT_HLT,
				      SOCLE_EXIT_IO};
	int reason = reasons[_i];

	ck_assert(fake_panics(run_handler, &reason));
	ck_assert_str_eq(fake_panic_text(), "reset");
	ck_assert_ptr_nonnull(strstr(fake_console(), "service VM, CPU 1: "));
	ck_assert_ptr_nonnull(strstr(fake_console(), "dump\n"));
}
END_TEST

START_TEST(every_reason_has_a_handler)
{
	for (unsigned i = 0; i < SOCLE_EXIT_COUNT; i++)
		ck_assert_ptr_nonnull(service_handlers[i]);
}
END_TEST

START_TEST(first_state)
{
	boot.service_boot_cpu = (struct boot_service_entry){0x1000, 0x2000, 0x3000};
	boot.service_other_cpu = (struct boot_service_entry){0x4000, 0x5000, 0x6000};
	service_vcpu_init(&cpu[0], &boot);
	ck_assert_uint_eq(arch->vcpu_read(&cpu[0].service, VCPU_RIP), 0x1000);
	ck_assert_uint_eq(cpu[0].service.regs->rsi, 0x3000);
	ck_assert_ptr_eq(cpu[0].service.cpu, &cpu[0]);
	service_vcpu_init(&cpu[2], &boot);
	ck_assert_uint_eq(arch->vcpu_read(&cpu[2].service, VCPU_RIP), 0x4000);
	ck_assert_uint_eq(cpu[2].service.regs->rsi, 8); /* its APIC id */
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("service VM");
	TCase *tests = tcase_create("exits");

	tcase_add_checked_fixture(tests, start, NULL);
	tcase_add_test(tests, poke);
	tcase_add_test(tests, info);
	tcase_add_test(tests, reads_the_log);
	tcase_add_test(tests, counters);
	tcase_add_test(tests, no_such_call);
	tcase_add_test(tests, wrong_key);
	tcase_add_test(tests, wrong_ring);
	tcase_add_test(tests, cpuid_masks);
	tcase_add_test(tests, cpuid_signature);
	tcase_add_test(tests, msr_exits);
	tcase_add_test(tests, xsetbv_exits);
	tcase_add_test(tests, other_exits);
	tcase_add_test(tests, second_level_exits);
	tcase_add_loop_test(tests, fatal_exits, 0, 7);
	tcase_add_test(tests, every_reason_has_a_handler);
	tcase_add_test(tests, first_state);
	suite_add_tcase(suite, tests);
	return suite;
}
