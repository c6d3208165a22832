// SPDX-License-Identifier: BSD-2-Clause
#include "hv/domain.h"

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "hv/guest.h"
#include "hv/paging.h"
#include "hv/pool.h"
#include "hv/random.h"
#include "hv/service.h"
#include "hv/shootdown.h"
#include "hv/string.h"

#define MAP_LIMIT	  MIB(64) /* of one call */
#define SCAN_LIMIT	  4096	  /* frames that one call of destroy looks at */
#define FRAME_NUMBERS	  (1ull << 31)
#define ASSIGN_LIMIT	  512
#define GUEST_ADDRESS_END (1ull << 48)

static struct spinlock domains_lock;
struct domain *domains[SOCLE_MAX_DOMAINS];

/* Frames ------------------------------------------------------------------------------------------
 */

/* A frame is named by its number: its host-physical address / SOCLE_FRAME_BYTES. */
static hpa_t frame_address(uint64_t number)
{
	/* One that does not fit into an address is none of the pool's. */
	return hpa(number < FRAME_NUMBERS ? number * SOCLE_FRAME_BYTES : UINT64_MAX);
}

/* Takes a free frame from the service VM: nobody but the hypervisor reaches it afterwards. */
static int64_t take_frame(hpa_t at, uint16_t domain)
{
	struct frame *frame = pool_frame(at);

	if (frame == NULL || frame->owner != FRAME_FREE)
		return SOCLE_ERROR_OWNER;
	if (ept_hole(service_ept(), gpa(at.v), SOCLE_FRAME_BYTES) != EPT_OK)
		return SOCLE_ERROR_LIMIT;
	pool_set(frame, FRAME_DONATED, domain);
	shootdown();
	paging_map_frame(at);
	return SOCLE_OK;
}

/* Gives a donated frame back, without what was in it. */
static void return_frame(hpa_t at)
{
	memset(paging_pool_address(at), 0, SOCLE_FRAME_BYTES);
	paging_unmap_frame(at);
	pool_set(pool_frame(at), FRAME_FREE, 0);
	ept_map(service_ept(), gpa(at.v), at, SOCLE_FRAME_BYTES, EPT_ALL, MEMORY_WB);
}

static void use_frame(struct domain *domain, hpa_t at)
{
	domain->donated[domain->donated_count++] = at;
	domain->arena = (struct page_arena){
		.virtual = (uint64_t)paging_pool_address(at),
		.physical = at,
		.count = SOCLE_FRAME_BYTES / PAGE_BYTES,
	};
}

/* Calls with the root key
 * ----------------------------------------------------------------------------- */

static struct domain *find(uint64_t number)
{
	return number < SOCLE_MAX_DOMAINS ? domains[number] : NULL;
}

static int64_t create_locked(struct vcpu_registers *regs)
{
	hpa_t frame = frame_address(regs->rdx);
	struct domain *domain;
	int64_t error;
	uint16_t id = 1;

	if (arch->guest_init == NULL)
		return SOCLE_ERROR_CALL;
	while (id < SOCLE_MAX_DOMAINS && domains[id] != NULL)
		id++;
	if (id == SOCLE_MAX_DOMAINS)
		return SOCLE_ERROR_LIMIT;
	error = take_frame(frame, id);
	if (error != SOCLE_OK)
		return error;

	domain = paging_pool_address(frame);
	memset(domain, 0, align_up(sizeof(*domain), PAGE_BYTES));
	use_frame(domain, frame);
	domain->arena.next = align_up(sizeof(*domain), PAGE_BYTES) / PAGE_BYTES;
	domain->id = id;
	domain->state = DOMAIN_ALIVE;
	domain->key = random_key();
	ept_init(&domain->memory, arch->ept_format, &domain->arena, service_ept()->pages_1g);
	__atomic_store_n(&domains[id], domain, __ATOMIC_RELEASE);

	regs->rdi = id;
	regs->rsi = domain->key.word[0];
	regs->rdx = domain->key.word[1];
	regs->r10 = regs->r8 = regs->r9 = 0;
	return SOCLE_OK;
}

