/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hypercalls that must be refused: without the key from an unprivileged process, with keys that
 * are wrong in one bit, and with the key but a wrong call or argument. Each has to give its error
 * and leave every register as it was; together they have to leave the hypervisor as it was, but
 * for the count of denied calls.
 */
#include <cpuid.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "registers.h"
#include "service_test.h"

#define UID_NOBODY 65534

/* Call numbers 0 .. 255 are tried in turn. */
#define CALL_NUMBERS 256

/* CF PF AF ZF SF DF OF: what a program may set and a hypercall must not change. */
#define FLAGS_FREE  0xcd5u
#define FLAGS_FIXED 0x202u

/* MXCSR: all exceptions masked; its six flags and the rounding mode are free. */
#define MXCSR_FIXED 0x1f80u
#define MXCSR_FREE  0x603fu

static const char *const integer_name[REGISTER_COUNT] = {
	"RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "R8",
	"R9",  "R10", "R11", "R12", "R13", "R14", "R15", "RFLAGS",
};

static enum socle_vendor vendor;
static uint64_t random_state;

static uint64_t any(void)
{
	return test_random(&random_state);
}

/* Numbers that come near to meaning something, and any others. */
static uint64_t any_argument(void)
{
	switch (any() % 4) {
	case 0:
		return any() % 32;
	case 1:
		return 1ull << any() % 64;
	default:
		return any();
	}
}

static void fill(struct registers *registers, uint64_t call, const struct socle_key *key)
{
	for (int i = 0; i < REGISTER_COUNT; i++)
		registers->integer[i] = any_argument();
	for (int i = 0; i < 16; i++) {
		registers->xmm[i][0] = any();
		registers->xmm[i][1] = any();
	}
	registers->mxcsr = MXCSR_FIXED | ((uint32_t)any() & MXCSR_FREE);
	registers->integer[REGISTER_RFLAGS] = FLAGS_FIXED | (any() & FLAGS_FREE);
	registers->integer[REGISTER_RAX] = call;
	registers->integer[REGISTER_RDI] = key->word[0];
	registers->integer[REGISTER_RSI] = key->word[1];
}

static void execute(struct registers *registers)
{
	if (vendor == SOCLE_VENDOR_SVM)
		registers_vmmcall(registers);
	else
		registers_vmcall(registers);
}

/* Compares all but RAX and the registers of the mask. */
static void check_preserved(const struct registers *before, const struct registers *after,
			    uint32_t except)
{
	uint64_t call = before->integer[REGISTER_RAX];

	for (int i = 1; i < REGISTER_COUNT; i++) {
		if ((except >> i & 1) == 0 && before->integer[i] != after->integer[i])
			test_fail("call %" PRIu64 " changed %s from 0x%" PRIx64 " to 0x%" PRIx64,
				  call, integer_name[i], before->integer[i], after->integer[i]);
	}
	for (int i = 0; i < 16; i++) {
		if (memcmp(before->xmm[i], after->xmm[i], sizeof(before->xmm[i])) != 0)
			test_fail("call %" PRIu64 " changed XMM%d", call, i);
	}
	if (before->mxcsr != after->mxcsr)
		test_fail("call %" PRIu64 " changed MXCSR", call);
}

/* A call that has to give an error and to change nothing. */
static void expect_error(struct registers *registers, enum socle_error error)
{
	struct registers before = *registers;
	int64_t result;

	execute(registers);
	result = (int64_t)registers->integer[REGISTER_RAX];
	if (result != error)
		test_fail("call %" PRIu64 "(0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64
			  ") gave %" PRId64 " (%s), expected %d (%s)",
			  before.integer[REGISTER_RAX], before.integer[REGISTER_RDX],
			  before.integer[REGISTER_R10], before.integer[REGISTER_R8],
			  before.integer[REGISTER_R9], result,
			  result >= 0 ? "success" : socle_error_text(result), error,
			  socle_error_text(error));
	check_preserved(&before, registers, 0);
}

