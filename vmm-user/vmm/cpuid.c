/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What CPUID says to the guest: what the processor says, less what the platform does not give, plus
 * the guest's own topology (SDM volume 2, CPUID; APM volume 3, appendix E). All vCPUs are cores of
 * one package without threads; a vCPU's APIC id is its number.
 */
#include <cpuid.h>
#include <string.h>

#include "vmm-user/vmm/vcpu.h"

#define LEAF_SAVE_AREAS	  0xdu
#define LEAF_TSC	  0x15u
#define MHZ		  1000000u
#define LEAF_FREQUENCIES  0x16u
#define LEAF_EXTENDED_MAX 0x8000001eu
#define LEAF_HYPERVISOR	  0x40000000u
#define LEAF_KVM	  0x40000100u
#define KVM_NO_IO_DELAY	  (1u << 1)	       /* port 0x80 is not needed as a delay */
#define KVM_CLOCK	  (1u << 3 | 1u << 24) /* kvm_clock.c, the same on all vCPUs */
#define LIST_ROOM	  (SOCLE_CPUID_ENTRIES - SOCLE_CPUID_LIST)

/*
 * Allowed bits. Left out: what has state that is not switched (protection keys, TSC_AUX, XSS,
 * AMX), what needs registers that do not exist here (performance counters, thermal, speculation
 * control, machine-check banks), and nested virtualisation.
 */
#define ECX_1		   0x76dc3203u /* SSE3 .. F16C, RDRAND, PCID, MOVBE, POPCNT, AES, XSAVE, AVX */
#define EDX_1		   0x078bfbffu
#define ECX_1_X2APIC	   (1u << 21)
#define ECX_1_TSC_DEADLINE (1u << 24)
#define ECX_1_XSAVE	   (1u << 26)
#define ECX_1_GUEST	   (1u << 31) /* "there is a hypervisor" */
#define EDX_1_MCE	   (1u << 7)
#define EDX_1_APIC	   (1u << 9)
#define EDX_1_MTRR	   (1u << 12)
#define EDX_1_MCA	   (1u << 14)
#define EDX_1_HTT	   (1u << 28)
#define EAX_6_ARAT	   (1u << 2)
#define EBX_7		   0xf1bf07a9u /* FSGSBASE .. SHA, AVX-512 F DQ IFMA CD BW VL */
#define ECX_7		   0x00005f46u
#define EDX_7		   0x0000051cu /* AVX-512 4VNNIW, 4FMAPS, FSRM, VP2INTERSECT, MD_CLEAR */
#define XCR0_ALLOWED	   0xe7u       /* x87, SSE, AVX, AVX-512 */
#define EAX_D1		   0x7u	       /* XSAVEOPT, XSAVEC, XGETBV with ECX = 1; no XSAVES */
#define ECX_AMD		   0x006109f3u
#define EDX_AMD		   0x2653fbffu /* no RDTSCP, no 3DNow */
#define EDX_POWER	   0x00000100u /* invariant TSC */
#define TOPOLOGY_SMT	   0x100u
#define TOPOLOGY_CORE	   0x200u

struct answer {
	uint32_t eax, ebx, ecx, edx;
};

struct table {
	struct vcpu *vcpu;
	unsigned listed;
	unsigned core_bits; /* of the APIC id */
};

static struct answer host(uint32_t leaf, uint32_t subleaf)
{
	struct answer a = {0, 0, 0, 0};

	/* Above the highest leaf some processors repeat another one. */
	if ((uint32_t)__get_cpuid_max(leaf & 0xc0000000, NULL) >= leaf)
		__cpuid_count(leaf, subleaf, a.eax, a.ebx, a.ecx, a.edx);
	return a;
}

static void put(struct table *table, uint32_t leaf, struct answer a)
{
	unsigned place = leaf >= 0x80000000	   ? SOCLE_CPUID_EXTENDED + leaf % 32
			 : leaf >= LEAF_KVM	   ? SOCLE_CPUID_SECOND + leaf % 16
			 : leaf >= LEAF_HYPERVISOR ? SOCLE_CPUID_HYPERVISOR + leaf % 16
						   : leaf % 32;

	table->vcpu->area->cpuid[place] = (struct socle_cpuid_entry){.leaf = leaf,
								     .flags = SOCLE_CPUID_VALID,
								     .eax = a.eax,
								     .ebx = a.ebx,
								     .ecx = a.ecx,
								     .edx = a.edx};
}

