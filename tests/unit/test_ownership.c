/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who owns what: random sequences of calls from several clients, with right and wrong keys, against
 * a model. After each call the owner of every frame, the number of free ones, what each guest can
 * reach and what the service VM can reach are as the model says; also through translations that a
 * CPU may have cached since it was last told to forget them.
 *
 * The first seeds are the same in every run, the last is not; a failure names its seed.
 * OWNERSHIP_SEED=n runs the sequence of one seed alone; OWNERSHIP_STEPS=n sets its length.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "domain_calls.h"
#include "unit.h"

#define FRAMES	     40
#define CLIENTS	     5
#define VCPUS	     3
#define STEPS	     3000
#define SEEDS	     8
#define WINDOW_PAGES 2048 /* guest-physical addresses that are mapped, from WINDOW on */
#define WINDOW	     (GIB(2) - MIB(4))
#define NO_CPU	     0xffffffffu
#define FRAME_PAGES  (LARGE_PAGE_BYTES / PAGE_BYTES)

enum owner { FREE, DONATED, ASSIGNED };

struct client {
	bool exists, dying;
	uint64_t domain;
	struct socle_key key;
	uint64_t donated, assigned, vcpus, mapped;
	bool vcpu[VCPUS], kicked[VCPUS];
	unsigned on[VCPUS];	      /* the CPU that runs it, or NO_CPU */
	uint64_t area[VCPUS];	      /* host-physical */
	uint64_t page[WINDOW_PAGES];  /* host-physical | access; 0: not mapped */
	bool dirty[WINDOW_PAGES];     /* not asked about since it was mapped */
	bool may_reach[FRAMES];	      /* by a translation that may be cached */
	const struct domain *address; /* to look at its tables */
};

static struct client clients[CLIENTS];
static struct {
	enum owner owner;
	const struct client *client;
	bool service_may_reach, hypervisor_may_reach;
} frames[FRAMES];

static uint64_t seed, step, random_state, calls_done[SOCLE_CALL_COUNT],
	calls_good[SOCLE_CALL_COUNT];
static struct client *changing; /* whose call is being made */

/* xorshift64*. */
static uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dull >> 20) % limit;
}

#define wrong(...)                                                                                 \
	do {                                                                                       \
		char text_[256];                                                                   \
                                                                                                   \
		snprintf(text_, sizeof(text_), __VA_ARGS__);                                       \
		ck_abort_msg("seed %llu, step %llu: %s", (unsigned long long)seed,                 \
			     (unsigned long long)step, text_);                                     \
	} while (0)

static void expect(const char *what, int64_t result, int64_t expected)
{
	if (result != expected)
		wrong("%s gives %lld, the model %lld", what, (long long)result,
		      (long long)expected);
}

/* What can be reached ---------------------------------------------------------------------------
 */

static void look_at_guest(struct client *c, bool forget)
{
	if (forget)
		memset(c->may_reach, 0, sizeof(c->may_reach));
	/* The tables of one that is dying go away, with no CPU left that could walk them. */
	if (!c->exists || c->dying)
		return;
	for (unsigned i = 0; i < WINDOW_PAGES;) {
		uint64_t at = WINDOW + i * PAGE_BYTES;
		struct ept_leaf leaf;

		if (!ept_lookup(&c->address->memory, gpa(at), &leaf)) {
			i++;
			continue;
		}
		if (pool_frame(leaf.address) == NULL)
			wrong("a guest reaches %llx", (unsigned long long)leaf.address.v);
		c->may_reach[(leaf.address.v - CALLS_POOL_BASE) / LARGE_PAGE_BYTES] = true;
		i += (unsigned)((leaf.bytes - at % leaf.bytes) / PAGE_BYTES);
	}
}

static void look_at_the_others(bool forget)
{
	for (uint64_t i = 0; i < FRAMES; i++) {
		enum calls_view view = calls_service_view(i);
		bool mapped = fake_frame_mapped(calls_frame(i));

		if (view == VIEW_OTHER)
			wrong("frame %llu is neither the identity nor a hole",
			      (unsigned long long)i);
		frames[i].service_may_reach =
			view == VIEW_IDENTITY || (!forget && frames[i].service_may_reach);
		frames[i].hypervisor_may_reach =
			mapped || (!forget && frames[i].hypervisor_may_reach);
	}
}

static bool runs(const struct client *c)
{
	for (unsigned v = 0; v < VCPUS; v++)
		if (c->on[v] != NO_CPU)
			return true;
	return false;
}

