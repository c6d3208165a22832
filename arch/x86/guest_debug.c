// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/guest_debug.h"

#include "hv/cpu.h"

#define READ(n)	 __asm__ volatile("mov %%dr" #n ", %0" : "=r"(to[n]))
#define WRITE(n) __asm__ volatile("mov %0, %%dr" #n : : "r"(from[n]))

static void read_all(uint64_t to[4])
{
	READ(0);
	READ(1);
	READ(2);
	READ(3);
}

static void write_all(const uint64_t from[4])
{
	WRITE(0);
	WRITE(1);
	WRITE(2);
	WRITE(3);
}

void guest_debug_load(struct vcpu *vcpu)
{
	read_all(vcpu->cpu->service_dr);
	write_all(vcpu->dr);
}

void guest_debug_save(struct vcpu *vcpu)
{
	read_all(vcpu->dr);
	write_all(vcpu->cpu->service_dr);
}

void guest_debug_read(struct vcpu *vcpu)
{
	if (vcpu->uses_debug)
		read_all(vcpu->dr);
}

void guest_debug_begin(struct vcpu *vcpu)
{
	vcpu->uses_debug = true;
	guest_debug_load(vcpu);
}
