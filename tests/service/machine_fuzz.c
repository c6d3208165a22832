// SPDX-License-Identifier: BSD-2-Clause
/*
 * A storm over the whole hypercall surface, with the real hypervisor below: several threads run
 * random guests from random states on a few domains, and meanwhile make random calls with valid and
 * invalid keys, map and unmap, kick, scribble over areas and memory, and destroy and make the
 * domains anew. The machine has to stay up, every call has to come back, and when all domains are
 * gone the pool has to have what it had. Each thread's choices follow from the seed; how threads
 * meet does not.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fuzz_guest.h"
#include "service_test.h"

#define FRAME	     SOCLE_FRAME_BYTES
#define SLOTS	     3
#define VCPUS	     4
#define FRAME_DONATE 0 /* of a slot's frames: two for metadata, one for areas, one a vCPU */
#define FRAME_AREAS  2
#define FRAME_MEMORY 3
#define SLOT_FRAMES  (FRAME_MEMORY + VCPUS)
#define MAX_THREADS  16
#define MAX_RUNS     48 /* of a guest, before it begins anew */
#define STEPS_MAX    100000
#define STALL	     180 /* seconds without a thread's progress that make a failure */
#define MAX_DOMAINS  1024
#define ACCESS_ALL   (SOCLE_ACCESS_READ | SOCLE_ACCESS_WRITE | SOCLE_ACCESS_EXECUTE)

/* A domain that the threads fight over. Number and key may be those of one that is gone. */
struct slot {
	pthread_mutex_t rebuild;
	uint64_t domain;
	struct socle_key key;
	uint64_t frame; /* host-physical address of the first */
	uint8_t *memory;
};

struct worker {
	pthread_t thread;
	uint64_t random, steps, calls, runs, rebuilt, faults;
	uint64_t reasons[SOCLE_EXIT_COUNT];
	const char *doing;
	sigjmp_buf escape;
};

static struct socle_handle root;
static struct slot slots[SLOTS];
static struct worker workers[MAX_THREADS];
static uint64_t pool_base, pool_frames;
static int stop, tame, verbose;
static __thread struct worker *self;

static uint64_t any(uint64_t below)
{
	return test_random(&self->random) % below;
}

/* A frame that the hypervisor took meanwhile: what was to be written is left alone. */
static void escape(int signal)
{
	(void)signal;
	if (self == NULL)
		_exit(3);
	self->faults++;
	siglongjmp(self->escape, 1);
}

static struct socle_handle handle_of(const struct slot *slot)
{
	struct socle_handle handle = root;

	handle.key.word[0] = __atomic_load_n(&slot->key.word[0], __ATOMIC_RELAXED);
	handle.key.word[1] = __atomic_load_n(&slot->key.word[1], __ATOMIC_RELAXED);
	return handle;
}

static uint32_t domain_of(const struct slot *slot)
{
	return (uint32_t)__atomic_load_n(&slot->domain, __ATOMIC_RELAXED);
}

static struct socle_vcpu_area *area_of(const struct slot *slot, uint64_t vcpu)
{
	return (void *)(slot->memory + FRAME_AREAS * FRAME + vcpu * SOCLE_VCPU_AREA_BYTES);
}

static void destroy(uint32_t domain)
{
	int result = SOCLE_AGAIN;

	for (int i = 0; i < STEPS_MAX && result == SOCLE_AGAIN; i++)
		result = socle_domain_destroy(&root, domain);
	if (result != SOCLE_OK && result != SOCLE_ERROR_DOMAIN)
		test_fail("domain %u does not end: %d", domain, result);
}