static void forget(void)
{
	look_at_the_others(true);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (&clients[i] == changing || runs(&clients[i]))
			look_at_guest(&clients[i], !(clients[i].dying && runs(&clients[i])));
}

static void check_frames(void)
{
	uint64_t free_frames = 0;

	look_at_the_others(false);
	if (changing != NULL)
		look_at_guest(changing, false);
	for (uint64_t i = 0; i < FRAMES; i++) {
		const struct frame *frame = pool_frame(calls_frame(i));
		unsigned n = (unsigned)i;

		free_frames += frames[i].owner == FREE;
		if (frame->owner != frames[i].owner ||
		    (frame->owner != FREE && frame->domain != frames[i].client->domain))
			wrong("frame %u: owner %u of domain %u, the model's is %u", n, frame->owner,
			      frame->domain, frames[i].owner);
		if ((calls_service_view(i) == VIEW_HOLE) != (frames[i].owner == DONATED))
			wrong("frame %u: a hole, or none, against the model", n);
		if (frames[i].owner == DONATED && frames[i].service_may_reach)
			wrong("frame %u: donated, and the service VM may still reach it", n);
		if (frames[i].hypervisor_may_reach && frames[i].owner == FREE)
			wrong("frame %u: free, and the hypervisor may still reach it", n);
		for (unsigned k = 0; k < CLIENTS; k++)
			if (clients[k].may_reach[i] &&
			    (frames[i].owner != ASSIGNED || frames[i].client != &clients[k]))
				wrong("frame %u: not of guest %u, which may still reach it", n, k);
	}
	if (pool_free_bytes() != free_frames * LARGE_PAGE_BYTES)
		wrong("%llu bytes are free, the model has %llu frames",
		      (unsigned long long)pool_free_bytes(), (unsigned long long)free_frames);
}

/* A client: its figures, its guest's memory, page by page, and the pages of its areas. */
static void check_client(const struct client *c)
{
	struct socle_domain_info info;

	if (!c->exists)
		return;
	info = calls_info(c->domain);
	if (info.vcpus != c->vcpus || (!c->dying && (info.donated_frames != c->donated ||
						     info.assigned_frames != c->assigned)))
		wrong("domain %llu: %llu vCPUs, %llu and %llu frames",
		      (unsigned long long)c->domain, (unsigned long long)info.vcpus,
		      (unsigned long long)info.donated_frames,
		      (unsigned long long)info.assigned_frames);
	for (unsigned i = 0; !c->dying && i < WINDOW_PAGES; i++) {
		struct ept_leaf leaf;
		bool there = ept_lookup(&c->address->memory, gpa(WINDOW + i * PAGE_BYTES), &leaf);

		if (there ? (leaf.address.v | leaf.access) != c->page[i] : c->page[i] != 0)
			wrong("domain %llu, page %u: %llx, the model has %llx",
			      (unsigned long long)c->domain, i,
			      there ? (unsigned long long)(leaf.address.v | leaf.access) : 0ull,
			      (unsigned long long)c->page[i]);
	}
	for (unsigned v = 0; !c->dying && v < VCPUS; v++)
		if (c->vcpu[v] && !fake_page_mapped(hpa(c->area[v])))
			wrong("the area of a vCPU is not mapped");
}

/* Choices ---------------------------------------------------------------------------------------
 */

static uint64_t any_frame(void)
{
	return random_below(50) ? random_below(FRAMES) : FRAMES + random_below(3);
}

/* One of this owner, mostly. */
static uint64_t frame_of(enum owner owner, const struct client *c)
{
	for (unsigned tries = 0; tries < 20; tries++) {
		uint64_t i = random_below(FRAMES);

		if (frames[i].owner == owner && (owner == FREE || frames[i].client == c))
			return i;
	}
	return any_frame();
}

static bool is_free(uint64_t frame)
{
	return frame < FRAMES && frames[frame].owner == FREE;
}

/* A CPU in the service VM. */
static unsigned any_cpu(void)
{
	unsigned cpu;

	do
		cpu = (unsigned)random_below(CALLS_CPUS);
	while (calls_cpu[cpu].current != &calls_cpu[cpu].service);
	return cpu;
}

static int64_t note(uint64_t call, int64_t result)
{
	calls_done[call]++;
	calls_good[call] += result >= 0;
	return result;
}

static int64_t root(uint64_t call, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return note(call, calls_on(any_cpu(), calls_root_key, call, a0, a1, a2, 0));
}

