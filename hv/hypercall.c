// SPDX-License-Identifier: BSD-2-Clause
#include "hv/hypercall.h"

#include "hv/cpu.h"
#include "hv/cpus.h"
#include "hv/domain.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/pool.h"
#include "hv/string.h"

static struct socle_key root_key;
static struct socle_info_general general;
static struct socle_info_memory memory;

void hypercall_init(const struct boot_info *boot, uint64_t features)
{
	root_key = boot->root_key;
	general = (struct socle_info_general){
		.abi_version = SOCLE_ABI_VERSION,
		.vendor = boot->vendor,
		.hypervisor_version = SOCLE_VERSION_PACK(SOCLE_VERSION_MAJOR, SOCLE_VERSION_MINOR,
							 SOCLE_VERSION_PATCH),
		.features = features,
		.cpus_online = cpus_online(),
		.cpus_found = boot->cpus_found,
		.tsc_hz = boot->tsc_hz,
		.boot_tsc = boot->boot_tsc,
	};
	memory = (struct socle_info_memory){
		.pool_base = boot->pool_base,
		.pool_bytes = boot->pool_bytes,
		.pool_free_bytes = boot->pool_bytes,
		.hypervisor_base = boot->base,
		.hypervisor_bytes = boot->bytes,
		.log_bytes = LOG_RING_BYTES,
	};
}

/*
 * The handlers take their arguments from RDX R10 R8 R9. Where they succeed they set all the
 * registers of the reply; where they fail they set none.
 */
static inline void set_reply(struct vcpu_registers *regs, const uint64_t word[6])
{
	regs->rdi = word[0];
	regs->rsi = word[1];
	regs->rdx = word[2];
	regs->r10 = word[3];
	regs->r8 = word[4];
	regs->r9 = word[5];
}

static int64_t call_info(struct vcpu_registers *regs)
{
	struct cpu *cpu;

	switch (regs->rdx) {
	case SOCLE_INFO_GENERAL:
		set_reply(regs, (const uint64_t *)&general);
		return SOCLE_OK;
	case SOCLE_INFO_MEMORY:
		memory.pool_free_bytes = pool_free_bytes();
		set_reply(regs, (const uint64_t *)&memory);
		return SOCLE_OK;
	case SOCLE_INFO_CPU:
		cpu = cpus_get(regs->r10);
		if (cpu == NULL)
			return SOCLE_ERROR_ARGUMENT;
		set_reply(regs, (uint64_t[6]){cpu->apic_id});
		return SOCLE_OK;
	default:
		return SOCLE_ERROR_ARGUMENT;
	}
}

static int64_t call_log_read(struct vcpu_registers *regs)
{
	struct socle_log_chunk chunk;
	uint64_t bytes = log_read(regs->rdx, &chunk);

	set_reply(regs, (const uint64_t *)&chunk);
	return (int64_t)bytes;
}

/* Of the service VM on a CPU, or of a domain's vCPU. */
static const uint64_t *exits_of(uint64_t vm, uint64_t index)
{
	const struct cpu *cpu;

	if (vm != SOCLE_VM_SERVICE)
		return domain_exits(vm, index);
	cpu = cpus_get(index);
	return cpu != NULL ? cpu->service.exits : NULL;
}

static int64_t call_stats_read(struct vcpu_registers *regs)
{
	const struct cpu *cpu = cpus_get(regs->r10);
	const uint64_t *exits;
	uint64_t first = regs->r9;
	uint64_t word[6] = {0};

	switch (regs->rdx) {
	case SOCLE_STATS_CPU:
		if (cpu == NULL)
			return SOCLE_ERROR_ARGUMENT;
		word[0] = cpu->hypervisor_cycles;
		for (unsigned i = 0; i < SOCLE_EXIT_COUNT; i++)
			word[1] += cpu->service.exits[i];
		word[2] = cpu->service.exits[SOCLE_EXIT_HYPERCALL];
		word[3] = cpu->hypercalls_denied;
		break;
	case SOCLE_STATS_EXITS:
		exits = exits_of(regs->r8, regs->r10);
		if (exits == NULL || first >= SOCLE_EXIT_COUNT)
			return SOCLE_ERROR_ARGUMENT;
		for (unsigned i = 0; i < 6 && first + i < SOCLE_EXIT_COUNT; i++)
			word[i] = exits[first + i];
		break;
	default:
		return SOCLE_ERROR_ARGUMENT;
	}
	set_reply(regs, word);
	return SOCLE_OK;
}

static int64_t call_poke(struct vcpu_registers *regs)
{
	set_reply(regs, (uint64_t[6]){regs->rdx});
	return SOCLE_OK;
}