/* Makes the slot's domain anew, as far as random calls have left it frames to do so. */
static void rebuild(struct slot *slot)
{
	struct socle_domain_created created;
	struct socle_handle own;

	if (pthread_mutex_trylock(&slot->rebuild) != 0)
		return;
	self->doing = "rebuild";
	destroy(domain_of(slot));
	if (socle_domain_create(&root, slot->frame + (FRAME_DONATE + any(2)) * FRAME, &created) ==
	    SOCLE_OK) {
		__atomic_store_n(&slot->key.word[0], created.key.word[0], __ATOMIC_RELAXED);
		__atomic_store_n(&slot->key.word[1], created.key.word[1], __ATOMIC_RELAXED);
		__atomic_store_n(&slot->domain, created.domain, __ATOMIC_RELAXED);
		own = handle_of(slot);
		for (uint64_t i = FRAME_AREAS; i < SLOT_FRAMES; i++)
			socle_domain_assign(&root, domain_of(slot), slot->frame + i * FRAME, FRAME);
		for (uint32_t i = 0; i < VCPUS; i++) {
			socle_map(&own, domain_of(slot), i * FRAME,
				  slot->frame + (FRAME_MEMORY + i) * FRAME, ACCESS_ALL, FRAME);
			socle_vcpu_create(&own, domain_of(slot), i,
					  slot->frame + FRAME_AREAS * FRAME +
						  i * SOCLE_VCPU_AREA_BYTES);
		}
		self->rebuilt++;
	}
	pthread_mutex_unlock(&slot->rebuild);
}

/* Results of a run that a caller can get at all. */
static void check_run(int reason)
{
	static const uint32_t possible = 1u << SOCLE_EXIT_MSR_READ | 1u << SOCLE_EXIT_MSR_WRITE |
					 1u << SOCLE_EXIT_SECOND_LEVEL | 1u << SOCLE_EXIT_SHUTDOWN |
					 1u << SOCLE_EXIT_INTERRUPT | 1u << SOCLE_EXIT_HLT |
					 1u << SOCLE_EXIT_IO | 1u << SOCLE_EXIT_ENTRY_FAILURE |
					 1u << SOCLE_EXIT_EOI | 1u << SOCLE_EXIT_IPI |
					 1u << SOCLE_EXIT_WAKE | 1u << SOCLE_EXIT_INTERRUPT_WINDOW |
					 1u << SOCLE_EXIT_CR_ACCESS;

	if (reason >= SOCLE_EXIT_COUNT || (reason >= 0 && !(possible >> reason & 1)))
		test_fail("a run ended with %d", reason);
	if (reason < 0 && reason != SOCLE_ERROR_KEY && reason != SOCLE_ERROR_DOMAIN &&
	    reason != SOCLE_ERROR_ARGUMENT && reason != SOCLE_ERROR_BUSY)
		test_fail("a run failed with %d", reason);
}

static void run_guest(struct slot *slot)
{
	uint64_t vcpu = any(VCPUS), before = self->random;
	struct fuzz_guest guest = {slot->memory + (FRAME_MEMORY + vcpu) * FRAME, vcpu * FRAME,
				   area_of(slot, vcpu), tame};
	struct socle_handle own = handle_of(slot);
	uint32_t domain = domain_of(slot);

	if (any(8) == 0)
		fuzz_guest_tables(&guest, &self->random);
	fuzz_guest_begin(&guest, &self->random);
	if (verbose)
		fprintf(stderr, "run %#" PRIx64 " slot %td vcpu %" PRIu64 "\n", before,
			slot - slots, vcpu);
	self->doing = "run";
	for (uint64_t n = 1 + any(MAX_RUNS); n != 0; n--) {
		int reason = socle_vcpu_run(&own, domain, (uint32_t)vcpu);

		check_run(reason);
		self->runs++;
		if (reason < 0)
			return;
		self->reasons[reason]++;
		if (!fuzz_guest_answer(&guest, reason, &self->random))
			return;
	}
}

static struct socle_key any_key(void)
{
	struct socle_key key = root.key;

	switch (any(8)) {
	case 0:
		key.word[any(2)] ^= 1ull << any(64);
		return key;
	case 1:
		return (struct socle_key){{fuzz_value(&self->random), fuzz_value(&self->random)}};
	case 2:
	case 3:
		return key;
	default:
		return handle_of(&slots[any(SLOTS)]).key;
	}
}

