/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes AML (ACPI 6.4, chapter 20). Packages are opened and closed; what does not fit, or is
 * nested too deep, is remembered and told by aml_good().
 */
#ifndef VMM_AML_H
#define VMM_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH 12

struct aml {
	uint8_t *at;
	size_t bytes, room;
	size_t open[AML_DEPTH]; /* where the open packages' lengths go */
	unsigned depth;
	bool wrong;
};

/* True if everything fitted and all packages are closed. */
bool aml_good(const struct aml *aml);

void aml_raw(struct aml *aml, const void *bytes, size_t count);
void aml_byte(struct aml *aml, uint8_t byte);
/* A value as it stands in resource descriptors, little endian. */
void aml_field(struct aml *aml, uint64_t value, unsigned bytes);
/* Data objects: an integer in its shortest form, a string. */
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text);
/* A name of four characters, or '\' and such a name. */
void aml_segment(struct aml *aml, const char *name);
/* Name (NAME, integer | string | EISA id such as "PNP0501"); the latter two as data follow. */
void aml_name(struct aml *aml, const char *name);
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_eisa(struct aml *aml, const char *id);

/* Each is ended by aml_close(). */
void aml_scope(struct aml *aml, const char *name);
void aml_device(struct aml *aml, const char *name);
void aml_method(struct aml *aml, const char *name, unsigned arguments);
void aml_package(struct aml *aml, unsigned elements);
void aml_if(struct aml *aml); /* the predicate follows */
void aml_else(struct aml *aml);
void aml_buffer(struct aml *aml, unsigned bytes); /* that many bytes follow */
void aml_close(struct aml *aml);

/* Name (_CRS, ResourceTemplate () {...}): the descriptors in between (ACPI 6.4, section 6.4). */
void aml_crs(struct aml *aml);
void aml_crs_end(struct aml *aml);
void aml_crs_io(struct aml *aml, uint16_t port, uint8_t bytes);
void aml_crs_irq(struct aml *aml, unsigned irq);
void aml_crs_memory(struct aml *aml, uint32_t base, uint32_t bytes);
/* An address space that a bridge produces; type 0 memory, 1 ports, 2 buses; width 2, 4 or 8. */
void aml_crs_window(struct aml *aml, unsigned type, unsigned width, uint64_t base, uint64_t last);

#endif