/*
 * A call with the client's own key, or sometimes with one that is not: then it gives
 * SOCLE_ERROR_KEY, which *refused says.
 */
static int64_t own(unsigned cpu, struct client *c, uint64_t call, uint64_t a1, uint64_t a2,
		   uint64_t a3, bool *refused)
{
	struct socle_key key = c->key;
	const struct client *other = &clients[random_below(CLIENTS)];

	*refused = true;
	switch (random_below(40)) {
	case 0:
		key = calls_root_key;
		break;
	case 1:
		key.word[random_below(2)] ^= 1ull << random_below(64);
		break;
	case 2: /* may be the key of one that is gone; not of one with this number now */
		*refused = other != c && !(other->exists && other->domain == c->domain);
		if (*refused)
			key = other->key;
		break;
	default:
		*refused = false;
		break;
	}
	*refused |= !c->exists;
	return note(call, calls_on(cpu, key, call, c->domain, a1, a2, a3));
}

/* True if the result is settled already: a wrong key, or a dying domain. */
static bool is_refused(const struct client *c, const char *what, int64_t result, bool refused)
{
	if (refused)
		expect(what, result, SOCLE_ERROR_KEY);
	else if (c->dying)
		expect(what, result, SOCLE_ERROR_DOMAIN);
	return refused || c->dying;
}

/* Calls -----------------------------------------------------------------------------------------
 */

static void own_frame(uint64_t frame, enum owner owner, const struct client *c)
{
	frames[frame].owner = owner;
	frames[frame].client = c;
}

static void create(struct client *c)
{
	uint64_t frame = random_below(4) ? frame_of(FREE, NULL) : any_frame();
	struct socle_reply reply;
	int64_t result;

	if (c->exists)
		return;
	if (is_free(frame))
		calls_fill(frame, 0xd1);
	result = root(SOCLE_CALL_DOMAIN_CREATE, calls_frame_number(frame), 0, 0);
	expect("create", result, is_free(frame) ? SOCLE_OK : SOCLE_ERROR_OWNER);
	if (result != SOCLE_OK)
		return;
	reply = calls_reply();
	*c = (struct client){
		.exists = true,
		.domain = reply.word[0],
		.key = {{reply.word[1], reply.word[2]}},
		.donated = 1,
		.on = {NO_CPU, NO_CPU, NO_CPU},
	};
	own_frame(frame, DONATED, c);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (&clients[i] != c && clients[i].exists && clients[i].domain == c->domain)
			wrong("domain %llu is there twice", (unsigned long long)c->domain);
	c->address = domain_find(c->domain, c->key.word[0], c->key.word[1]);
	if (c->address == NULL)
		wrong("the key of domain %llu does not find it", (unsigned long long)c->domain);
}

static void donate(struct client *c)
{
	uint64_t frame = random_below(4) ? frame_of(FREE, NULL) : any_frame();
	int64_t expected = !c->exists || c->dying ? SOCLE_ERROR_DOMAIN
			   : is_free(frame)	  ? SOCLE_OK
						  : SOCLE_ERROR_OWNER;

	if (expected == SOCLE_OK)
		calls_fill(frame, 0xd2);
	expect("donate",
	       root(SOCLE_CALL_DOMAIN_DONATE, c->exists ? c->domain : SOCLE_MAX_DOMAINS - 1,
		    calls_frame_number(frame), 0),
	       expected);
	if (expected != SOCLE_OK)
		return;
	own_frame(frame, DONATED, c);
	c->donated++;
}

static void assign(struct client *c)
{
	uint64_t first = frame_of(FREE, NULL), count = 1 + random_below(4);
	int64_t expected = SOCLE_OK;

	if (random_below(50) == 0)
		count = random_below(2) ? 0 : 513 + random_below(UINT64_MAX >> 24);
	if (!c->exists || c->dying)
		expected = SOCLE_ERROR_DOMAIN;
	else if (count == 0 || count > 512)
		expected = SOCLE_ERROR_ARGUMENT;
	else
		for (uint64_t i = first; i < first + count; i++)
			if (!is_free(i))
				expected = SOCLE_ERROR_OWNER;
	expect("assign",
	       root(SOCLE_CALL_DOMAIN_ASSIGN, c->exists ? c->domain : SOCLE_MAX_DOMAINS - 1,
		    calls_frame_number(first), count),
	       expected);
	if (expected != SOCLE_OK)
		return;
	for (uint64_t i = first; i < first + count; i++)
		own_frame(i, ASSIGNED, c);
	c->assigned += count;
}

