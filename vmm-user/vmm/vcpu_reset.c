/* SPDX-License-Identifier: BSD-2-Clause */
/* The state after a reset or INIT, and where a start-up IPI starts (SDM volume 3, table 10-1). */
#include <cpuid.h>
#include <string.h>

#include "vmm-user/vmm/vcpu.h"

#define SEGMENT_DATA 0x93 /* present, writable, accessed */
#define SEGMENT_CODE 0x9b
#define SEGMENT_LDT  0x82
#define SEGMENT_TSS  0x8b
#define CR0_RESET    0x60000010ull
#define DR6_RESET    0xffff0ff0ull
#define DR7_RESET    0x400ull
#define PAT_RESET    0x0007040600070406ull
#define RFLAGS_RESET 2ull
#define RESET_BASE   0xffff0000ull
#define RESET_RIP    0xfff0ull

static struct socle_segment segment(uint16_t selector, uint64_t base, uint16_t attributes)
{
	return (struct socle_segment){selector, attributes, 0xffff, base};
}

void vcpu_reset(struct vcpu *vcpu)
{
	struct socle_vcpu_area *area = vcpu->area;
	uint64_t tsc_offset = area->system.tsc_offset;
	unsigned eax = 0, ebx, ecx, edx;

	__get_cpuid(1, &eax, &ebx, &ecx, &edx);
	memset(&area->rax, 0, SOCLE_VCPU_REGISTER_BYTES);
	area->rdx = eax;
	area->rip = RESET_RIP;
	area->rflags = RFLAGS_RESET;
	area->event = 0;
	area->timer_deadline = 0;
	area->system = (struct socle_system_state){
		.cs = segment(0xf000, RESET_BASE, SEGMENT_CODE),
		.es = segment(0, 0, SEGMENT_DATA),
		.ss = segment(0, 0, SEGMENT_DATA),
		.ds = segment(0, 0, SEGMENT_DATA),
		.fs = segment(0, 0, SEGMENT_DATA),
		.gs = segment(0, 0, SEGMENT_DATA),
		.ldtr = segment(0, 0, SEGMENT_LDT),
		.tr = segment(0, 0, SEGMENT_TSS),
		.gdtr = segment(0, 0, 0),
		.idtr = segment(0, 0, 0),
		.cr0 = CR0_RESET,
		.xcr0 = 1,
		.dr6 = DR6_RESET,
		.dr7 = DR7_RESET,
		.pat = PAT_RESET,
		.tsc_offset = tsc_offset,
	};
	area->load |= SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM;
}

void vcpu_start_at(struct vcpu *vcpu, uint8_t vector)
{
	vcpu_reset(vcpu);
	vcpu->area->system.cs =
		segment((uint16_t)(vector << 8), (uint64_t)vector << 12, SEGMENT_CODE);
	vcpu->area->rip = 0;
}