static int64_t donate_locked(struct vcpu_registers *regs)
{
	struct domain *domain = find(regs->rdx);
	int64_t error;

	if (domain == NULL || domain->state != DOMAIN_ALIVE)
		return SOCLE_ERROR_DOMAIN;
	if (domain->donated_count == DOMAIN_MAX_DONATED)
		return SOCLE_ERROR_LIMIT;
	error = take_frame(frame_address(regs->r10), (uint16_t)domain->id);
	if (error == SOCLE_OK)
		use_frame(domain, frame_address(regs->r10));
	return error;
}

static int64_t assign_locked(struct vcpu_registers *regs)
{
	struct domain *domain = find(regs->rdx);
	uint64_t first = regs->r10, count = regs->r8;

	if (domain == NULL || domain->state != DOMAIN_ALIVE)
		return SOCLE_ERROR_DOMAIN;
	if (count == 0 || count > ASSIGN_LIMIT)
		return SOCLE_ERROR_ARGUMENT;
	for (uint64_t i = 0; i < count; i++) {
		struct frame *frame = pool_frame(frame_address(first + i));

		if (frame == NULL || frame->owner != FRAME_FREE)
			return SOCLE_ERROR_OWNER;
	}
	for (uint64_t i = 0; i < count; i++)
		pool_set(pool_frame(frame_address(first + i)), FRAME_ASSIGNED,
			 (uint16_t)domain->id);
	domain->assigned += count;
	return SOCLE_OK;
}

/* Frees assigned frames, a bounded number a call. True: all are free. */
static bool free_assigned(struct domain *domain)
{
	bool unmapped = false;

	for (unsigned looked = 0; looked < SCAN_LIMIT && domain->assigned != 0; looked++) {
		hpa_t at = pool_frame_address(domain->scan++);
		struct frame *frame = pool_frame(at);

		if (frame->owner != FRAME_ASSIGNED || frame->domain != domain->id)
			continue;
		if (frame->shared) {
			paging_unmap_frame(at);
			unmapped = true;
		}
		pool_set(frame, FRAME_FREE, 0);
		domain->assigned--;
	}
	if (unmapped)
		shootdown(); /* no CPU walks the domain's page table for it any more */
	return domain->assigned == 0;
}

/*
 * Step by step: nobody finds the domain by its key any more; its vCPUs have left; its guest's
 * memory is free; its metadata is scrubbed and free.
 */
static int64_t destroy_locked(struct vcpu_registers *regs)
{
	struct domain *domain = find(regs->rdx);
	uint32_t count;
	hpa_t first;

	if (domain == NULL)
		return SOCLE_ERROR_DOMAIN;
	__atomic_store_n(&domain->state, DOMAIN_DYING, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&domain->users, __ATOMIC_SEQ_CST) != 0) {
		shootdown(); /* whoever runs a vCPU leaves it */
		return SOCLE_AGAIN;
	}
	if (domain->scan == 0)
		shootdown(); /* no CPU caches the guest's translations, or holds a pointer to it */
	if (!free_assigned(domain))
		return SOCLE_AGAIN;
	/* One donated frame a call: scrubbing takes its time. The first, the domain's own, is last.
	 */
	count = domain->donated_count;
	if (count > 1) {
		return_frame(domain->donated[--domain->donated_count]);
		shootdown(); /* of the hole that it was */
		return SOCLE_AGAIN;
	}
	first = domain->donated[0];
	__atomic_store_n(&domains[domain->id], NULL, __ATOMIC_RELEASE);
	shootdown();
	return_frame(first);
	shootdown();
	return SOCLE_OK;
}

static int64_t info_locked(struct vcpu_registers *regs)
{
	struct domain *domain = find(regs->rdx);

	if (domain == NULL)
		return SOCLE_ERROR_DOMAIN;
	regs->rdi = domain->vcpu_count;
	regs->rsi = domain->donated_count;
	regs->rdx = domain->assigned;
	regs->r10 = (domain->donated_count - 1) * (uint64_t)SOCLE_FRAME_BYTES +
		    domain->arena.next * PAGE_BYTES;
	regs->r8 = regs->r9 = 0;
	return SOCLE_OK;
}

/* Calls with the domain's key
 * ---------------------------------------------------------------------------- */

