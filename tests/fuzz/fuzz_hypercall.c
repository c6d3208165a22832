// SPDX-License-Identifier: BSD-2-Clause
/*
 * Hypercalls of a hostile service VM on the fake machine: several domains, calls from four CPUs in
 * any order, guests that exit for any reason, areas and guest memory overwritten in between. The
 * fake machine ends the process if the hypervisor touches what it must not have. At the end all
 * domains go, and the pool has to be as it was.
 */
#include <stdlib.h>

#include "domain_calls.h"
#include "fuzz.h"
#include "hv/service.h"

#define FRAMES	24
#define DOMAINS 4
#define STEPS	400

static struct socle_key keys[DOMAINS];
static uint64_t numbers[DOMAINS];

static uint64_t any_argument(struct input *input)
{
	switch (input_take(input, 1) % 8) {
	case 0:
		return numbers[input_below(input, DOMAINS)];
	case 1:
		return calls_frame_number(input_below(input, FRAMES + 2));
	case 2:
		return calls_frame(input_below(input, FRAMES)).v +
		       input_below(input, 512) * PAGE_BYTES;
	case 3:
		return input_below(input, 1024) * PAGE_BYTES | input_below(input, 8);
	case 4:
		return input_below(input, 4);
	default:
		return input_number(input);
	}
}

static struct socle_key any_key(struct input *input)
{
	struct socle_key key = calls_root_key;
	uint64_t choice = input_take(input, 1);

	if (choice % 8 < 5)
		key = keys[choice / 8 % DOMAINS];
	if (choice % 8 == 7)
		key.word[choice / 8 & 1] ^= 1ull << input_take(input, 1) % 64;
	return key;
}

/* A call, from a CPU that runs no guest. */
static void call(struct input *input, unsigned cpu)
{
	uint64_t number = input_take(input, 1) % (SOCLE_CALL_COUNT + 1);
	struct socle_key key = any_key(input);
	uint64_t argument[4], slot;
	int64_t result;

	for (int i = 0; i < 4; i++)
		argument[i] = any_argument(input);
	result = calls_on(cpu, key, number, argument[0], argument[1], argument[2], argument[3]);
	if (result < SOCLE_ERROR_LIMIT)
		abort();
	if (number == SOCLE_CALL_DOMAIN_CREATE && result == SOCLE_OK) {
		struct socle_reply reply = calls_reply();

		slot = reply.word[0] % DOMAINS;
		numbers[slot] = reply.word[0];
		keys[slot] = (struct socle_key){{reply.word[1], reply.word[2]}};
	}
}

/* What usually comes first, in one step: else few inputs would get as far as a vCPU. */
static void make_domain(struct input *input)
{
	uint64_t first = input_below(input, FRAMES - 2), slot;
	struct socle_reply reply;

	if (calls_root(SOCLE_CALL_DOMAIN_CREATE, calls_frame_number(first), 0, 0) != SOCLE_OK)
		return;
	reply = calls_reply();
	slot = reply.word[0] % DOMAINS;
	numbers[slot] = reply.word[0];
	keys[slot] = (struct socle_key){{reply.word[1], reply.word[2]}};
	calls_root(SOCLE_CALL_DOMAIN_ASSIGN, numbers[slot], calls_frame_number(first + 1), 2);
	calls_with(keys[slot], SOCLE_CALL_MAP, numbers[slot], 0, calls_frame(first + 1).v | 7,
		   LARGE_PAGE_BYTES);
	for (uint64_t i = 0; i < 2; i++)
		calls_with(keys[slot], SOCLE_CALL_VCPU_CREATE, numbers[slot], i,
			   calls_frame(first + 2).v + i * SOCLE_VCPU_AREA_BYTES, 0);
}

/* The area of a guest, or any place of the pool that the service VM can write. */
static void scribble(struct input *input)
{
	uint64_t frame = input_below(input, FRAMES);
	uint64_t at = input_take(input, 1) & 1 ? input_below(input, 2 * SOCLE_VCPU_AREA_BYTES)
					       : input_below(input, LARGE_PAGE_BYTES);
	uint64_t value = input_number(input);

	at &= ~7ull;
	if (calls_service_view(frame) == VIEW_IDENTITY)
		memcpy((uint8_t *)fake_pool(calls_frame(frame)) + at, &value, sizeof(value));
}

/* A guest exits, with registers and details as the input has them. */
static void guest_exits(struct input *input, unsigned cpu)
{
	enum socle_exit_reason reason =
		(enum socle_exit_reason)input_below(input, SOCLE_EXIT_COUNT);
	struct vcpu *vcpu = calls_cpu[cpu].current;

	vcpu->regs->rcx =
		input_take(input, 1) & 1 ? 0x800 + input_below(input, 0x100) : input_number(input);
	vcpu->regs->rax = input_number(input);
	vcpu->regs->rdx = input_number(input);
	vcpu->exit.information = input_number(input);
	vcpu->exit.address = gpa(input_number(input));
	calls_exit(cpu, reason);
}

/* The guests leave, and all domains end. */
static void clean_up(void)
{
	for (unsigned cpu = 0; cpu < CALLS_CPUS; cpu++)
		if (calls_cpu[cpu].current != &calls_cpu[cpu].service)
			calls_exit(cpu, SOCLE_EXIT_INTERRUPT);
	for (uint64_t i = 1; i <= FRAMES + 1; i++) {
		int64_t result = SOCLE_AGAIN;

		for (int n = 0; n < 1000 && result == SOCLE_AGAIN; n++)
			result = calls_root(SOCLE_CALL_DOMAIN_DESTROY, i, 0, 0);
		if (result != SOCLE_OK && result != SOCLE_ERROR_DOMAIN)
			abort();
	}
	if (pool_free_bytes() != FRAMES * LARGE_PAGE_BYTES)
		abort();
	for (uint64_t i = 0; i < FRAMES; i++)
		if (calls_service_view(i) != VIEW_IDENTITY || fake_frame_mapped(calls_frame(i)))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {data, bytes};
	static bool started;

	if (!started)
		calls_start(FRAMES, &ept_format_ept);
	started = true;
	memset(keys, 0, sizeof(keys));
	memset(numbers, 0, sizeof(numbers));
	for (int i = 0; i < STEPS && input.left != 0; i++) {
		uint64_t choice = input_take(&input, 1);
		unsigned cpu = choice / 16 % CALLS_CPUS;

		if (calls_cpu[cpu].current != &calls_cpu[cpu].service && choice % 16 < 12)
			guest_exits(&input, cpu);
		else if (choice % 16 < 2 && calls_cpu[0].current == &calls_cpu[0].service)
			make_domain(&input);
		else if (choice % 16 < 5)
			scribble(&input);
		else if (calls_cpu[cpu].current == &calls_cpu[cpu].service)
			call(&input, cpu);
	}
	clean_up();
	return 0;
}