/* True if [at, at + bytes), both of whole pages, lies in frames of the client. */
static bool has(const struct client *c, uint64_t at, uint64_t bytes)
{
	for (uint64_t v = align_down(at, LARGE_PAGE_BYTES); v < at + bytes; v += LARGE_PAGE_BYTES) {
		uint64_t i = (v - CALLS_POOL_BASE) / LARGE_PAGE_BYTES;

		if (v < CALLS_POOL_BASE || i >= FRAMES || frames[i].owner != ASSIGNED ||
		    frames[i].client != c)
			return false;
	}
	return true;
}

/* A range of the window: first page and count. */
static void any_range(uint64_t *first, uint64_t *count)
{
	bool large = random_below(2);

	*first = random_below(WINDOW_PAGES);
	*count = 1 + random_below(random_below(3) ? 8 : 600);
	if (large) {
		*first = align_down(*first, FRAME_PAGES);
		*count = FRAME_PAGES * (1 + random_below(3));
	}
	*count = min_u64(*count, WINDOW_PAGES - *first);
}

static void set_pages(struct client *c, uint64_t first, uint64_t count, uint64_t to)
{
	for (uint64_t i = 0; i < count; i++) {
		c->page[first + i] = to != 0 ? to + i * PAGE_BYTES : 0;
		c->dirty[first + i] = to != 0;
	}
}

static bool any_mapped(const struct client *c, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (c->page[first + i] != 0)
			return true;
	return false;
}

static void map(struct client *c)
{
	uint64_t first, count, to, bytes, access = random_below(8);
	bool refused;
	int64_t result;

	any_range(&first, &count);
	bytes = count * PAGE_BYTES;
	to = calls_frame(frame_of(ASSIGNED, c)).v;
	if (random_below(2))
		to += random_below(FRAME_PAGES) * PAGE_BYTES;
	result = own(any_cpu(), c, SOCLE_CALL_MAP, WINDOW + first * PAGE_BYTES, to | access, bytes,
		     &refused);
	if (is_refused(c, "map", result, refused))
		return;
	if (!(access & EPT_READ))
		expect("map", result, SOCLE_ERROR_ARGUMENT);
	else if (!has(c, to, bytes))
		expect("map", result, SOCLE_ERROR_OWNER);
	else if (any_mapped(c, first, count))
		expect("map", result, SOCLE_ERROR_BUSY);
	else
		expect("map", result, (int64_t)bytes);
	if (result > 0)
		set_pages(c, first, count, to | access);
}

static void unmap(struct client *c)
{
	uint64_t first, count;
	bool refused;
	int64_t result;

	any_range(&first, &count);
	result = own(any_cpu(), c, SOCLE_CALL_UNMAP, WINDOW + first * PAGE_BYTES,
		     count * PAGE_BYTES, 0, &refused);
	if (is_refused(c, "unmap", result, refused))
		return;
	expect("unmap", result, (int64_t)(count * PAGE_BYTES));
	set_pages(c, first, count, 0);
}

static void dirty_log(struct client *c)
{
	uint64_t first, count;
	struct socle_reply reply;
	bool refused;
	int64_t result;

	any_range(&first, &count);
	result = own(any_cpu(), c, SOCLE_CALL_DIRTY_LOG, WINDOW + first * PAGE_BYTES,
		     count * PAGE_BYTES, random_below(2), &refused);
	if (is_refused(c, "dirty_log", result, refused))
		return;
	count = min_u64(count, SOCLE_DIRTY_PAGES);
	expect("dirty_log", result, (int64_t)(count * PAGE_BYTES));
	reply = calls_reply();
	for (uint64_t i = 0; i < SOCLE_DIRTY_PAGES; i++) {
		bool dirty = i < count && c->dirty[first + i];

		if ((reply.word[i / 64] >> i % 64 & 1) != dirty)
			wrong("page %llu of the dirty log", (unsigned long long)i);
		if (i < count)
			c->dirty[first + i] = false;
	}
}

static void vcpu_create(struct client *c)
{
	uint64_t v = random_below(VCPUS);
	uint64_t area =
		calls_frame(frame_of(ASSIGNED, c)).v +
		random_below(LARGE_PAGE_BYTES / SOCLE_VCPU_AREA_BYTES) * SOCLE_VCPU_AREA_BYTES;
	int64_t result;
	bool refused;

	result = own(any_cpu(), c, SOCLE_CALL_VCPU_CREATE, v, area, 0, &refused);
	if (is_refused(c, "vcpu_create", result, refused))
		return;
	expect("vcpu_create", result,
	       !has(c, area, SOCLE_VCPU_AREA_BYTES) ? SOCLE_ERROR_OWNER
	       : c->vcpu[v]			    ? SOCLE_ERROR_BUSY
						    : SOCLE_OK);
	if (result != SOCLE_OK)
		return;
	c->vcpu[v] = true;
	c->vcpus++;
	c->area[v] = area;
}

