/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI tables: found in guest memory from the RSDP on, with right checksums and lengths, and
 * disassembled and compiled again by iasl.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_guest.h"
#include "unit.h"
#include "vmm-user/vmm/acpi_tables.h"

#define AT   0xe0000u
#define ROOM 0x20000u

static struct acpi_tables tables;

static const struct acpi_config full = {64,   true,	    {true, true}, true,
					true, 0x8000000000, 1ull << 38};
static const struct acpi_config small = {1, false, {true, false}, false, false, 0, 0};

static uint64_t load(uint64_t at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, guest.ram + at, bytes);
	return value;
}

static unsigned sum(uint64_t at, uint64_t bytes)
{
	unsigned total = 0;

	for (uint64_t i = 0; i < bytes; i++)
		total += guest.ram[at + i];
	return total & 0xff;
}

static bool is(uint64_t at, const char *signature)
{
	return memcmp(guest.ram + at, signature, strlen(signature)) == 0;
}

/* The table that the XSDT names, checked; 0: there is none. */
static uint64_t find(const char *signature)
{
	uint64_t xsdt = load(AT + 24, 8), found = 0;

	for (uint64_t i = 36; i < load(xsdt + 4, 4); i += 8) {
		uint64_t at = load(xsdt + i, 8);

		ck_assert_uint_ge(at, AT);
		ck_assert_uint_lt(at + load(at + 4, 4), AT + ROOM);
		ck_assert_uint_eq(sum(at, load(at + 4, 4)), 0);
		if (is(at, signature))
			found = at;
	}
	return found;
}

static void place(const struct acpi_config *config)
{
	fake_guest_start();
	ck_assert(acpi_build(config, &tables));
	ck_assert_uint_ne(acpi_place(fake_vmm, &tables, AT, ROOM), 0);
	ck_assert(is(AT, "RSD PTR "));
	ck_assert_uint_eq(sum(AT, 20), 0);
	ck_assert_uint_eq(sum(AT, 36), 0);
	ck_assert_uint_eq(load(AT + 15, 1), 2);
	ck_assert_uint_eq(sum(load(AT + 24, 8), load(load(AT + 24, 8) + 4, 4)), 0);
}

START_TEST(fixed_hardware)
{
	uint64_t fadt, dsdt, facs;

	place(&full);
	fadt = find("FACP");
	ck_assert_uint_ne(fadt, 0);
	ck_assert_uint_eq(load(fadt + 8, 1), 6);
	ck_assert_uint_eq(load(fadt + 4, 4), 276);
	dsdt = load(fadt + 40, 4);
	facs = load(fadt + 36, 4);
	ck_assert_uint_eq(load(fadt + 140, 8), dsdt);
	ck_assert_uint_eq(load(fadt + 132, 8), facs);
	ck_assert(is(dsdt, "DSDT") && is(facs, "FACS"));
	ck_assert_uint_eq(sum(dsdt, load(dsdt + 4, 4)), 0);
	ck_assert_uint_eq(facs % 64, 0);
	ck_assert_uint_eq(load(facs + 4, 4), 64);
	ck_assert_uint_eq(load(fadt + 46, 2), 9); /* SCI */
	/* Legacy fields and X_ fields tell the same. */
	ck_assert_uint_eq(load(fadt + 56, 4), load(fadt + 148 + 4, 8));
	ck_assert_uint_eq(load(fadt + 88, 1) * 8, load(fadt + 148 + 1, 1));
	ck_assert_uint_eq(load(fadt + 64, 4), load(fadt + 172 + 4, 8));
	ck_assert_uint_eq(load(fadt + 89, 1) * 8, load(fadt + 172 + 1, 1));
	ck_assert_uint_eq(load(fadt + 76, 4), load(fadt + 208 + 4, 8));
	ck_assert_uint_eq(load(fadt + 91, 1) * 8, load(fadt + 208 + 1, 1));
	ck_assert_uint_eq(load(fadt + 80, 4), load(fadt + 220 + 4, 8));
	ck_assert_uint_eq(load(fadt + 92, 1) * 8, load(fadt + 220 + 1, 1));
	ck_assert(load(fadt + 112, 4) & 1 << 10);
	ck_assert_uint_eq(load(fadt + 116 + 4, 8), 0xcf9);
	ck_assert_uint_eq(load(find("WAET") + 36, 4), 3);
	ck_assert_uint_eq(load(find("MCFG") + 44, 8), 0xe0000000);
	ck_assert_uint_ne(find("HPET"), 0);
	fake_guest_stop();
}
END_TEST