static uint64_t any_argument(void)
{
	const struct slot *slot = &slots[any(SLOTS)];

	switch (any(8)) {
	case 0:
		return domain_of(slot);
	case 1:
		return slot->frame / FRAME + any(SLOT_FRAMES);
	case 2:
		return slot->frame + any(SLOT_FRAMES) * FRAME + any(64) * SOCLE_VCPU_AREA_BYTES;
	case 3:
		return (pool_base / FRAME) + any(pool_frames + 2) - 1;
	case 4:
		return any(SLOT_FRAMES * 512) * 4096 + any(9);
	case 5:
		return any(8);
	default:
		return fuzz_value(&self->random);
	}
}

static void call_anything(void)
{
	struct socle_handle handle = root;
	uint64_t call = any(16) ? any(SOCLE_CALL_COUNT + 1) : fuzz_value(&self->random);
	uint64_t argument[4];
	struct socle_reply reply;
	int64_t result;

	handle.key = any_key();
	for (int i = 0; i < 4; i++)
		argument[i] = any_argument();
	if (any(2))
		argument[0] = domain_of(&slots[any(SLOTS)]);
	self->doing = "a call";
	result = socle_hypercall(&handle, call, argument, &reply);
	if (result < SOCLE_ERROR_LIMIT)
		test_fail("call %#" PRIx64 " gave %lld", call, (long long)result);
	self->calls++;
}

/* A good mapping of this domain's memory, the areas' too, or its end. */
static void map_memory(const struct slot *slot)
{
	struct socle_handle own = handle_of(slot);
	uint64_t bytes = (1 + any(any(2) ? 512 : 8)) * 4096;
	/* A guest that can write its own area can do to it what is to be spared. */
	uint64_t first = fuzz_spare_qemu ? FRAME_MEMORY : FRAME_AREAS;
	uint64_t from = first * FRAME + any(512 * (SLOT_FRAMES - first)) * 4096;
	uint64_t guest = any(2) ? any(512 * VCPUS) * 4096 : (fuzz_value(&self->random) & ~0xfffull);
	unsigned int access = any(2) ? ACCESS_ALL : SOCLE_ACCESS_READ | (unsigned int)any(8);

	self->doing = "map";
	if (any(3))
		socle_map(&own, domain_of(slot), guest, slot->frame + from, access, bytes);
	else
		socle_unmap(&own, domain_of(slot), guest, bytes);
	if (any(4) == 0) /* as the guests expect it */
		for (uint64_t i = 0; i < VCPUS; i++)
			socle_map(&own, domain_of(slot), i * FRAME,
				  slot->frame + (FRAME_MEMORY + i) * FRAME, ACCESS_ALL, FRAME);
	self->calls++;
}

/* Of memory that a guest may execute. */
static uint64_t word(uint64_t value)
{
	fuzz_defuse(&value, sizeof(value), FUZZ_SPARE_ALL);
	return value;
}

static void scribble(const struct slot *slot)
{
	uint64_t *memory = (uint64_t *)(slot->memory + FRAME_MEMORY * FRAME);

	self->doing = "scribble";
	if (any(2))
		fuzz_area_scribble(area_of(slot, any(VCPUS)), &self->random);
	else
		for (int i = 0; i < 16; i++)
			memory[any(VCPUS * FRAME / sizeof(*memory))] =
				word(test_random(&self->random));
}

static void pin(uint64_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Threads wander, but for one on each CPU: while that works, it notices what happens on others. */
static void move(void)
{
	uint64_t cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);

	if ((uint64_t)(self - workers) >= cpus)
		pin(any(cpus));
}

