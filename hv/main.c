// SPDX-License-Identifier: BSD-2-Clause
/* From the entry of every CPU to the service VM's first instruction. */
#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/interrupts.h"
#include "hv/cpu.h"
#include "hv/cpus.h"
#include "hv/hypercall.h"
#include "hv/log.h"
#include "hv/memory.h"
#include "hv/paging.h"
#include "hv/panic.h"
#include "hv/pool.h"
#include "hv/random.h"
#include "hv/service.h"
#include "hv/timer.h"

/* How long the boot CPU waits for the others, each already in hv_start(). */
#define READY_TIMEOUT_SECONDS 2
#define CPUID_7_ECX_PKU	      (1u << 3)

/* What the boot CPU has done: the others wait for these steps. */
enum boot_step { STEP_NONE, STEP_PREPARED, STEP_GO };

const struct arch_ops *arch;

static int boot_step;
static uint32_t answers; /* CPUs that are in root mode or have failed */

void hv_start(struct boot_info *boot, uint32_t index);

static void wait_for_step(int step)
{
	while (__atomic_load_n(&boot_step, __ATOMIC_ACQUIRE) < step)
		cpu_pause();
}

static void set_step(int step)
{
	__atomic_store_n(&boot_step, step, __ATOMIC_RELEASE);
}

/* Gives every CPU its pages: the arena has one user. */
static void prepare_cpus(const struct boot_info *boot)
{
	for (uint32_t i = 0; i < boot->cpu_count; i++) {
		struct cpu *cpu =
			(struct cpu *)(boot->cpu_areas + i * HV_CPU_AREA_BYTES + HV_CPU_STACK_END);

		cpu->index = i;
		cpu->apic_id = boot->cpu[i].apic_id;
		cpu->root_page = memory_page();
		cpu->service.control = memory_page();
		cpu->service.control_pa = memory_physical(cpu->service.control);
	}
}

/* What is done once, by the boot CPU. */
static void prepare(struct boot_info *boot)
{
	hv_assert(boot->magic == BOOT_INFO_MAGIC);
	memory_init(boot);
	log_init((enum log_level)boot->log_level, boot->tsc_hz, boot->boot_tsc);
	log_text(boot->log, boot->log_bytes);
	arch = boot->vendor == SOCLE_VENDOR_SVM ? &svm_ops : &vmx_ops;
	log_info("hypervisor: running, back end %s", arch->name);
	paging_init(boot);
	prepare_cpus(boot);
}

/* Puts the calling CPU into root mode. For one that cannot, gather() will say so. */
static void enable(struct boot_info *boot, struct cpu *cpu)
{
	const char *missing;

	interrupts_load(cpu);
	missing = arch->cpu_enable(cpu, cpu->root_page);
	if (missing != NULL) {
		log_error("CPU %u: %s", cpu->index, missing);
		boot->cpu[cpu->index].state = BOOT_CPU_FAILED;
		__atomic_fetch_add(&answers, 1, __ATOMIC_RELEASE);
		hv_assert(cpu->index != 0);
		cpu_stop();
	}
	/* For guests' state: their FPU state with SSE, their extended state, their protection keys.
	 */
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	if (read_cr4() & CR4_OSXSAVE) {
		cpu->all_xcr0 = cpuid(0xd, 0).eax;
	}
	if ((cpu->all_xcr0 & XCR0_PKRU) && (cpuid(7, 0).ecx & CPUID_7_ECX_PKU)) {
		write_cr4(read_cr4() | CR4_PKE);
		cpu->has_pkru = true;
	}
	cpus_add(cpu);
	__atomic_fetch_add(&answers, 1, __ATOMIC_RELEASE);
}

static uint32_t count_arrived(const struct boot_info *boot)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < boot->cpu_count; i++)
		if (boot->cpu[i].state != BOOT_CPU_FAILED && boot->cpu[i].state != BOOT_CPU_ABSENT)
			count++;
	return count;
}

/* Lets the others into root mode and waits for them. */
static void gather(struct boot_info *boot, struct cpu *cpu)
{
	uint32_t expected = count_arrived(boot);
	uint64_t start;

	enable(boot, cpu); /* first, so that the boot CPU is number 0 */
	set_step(STEP_PREPARED);
	start = rdtsc();
	while (__atomic_load_n(&answers, __ATOMIC_ACQUIRE) < expected &&
	       rdtsc() - start < READY_TIMEOUT_SECONDS * boot->tsc_hz)
		cpu_pause();
	if (cpus_online() != expected)
		panic("%u of %u CPUs entered root mode; set cpus = 1 in socle.conf to start "
		      "without the others",
		      cpus_online(), expected);
	log_info("root mode: %u of %u CPUs", cpus_online(), boot->cpus_found);
}

/* Fails on purpose, if socle.conf says so. */
static __attribute__((noinline)) void selftest(const struct boot_info *boot)
{
	if (boot->selftest == SELFTEST_EXCEPTION)
		__asm__ volatile("ud2");
	if (boot->selftest == SELFTEST_PANIC)
		panic("selftest = panic in socle.conf");
}

/*
 * Every CPU's first C function. boot is in the hypervisor's memory; index is the CPU's place in
 * boot->cpu. Interrupts are off and stay off.
 */
void hv_start(struct boot_info *boot, uint32_t index)
{
	struct cpu *cpu = cpu_current();

	if (index == 0) {
		uint64_t features;

		panic_init(boot);
		panic_console_open();
		prepare(boot);
		gather(boot, cpu);
		features = arch->cpu_features();
		service_memory_init(boot, (features & SOCLE_FEATURE_PAGE_1G) != 0);
		pool_init(boot);
		random_init(boot->seed);
		if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC)
			features |= SOCLE_FEATURE_X2APIC;
		hypercall_init(boot, features);
		if (!(features & SOCLE_FEATURE_TIMER))
			timer_init(boot->tsc_hz);
		selftest(boot);
		log_info("service VM: pool %llu MiB at %llx, entry %llx",
			 (unsigned long long)boot->pool_bytes >> 20,
			 (unsigned long long)boot->pool_base,
			 (unsigned long long)boot->service_boot_cpu.rip);
		panic_console_close();
		set_step(STEP_GO);
	} else {
		wait_for_step(STEP_PREPARED);
		enable(boot, cpu);
		wait_for_step(STEP_GO);
	}
	service_vcpu_init(cpu, boot);
	service_run(cpu);
}