/* Calls with random keys. It is enough that the right one cannot be hit by chance. */
static void storm_random_keys(uint64_t calls)
{
	for (uint64_t i = 0; i < calls; i++) {
		struct socle_key key = {{any_argument(), any()}};
		struct registers registers;

		fill(&registers, i % CALL_NUMBERS, &key);
		expect_error(&registers, SOCLE_ERROR_KEY);
	}
}

/* Each of the key's bits wrong, with each call number that exists and one that does not. */
static uint64_t storm_flipped_keys(const struct socle_key *right)
{
	uint64_t calls = 0;

	for (unsigned int bit = 0; bit < 128; bit++) {
		for (uint64_t call = 0; call <= SOCLE_CALL_COUNT; call++) {
			struct socle_key key = *right;
			struct registers registers;

			key.word[bit / 64] ^= 1ull << bit % 64;
			fill(&registers, call, &key);
			expect_error(&registers, SOCLE_ERROR_KEY);
			calls++;
		}
	}
	return calls;
}

static void expect_with_key(const struct socle_handle *handle, uint64_t call, uint64_t argument0,
			    uint64_t argument1, uint64_t argument2, uint64_t argument3,
			    enum socle_error error)
{
	struct registers registers;

	fill(&registers, call, &handle->key);
	registers.integer[REGISTER_RDX] = argument0;
	registers.integer[REGISTER_R10] = argument1;
	registers.integer[REGISTER_R8] = argument2;
	registers.integer[REGISTER_R9] = argument3;
	expect_error(&registers, error);
}

/*
 * A number that is out of range: just behind it, far behind it, or one whose low 32 bits are in
 * range.
 */
static uint64_t beyond(uint64_t range)
{
	switch (any() % 4) {
	case 0:
		return range;
	case 1:
		return (any() | 1) << 32 | (range > 0 ? any() % range : 0);
	case 2:
		return UINT64_MAX;
	default:
		return range + any() % (UINT64_MAX - range);
	}
}

static void storm_with_key(const struct socle_handle *handle, uint64_t rounds)
{
	struct socle_info_general general;

	if (socle_info_general(handle, &general) != SOCLE_OK)
		test_fail("info fails with the right key");
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t cpus = general.cpus_online;
		uint64_t cpu = any() % cpus;

		expect_with_key(handle, beyond(SOCLE_CALL_COUNT), any_argument(), any_argument(),
				any_argument(), any_argument(), SOCLE_ERROR_CALL);
		expect_with_key(handle, SOCLE_CALL_INFO, beyond(SOCLE_INFO_CPU + 1), cpu, 0, 0,
				SOCLE_ERROR_ARGUMENT);
		expect_with_key(handle, SOCLE_CALL_INFO, SOCLE_INFO_CPU, beyond(cpus), 0, 0,
				SOCLE_ERROR_ARGUMENT);
		expect_with_key(handle, SOCLE_CALL_STATS_READ, beyond(SOCLE_STATS_EXITS + 1), cpu,
				SOCLE_VM_SERVICE, 0, SOCLE_ERROR_ARGUMENT);
		expect_with_key(handle, SOCLE_CALL_STATS_READ, SOCLE_STATS_CPU, beyond(cpus), 0, 0,
				SOCLE_ERROR_ARGUMENT);
		expect_with_key(handle, SOCLE_CALL_STATS_READ, SOCLE_STATS_EXITS, beyond(cpus),
				SOCLE_VM_SERVICE, 0, SOCLE_ERROR_ARGUMENT);
		expect_with_key(handle, SOCLE_CALL_STATS_READ, SOCLE_STATS_EXITS, cpu,
				beyond(SOCLE_VM_SERVICE + 1), 0, SOCLE_ERROR_ARGUMENT);
		expect_with_key(handle, SOCLE_CALL_STATS_READ, SOCLE_STATS_EXITS, cpu,
				SOCLE_VM_SERVICE, beyond(SOCLE_EXIT_COUNT), SOCLE_ERROR_ARGUMENT);
	}
}