static void step(void)
{
	struct slot *slot = &slots[any(SLOTS)];
	struct socle_handle own = handle_of(slot);
	uint64_t choice = any(256);

	if (sigsetjmp(self->escape, 1) != 0) {
		rebuild(slot);
		return;
	}
	if (choice < 128) {
		run_guest(slot);
	} else if (choice < 176) {
		call_anything();
	} else if (choice < 200) {
		map_memory(slot);
	} else if (choice < 224) {
		self->doing = "kick";
		socle_vcpu_kick(&own, domain_of(slot), (uint32_t)any(VCPUS));
	} else if (choice < 248 && !tame) {
		scribble(slot);
	} else if (choice < 252) {
		rebuild(slot);
	} else if (choice == 252) {
		self->doing = "donate";
		socle_domain_donate(&root, domain_of(slot), slot->frame + any(2) * FRAME);
	} else if (choice == 253) {
		self->doing = "destroy";
		socle_domain_destroy(&root, (uint32_t)(1 + any(2 * SLOTS)));
	} else {
		move();
	}
}

static void *work(void *argument)
{
	self = argument;
	pin((uint64_t)(self - workers) % (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		step();
		__atomic_fetch_add(&self->steps, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static uint64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

/* A VMM's own timer: no guest runs for long without being asked to leave. */
static void kick_all(void)
{
	for (int i = 0; i < SLOTS; i++) {
		struct socle_handle own = handle_of(&slots[i]);

		for (uint32_t vcpu = 0; vcpu < VCPUS; vcpu++)
			socle_vcpu_kick(&own, domain_of(&slots[i]), vcpu);
	}
}

/* Waits for the end of the time, and sees that no thread stands still. */
static void watch(uint64_t limit, uint64_t threads)
{
	uint64_t seen[MAX_THREADS] = {0}, when[MAX_THREADS], started = seconds(), now, said = 0;

	for (uint64_t i = 0; i < threads; i++)
		when[i] = started;
	while ((now = seconds()) - started < limit) {
		uint64_t sum = 0;

		for (uint64_t i = 0; i < threads; i++) {
			uint64_t steps = __atomic_load_n(&workers[i].steps, __ATOMIC_RELAXED);

			sum += steps;
			if (steps != seen[i])
				when[i] = now;
			else if (now - when[i] > STALL)
				test_fail("thread %" PRIu64 " stands still in %s", i,
					  workers[i].doing);
			seen[i] = steps;
		}
		if ((now - started) / 60 != said) {
			said = (now - started) / 60;
			printf("%" PRIu64 " min: %" PRIu64 " steps\n", said, sum);
			fflush(stdout);
		}
		kick_all();
		usleep(200000);
	}
}

/* The threads' end: a guest that loops is kicked until its thread has seen it. */
static void end_threads(uint64_t threads)
{
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (uint64_t i = 0; i < threads; i++)
		if (pthread_join(workers[i].thread, NULL) != 0)
			test_fail("thread %" PRIu64 " cannot be joined", i);
}

/* All domains are gone, and all frames are free. */
static void check_balance(uint64_t free_before)
{
	struct socle_info_memory memory;
	struct socle_domain_info info;

	for (uint32_t i = 1; i < MAX_DOMAINS; i++) {
		destroy(i);
		if (socle_domain_info(&root, i, &info) != SOCLE_ERROR_DOMAIN)
			test_fail("domain %u is still there", i);
	}
	if (socle_info_memory(&root, &memory) != SOCLE_OK || memory.pool_free_bytes != free_before)
		test_fail("%" PRIu64 " bytes of the pool are free, %" PRIu64 " were before",
			  memory.pool_free_bytes, free_before);
}

static void check_log(void)
{
	static char text[1 << 17];
	uint64_t position = 0;
	int64_t bytes = socle_log_read(&root, &position, text, sizeof(text) - 1, NULL);

	if (bytes < 0)
		test_fail("no log: %lld", (long long)bytes);
	if (strstr(text, "panic") != NULL || strstr(text, "PANIC") != NULL)
		test_fail("the hypervisor's log speaks of a panic");
}

static void report(uint64_t seed, uint64_t threads)
{
	struct worker sum = {0};

	for (uint64_t i = 0; i < threads; i++) {
		sum.steps += workers[i].steps;
		sum.calls += workers[i].calls;
		sum.runs += workers[i].runs;
		sum.rebuilt += workers[i].rebuilt;
		sum.faults += workers[i].faults;
		for (int r = 0; r < SOCLE_EXIT_COUNT; r++)
			sum.reasons[r] += workers[i].reasons[r];
	}
	for (unsigned int r = 0; r < SOCLE_EXIT_COUNT; r++)
		if (sum.reasons[r] != 0)
			printf("%s %" PRIu64 "\n", socle_exit_reason_name(root.vendor, r),
			       sum.reasons[r]);
	if (sum.runs == 0 || sum.rebuilt == 0 || sum.reasons[SOCLE_EXIT_ENTRY_FAILURE] == 0)
		test_fail("nothing was tried");
	test_pass("seed %#" PRIx64 ", %" PRIu64 " threads: %" PRIu64 " steps, %" PRIu64
		  " runs, %" PRIu64 " other calls, %" PRIu64 " domains, %" PRIu64 " faults",
		  seed, threads, sum.steps, sum.runs, sum.calls, sum.rebuilt, sum.faults);
}

static void prepare(struct socle_info_memory *memory)
{
	struct sigaction action = {.sa_handler = escape, .sa_flags = SA_NODEFER};
	uint8_t *pool;

	test_open(&root);
	if (socle_info_memory(&root, memory) != SOCLE_OK)
		test_fail("no information about the pool");
	pool_base = memory->pool_base;
	pool_frames = memory->pool_bytes / FRAME;
	if (pool_frames < SLOTS * SLOT_FRAMES)
		test_fail("the pool has %" PRIu64 " frames, %d are needed", pool_frames,
			  SLOTS * SLOT_FRAMES);
	pool = mmap(NULL, SLOTS * SLOT_FRAMES * FRAME, PROT_READ | PROT_WRITE, MAP_SHARED,
		    open("/dev/dax0.0", O_RDWR), 0);
	if (pool == MAP_FAILED)
		test_fail("cannot map the pool: %s", strerror(errno));
	for (uint64_t i = 0; i < SLOTS; i++) {
		pthread_mutex_init(&slots[i].rebuild, NULL);
		slots[i].frame = pool_base + i * SLOT_FRAMES * FRAME;
		slots[i].memory = pool + i * SLOT_FRAMES * FRAME;
	}
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

int main(int argc, char **argv)
{
	struct test_option option[] = {
		{"seconds", 20, 0}, {"seed", 0, 0},	{"threads", 4, 0}, {"tame", 0, 1},
		{"verbose", 0, 1},  {"hardware", 0, 1}, {NULL, 0, 0},
	};
	struct socle_info_memory memory;
	uint64_t seed, threads;

	test_options(argc, argv,
		     "machine-fuzz [--seconds N] [--seed N] [--threads N] [--tame] [--verbose] "
		     "[--hardware]",
		     option);
	seed = option[1].value != 0 ? option[1].value : __builtin_ia32_rdtsc();
	threads = option[2].value;
	tame = (int)option[3].value;
	verbose = (int)option[4].value;
	if (threads == 0 || threads > MAX_THREADS)
		test_fail("1 to %d threads", MAX_THREADS);
	prepare(&memory);
	fuzz_spare_qemu = root.vendor == SOCLE_VENDOR_SVM && !option[5].value;
	printf("seed %#" PRIx64 "\n", seed);
	fflush(stdout);
	for (uint64_t i = 0; i < threads; i++) {
		workers[i].random = seed + i * 0x1000003;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			test_fail("no thread %" PRIu64, i);
	}
	watch(option[0].value, threads);
	end_threads(threads);
	check_balance(memory.pool_free_bytes);
	check_log();
	report(seed, threads);
}
