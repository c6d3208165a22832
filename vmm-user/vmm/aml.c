/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm-user/vmm/aml.h"

#include <string.h>

/* Opcodes (ACPI 6.4, table 20.2). */
#define AML_ZERO	  0x00
#define AML_ONE		  0x01
#define AML_NAME	  0x08
#define AML_BYTE_PREFIX	  0x0a
#define AML_WORD_PREFIX	  0x0b
#define AML_DWORD_PREFIX  0x0c
#define AML_STRING_PREFIX 0x0d
#define AML_QWORD_PREFIX  0x0e
#define AML_SCOPE	  0x10
#define AML_BUFFER	  0x11
#define AML_PACKAGE	  0x12
#define AML_METHOD	  0x14
#define AML_EXTENDED	  0x5b
#define AML_DEVICE	  0x82
#define AML_IF		  0xa0
#define AML_ELSE	  0xa1

/* Resource descriptors (section 6.4). */
#define CRS_IO	     0x47 /* small, 7 bytes */
#define CRS_IRQ	     0x22 /* small, 2 bytes: edge, active high, not shared */
#define CRS_END	     0x79
#define CRS_MEMORY32 0x86
#define CRS_WORD     0x88
#define CRS_DWORD    0x87
#define CRS_QWORD    0x8a
/* Flags of an address space: producer, positive decode, minimum and maximum fixed. */
#define WINDOW_FLAGS 0x0c
#define WINDOW_BUS   2
#define WINDOW_PORTS 1

bool aml_good(const struct aml *aml)
{
	return !aml->wrong && aml->depth == 0;
}

void aml_raw(struct aml *aml, const void *bytes, size_t count)
{
	if (aml->wrong || count > aml->room - aml->bytes) {
		aml->wrong = true;
		return;
	}
	memcpy(aml->at + aml->bytes, bytes, count);
	aml->bytes += count;
}

void aml_byte(struct aml *aml, uint8_t byte)
{
	aml_raw(aml, &byte, 1);
}

void aml_field(struct aml *aml, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		aml_byte(aml, (uint8_t)(value >> 8 * i));
}

void aml_integer(struct aml *aml, uint64_t value)
{
	if (value <= 1) {
		aml_byte(aml, value ? AML_ONE : AML_ZERO);
	} else if (value <= 0xff) {
		aml_byte(aml, AML_BYTE_PREFIX);
		aml_field(aml, value, 1);
	} else if (value <= 0xffff) {
		aml_byte(aml, AML_WORD_PREFIX);
		aml_field(aml, value, 2);
	} else if (value <= 0xffffffff) {
		aml_byte(aml, AML_DWORD_PREFIX);
		aml_field(aml, value, 4);
	} else {
		aml_byte(aml, AML_QWORD_PREFIX);
		aml_field(aml, value, 8);
	}
}

void aml_string(struct aml *aml, const char *text)
{
	aml_byte(aml, AML_STRING_PREFIX);
	aml_raw(aml, text, strlen(text) + 1);
}

void aml_segment(struct aml *aml, const char *name)
{
	aml_raw(aml, name, strlen(name));
}

void aml_name(struct aml *aml, const char *name)
{
	aml_byte(aml, AML_NAME);
	aml_segment(aml, name);
}

void aml_name_integer(struct aml *aml, const char *name, uint64_t value)
{
	aml_name(aml, name);
	aml_integer(aml, value);
}

static unsigned hex_digit(char digit)
{
	return (unsigned)(digit <= '9' ? digit - '0' : digit - 'A' + 10);
}

void aml_eisa(struct aml *aml, const char *id)
{
	uint32_t value = 0;

	/* Three letters of five bits, four digits; the bytes from the highest on (section 19.3.4).
	 */
	for (unsigned i = 0; i < 3; i++)
		value = value << 5 | (uint32_t)(id[i] - '@');
	for (unsigned i = 3; i < 7; i++)
		value = value << 4 | hex_digit(id[i]);
	aml_byte(aml, AML_DWORD_PREFIX);
	aml_field(aml, __builtin_bswap32(value), 4);
}

static void open_package(struct aml *aml)
{
	if (aml->depth == AML_DEPTH) {
		aml->wrong = true;
		return;
	}
	aml->open[aml->depth++] = aml->bytes;
}