/* One CPU never runs a guest, so that there is somebody to call. */
static void run(struct client *c)
{
	uint64_t v = random_below(VCPUS);
	unsigned cpu = any_cpu();
	bool refused;
	int64_t result;

	if (cpu == 0)
		return;
	/* the VMM writes what it likes */
	for (unsigned i = 0; c->exists && c->vcpu[v] && i < 8; i++)
		((uint64_t *)fake_pool(hpa(c->area[v])))[random_below(SOCLE_VCPU_AREA_BYTES / 8)] =
			random_below(UINT64_MAX);
	if (c->exists && c->vcpu[v]) /* no event, or a good one */
		((struct socle_vcpu_area *)fake_pool(hpa(c->area[v])))->event = random_below(64);
	result = own(cpu, c, SOCLE_CALL_VCPU_RUN, v, 0, 0, &refused);
	if (is_refused(c, "run", result, refused))
		return;
	if (!c->vcpu[v]) {
		expect("run", result, SOCLE_ERROR_ARGUMENT);
	} else if (c->on[v] != NO_CPU) {
		expect("run", result, SOCLE_ERROR_BUSY);
	} else if (c->kicked[v]) {
		expect("run", result, SOCLE_EXIT_INTERRUPT);
		c->kicked[v] = false;
	} else {
		expect("run", result, SOCLE_OK);
		if (calls_cpu[cpu].current->domain != c->address)
			wrong("CPU %u runs another's vCPU", cpu);
		c->on[v] = cpu;
	}
}

static void kick(struct client *c)
{
	uint64_t v = random_below(VCPUS);
	unsigned kicked = fake_kicks();
	bool refused;
	int64_t result = own(any_cpu(), c, SOCLE_CALL_VCPU_KICK, v, 0, 0, &refused);

	if (is_refused(c, "kick", result, refused))
		return;
	expect("kick", result, c->vcpu[v] ? SOCLE_OK : SOCLE_ERROR_ARGUMENT);
	if (!c->vcpu[v])
		return;
	c->kicked[v] = true;
	if ((fake_kicks() != kicked) != (c->on[v] != NO_CPU))
		wrong("a kick, or none, against the model");
	if (c->on[v] != NO_CPU && fake_last_kicked() != &calls_cpu[c->on[v]])
		wrong("the wrong CPU is kicked");
}

/* A guest is left: by itself, or by an NMI if there was reason for one. */
static void leave(struct client *c)
{
	unsigned v = (unsigned)random_below(VCPUS), cpu = c->on[v];

	if (!c->exists || cpu == NO_CPU)
		return;
	if (c->dying || c->kicked[v]) {
		calls_exit(cpu, SOCLE_EXIT_NMI);
		expect("the run", (int64_t)calls_cpu[cpu].service.regs->rax, SOCLE_EXIT_INTERRUPT);
		if (!c->dying)
			c->kicked[v] = false;
	} else {
		static const enum socle_exit_reason reasons[] = {
			SOCLE_EXIT_IO, SOCLE_EXIT_SECOND_LEVEL, SOCLE_EXIT_SHUTDOWN,
			SOCLE_EXIT_INTERRUPT, SOCLE_EXIT_ENTRY_FAILURE};
		enum socle_exit_reason reason = reasons[random_below(ARRAY_COUNT(reasons))];

		calls_exit(cpu, reason);
		expect("the run", (int64_t)calls_cpu[cpu].service.regs->rax, reason);
	}
	if (calls_cpu[cpu].current != &calls_cpu[cpu].service)
		wrong("CPU %u has not left its guest", cpu);
	c->on[v] = NO_CPU;
}

static void forget_client(struct client *c)
{
	for (uint64_t i = 0; i < FRAMES; i++) {
		if (frames[i].owner == FREE || frames[i].client != c)
			continue;
		if (frames[i].owner == DONATED && !calls_is_zero(i))
			wrong("frame %u comes back with something in it", (unsigned)i);
		own_frame(i, FREE, NULL);
	}
	c->exists = c->dying = false;
}

