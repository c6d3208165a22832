/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that touch memory-mapped registers, which somebody carries out in the processor's
 * place: each does to a device's register what it does to memory, registers and flags included.
 */
#include "lib/guest.h"
#include "mmio.h"

const char guest_name[] = "mmio";

#define ECAM	 0xe0000000ull
#define SLOTS	 32u
#define COMMAND	 0x04u
#define BAR	 0x10u
#define BAR_TYPE 7u /* memory, and its width */
#define BAR_64	 4u

#define MEMORY 0x8877665544332211ull
#define RAX    0x9122334455667798ull
#define RDX    0x0fedcba987654321ull
#define RCX    13ull

static uint64_t ram[2] __attribute__((aligned(16)));
/* A register of four bytes that can be accessed in any width: the upper half of a 64-bit BAR. */
static uint64_t narrow;
static unsigned wrong, forms;

/* The bus's devices do not decode addresses meanwhile. */
static bool find_register(void)
{
	for (unsigned slot = 1; slot < SLOTS; slot++) {
		uint64_t at = ECAM + (slot << 15);

		if ((mmio_read(at) & 0xffff) == 0xffff)
			continue;
		for (unsigned bar = 0; bar < 5; bar++) {
			if ((mmio_read(at + BAR + 4 * bar) & BAR_TYPE) != BAR_64)
				continue;
			mmio_write(at + COMMAND, mmio_read(at + COMMAND) & 0xfffc);
			narrow = at + BAR + 4 * bar + 4;
			return true;
		}
	}
	return false;
}

struct outcome mmio_begin(bool device, unsigned bytes)
{
	struct outcome o = {RAX, RDX, RCX, FLAG_FIXED | RFLAGS_CF, 0, 0};

	if (!device)
		o.at = (uint64_t)ram;
	else
		o.at = bytes == 8 ? HPET_COMPARATOR(0) : narrow;
	if (bytes == 8)
		mmio_write64(o.at, MEMORY);
	else
		mmio_write(o.at, (uint32_t)MEMORY);
	return o;
}

void mmio_end(struct outcome *o, unsigned bytes)
{
	o->memory = bytes == 8 ? mmio_read64(o->at) : mmio_read(o->at);
}

void mmio_compare(const char *name, const struct outcome *ram_one, const struct outcome *device,
		  uint64_t flags)
{
	forms++;
	if (ram_one->memory == device->memory && ram_one->rax == device->rax &&
	    ram_one->rdx == device->rdx && ram_one->rcx == device->rcx &&
	    ((ram_one->flags ^ device->flags) & flags) == 0)
		return;
	wrong++;
	say("# %s: memory %x %x, RAX %x %x,", name, ram_one->memory, device->memory, ram_one->rax,
	    device->rax);
	say(" RDX %x %x, RCX %x %x, flags %x %x\n", ram_one->rdx, device->rdx, ram_one->rcx,
	    device->rcx, ram_one->flags & flags, device->flags & flags);
}

/* Each of the following functions is a family of forms; the count keeps one from being lost. */
static void family(const char *name, void (*run)(void), unsigned expected)
{
	wrong = forms = 0;
	run();
	check_equal(name, 0, wrong);
	if (forms != expected)
		check_equal("number of forms", expected, forms);
}

/* Moves ---------------------------------------------------------------------------------------- */

#define MOVE(s, reg, bytes)                                                                        \
	FORM("mov" s " to", bytes, "mov" s " %%" reg ", (%%rdi)", FLAGS_ALL);                      \
	FORM("mov" s " from", bytes, "mov" s " (%%rdi), %%" reg, FLAGS_ALL);                       \
	FORM("mov" s " of an immediate", bytes, "mov" s " $0x5a, (%%rdi)", FLAGS_ALL);             \
	FORM("mov" s " with an index", bytes, "mov" s " -26(%%rdi, %%rcx, 2), %%" reg, FLAGS_ALL)

static void moves(void)
{
	MOVE("b", "al", 1);
	MOVE("w", "ax", 2);
	MOVE("l", "eax", 4);
	MOVE("q", "rax", 8);
	FORM("movb to AH", 1, "movb (%%rdi), %%ah", FLAGS_ALL);
	FORM("movb from DH", 1, "movb %%dh, (%%rdi)", FLAGS_ALL);
	FORM("movw of SS", 2, "movw %%ss, (%%rdi)", FLAGS_ALL);
	FORM("movnti, 32 bits", 4, "movnti %%eax, (%%rdi)", FLAGS_ALL);
	FORM("movnti, 64 bits", 8, "movnti %%rax, (%%rdi)", FLAGS_ALL);
}

#define EXTEND(suffix, bytes, reg)                                                                 \
	FORM("movz" suffix, bytes, "movz" suffix " 1(%%rdi), %%" reg, FLAGS_ALL);                  \
	FORM("movs" suffix, bytes, "movs" suffix " 1(%%rdi), %%" reg, FLAGS_ALL)