/* A call that succeeds changes RAX and the six reply registers, no other. */
static void check_success(const struct socle_handle *handle)
{
	const uint32_t reply = 1u << REGISTER_RDI | 1u << REGISTER_RSI | 1u << REGISTER_RDX |
			       1u << REGISTER_R10 | 1u << REGISTER_R8 | 1u << REGISTER_R9;

	for (int i = 0; i < 256; i++) {
		struct registers registers, before;

		fill(&registers, SOCLE_CALL_POKE, &handle->key);
		before = registers;
		execute(&registers);
		if (registers.integer[REGISTER_RAX] != SOCLE_OK)
			test_fail("poke gave %" PRId64, (int64_t)registers.integer[REGISTER_RAX]);
		if (registers.integer[REGISTER_RDI] != before.integer[REGISTER_RDX])
			test_fail("poke of 0x%" PRIx64 " replied 0x%" PRIx64,
				  before.integer[REGISTER_RDX], registers.integer[REGISTER_RDI]);
		check_preserved(&before, &registers, reply);
	}
}

/* Without the table we go by the processor. */
static enum socle_vendor vendor_of_processor(void)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid(0, eax, ebx, ecx, edx);
	return ebx == signature_INTEL_ebx ? SOCLE_VENDOR_VMX : SOCLE_VENDOR_SVM;
}

/* The storm of a process that has no right whatever. */
static void storm_unprivileged(uint64_t calls)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child < 0)
		test_fail("cannot fork");
	if (child == 0) {
		if (getuid() == 0 && (setgid(UID_NOBODY) != 0 || setuid(UID_NOBODY) != 0))
			test_fail("cannot give up root's rights");
		storm_random_keys(calls);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		test_fail("cannot wait for the unprivileged process");
	if (WIFSIGNALED(status))
		test_fail("the unprivileged process was killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		_exit(1);
}

static void storm_as_root(const struct socle_handle *handle, uint64_t calls)
{
	struct socle_info_general general[2];
	struct socle_info_memory memory[2];
	struct test_counters counters[2];
	uint64_t denied = calls;

	test_counters_read(handle, &counters[0]);
	if (socle_info_general(handle, &general[0]) != SOCLE_OK ||
	    socle_info_memory(handle, &memory[0]) != SOCLE_OK)
		test_fail("info fails with the right key");

	storm_unprivileged(calls);
	denied += storm_flipped_keys(&handle->key);
	storm_with_key(handle, calls / 100 + 1);
	check_success(handle);

	if (socle_info_general(handle, &general[1]) != SOCLE_OK ||
	    socle_info_memory(handle, &memory[1]) != SOCLE_OK)
		test_fail("info fails after the storm");
	test_counters_read(handle, &counters[1]);
	if (memcmp(&general[0], &general[1], sizeof(general[0])) != 0)
		test_fail("the general info has changed");
	if (memcmp(&memory[0], &memory[1], sizeof(memory[0])) != 0)
		test_fail("the memory info has changed: %" PRIu64 " bytes free before, %" PRIu64
			  " after",
			  memory[0].pool_free_bytes, memory[1].pool_free_bytes);
	if (counters[1].denied - counters[0].denied != denied)
		test_fail("expected %" PRIu64 " more denied calls, found %" PRIu64, denied,
			  counters[1].denied - counters[0].denied);
	test_pass("%" PRIu64 " calls without the key denied, info and pool unchanged", denied);
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"calls", 10000, 0}, {"seed", 1, 0}, {0}};
	struct socle_handle handle;
	struct socle_open_error error;

	test_options(argc, argv, "[--calls N] [--seed S]", option);
	random_state = option[1].value;
	if (socle_open(NULL, &handle, &error) == SOCLE_OPEN_OK) {
		vendor = handle.vendor;
		storm_as_root(&handle, option[0].value);
	}
	if (error.status != SOCLE_OPEN_PERMISSION || !socle_present())
		test_fail("%s", error.message);
	vendor = vendor_of_processor();
	storm_unprivileged(option[0].value);
	test_pass("%" PRIu64 " calls without the key denied (not root: counters not checked)",
		  option[0].value);
}