static void put_subleaf(struct table *table, uint32_t leaf, uint32_t subleaf, struct answer a)
{
	struct answer none = {0, 0, 0, 0};
	unsigned place = leaf >= 0x80000000 ? SOCLE_CPUID_EXTENDED + leaf % 32 : leaf % 32;

	if (table->listed == LIST_ROOM)
		return;
	put(table, leaf, none);
	table->vcpu->area->cpuid[place].flags |= SOCLE_CPUID_SUBLEAVES;
	table->vcpu->area->cpuid[SOCLE_CPUID_LIST + table->listed++] =
		(struct socle_cpuid_entry){.leaf = leaf,
					   .subleaf = subleaf,
					   .flags = SOCLE_CPUID_VALID,
					   .eax = a.eax,
					   .ebx = a.ebx,
					   .ecx = a.ecx,
					   .edx = a.edx};
}

static unsigned vcpus(const struct table *table)
{
	return table->vcpu->vmm->config.vcpus;
}

static struct answer features(const struct table *table)
{
	struct answer a = host(1, 0);

	a.ebx = (a.ebx & 0xffff) | 1u << (16 + table->core_bits) | table->vcpu->index << 24;
	a.ecx = (a.ecx & ECX_1) | ECX_1_X2APIC | ECX_1_TSC_DEADLINE | ECX_1_GUEST;
	a.edx = (a.edx & EDX_1) | EDX_1_MCE | EDX_1_APIC | EDX_1_MTRR | EDX_1_MCA;
	if (vcpus(table) > 1)
		a.edx |= EDX_1_HTT;
	return a;
}

/* Caches: the last level is everybody's, the others are a core's own. */
static void put_caches(struct table *table, uint32_t leaf)
{
	uint32_t others = (1u << table->core_bits) - 1;

	for (uint32_t i = 0; i < 6; i++) {
		struct answer a = host(leaf, i);
		bool shared = (a.eax >> 5 & 7) >= 3;

		put_subleaf(table, leaf, i, (struct answer){0, 0, 0, 0});
		if ((a.eax & 0x1f) == 0)
			return;
		a.eax = (a.eax & 0x3fff) | (shared ? others << 14 : 0);
		if (leaf == 4)
			a.eax |= others << 26;
		table->listed--;
		put_subleaf(table, leaf, i, a);
	}
}

static void put_extended_features(struct table *table)
{
	struct answer a = host(7, 0), none = {0, 0, 0, 0};

	a.eax = 0;
	a.ebx &= EBX_7;
	a.ecx &= ECX_7;
	a.edx &= EDX_7;
	put_subleaf(table, 7, 0, a);
	put_subleaf(table, 7, 1, none);
}

static void put_topology(struct table *table)
{
	uint32_t id = table->vcpu->index;

	put_subleaf(table, 0xb, 0, (struct answer){0, 1, TOPOLOGY_SMT, id});
	put_subleaf(table, 0xb, 1,
		    (struct answer){table->core_bits, vcpus(table), TOPOLOGY_CORE | 1, id});
	put_subleaf(table, 0xb, 2, (struct answer){0, 0, 2, id});
}

/* Save areas: their sizes are those of what is left. */
static void put_save_areas(struct table *table)
{
	struct answer a = host(0xd, 0), one = host(0xd, 1);
	uint32_t all = a.eax & XCR0_ALLOWED, size = 576, compact = 576;

	if ((table->vcpu->area->cpuid[1].ecx & ECX_1_XSAVE) == 0)
		return;
	for (uint32_t i = 2; i < 32; i++) {
		struct answer part = host(0xd, i);

		if ((all >> i & 1) == 0)
			continue;
		if (part.ebx + part.eax > size)
			size = part.ebx + part.eax;
		if (part.ecx & 2)
			compact = (compact + 63) & ~63u;
		compact += part.eax;
	}
	put_subleaf(table, 0xd, 0, (struct answer){all, size, size, 0});
	put_subleaf(table, 0xd, 1, (struct answer){one.eax & EAX_D1, compact, 0, 0});
	for (uint32_t i = 2; i < 32; i++) {
		struct answer part = host(0xd, i);

		part.ecx &= 2;
		part.edx = 0;
		if (all >> i & 1)
			put_subleaf(table, 0xd, i, part);
	}
}

