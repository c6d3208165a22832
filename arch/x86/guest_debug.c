// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/guest_debug.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"

static void read_all(uint64_t to[4])
{
	to[0] = read_dr0();
	to[1] = read_dr1();
	to[2] = read_dr2();
	to[3] = read_dr3();
}

static void write_all(const uint64_t from[4])
{
	write_dr0(from[0]);
	write_dr1(from[1]);
	write_dr2(from[2]);
	write_dr3(from[3]);
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