const uint64_t *domain_exits(uint64_t number, uint64_t index)
{
	const struct domain *domain;
	const struct vcpu *vcpu;

	if (number >= SOCLE_MAX_DOMAINS || index >= SOCLE_MAX_VCPUS)
		return NULL;
	domain = __atomic_load_n(&domains[number], __ATOMIC_ACQUIRE);
	/* One that is dying may have given back the frame that the vCPU was in. */
	if (domain == NULL || !domain_is_alive(domain))
		return NULL;
	vcpu = __atomic_load_n(&domain->vcpu[index], __ATOMIC_ACQUIRE);
	return vcpu != NULL ? vcpu->exits : NULL;
}

/* The caller's domain again, now under the lock, unless it is going away. */
static struct domain *alive(const struct vcpu_registers *regs)
{
	struct domain *domain = domain_find(regs->rdx, regs->rdi, regs->rsi);

	return domain != NULL && domain->state == DOMAIN_ALIVE ? domain : NULL;
}

static int64_t from_ept_error(enum ept_error error)
{
	return error == EPT_NO_PAGE ? SOCLE_ERROR_MEMORY : SOCLE_ERROR_ARGUMENT;
}

static int64_t map_locked(struct vcpu_registers *regs)
{
	struct domain *domain = alive(regs);
	uint64_t to = align_down(regs->r8, PAGE_BYTES);
	uint64_t bytes = min_u64(regs->r9, MAP_LIMIT);
	uint64_t access = regs->r8 % PAGE_BYTES;
	enum ept_error error;

	if (domain == NULL)
		return SOCLE_ERROR_DOMAIN;
	if ((regs->r10 | bytes) % PAGE_BYTES != 0 || bytes == 0 || !(access & SOCLE_ACCESS_READ) ||
	    access > EPT_ALL || regs->r10 >= GUEST_ADDRESS_END ||
	    bytes > GUEST_ADDRESS_END - regs->r10)
		return SOCLE_ERROR_ARGUMENT;
	if (!pool_is_assigned(hpa(to), bytes, (uint16_t)domain->id))
		return SOCLE_ERROR_OWNER;
	if (!ept_is_free(&domain->memory, gpa(regs->r10), bytes))
		return SOCLE_ERROR_BUSY;
	/* Processors do not cache that something is absent: nobody has to be told. */
	error = ept_map(&domain->memory, gpa(regs->r10), hpa(to), bytes, (uint32_t)access,
			MEMORY_WB);
	if (error == EPT_OK)
		return (int64_t)bytes;
	ept_unmap(&domain->memory, gpa(regs->r10), bytes); /* all or nothing */
	if (domain->vcpu_count != 0)
		shootdown();
	return from_ept_error(error);
}

static int64_t unmap_locked(struct vcpu_registers *regs)
{
	struct domain *domain = alive(regs);
	uint64_t bytes = min_u64(regs->r8, MAP_LIMIT);
	enum ept_error error;

	if (domain == NULL)
		return SOCLE_ERROR_DOMAIN;
	if ((regs->r10 | bytes) % PAGE_BYTES != 0 || bytes == 0 || regs->r10 >= GUEST_ADDRESS_END ||
	    bytes > GUEST_ADDRESS_END - regs->r10)
		return SOCLE_ERROR_ARGUMENT;
	error = ept_unmap(&domain->memory, gpa(regs->r10), bytes);
	shootdown();
	return error == EPT_OK ? (int64_t)bytes : from_ept_error(error);
}

static int64_t dirty_log_locked(struct vcpu_registers *regs)
{
	struct domain *domain = alive(regs);
	struct socle_dirty_bits dirty = {{0}};
	uint64_t bytes = min_u64(regs->r8, SOCLE_DIRTY_PAGES * PAGE_BYTES), done;

	if (domain == NULL)
		return SOCLE_ERROR_DOMAIN;
	if ((regs->r10 | bytes) % PAGE_BYTES != 0 || regs->r10 >= GUEST_ADDRESS_END ||
	    bytes > GUEST_ADDRESS_END - regs->r10 || regs->r9 > SOCLE_DIRTY_FLUSH)
		return SOCLE_ERROR_ARGUMENT;
	done = ept_take_dirty(&domain->memory, gpa(regs->r10), bytes, dirty.word);
	if (regs->r9 & SOCLE_DIRTY_FLUSH)
		shootdown();
	if (done == 0 && bytes != 0)
		return SOCLE_ERROR_MEMORY;
	regs->rdi = dirty.word[0];
	regs->rsi = dirty.word[1];
	regs->rdx = dirty.word[2];
	regs->r10 = dirty.word[3];
	regs->r8 = dirty.word[4];
	regs->r9 = dirty.word[5];
	return (int64_t)done;
}

