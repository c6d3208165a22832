// SPDX-License-Identifier: BSD-2-Clause
#include "guest_rig.h"

#include <check.h>

#define FRAMES 8

static uint64_t domain;
static struct socle_key key;

void rig_start(void)
{
	struct socle_reply reply;

	calls_start(FRAMES, &ept_format_ept);
	ck_assert_int_eq(calls_root(SOCLE_CALL_DOMAIN_CREATE, calls_frame_number(0), 0, 0),
			 SOCLE_OK);
	reply = calls_reply();
	domain = reply.word[0];
	key = (struct socle_key){{reply.word[1], reply.word[2]}};
	ck_assert_int_eq(calls_root(SOCLE_CALL_DOMAIN_ASSIGN, domain, calls_frame_number(1), 1),
			 SOCLE_OK);
	for (unsigned i = 0; i < RIG_VCPUS; i++)
		ck_assert_int_eq(calls_with(key, SOCLE_CALL_VCPU_CREATE, domain, i,
					    calls_frame(1).v + i * SOCLE_VCPU_AREA_BYTES, 0),
				 SOCLE_OK);
}

struct socle_vcpu_area *rig_area(unsigned vcpu)
{
	return fake_pool(hpa(calls_frame(1).v + vcpu * SOCLE_VCPU_AREA_BYTES));
}

struct vcpu *rig_guest(unsigned vcpu)
{
	ck_assert_ptr_ne(calls_cpu[vcpu].current, &calls_cpu[vcpu].service);
	return calls_cpu[vcpu].current;
}

void rig_run(unsigned vcpu)
{
	ck_assert_int_eq(calls_on(vcpu, key, SOCLE_CALL_VCPU_RUN, domain, vcpu, 0, 0), SOCLE_OK);
	rig_check_running(vcpu);
}

void rig_exit(unsigned vcpu, enum socle_exit_reason reason)
{
	calls_exit(vcpu, reason);
}

void rig_check_running(unsigned vcpu)
{
	ck_assert_uint_eq(rig_guest(vcpu)->number, vcpu);
	ck_assert_uint_eq(rig_area(vcpu)->where, SOCLE_WHERE_GUEST);
}

void rig_check_left(unsigned vcpu, enum socle_exit_reason reason)
{
	ck_assert_ptr_eq(calls_cpu[vcpu].current, &calls_cpu[vcpu].service);
	ck_assert_uint_eq(rig_area(vcpu)->where, SOCLE_WHERE_VMM);
	ck_assert_uint_eq(rig_area(vcpu)->exit_reason, reason);
	ck_assert_uint_eq(calls_cpu[vcpu].service.regs->rax, reason);
}

/* Only ECX, EDX and EAX count. */
uint64_t rig_rdmsr(unsigned vcpu, uint32_t msr)
{
	struct vcpu_registers *regs = rig_guest(vcpu)->regs;

	regs->rcx = msr | 0xffffffff00000000ull;
	regs->rax = regs->rdx = 0xffffffffffffffffull;
	rig_exit(vcpu, SOCLE_EXIT_MSR_READ);
	return regs->rax | regs->rdx << 32;
}

void rig_wrmsr(unsigned vcpu, uint32_t msr, uint64_t value)
{
	struct vcpu_registers *regs = rig_guest(vcpu)->regs;

	regs->rcx = msr | 0xffffffff00000000ull;
	regs->rax = value | 0xffffffff00000000ull;
	regs->rdx = value >> 32 | 0xffffffff00000000ull;
	rig_exit(vcpu, SOCLE_EXIT_MSR_WRITE);
}

int64_t rig_destroy(void)
{
	return calls_on(RIG_VCPUS, calls_root_key, SOCLE_CALL_DOMAIN_DESTROY, domain, 0, 0, 0);
}

int64_t rig_kick(unsigned vcpu)
{
	return calls_on(RIG_VCPUS, key, SOCLE_CALL_VCPU_KICK, domain, vcpu, 0, 0);
}