void aml_close(struct aml *aml)
{
	size_t start, length;
	uint8_t lead[4];
	unsigned more;

	if (aml->wrong || aml->depth == 0) {
		aml->wrong = true;
		return;
	}
	start = aml->open[--aml->depth];
	length = aml->bytes - start;
	/* The length counts itself (section 20.2.4). */
	more = length + 1 < 0x40 ? 0 : length + 2 < 0x1000 ? 1 : 2;
	length += 1 + more;
	if (length >= 0x100000 || 1 + more > aml->room - aml->bytes) {
		aml->wrong = true;
		return;
	}
	lead[0] = (uint8_t)(more == 0 ? length : more << 6 | (length & 15));
	lead[1] = (uint8_t)(length >> 4);
	lead[2] = (uint8_t)(length >> 12);
	memmove(aml->at + start + 1 + more, aml->at + start, aml->bytes - start);
	memcpy(aml->at + start, lead, 1 + more);
	aml->bytes += 1 + more;
}

void aml_scope(struct aml *aml, const char *name)
{
	aml_byte(aml, AML_SCOPE);
	open_package(aml);
	aml_segment(aml, name);
}

void aml_device(struct aml *aml, const char *name)
{
	aml_byte(aml, AML_EXTENDED);
	aml_byte(aml, AML_DEVICE);
	open_package(aml);
	aml_segment(aml, name);
}

void aml_method(struct aml *aml, const char *name, unsigned arguments)
{
	aml_byte(aml, AML_METHOD);
	open_package(aml);
	aml_segment(aml, name);
	aml_byte(aml, (uint8_t)arguments);
}

void aml_package(struct aml *aml, unsigned elements)
{
	aml_byte(aml, AML_PACKAGE);
	open_package(aml);
	aml_byte(aml, (uint8_t)elements);
}

void aml_if(struct aml *aml)
{
	aml_byte(aml, AML_IF);
	open_package(aml);
}

void aml_else(struct aml *aml)
{
	aml_byte(aml, AML_ELSE);
	open_package(aml);
}

void aml_buffer(struct aml *aml, unsigned bytes)
{
	aml_byte(aml, AML_BUFFER);
	open_package(aml);
	aml_integer(aml, bytes);
}

/* The buffer's size is not known yet: a word, filled in at the end. */
void aml_crs(struct aml *aml)
{
	aml_name(aml, "_CRS");
	aml_byte(aml, AML_BUFFER);
	open_package(aml);
	aml_byte(aml, AML_WORD_PREFIX);
	aml_field(aml, 0, 2);
}

void aml_crs_end(struct aml *aml)
{
	size_t size;
	uint8_t *at;

	aml_byte(aml, CRS_END);
	aml_byte(aml, 0); /* no checksum */
	if (aml->wrong || aml->depth == 0) {
		aml->wrong = true;
		return;
	}
	at = aml->at + aml->open[aml->depth - 1] + 1;
	size = (size_t)(aml->at + aml->bytes - (at + 2));
	at[0] = (uint8_t)size;
	at[1] = (uint8_t)(size >> 8);
	aml_close(aml);
}

void aml_crs_io(struct aml *aml, uint16_t port, uint8_t bytes)
{
	aml_byte(aml, CRS_IO);
	aml_byte(aml, 1); /* 16 address bits */
	aml_field(aml, port, 2);
	aml_field(aml, port, 2);
	aml_byte(aml, 1);
	aml_byte(aml, bytes);
}

void aml_crs_irq(struct aml *aml, unsigned irq)
{
	aml_byte(aml, CRS_IRQ);
	aml_field(aml, 1u << irq, 2);
}

void aml_crs_memory(struct aml *aml, uint32_t base, uint32_t bytes)
{
	aml_byte(aml, CRS_MEMORY32);
	aml_field(aml, 9, 2);
	aml_byte(aml, 1); /* read and write */
	aml_field(aml, base, 4);
	aml_field(aml, bytes, 4);
}

void aml_crs_window(struct aml *aml, unsigned type, unsigned width, uint64_t base, uint64_t last)
{
	/* Ports: the whole range; memory: read and write, not cacheable. */
	static const uint8_t specific[] = {1, 3, 0};

	aml_byte(aml, width == 2 ? CRS_WORD : width == 4 ? CRS_DWORD : CRS_QWORD);
	aml_field(aml, 3 + 5 * width, 2);
	aml_byte(aml, (uint8_t)type);
	aml_byte(aml, WINDOW_FLAGS);
	aml_byte(aml, specific[type]);
	aml_field(aml, 0, width); /* granularity */
	aml_field(aml, base, width);
	aml_field(aml, last, width);
	aml_field(aml, 0, width); /* translation */
	aml_field(aml, last - base + 1, width);
}
