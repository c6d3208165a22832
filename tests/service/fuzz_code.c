// SPDX-License-Identifier: BSD-2-Clause
#include "fuzz_code.h"

#include <string.h>

#include "fuzz_guest.h"
#include "service_test.h"

#define TEMPLATE_BYTES 8
#define EMIT_BYTES     24 /* the longest that one step of fuzz_code() writes */
#define EFER	       0xc0000080u
#define PAT	       0x277u
#define EAX	       0
#define ECX	       1
#define EDX	       2
#define EDI	       7

struct writer {
	uint8_t *at;
	unsigned int bits;
	uint64_t base;
	uint64_t *random;
};

/* One instruction; `tail` more bytes are random. */
struct template
{
	uint8_t length, tail;
	uint8_t byte[TEMPLATE_BYTES];
};

#define T(...)                                                                                     \
	{                                                                                          \
		sizeof((uint8_t[]){__VA_ARGS__}), 0,                                               \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define TAIL(tail, ...)                                                                            \
	{                                                                                          \
		sizeof((uint8_t[]){__VA_ARGS__}), tail,                                            \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static const struct template templates[] = {
	T(0x0f, 0xa2),			 /* cpuid */
	T(0xf4),			 /* hlt */
	T(0xfa),			 /* cli */
	T(0xfb),			 /* sti */
	T(0xfb, 0xf4),			 /* sti; hlt */
	T(0xe4, 0x60),			 /* in al, 0x60 */
	T(0xe7, 0x80),			 /* out 0x80, eax */
	T(0xec),			 /* in al, dx */
	T(0xef),			 /* out dx, eax */
	T(0x6c),			 /* insb */
	T(0x6f),			 /* outsd */
	T(0xf3, 0x6e),			 /* rep outsb */
	T(0xf3, 0x6d),			 /* rep insd */
	T(0xf3, 0xa4),			 /* rep movsb */
	T(0xf3, 0xab),			 /* rep stosd */
	T(0x0f, 0x30),			 /* wrmsr */
	T(0x0f, 0x32),			 /* rdmsr */
	T(0x0f, 0x31),			 /* rdtsc */
	T(0x0f, 0x01, 0xf9),		 /* rdtscp */
	T(0x0f, 0x33),			 /* rdpmc */
	T(0x0f, 0x08),			 /* invd */
	T(0x0f, 0x09),			 /* wbinvd */
	T(0x0f, 0x01, 0xd0),		 /* xgetbv */
	T(0x0f, 0x01, 0xd1),		 /* xsetbv */
	T(0x0f, 0x01, 0xc1),		 /* vmcall */
	T(0x0f, 0x01, 0xd9),		 /* vmmcall */
	T(0x0f, 0x01, 0xd8),		 /* vmrun */
	T(0x0f, 0x01, 0xda),		 /* vmload */
	T(0x0f, 0x01, 0xdb),		 /* vmsave */
	T(0x0f, 0x01, 0xdc),		 /* stgi */
	T(0x0f, 0x01, 0xdd),		 /* clgi */
	T(0x0f, 0x01, 0xde),		 /* skinit */
	T(0x0f, 0x01, 0xdf),		 /* invlpga */
	T(0x0f, 0x01, 0xc2),		 /* vmlaunch */
	T(0x0f, 0x01, 0xc4),		 /* vmxoff */
	T(0x0f, 0x01, 0xd4),		 /* vmfunc */
	T(0xf3, 0x0f, 0xc7, 0x37),	 /* vmxon [edi] */
	T(0x0f, 0xc7, 0x37),		 /* vmptrld [edi] */
	T(0x66, 0x0f, 0x38, 0x80, 0x07), /* invept */
	T(0x66, 0x0f, 0x38, 0x82, 0x07), /* invpcid */
	T(0x0f, 0x37),			 /* getsec */
	T(0x0f, 0x01, 0xc8),		 /* monitor */
	T(0x0f, 0x01, 0xc9),		 /* mwait */
	T(0x0f, 0xaa),			 /* rsm */
	T(0xf3, 0x90),			 /* pause */
	T(0x0f, 0x05),			 /* syscall */
	T(0x0f, 0x07),			 /* sysret */
	T(0x0f, 0x34),			 /* sysenter */
	T(0x0f, 0x35),			 /* sysexit */
	T(0x0f, 0x01, 0xf8),		 /* swapgs */
	T(0xcf),			 /* iret */
	T(0xcc),			 /* int3 */
	T(0xf1),			 /* icebp */
	TAIL(1, 0xcd),			 /* int n */
	T(0x0f, 0x0b),			 /* ud2 */
	T(0xf7, 0xf1),			 /* div ecx */
	T(0x8e, 0xd0),			 /* mov ss, eax */
	T(0x8e, 0xd8),			 /* mov ds, eax */
	T(0x0f, 0x00, 0xd8),		 /* ltr ax */
	T(0x0f, 0x00, 0xd0),		 /* lldt ax */
	T(0x0f, 0x01, 0x17),		 /* lgdt [edi] */
	T(0x0f, 0x01, 0x1f),		 /* lidt [edi] */
	T(0x0f, 0x01, 0x07),		 /* sgdt [edi] */
	T(0x0f, 0x01, 0xf0),		 /* lmsw ax */
	T(0x0f, 0x01, 0x3f),		 /* invlpg [edi] */
	T(0x0f, 0x06),			 /* clts */
	T(0x9c),			 /* pushf */
	T(0x9d),			 /* popf */
	T(0xff, 0x37),			 /* push [edi] */
	T(0xff, 0x2f),			 /* jmp far [edi] */
	T(0xff, 0x1f),			 /* call far [edi] */
	T(0xcb),			 /* retf */
	T(0x89, 0x07),			 /* mov [edi], eax */
	T(0x8b, 0x07),			 /* mov eax, [edi] */
	T(0x88, 0x07),			 /* mov [edi], al */
	T(0xf0, 0x0f, 0xb1, 0x0f),	 /* lock cmpxchg [edi], ecx */
	T(0xf0, 0x0f, 0xc7, 0x0f),	 /* lock cmpxchg8b [edi] */
	T(0x0f, 0xae, 0x07),		 /* fxsave [edi] */
	T(0x0f, 0xae, 0x0f),		 /* fxrstor [edi] */
	T(0x0f, 0xae, 0x27),		 /* xsave [edi] */
	T(0x0f, 0xae, 0x2f),		 /* xrstor [edi] */
	T(0x0f, 0xae, 0x17),		 /* ldmxcsr [edi] */
	T(0xd9, 0x2f),			 /* fldcw [edi] */
	T(0xdb, 0xe3),			 /* fninit */
	T(0xd9, 0xe8),			 /* fld1 */
	T(0xd9, 0xee),			 /* fldz */
	T(0xde, 0xf9),			 /* fdivp */
	T(0x9b),			 /* fwait */
	T(0x0f, 0x10, 0x07),		 /* movups xmm0, [edi] */
	T(0x0f, 0x11, 0x07),		 /* movups [edi], xmm0 */
	T(0xc5, 0xfc, 0x58, 0xc1),	 /* vaddps ymm0, ymm0, ymm1 */
	T(0x0f, 0x01, 0xee),		 /* rdpkru */
	T(0x0f, 0x01, 0xef),		 /* wrpkru */
	T(0x0f, 0x01, 0xca),		 /* clac */
	T(0x0f, 0x20, 0xc0),		 /* mov eax, cr0 */
	T(0x0f, 0x20, 0xe0),		 /* mov eax, cr4 */
	T(0x0f, 0x22, 0xc0),		 /* mov cr0, eax */
	T(0x0f, 0x22, 0xd0),		 /* mov cr2, eax */
	T(0x0f, 0x22, 0xd8),		 /* mov cr3, eax */
	T(0x0f, 0x22, 0xe0),		 /* mov cr4, eax */
	T(0x44, 0x0f, 0x22, 0xc0),	 /* mov cr8, rax */
	T(0x44, 0x0f, 0x20, 0xc0),	 /* mov rax, cr8 */
	T(0x0f, 0x23, 0xc0),		 /* mov dr0, eax */
	T(0x0f, 0x23, 0xf0),		 /* mov dr6, eax */
	T(0x0f, 0x23, 0xf8),		 /* mov dr7, eax */
	T(0x0f, 0x21, 0xf0),		 /* mov eax, dr6 */
	T(0xf3, 0x0f, 0xae, 0xd8),	 /* wrgsbase eax */
	T(0xc7, 0xf8),			 /* xbegin */
	TAIL(1, 0x04),			 /* add al, n */
	TAIL(1, 0xeb),			 /* jmp n */
	TAIL(1, 0x75),			 /* jnz n */
	TAIL(4, 0xe9),			 /* jmp n */
	T(0xeb, 0xfe),			 /* jmp $ */
};

static const uint32_t registers[] = {
	0x10,	    0x1b,	0x3a,	    0x3b,	0x48,	    0x79,	0x8b,
	0xce,	    0xe7,	0xfe,	    0x122,	0x174,	    0x175,	0x176,
	0x179,	    0x186,	0x1a0,	    0x1d9,	0x1f2,	    0x200,	0x250,
	0x277,	    0x2ff,	0x345,	    0x38f,	0x3f1,	    0x480,	0x48b,
	0x570,	    0x600,	0x6a0,	    0x6e0,	0x6e1,	    0xda0,	0xc0000080,
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102,
	0xc0000103, 0xc0000104, 0xc0010010, 0xc0010015, 0xc0010111, 0xc0010114, 0xc0010117,
	0x40000000,
};

static void put(struct writer *w, uint8_t byte)
{
	*w->at++ = byte;
}

/* mov register, value: 32 bits. */
static void put_move(struct writer *w, unsigned int number, uint32_t value)
{
	if (w->bits == 16)
		put(w, 0x66);
	put(w, (uint8_t)(0xb8 + number));
	memcpy(w->at, &value, sizeof(value));
	w->at += sizeof(value);
}

static uint32_t any_register(uint64_t *random)
{
	switch (test_random(random) % 4) {
	case 0:
	case 1:
		return 0x800 + (uint32_t)test_random(random) % 0x40;
	case 2:
		return registers[test_random(random) % (sizeof(registers) / sizeof(registers[0]))];
	default:
		return (uint32_t)fuzz_value(random);
	}
}

/* An access to a model-specific register, with a value that may be a sensible one. */
static void put_msr(struct writer *w)
{
	uint64_t *random = w->random;
	uint32_t number = any_register(random);
	uint32_t low = (uint32_t)fuzz_value(random);

	if (number == EFER && fuzz_spare_qemu)
		number = PAT;
	if (number == 0x830) /* ICR: among a few vCPUs */
		low = (uint32_t)test_random(random) & 0xccfff;
	put_move(w, ECX, number);
	put_move(w, EAX, low);
	put_move(w, EDX, test_random(random) % 2 ? (uint32_t)test_random(random) % 8 : low);
	put(w, 0x0f);
	put(w, test_random(random) % 3 ? 0x30 : 0x32);
}

/* A register that the next instructions use: an address of this guest's, or a value. */
static void put_pointer(struct writer *w)
{
	uint64_t *random = w->random;

	if (test_random(random) % 2)
		put_move(w, EDI, (uint32_t)(w->base + test_random(random) % SOCLE_FRAME_BYTES));
	else
		put_move(w, (unsigned int)test_random(random) % 4, (uint32_t)fuzz_value(random));
}

static void put_control(struct writer *w)
{
	static const uint8_t number[] = {0xc0, 0xe0, 0xd8, 0xf8};
	unsigned int which = (unsigned int)test_random(w->random) % 4;

	/* mov eax, crN; flip a bit; mov crN, eax */
	if (which < 3) {
		put(w, 0x0f);
		put(w, 0x20);
		put(w, number[which]);
	}
	put(w, 0x0f);
	put(w, 0xba);
	put(w, 0xf8); /* btc eax, n */
	put(w, (uint8_t)(test_random(w->random) % 32));
	put(w, 0x0f);
	put(w, which < 3 ? 0x22 : 0x23);
	put(w, number[which]);
}

static void put_template(struct writer *w)
{
	const struct template *t =
		&templates[test_random(w->random) % (sizeof(templates) / sizeof(templates[0]))];

	if (w->bits == 64 && test_random(w->random) % 8 == 0)
		put(w, 0x48);
	for (unsigned int i = 0; i < t->length; i++)
		put(w, t->byte[i]);
	for (unsigned int i = 0; i < t->tail; i++)
		put(w, (uint8_t)test_random(w->random));
}

static void put_noise(struct writer *w)
{
	for (uint64_t i = test_random(w->random) % 8; i != 0; i--)
		put(w, (uint8_t)test_random(w->random));
}

void fuzz_code(uint8_t *to, size_t bytes, unsigned int bits, uint64_t base, uint64_t *random)
{
	static const uint8_t prefix[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x64, 0x65};
	struct writer w = {to, bits, base, random};

	while (w.at + EMIT_BYTES < to + bytes) {
		uint64_t choice = test_random(random) % 32;

		if (choice < 5)
			put_msr(&w);
		else if (choice < 9)
			put_pointer(&w);
		else if (choice < 11)
			put_control(&w);
		else if (choice == 11)
			put_noise(&w);
		else if (choice == 12)
			put(&w, prefix[test_random(random) % sizeof(prefix)]);
		else
			put_template(&w);
	}
	memset(w.at, 0xf4, (size_t)(to + bytes - w.at));
	fuzz_defuse(to, bytes, FUZZ_SPARE_DEBUG);
}