/*
 * The rate of the TSC, which is also the clock of the local APIC's timer: the crystal that leaf
 * 0x15 speaks of. The processor's own answers would name another crystal, and under an emulator
 * another rate.
 */
static void put_frequencies(struct table *table, uint64_t hz)
{
	uint32_t mhz = (uint32_t)((hz + MHZ / 2) / MHZ);

	put(table, LEAF_TSC, (struct answer){1, 1, hz <= UINT32_MAX ? (uint32_t)hz : 0, 0});
	put(table, LEAF_FREQUENCIES, (struct answer){mhz, mhz, 0, 0});
}

static void put_basic(struct table *table)
{
	bool is_intel = table->vcpu->vmm->config.vendor == SOCLE_VENDOR_VMX;
	uint64_t hz = is_intel ? table->vcpu->vmm->config.tsc_hz : 0;
	struct answer a = host(0, 0);

	a.eax = hz != 0 ? LEAF_FREQUENCIES : LEAF_SAVE_AREAS;
	put(table, 0, a);
	put(table, 1, features(table));
	put(table, 2, host(2, 0));
	if (is_intel)
		put_caches(table, 4);
	put(table, 6, (struct answer){EAX_6_ARAT, 0, 0, 0});
	put_extended_features(table);
	put_topology(table);
	put_save_areas(table);
	if (hz != 0)
		put_frequencies(table, hz);
}

static void put_extended(struct table *table)
{
	struct answer a = host(0x80000000, 0);
	uint32_t maximum = a.eax < LEAF_EXTENDED_MAX ? a.eax : LEAF_EXTENDED_MAX;
	bool is_amd = table->vcpu->vmm->config.vendor == SOCLE_VENDOR_SVM;

	a.eax = maximum;
	put(table, 0x80000000, a);
	a = host(0x80000001, 0);
	a.ebx = 0;
	a.ecx &= ECX_AMD;
	a.edx &= EDX_AMD;
	put(table, 0x80000001, a);
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000006; leaf++)
		put(table, leaf, host(leaf, 0));
	put(table, 0x80000007, (struct answer){0, 0, 0, host(0x80000007, 0).edx & EDX_POWER});
	a = host(0x80000008, 0);
	a = (struct answer){a.eax & 0xffff, 0, 0, 0};
	if (is_amd)
		a.ecx = table->core_bits << 12 | (vcpus(table) - 1);
	put(table, 0x80000008, a);
	if (!is_amd)
		return;
	if (maximum >= 0x8000001d)
		put_caches(table, 0x8000001d);
	if (maximum >= 0x8000001e)
		put(table, 0x8000001e,
		    (struct answer){table->vcpu->index, table->vcpu->index, 0, 0});
}

/* The first leaf of a hypervisor interface: its last leaf, and 12 characters. */
static void put_signature(struct table *table, uint32_t leaf, uint32_t last, const char *text)
{
	struct answer a = {.eax = last};

	memcpy(&a.ebx, text, 4);
	memcpy(&a.ecx, text + 4, 4);
	memcpy(&a.edx, text + 8, 4);
	put(table, leaf, a);
}

void cpuid_fill(struct vcpu *vcpu)
{
	struct table table = {.vcpu = vcpu};

	while (1u << table.core_bits < vcpus(&table))
		table.core_bits++;
	memset(vcpu->area->cpuid, 0, sizeof(vcpu->area->cpuid));
	put_basic(&table);
	put_extended(&table);
	put_signature(&table, LEAF_HYPERVISOR, LEAF_HYPERVISOR, "SocleSocleSo");
	/*
	 * Linux uses the x2APIC, and leaves out its check of the PIT, only on hypervisors that it
	 * knows (docs/decisions/0009).
	 */
	put_signature(&table, LEAF_KVM, LEAF_KVM + 1, "KVMKVMKVM\0\0");
	put(&table, LEAF_KVM + 1,
	    (struct answer){KVM_NO_IO_DELAY | (kvm_clock_is_there(vcpu->vmm) ? KVM_CLOCK : 0), 0, 0,
			    0});
}