START_TEST(firmware_configuration)
{
	uint64_t dsdt, bytes;

	place(_i ? &full : &small);
	dsdt = load(find("FACP") + 40, 4);
	bytes = load(dsdt + 4, 4);
	ck_assert_int_eq(memmem(guest.ram + dsdt, bytes, "QEMU0002", 9) != NULL, _i);
	fake_guest_stop();
}
END_TEST

START_TEST(processors)
{
	uint64_t madt;
	unsigned cpus = 0, ioapics = 0;

	place(_i ? &full : &small);
	madt = find("APIC");
	for (uint64_t i = 44; i < load(madt + 4, 4); i += load(madt + i + 1, 1)) {
		ck_assert_uint_ne(load(madt + i + 1, 1), 0);
		if (load(madt + i, 1) == 0)
			ck_assert_uint_eq(load(madt + i + 3, 1), cpus++);
		if (load(madt + i, 1) == 1)
			ioapics++;
	}
	ck_assert_uint_eq(cpus, _i ? 64 : 1);
	ck_assert_uint_eq(ioapics, 1);
	ck_assert(_i || find("HPET") == 0);
	fake_guest_stop();
}
END_TEST

static void save(const char *directory, const char *name, uint64_t at)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.aml", directory, name);
	file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(guest.ram + at, load(at + 4, 4), 1, file), 1);
	fclose(file);
}

static bool contains(const char *directory, const char *text)
{
	char command[512];

	snprintf(command, sizeof(command), "grep -q '%s' %s/DSDT.dsl", text, directory);
	return system(command) == 0;
}

/* iasl takes every table apart, and the DSDT's source compiles without an error or a warning. */
START_TEST(by_iasl)
{
	static const char *const names[] = {"FACP", "APIC", "MCFG", "WAET", "HPET"};
	char directory[] = "/tmp/socle-acpi-XXXXXX", command[512];

	place(_i ? &full : &small);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	save(directory, "DSDT", load(find("FACP") + 40, 4));
	for (unsigned i = 0; i < 5; i++)
		if (find(names[i]) != 0)
			save(directory, names[i], find(names[i]));
	snprintf(command, sizeof(command),
		 "cd %s && for t in *.aml; do iasl -d $t >$t.out 2>&1 || exit 1; done && "
		 "! grep -il 'error\\|incorrect\\|invalid\\|unknown' *.out && "
		 "! grep -il 'invalid\\|unknown\\|incorrect' *.dsl",
		 directory);
	ck_assert_int_eq(system(command), 0);
	snprintf(command, sizeof(command),
		 "cd %s && iasl -p again DSDT.dsl >again.out 2>&1 && "
		 "grep -q '0 Errors, 0 Warnings' again.out",
		 directory);
	if (system(command) != 0) {
		snprintf(command, sizeof(command), "cat %s/again.out", directory);
		ck_assert_int_eq(system(command), 0);
		ck_abort_msg("the DSDT does not compile again");
	}
	ck_assert(contains(directory, "Device (PCI0)"));
	ck_assert(contains(directory, "_S5, Package"));
	ck_assert(contains(directory, "Method (_OSC, 4"));
	ck_assert(contains(directory, "33db4d5b-1ff7-401c-9657-7441c03dd766"));
	ck_assert(contains(directory, "Device (C000)"));
	ck_assert_int_eq(contains(directory, "Device (C03F)"), _i);
	ck_assert_int_eq(contains(directory, "Device (COM2)"), _i);
	ck_assert_int_eq(contains(directory, "QWordMemory"), _i);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	ck_assert_int_eq(system(command), 0);
	fake_guest_stop();
}
END_TEST

START_TEST(refuses)
{
	fake_guest_start();
	ck_assert(acpi_build(&full, &tables));
	ck_assert_uint_eq(acpi_place(fake_vmm, &tables, AT, 4096), 0);
	ck_assert_uint_eq(acpi_place(fake_vmm, &tables, AT + 16, ROOM), 0);
	ck_assert_uint_eq(acpi_place(fake_vmm, &tables, (uint32_t)FAKE_RAM_BYTES, ROOM), 0);
	fake_guest_stop();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("acpi");
	TCase *test = tcase_create("acpi");

	tcase_set_timeout(test, 60);
	tcase_add_test(test, fixed_hardware);
	tcase_add_loop_test(test, firmware_configuration, 0, 2);
	tcase_add_loop_test(test, processors, 0, 2);
	tcase_add_loop_test(test, by_iasl, 0, 2);
	tcase_add_test(test, refuses);
	suite_add_tcase(suite, test);
	return suite;
}