/* Takes pages that follow each other; NULL: the domain's frame does not have as many left. */
static void *take_pages(struct domain *domain, uint64_t count)
{
	void *pages = NULL;
	hpa_t physical;

	if (domain->arena.count - domain->arena.next < count)
		return NULL;
	for (uint64_t i = 0; i < count; i++) {
		void *page = page_arena_take(&domain->arena, &physical);

		if (i == 0)
			pages = page;
	}
	return pages;
}

/* Bytes of an XSAVE area for all that this CPU has (SDM volume 1, section 13.2). */
static uint64_t fpu_bytes(void)
{
	return cpuid(1, 0).ecx & (1u << 26) ? cpuid(0xd, 0).ecx : 512;
}

static int64_t vcpu_create_locked(struct vcpu_registers *regs)
{
	struct domain *domain = alive(regs);
	hpa_t area = hpa(regs->r8);
	uint64_t fpu_pages = align_up(fpu_bytes(), PAGE_BYTES) / PAGE_BYTES;
	struct vcpu *vcpu;
	void *table;

	_Static_assert(sizeof(struct vcpu) <= PAGE_BYTES, "struct vcpu");
	if (domain == NULL)
		return SOCLE_ERROR_DOMAIN;
	if (regs->r10 >= SOCLE_MAX_VCPUS || area.v % SOCLE_VCPU_AREA_BYTES != 0)
		return SOCLE_ERROR_ARGUMENT;
	if (!pool_is_assigned(area, SOCLE_VCPU_AREA_BYTES, (uint16_t)domain->id))
		return SOCLE_ERROR_OWNER;
	if (domain->vcpu[regs->r10] != NULL)
		return SOCLE_ERROR_BUSY;
	/* vCPU, control block, page table for the area, FPU state */
	vcpu = take_pages(domain, 3 + fpu_pages);
	if (vcpu == NULL)
		return SOCLE_ERROR_MEMORY;
	vcpu->control = (uint8_t *)vcpu + PAGE_BYTES;
	vcpu->control_pa = paging_pool_physical(vcpu->control);
	table = (uint8_t *)vcpu + 2 * PAGE_BYTES;
	vcpu->fpu = (uint8_t *)vcpu + 3 * PAGE_BYTES;
	paging_map_pages(area, SOCLE_VCPU_AREA_BYTES, &table);
	pool_frame(area)->shared = 1;
	vcpu->area = paging_pool_address(area);
	vcpu->regs = (struct vcpu_registers *)&vcpu->area->rax;
	vcpu->handlers = guest_handlers;
	vcpu->domain = domain;
	vcpu->number = (uint32_t)regs->r10;
	if (!arch->guest_init(vcpu, &domain->memory))
		return SOCLE_ERROR_MEMORY; /* its pages come back with the domain's others */
	__atomic_store_n(&domain->vcpu[vcpu->number], vcpu, __ATOMIC_RELEASE);
	domain->vcpu_count++;
	return SOCLE_OK;
}

#define LOCKED(name)                                                                               \
	int64_t domain_##name(struct vcpu_registers *regs)                                         \
	{                                                                                          \
		int64_t result;                                                                    \
                                                                                                   \
		spin_lock_answering(&domains_lock);                                                \
		result = name##_locked(regs);                                                      \
		spin_unlock(&domains_lock);                                                        \
		return result;                                                                     \
	}
LOCKED(create)
LOCKED(donate)
LOCKED(assign)
LOCKED(destroy)
LOCKED(info)
LOCKED(map)
LOCKED(unmap)
LOCKED(dirty_log)
LOCKED(vcpu_create)
