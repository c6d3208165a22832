// SPDX-License-Identifier: BSD-2-Clause
#include "hv/hypercall.h"

#include "hv/cpu.h"
#include "hv/cpus.h"
#include "hv/log.h"
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

/* The handlers: arguments and reply in struct vcpu_registers' order of the ABI. */
struct call {
	uint64_t argument[4];
	struct socle_reply reply;
};

static int64_t call_info(struct call *call)
{
	struct cpu *cpu;

	switch (call->argument[0]) {
	case SOCLE_INFO_GENERAL:
		memcpy(&call->reply, &general, sizeof(general));
		return SOCLE_OK;
	case SOCLE_INFO_MEMORY:
		memcpy(&call->reply, &memory, sizeof(memory));
		return SOCLE_OK;
	case SOCLE_INFO_CPU:
		cpu = cpus_get(call->argument[1]);
		if (cpu == NULL)
			return SOCLE_ERROR_ARGUMENT;
		call->reply.word[0] = cpu->apic_id;
		return SOCLE_OK;
	default:
		return SOCLE_ERROR_ARGUMENT;
	}
}

static int64_t call_log_read(struct call *call)
{
	return (int64_t)log_read(call->argument[0], (struct socle_log_chunk *)&call->reply);
}

static int64_t call_stats_read(struct call *call)
{
	struct cpu *cpu = cpus_get(call->argument[1]);
	uint64_t first = call->argument[3];

	if (cpu == NULL)
		return SOCLE_ERROR_ARGUMENT;
	switch (call->argument[0]) {
	case SOCLE_STATS_CPU:
		call->reply.word[0] = cpu->hypervisor_cycles;
		for (unsigned i = 0; i < SOCLE_EXIT_COUNT; i++)
			call->reply.word[1] += cpu->service.exits[i];
		call->reply.word[2] = cpu->hypercalls;
		call->reply.word[3] = cpu->hypercalls_denied;
		return SOCLE_OK;
	case SOCLE_STATS_EXITS:
		if (call->argument[2] != SOCLE_VM_SERVICE || first >= SOCLE_EXIT_COUNT)
			return SOCLE_ERROR_ARGUMENT;
		for (unsigned i = 0; i < 6 && first + i < SOCLE_EXIT_COUNT; i++)
			call->reply.word[i] = cpu->service.exits[first + i];
		return SOCLE_OK;
	default:
		return SOCLE_ERROR_ARGUMENT;
	}
}

static int64_t call_poke(struct call *call)
{
	call->reply.word[0] = call->argument[0];
	return SOCLE_OK;
}

static int64_t (*const handlers[SOCLE_CALL_COUNT])(struct call *) = {
        [SOCLE_CALL_INFO] = call_info,
        [SOCLE_CALL_LOG_READ] = call_log_read,
        [SOCLE_CALL_STATS_READ] = call_stats_read,
        [SOCLE_CALL_POKE] = call_poke,
};

/* Counts a refused call; the 1st, 2nd, 4th, 8th, ... of a CPU is logged. */
static int64_t deny(struct vcpu *vcpu, int64_t error)
{
	struct cpu *cpu = vcpu->cpu;
	uint64_t count = ++cpu->hypercalls_denied;

	if ((count & (count - 1)) == 0)
		log_warning("CPU %u: hypercall %llx %s; %llu refused so far", cpu->index,
		            (unsigned long long)vcpu->regs.rax,
		            error == SOCLE_ERROR_RING ? "from ring 0" : "with a wrong key",
		            (unsigned long long)count);
	return error;
}

/* Both words are compared whatever the first shows, so that the time tells nothing. */
static bool key_matches(uint64_t low, uint64_t high)
{
	return ((low ^ root_key.word[0]) | (high ^ root_key.word[1])) == 0;
}

void hypercall(struct vcpu *vcpu)
{
	struct vcpu_registers *regs = &vcpu->regs;
	struct call call = {.argument = {regs->rdx, regs->r10, regs->r8, regs->r9}};
	int64_t result;

	vcpu->cpu->hypercalls++;
	if (vcpu->exit.cpl != 3)
		result = deny(vcpu, SOCLE_ERROR_RING);
	else if (!key_matches(regs->rdi, regs->rsi))
		result = deny(vcpu, SOCLE_ERROR_KEY);
	else if (regs->rax >= SOCLE_CALL_COUNT)
		result = SOCLE_ERROR_CALL;
	else
		result = handlers[regs->rax](&call);

	regs->rax = (uint64_t)result;
	if (result < 0)
		return;
	regs->rdi = call.reply.word[0];
	regs->rsi = call.reply.word[1];
	regs->rdx = call.reply.word[2];
	regs->r10 = call.reply.word[3];
	regs->r8 = call.reply.word[4];
	regs->r9 = call.reply.word[5];
}
