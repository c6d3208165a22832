// SPDX-License-Identifier: BSD-2-Clause
#include "domain_calls.h"

#include <check.h>
#include <string.h>

#include "hv/cpus.h"
#include "hv/hypercall.h"
#include "hv/log.h"
#include "hv/memory.h"
#include "hv/random.h"
#include "hv/service.h"

#define OWN_BASE MIB(64) /* where the fake machine says that the hypervisor's pages are */

struct cpu calls_cpu[CALLS_CPUS];
const struct socle_key calls_root_key = {{0x0123456789abcdefull, 0xfedcba9876543210ull}};

static struct arch_ops ops;
static struct boot_info boot;
static const struct vcpu *last;

void calls_start(uint64_t frames, const struct ept_format *format)
{
	fake_start();
	ops = fake_ops;
	ops.ept_format = format;
	arch = &ops;
	boot = (struct boot_info){
		.vendor = SOCLE_VENDOR_SVM,
		.base = OWN_BASE,
		.bytes = MIB(16),
		.pool_base = CALLS_POOL_BASE,
		.pool_bytes = frames * LARGE_PAGE_BYTES,
		.physical_limit = GIB(16),
		.tsc_hz = 3000000000,
		.root_key = calls_root_key,
		.seed = "a seed of thirty-two bytes: so.",
	};
	log_init(LOG_INFO, boot.tsc_hz, 0);
	fake_machine_start(&boot);
	pool_init(&boot);
	random_init(boot.seed);
	service_memory_init(&boot, true);
	for (uint32_t i = 0; i < CALLS_CPUS; i++) {
		calls_cpu[i].index = i;
		service_vcpu_init(&calls_cpu[i], &boot);
		calls_cpu[i].current = &calls_cpu[i].service;
		cpus_add(&calls_cpu[i]);
	}
	hypercall_init(&boot, SOCLE_FEATURE_DIRTY_LOG);
	last = &calls_cpu[0].service;
}

int64_t calls_on(unsigned cpu, struct socle_key key, uint64_t number, uint64_t a0, uint64_t a1,
		 uint64_t a2, uint64_t a3)
{
	struct vcpu *vcpu = &calls_cpu[cpu].service;

	ck_assert_ptr_eq(calls_cpu[cpu].current, vcpu);
	*vcpu->regs = (struct vcpu_registers){
		.rax = number,
		.rdi = key.word[0],
		.rsi = key.word[1],
		.rdx = a0,
		.r10 = a1,
		.r8 = a2,
		.r9 = a3,
	};
	vcpu->exit.cpl = 3;
	vcpu->handlers[SOCLE_EXIT_HYPERCALL](vcpu);
	last = vcpu;
	return (int64_t)vcpu->regs->rax;
}

int64_t calls_with(struct socle_key key, uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2,
		   uint64_t a3)
{
	return calls_on(0, key, number, a0, a1, a2, a3);
}

int64_t calls_root(uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return calls_on(0, calls_root_key, number, a0, a1, a2, 0);
}

struct socle_reply calls_reply(void)
{
	const struct vcpu_registers *r = last->regs;

	return (struct socle_reply){{r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
}

struct socle_domain_info calls_info(uint64_t domain)
{
	struct socle_domain_info info;
	struct socle_reply reply;

	ck_assert_int_eq(calls_root(SOCLE_CALL_DOMAIN_INFO, domain, 0, 0), SOCLE_OK);
	reply = calls_reply();
	memcpy(&info, &reply, sizeof(info));
	return info;
}

void calls_exit(unsigned cpu, enum socle_exit_reason reason)
{
	struct vcpu *vcpu = calls_cpu[cpu].current;

	ck_assert_ptr_nonnull(vcpu->domain);
	vcpu->handlers[reason](vcpu);
}

hpa_t calls_frame(uint64_t index)
{
	return hpa(CALLS_POOL_BASE + index * LARGE_PAGE_BYTES);
}

uint64_t calls_frame_number(uint64_t index)
{
	return calls_frame(index).v / SOCLE_FRAME_BYTES;
}

/* A hole is the one page of ones, for reading, wherever one looks. */
static bool is_hole(uint64_t at)
{
	struct page_arena *arena = memory_arena();
	struct ept_leaf leaf;
	const uint8_t *byte;

	if (!ept_lookup(service_ept(), gpa(at), &leaf) || leaf.access != EPT_READ ||
	    leaf.bytes != PAGE_BYTES)
		return false;
	byte = (const uint8_t *)(leaf.address.v - arena->physical.v + arena->virtual);
	return *byte == 0xff;
}

static bool is_identity(uint64_t at)
{
	struct ept_leaf leaf;

	return ept_lookup(service_ept(), gpa(at), &leaf) && leaf.access == EPT_ALL &&
	       leaf.type == MEMORY_WB && leaf.bytes >= LARGE_PAGE_BYTES && leaf.address.v == at;
}

enum calls_view calls_service_view(uint64_t index)
{
	uint64_t first = calls_frame(index).v, end = calls_frame(index + 1).v - 1;
	uint64_t middle = first + index * 8191 % LARGE_PAGE_BYTES;

	if (is_identity(first) && is_identity(middle) && is_identity(end))
		return VIEW_IDENTITY;
	return is_hole(first) && is_hole(middle) && is_hole(end) ? VIEW_HOLE : VIEW_OTHER;
}

void calls_fill(uint64_t index, uint8_t with)
{
	memset(fake_pool(calls_frame(index)), with, LARGE_PAGE_BYTES);
}

bool calls_is_zero(uint64_t index)
{
	const uint8_t *at = fake_pool(calls_frame(index));

	return at[0] == 0 && memcmp(at, at + 1, LARGE_PAGE_BYTES - 1) == 0;
}