static void extensions(void)
{
	EXTEND("bw", 1, "ax");
	EXTEND("bl", 1, "eax");
	EXTEND("bq", 1, "rax");
	EXTEND("wl", 2, "eax");
	EXTEND("wq", 2, "rax");
	FORM("movslq", 4, "movslq (%%rdi), %%rax", FLAGS_ALL);
	FORM("setc", 1, "setc (%%rdi)", FLAGS_ALL);
	FORM("setnc", 1, "setnc (%%rdi)", FLAGS_ALL);
	FORM("cmovc", 4, "cmovcl (%%rdi), %%eax", FLAGS_ALL);
	FORM("cmovnc", 4, "cmovncl (%%rdi), %%eax", FLAGS_ALL);
	FORM("cmovnc, 64 bits", 8, "cmovncq (%%rdi), %%rax", FLAGS_ALL);
}

/* Arithmetic ----------------------------------------------------------------------------------- */

#define ALU_SIZE(op, s, reg, bytes, flags)                                                         \
	FORM(op s " to", bytes, op s " %%" reg ", (%%rdi)", flags);                                \
	FORM(op s " from", bytes, op s " (%%rdi), %%" reg, flags);                                 \
	FORM(op s " of an immediate", bytes, op s " $0x71, (%%rdi)", flags)
#define ALU(op, flags)                                                                             \
	ALU_SIZE(op, "b", "al", 1, flags);                                                         \
	ALU_SIZE(op, "w", "ax", 2, flags);                                                         \
	ALU_SIZE(op, "l", "eax", 4, flags);                                                        \
	ALU_SIZE(op, "q", "rax", 8, flags)

static void additions(void)
{
	ALU("add", FLAGS_ALL);
	ALU("adc", FLAGS_ALL);
}

static void subtractions(void)
{
	ALU("sub", FLAGS_ALL);
	ALU("sbb", FLAGS_ALL);
}

static void comparisons(void)
{
	ALU("cmp", FLAGS_ALL);
	ALU("test", FLAGS_LOGIC);
}

static void logic(void)
{
	ALU("and", FLAGS_LOGIC);
	ALU("or", FLAGS_LOGIC);
	ALU("xor", FLAGS_LOGIC);
	FORM("lock xorl", 4, "lock xorl %%eax, (%%rdi)", FLAGS_LOGIC);
	FORM("lock orb", 1, "lock orb $0x80, (%%rdi)", FLAGS_LOGIC);
}

#define UNARY(s, bytes)                                                                            \
	FORM("inc" s, bytes, "inc" s " (%%rdi)", FLAGS_ALL);                                       \
	FORM("dec" s, bytes, "dec" s " (%%rdi)", FLAGS_ALL);                                       \
	FORM("neg" s, bytes, "neg" s " (%%rdi)", FLAGS_ALL);                                       \
	FORM("not" s, bytes, "not" s " (%%rdi)", FLAGS_ALL);                                       \
	FORM("shl" s, bytes, "shl" s " $1, (%%rdi)", FLAGS_LOGIC);                                 \
	FORM("shr" s, bytes, "shr" s " $1, (%%rdi)", FLAGS_LOGIC);                                 \
	FORM("sar" s, bytes, "sar" s " $1, (%%rdi)", FLAGS_LOGIC);                                 \
	FORM("rol" s, bytes, "rol" s " $1, (%%rdi)", FLAGS_ALL);                                   \
	FORM("ror" s, bytes, "ror" s " $1, (%%rdi)", FLAGS_ALL)

static void unary(void)
{
	UNARY("b", 1);
	UNARY("w", 2);
	UNARY("l", 4);
	UNARY("q", 8);
}

/* Exchanges, bits, the stack ------------------------------------------------------------------- */

#define EXCHANGE(s, a, d, bytes)                                                                   \
	FORM("xchg" s, bytes, "xchg" s " %%" a ", (%%rdi)", FLAGS_ALL);                            \
	FORM("xadd" s, bytes, "lock xadd" s " %%" a ", (%%rdi)", FLAGS_ALL);                       \
	FORM("cmpxchg" s, bytes, "lock cmpxchg" s " %%" d ", (%%rdi)", FLAGS_ALL);                 \
	FORM("cmpxchg" s ", equal", bytes,                                                         \
	     "mov" s " (%%rdi), %%" a "; lock cmpxchg" s " %%" d ", (%%rdi)", FLAGS_ALL)

static void exchanges(void)
{
	EXCHANGE("b", "al", "dl", 1);
	EXCHANGE("w", "ax", "dx", 2);
	EXCHANGE("l", "eax", "edx", 4);
	EXCHANGE("q", "rax", "rdx", 8);
}