/* A step of it. What a step gave back is seen in the hypervisor's table: checked here. */
static void destroy(struct client *c)
{
	int64_t result;

	if (!c->exists) {
		expect("destroy",
		       root(SOCLE_CALL_DOMAIN_DESTROY, SOCLE_MAX_DOMAINS - 1 - random_below(500), 0,
			    0),
		       SOCLE_ERROR_DOMAIN);
		return;
	}
	c->dying = true;
	result = root(SOCLE_CALL_DOMAIN_DESTROY, c->domain, 0, 0);
	if (result != SOCLE_AGAIN)
		expect("destroy", result, SOCLE_OK);
	if (runs(c)) {
		expect("destroy", result, SOCLE_AGAIN);
		return;
	}
	if (result == SOCLE_OK) {
		forget_client(c);
		return;
	}
	for (uint64_t i = 0; i < FRAMES; i++) {
		const struct frame *frame = pool_frame(calls_frame(i));

		if (frames[i].client != c || frames[i].owner == FREE || frame->owner != FRAME_FREE)
			continue;
		if (frames[i].owner == DONATED && !calls_is_zero(i))
			wrong("frame %u comes back with something in it", (unsigned)i);
		own_frame(i, FREE, NULL);
	}
}

static void random_step(void)
{
	struct client *c = &clients[random_below(CLIENTS)];
	uint64_t choice = random_below(100);

	changing = c;
	if (choice < 8)
		create(c);
	else if (choice < 12)
		donate(c);
	else if (choice < 24)
		assign(c);
	else if (choice < 44)
		map(c);
	else if (choice < 50)
		unmap(c);
	else if (choice < 53)
		dirty_log(c);
	else if (choice < 60)
		vcpu_create(c);
	else if (choice < 74)
		run(c);
	else if (choice < 80)
		kick(c);
	else if (choice < 94)
		leave(c);
	else if (c->dying || random_below(3) == 0)
		destroy(c);
	check_frames();
	if (step % 8 == 0)
		check_client(c);
}

static void destroy_all(void)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];
		unsigned tries = 0;

		changing = c;
		for (unsigned v = 0; c->exists && v < VCPUS; v++) {
			if (c->on[v] == NO_CPU)
				continue;
			calls_exit(c->on[v], SOCLE_EXIT_INTERRUPT);
			c->on[v] = NO_CPU;
		}
		while (c->exists) {
			if (tries++ > FRAMES)
				wrong("destroy has no end");
			destroy(c);
			check_frames();
		}
	}
	for (uint64_t i = 0; i < FRAMES; i++)
		if (frames[i].owner != FREE || calls_service_view(i) != VIEW_IDENTITY ||
		    fake_frame_mapped(calls_frame(i)))
			wrong("frame %u is not free at the end", (unsigned)i);
	if (fake_guests_inside() != 0)
		wrong("a guest is still inside");
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

/* Another one in each run. */
static uint64_t fresh_seed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) % 1000000007;
}

START_TEST(random_calls)
{
	uint64_t steps = setting("OWNERSHIP_STEPS", STEPS);

	seed = setting("OWNERSHIP_SEED", _i < SEEDS ? (uint64_t)_i : fresh_seed());
	random_state = (seed + 1) * 0x9e3779b97f4a7c15ull;
	calls_start(FRAMES, seed & 1 ? &ept_format_npt : &ept_format_ept);
	for (unsigned i = 0; i < CLIENTS; i++)
		for (unsigned v = 0; v < VCPUS; v++)
			clients[i].on[v] = NO_CPU;
	look_at_the_others(true);
	fake_on_shootdown(forget);
	for (step = 0; step < steps; step++)
		random_step();
	destroy_all();
	/* a test that never gets anywhere shows nothing */
	for (uint64_t call = SOCLE_CALL_DOMAIN_CREATE; call < SOCLE_CALL_COUNT; call++)
		if (call != SOCLE_CALL_DOMAIN_INFO && steps >= STEPS &&
		    (calls_good[call] < 5 || calls_good[call] == calls_done[call]))
			wrong("call %llu: %llu of %llu are good", (unsigned long long)call,
			      (unsigned long long)calls_good[call],
			      (unsigned long long)calls_done[call]);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("ownership");
	TCase *tests = tcase_create("ownership");

	tcase_set_timeout(tests, 600);
	tcase_add_loop_test(tests, random_calls, 0, getenv("OWNERSHIP_SEED") ? 1 : SEEDS + 1);
	suite_add_tcase(suite, tests);
	return suite;
}