typedef int64_t (*call_handler)(struct vcpu_registers *regs);

/* The calls that want the root key. */
static const call_handler root_calls[] = {
	[SOCLE_CALL_INFO] = call_info,
	[SOCLE_CALL_LOG_READ] = call_log_read,
	[SOCLE_CALL_STATS_READ] = call_stats_read,
	[SOCLE_CALL_POKE] = call_poke,
	[SOCLE_CALL_DOMAIN_CREATE] = domain_create,
	[SOCLE_CALL_DOMAIN_DONATE] = domain_donate,
	[SOCLE_CALL_DOMAIN_ASSIGN] = domain_assign,
	[SOCLE_CALL_DOMAIN_DESTROY] = domain_destroy,
	[SOCLE_CALL_DOMAIN_INFO] = domain_info,
};

/*
 * Calls with a domain's key, but the one that runs a vCPU. A domain that is being destroyed has
 * already given back frames that its vCPUs were in. One whose destruction begins later waits for
 * this CPU's next exit: shootdown.h.
 */
static int64_t domain_call(struct vcpu_registers *regs, struct domain *domain, uint64_t number)
{
	if (!domain_is_alive(domain))
		return number >= SOCLE_CALL_MAP && number < SOCLE_CALL_COUNT ? SOCLE_ERROR_DOMAIN
									     : SOCLE_ERROR_KEY;
	switch (number) {
	case SOCLE_CALL_VCPU_KICK:
		return guest_kick(domain, regs->r10);
	case SOCLE_CALL_MAP:
		return domain_map(regs);
	case SOCLE_CALL_UNMAP:
		return domain_unmap(regs);
	case SOCLE_CALL_VCPU_CREATE:
		return domain_vcpu_create(regs);
	case SOCLE_CALL_DIRTY_LOG:
		return general.features & SOCLE_FEATURE_DIRTY_LOG ? domain_dirty_log(regs)
								  : SOCLE_ERROR_CALL;
	default:
		return SOCLE_ERROR_KEY;
	}
}

/* Counts a refused call; the 1st, 2nd, 4th, 8th, ... of a CPU is logged. */
static __attribute__((noinline)) void deny(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;
	uint64_t count = ++cpu->hypercalls_denied;
	bool wrong_ring = vcpu->exit.cpl != 3;

	if ((count & (count - 1)) == 0)
		log_warning("CPU %u: hypercall %llx %s; %llu refused so far", cpu->index,
			    (unsigned long long)vcpu->regs->rax,
			    wrong_ring ? "not from ring 3" : "with a wrong key",
			    (unsigned long long)count);
	vcpu->regs->rax = (uint64_t)(wrong_ring ? SOCLE_ERROR_RING : SOCLE_ERROR_KEY);
}

/* Both words are compared whatever the first shows, so that the time tells nothing. */
static bool key_matches(uint64_t low, uint64_t high)
{
	return ((low ^ root_key.word[0]) | (high ^ root_key.word[1])) == 0;
}

/* Everything but a run, and a call with the root key that exists. */
static __attribute__((noinline)) void other_hypercall(struct vcpu *vcpu)
{
	struct vcpu_registers *regs = vcpu->regs;
	uint64_t number = regs->rax;
	struct domain *domain;

	if (vcpu->exit.cpl != 3) {
		deny(vcpu);
		return;
	}
	if (key_matches(regs->rdi, regs->rsi)) {
		regs->rax =
			(uint64_t)(number < SOCLE_CALL_COUNT ? SOCLE_ERROR_KEY : SOCLE_ERROR_CALL);
		return;
	}
	domain = domain_find(regs->rdx, regs->rdi, regs->rsi);
	if (domain != NULL)
		regs->rax = (uint64_t)domain_call(regs, domain, number);
	else
		deny(vcpu);
}

void hypercall(struct vcpu *vcpu)
{
	struct vcpu_registers *regs = vcpu->regs;
	uint64_t number = regs->rax;
	struct domain *domain;

	/* What VMMs do all the time comes first. */
	if (number == SOCLE_CALL_VCPU_RUN && vcpu->exit.cpl == 3) {
		domain = domain_find(regs->rdx, regs->rdi, regs->rsi);
		if (domain != NULL && domain_is_alive(domain)) {
			regs->rax = SOCLE_OK;
			guest_run(vcpu, domain, regs->r10);
			return;
		}
	}
	if (vcpu->exit.cpl == 3 && key_matches(regs->rdi, regs->rsi) &&
	    number < ARRAY_COUNT(root_calls))
		regs->rax = (uint64_t)root_calls[number](regs);
	else
		other_hypercall(vcpu);
}