#define BIT(op)                                                                                    \
	FORM(op "w", 2, op "w $5, (%%rdi)", RFLAGS_CF);                                            \
	FORM(op "l", 4, op "l $31, (%%rdi)", RFLAGS_CF);                                           \
	FORM(op "q", 8, op "q $63, (%%rdi)", RFLAGS_CF);                                           \
	FORM(op "l by a register", 4, op "l %%ecx, (%%rdi)", RFLAGS_CF);                           \
	FORM(op "l behind", 4, "addl $32, %%ecx; " op "l %%ecx, -4(%%rdi)", RFLAGS_CF);            \
	FORM(op "q before", 8, "subq $64, %%rcx; " op "q %%rcx, 8(%%rdi)", RFLAGS_CF)

static void bits(void)
{
	BIT("bt");
	BIT("bts");
	BIT("btr");
	BIT("btc");
}

static void stack(void)
{
	FORM("pushq", 8, "pushq (%%rdi); popq %%rax", FLAGS_ALL);
	FORM("popq", 8, "pushq %%rax; popq (%%rdi)", FLAGS_ALL);
	FORM("call through it", 8,
	     "leaq 1f(%%rip), %%rax; movq %%rax, (%%rdi); call *(%%rdi); jmp 2f\n"
	     "1: incl %%edx; ret\n2: movq $0, (%%rdi); xorl %%eax, %%eax",
	     FLAGS_NONE);
	FORM("jmp through it", 8,
	     "leaq 1f(%%rip), %%rax; movq %%rax, (%%rdi); jmp *(%%rdi)\n"
	     "hlt\n1: incl %%edx; movq $0, (%%rdi); xorl %%eax, %%eax",
	     FLAGS_NONE);
}

/* A processor that is not to be trusted with memory-mapped registers may still use them. ---------
 */

static volatile uint64_t user_found;

static void user_code(void)
{
	*(volatile uint64_t *)HPET_COMPARATOR(1) = 0x1234567;
	__asm__ volatile("lock addl $1, (%0)" : : "r"(HPET_COMPARATOR(1)) : "memory", "cc");
	user_found = *(volatile uint32_t *)HPET_COMPARATOR(1);
	__asm__ volatile("int $0x80");
}

static void user_denied(void)
{
	user_found = *(volatile uint32_t *)WINDOW;
	__asm__ volatile("int $0x80");
}

static void test_user(void)
{
	check_equal("at CPL 3: it ends by itself", 0x80, user_run(user_code).vector);
	check_equal("at CPL 3: what was written", 0x1234568, user_found);
	check_equal("at CPL 3: seen from here", 0x1234568, mmio_read(HPET_COMPARATOR(1)));
	window_map(0, HPET | PAGE_PRESENT | PAGE_WRITE);
	check_trap("at CPL 3: a page that is not the user's", user_run(user_denied), VECTOR_PF, 5);
}

/* Pages: a device beside RAM, a device beside nothing, and one that may not be written. */
static void test_pages(void)
{
	uint8_t *device = window_map(4, HPET | PAGE_PRESENT | PAGE_WRITE);
	uint8_t *memory = window_map(5, (uint64_t)ram_page | PAGE_PRESENT | PAGE_WRITE);
	struct trap trap;
	uint64_t value = 0;

	*(uint32_t *)ram_page = 0x01234567;
	check_equal("half a device, half RAM: read", 0x01234567ffffffff,
		    mmio_read64((uint64_t)memory - 4));
	mmio_write64((uint64_t)memory - 4, 0x89abcdef00000000);
	check_equal("half a device, half RAM: written", 0x89abcdef, *(uint32_t *)ram_page);
	window_map(5, 0);
	trap = TRY("movq (%1), %0", : "+r"(value) : "r"(memory - 4) : "memory");
	check_trap("half a device, half nothing", trap, VECTOR_PF, 0);
	check_equal("its CR2", (uint64_t)memory, trap.cr2);
	window_map(4, HPET | PAGE_PRESENT);
	mmio_write64(HPET_COMPARATOR(0), MEMORY);
	trap = TRY("incl (%0)", : : "r"(device + 0x108) : "memory", "cc");
	check_trap("a page that is not to be written", trap, VECTOR_PF, 3);
	check_equal("and it was not", MEMORY, mmio_read64(HPET_COMPARATOR(0)));
}

void guest_test(void)
{
	mmio_write(HPET + 0x10, 0);
	mmio_write64(HPET_TIMER(0), 0);
	if (!check_true("a register that can be accessed in bytes", find_register()))
		return;
	family("MOV", moves, 21);
	family("MOVZX, MOVSX, SETcc, CMOVcc", extensions, 16);
	family("ADD, ADC", additions, 24);
	family("SUB, SBB", subtractions, 24);
	family("CMP, TEST", comparisons, 24);
	family("AND, OR, XOR", logic, 38);
	family("INC, DEC, NEG, NOT, shifts", unary, 36);
	family("XCHG, XADD, CMPXCHG", exchanges, 16);
	family("BT, BTS, BTR, BTC", bits, 24);
	family("PUSH, POP, CALL, JMP", stack, 4);
	mmio_test_strings();
	mmio_test_vectors();
	test_user();
	test_pages();
}
