/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernels of every format, made here: good ones, cut short at every length, damaged at random. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_guest.h"
#include "unit.h"
#include "vmm-user/vmm/loader.h"

#define IMAGE_BYTES 0x3000u
#define CODE	    0xc0de

static struct socle_vcpu_area area;
static struct loader_error error;
static uint8_t bytes[IMAGE_BYTES];
static struct loader_image kernel = {"dir/kernel", bytes, IMAGE_BYTES};
static uint8_t disk_bytes[5000];
static struct loader_image modules[] = {{"dir/disk", disk_bytes, sizeof(disk_bytes)},
					{"other", disk_bytes, 100}};

static void put(size_t at, uint64_t value, unsigned count)
{
	memcpy(bytes + at, &value, count);
}

static uint64_t load(uint64_t at, unsigned count)
{
	uint64_t value = 0;

	memcpy(&value, guest.ram + at, count);
	return value;
}

static void start(void)
{
	fake_guest_start();
	memset(bytes, 0, sizeof(bytes));
	memset(&area, 0, sizeof(area));
	memset(disk_bytes, 0x5a, sizeof(disk_bytes));
	kernel.bytes = IMAGE_BYTES;
}

static bool load_it(const char *line, unsigned count)
{
	const struct loader_request request = {&kernel, modules, count, line, 0xe0000};

	error.text[0] = '\0';
	return loader_load(fake_vmm, &request, &area, &error);
}

/* The protected-mode part is behind two sectors: real-mode code of one sector. */
static void make_linux(unsigned version, unsigned xloadflags)
{
	memset(bytes, 0, sizeof(bytes));
	put(0x1f1, 1, 1);
	put(0x1f4, (IMAGE_BYTES - 0x400) / 16, 4);
	put(0x1fe, 0xaa55, 2);
	put(0x200, 0x66eb, 2);
	put(0x202, 0x53726448, 4);
	put(0x206, version, 2);
	put(0x211, 1, 1);
	put(0x22c, 0x7fffffff, 4);
	put(0x230, 0x200000, 4);
	put(0x234, 1, 1);
	put(0x236, xloadflags, 2);
	put(0x238, 100, 4);
	put(0x258, 0x1000000, 8);
	put(0x260, 0x800000, 4);
	put(0x400, CODE, 4);
}

START_TEST(linux_64)
{
	start();
	guest.high_bytes = 1ull << 30;
	make_linux(0x20f, 1);
	ck_assert_msg(load_it("console=ttyS0", 1), "%s", error.text);
	ck_assert_uint_eq(area.rip, 0x1000200);
	ck_assert_uint_eq(area.rsi, LOADER_PARAMETERS);
	ck_assert_uint_eq(area.system.efer, 0x500);
	ck_assert_uint_eq(area.system.cr0 & 0x80000001, 0x80000001);
	ck_assert_uint_eq(area.load, SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM);
	ck_assert_uint_eq(load(0x1000000, 4), CODE);
	/* Page tables: the first and the last of the 4 GiB. */
	ck_assert_uint_eq(load(LOADER_TABLES, 8), (LOADER_TABLES + 0x1000) | 3);
	ck_assert_uint_eq(load(LOADER_TABLES + 0x2000, 8), 0x83);
	ck_assert_uint_eq(load(LOADER_TABLES + 0x6000 - 8, 8), 0xffe00083);
	/* boot_params. */
	ck_assert_uint_eq(load(LOADER_PARAMETERS + 0x202, 4), 0x53726448);
	ck_assert_uint_eq(load(LOADER_PARAMETERS + 0x210, 1), 0xff);
	ck_assert_uint_eq(load(LOADER_PARAMETERS + 0x070, 8), 0xe0000);
	ck_assert_str_eq((char *)guest.ram + load(LOADER_PARAMETERS + 0x228, 4), "console=ttyS0");
	ck_assert_uint_eq(load(LOADER_PARAMETERS + 0x21c, 4), sizeof(disk_bytes));
	ck_assert_uint_eq(load(load(LOADER_PARAMETERS + 0x218, 4), 1), 0x5a);
	ck_assert_uint_eq(load(LOADER_PARAMETERS + 0x218, 4) + 0x2000, FAKE_RAM_BYTES);
	ck_assert_uint_eq(load(LOADER_PARAMETERS + 0x1e8, 1), 6);
	ck_assert_uint_eq(load(LOADER_PARAMETERS + 0x2d0 + 3 * 20, 8), 0x100000);
	ck_assert_uint_eq(load(LOADER_PARAMETERS + 0x2d0 + 3 * 20 + 8, 8),
			  FAKE_RAM_BYTES - 0x100000);
	ck_assert_uint_eq(load(LOADER_PARAMETERS + 0x2d0 + 5 * 20, 8), 1ull << 32);
	fake_guest_stop();
}
END_TEST

START_TEST(linux_32)
{
	start();
	make_linux(0x204, 0);
	ck_assert_msg(load_it("", 1), "%s", error.text);
	ck_assert_uint_eq(area.rip, 0x100000);
	ck_assert_uint_eq(area.system.cr0 & 0x80000001, 1);
	ck_assert_uint_eq(area.system.efer, 0);
	ck_assert_uint_eq(area.system.cs.attributes, 0xc9b);
	ck_assert_uint_eq(load(LOADER_GDT + 0x10, 8), 0x00cf9b000000ffff);
	ck_assert_uint_eq(load(LOADER_GDT + 0x18, 8), 0x00cf93000000ffff);
	ck_assert_uint_eq(load(0x100000, 4), CODE);
	fake_guest_stop();
}
END_TEST

/* A field, a bad value for it, and a word of the error that says so. */
static const struct {
	size_t at;
	uint64_t value;
	unsigned count;
	const char *says;
} bad_linux[] = {
	{0x206, 0x0202, 2, "2.03"},	   {0x211, 0, 1, "bzImage"},
	{0x1f4, 0x10000, 4, "cut short"},  {0x1f1, 63, 1, "cut short"},
	{0x260, 0xffffffff, 4, "not fit"}, {0x238, 3, 4, "command line"},
	{0x22c, 0x1000000, 4, "not fit"},  {0x202, 0, 4, "no kernel"},
};

START_TEST(linux_bad)
{
	start();
	make_linux(0x20f, 1);
	put(bad_linux[_i].at, bad_linux[_i].value, bad_linux[_i].count);
	ck_assert(!load_it("console=ttyS0", 1));
	ck_assert_msg(strstr(error.text, bad_linux[_i].says) != NULL, "%s", error.text);
	fake_guest_stop();
}
END_TEST

START_TEST(linux_moves)
{
	start();
	make_linux(0x20f, 1);
	put(0x258, 0x100000000, 8); /* where there is no memory */
	ck_assert_msg(load_it("", 0), "%s", error.text);
	ck_assert_uint_eq(area.rip, 0x200200);
	fake_guest_stop();
}
END_TEST

#define TEXT 0x1000u

/* Code at 2 MiB, from offset TEXT of the file, and a PVH note if there is an entry for it. */
static void make_elf(bool wide, uint32_t pvh)
{
	const Elf32_Nhdr note = {4, 4, 18};

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes + 0x800, &note, sizeof(note));
	memcpy(bytes + 0x800 + sizeof(note), "Xen", 4);
	put(0x804 + sizeof(note), pvh, 4);
	put(TEXT, CODE, 4);
	if (wide) {
		Elf64_Ehdr header = {.e_type = ET_EXEC,
				     .e_machine = EM_X86_64,
				     .e_entry = 0x200010,
				     .e_phoff = 64,
				     .e_phentsize = sizeof(Elf64_Phdr),
				     .e_phnum = 2};
		Elf64_Phdr segment[2] = {
			{PT_LOAD, 7, TEXT, 0xffffffff80200000, 0x200000, 0x1000, 0x5000, 0x1000},
			{pvh ? PT_NOTE : PT_NULL, 4, 0x800, 0, 0, 20, 20, 4}};

		memcpy(header.e_ident,
		       "\x7f"
		       "ELF\2\1\1",
		       7);
		memcpy(bytes, &header, sizeof(header));
		memcpy(bytes + 64, segment, sizeof(segment));
	} else {
		Elf32_Ehdr header = {.e_type = ET_EXEC,
				     .e_machine = EM_386,
				     .e_entry = 0x200010,
				     .e_phoff = 64,
				     .e_phentsize = sizeof(Elf32_Phdr),
				     .e_phnum = 2};
		Elf32_Phdr segment[2] = {
			{PT_LOAD, TEXT, 0x200000, 0x200000, 0x1000, 0x5000, 7, 0x1000},
			{pvh ? PT_NOTE : PT_NULL, 0x800, 0, 0, 20, 20, 4, 4}};

		memcpy(header.e_ident,
		       "\x7f"
		       "ELF\1\1\1",
		       7);
		memcpy(bytes, &header, sizeof(header));
		memcpy(bytes + 64, segment, sizeof(segment));
	}
}

START_TEST(elf)
{
	bool wide = _i & 1, pvh = _i & 2;

	start();
	guest.ram[0x201000] = 1; /* in the BSS */
	make_elf(wide, pvh ? 0x200020 : 0);
	ck_assert_msg(load_it("a b", 2), "%s", error.text);
	ck_assert_uint_eq(area.rip, pvh ? 0x200020 : 0x200010);
	ck_assert_uint_eq(area.rbx, LOADER_PARAMETERS);
	ck_assert_uint_eq(area.system.efer != 0, wide && !pvh);
	ck_assert_uint_eq(load(0x200000, 4), CODE);
	ck_assert_uint_eq(guest.ram[0x201000], 0);
	ck_assert_uint_eq(load(area.rbx, 4), 0x336ec578);
	ck_assert_uint_eq(load(area.rbx + 12, 4), 2);
	ck_assert_str_eq((char *)guest.ram + load(area.rbx + 24, 8), "a b");
	ck_assert_uint_eq(load(area.rbx + 32, 8), 0xe0000);
	ck_assert_uint_eq(load(area.rbx + 48, 4), 5);
	ck_assert_uint_eq(load(load(area.rbx + 40, 8) + 3 * 24, 8), 0x100000);
	ck_assert_uint_eq(load(load(area.rbx + 16, 8) + 8, 8), sizeof(disk_bytes));
	ck_assert_uint_eq(load(load(area.rbx + 16, 8) + 32 + 8, 8), 100);
	ck_assert_uint_eq(load(load(load(area.rbx + 16, 8) + 32, 8), 1), 0x5a);
	fake_guest_stop();
}
END_TEST

static const struct {
	size_t at; /* in an ELF64 */
	uint64_t value;
	unsigned count;
	const char *says;
} bad_elf[] = {
	{18, 183, 2, "another processor"},
	{24, 0x300000, 8, "entry"},
	{32, 0x10000, 8, "program headers"},
	{54, 7, 2, "program headers"},
	{56, 0, 2, "program headers"},
	{64 + 8, 0x100000, 8, "cut short"},
	{64 + 8, ~0ull - 8, 8, "cut short"},
	{64 + 24, 0x7000, 8, "outside"},
	{64 + 24, ~0ull - 0x1000, 8, "outside"},
	{64 + 24, 0xf0000, 8, "outside"},
	{64 + 24, FAKE_RAM_BYTES - 0x1000, 8, "not fit"},
	{64 + 32, 0x6000, 8, "cut short"},
	{64 + 40, 1ull << 62, 8, "outside"},
	{64, PT_NULL, 4, "segment"},
};

START_TEST(elf_bad)
{
	start();
	make_elf(true, 0);
	put(bad_elf[_i].at, bad_elf[_i].value, bad_elf[_i].count);
	ck_assert(!load_it("", 0));
	ck_assert_msg(strstr(error.text, bad_elf[_i].says) != NULL, "%s", error.text);
	fake_guest_stop();
}
END_TEST

START_TEST(elf_overlap)
{
	/* The last byte of the other one, and the first behind it. */
	Elf64_Phdr segment = {PT_LOAD, 7,      TEXT,  0, 0x204fff - (unsigned)_i * 0x5ffe,
			      0x1000,  0x1000, 0x1000};

	start();
	make_elf(true, 0);
	memcpy(bytes + 64 + sizeof(segment), &segment, sizeof(segment));
	ck_assert(!load_it("", 0));
	ck_assert_msg(strstr(error.text, "overlap") != NULL, "%s", error.text);
	segment.p_paddr += _i == 0 ? 1 : -1ull;
	memcpy(bytes + 64 + sizeof(segment), &segment, sizeof(segment));
	ck_assert_msg(load_it("", 0), "%s", error.text);
	fake_guest_stop();
}
END_TEST

static void make_multiboot(bool flat)
{
	const uint32_t flags = flat ? 0x10003 : 3, at = 0x300;
	const uint32_t header[] = {0x1badb002,	  flags,    0 - (0x1badb002 + flags),
				   0x100000 + at, 0x100000, 0,
				   0x108000,	  0x100040};

	if (flat)
		memset(bytes, 0, sizeof(bytes));
	else
		make_elf(false, 0);
	memcpy(bytes + at, header, sizeof(header));
}

START_TEST(multiboot)
{
	bool flat = _i;

	start();
	guest.ram[0x107fff] = 1;
	make_multiboot(flat);
	ck_assert_msg(load_it("x=1", 2), "%s", error.text);
	ck_assert_uint_eq(area.rip, flat ? 0x100040 : 0x200010);
	ck_assert_uint_eq(area.rax, 0x2badb002);
	ck_assert_uint_eq(load(area.rbx, 4), 0x24d);
	ck_assert_str_eq((char *)guest.ram + load(area.rbx + 16, 4), "kernel x=1");
	ck_assert_uint_eq(load(area.rbx + 20, 4), 2);
	ck_assert_uint_eq(load(load(area.rbx + 24, 4) + 4, 4) - load(load(area.rbx + 24, 4), 4),
			  sizeof(disk_bytes));
	ck_assert_str_eq((char *)guest.ram + load(load(area.rbx + 24, 4) + 8, 4), "disk");
	ck_assert_uint_eq(load(area.rbx + 44, 4), 5 * 24);
	ck_assert_uint_eq(load(load(area.rbx + 48, 4), 4), 20);
	ck_assert_uint_eq(load(load(area.rbx + 48, 4) + 3 * 24 + 4, 8), 0x100000);
	ck_assert_uint_eq(guest.ram[0x107fff], flat ? 0 : 1);
	ck_assert(!flat || load(0x100300, 4) == 0x1badb002);
	fake_guest_stop();
}
END_TEST

/* Garbage never loads outside memory, whatever it does. The sanitizers watch. */
START_TEST(damaged)
{
	static uint8_t good[IMAGE_BYTES];
	unsigned loaded = 0;

	start();
	switch (_i) {
	case 0:
		make_linux(0x20f, 1);
		break;
	case 1:
		make_elf(true, 0x200020);
		break;
	case 2:
		make_elf(false, 0);
		break;
	default:
		make_multiboot(_i == 3);
		break;
	}
	memcpy(good, bytes, sizeof(good));
	for (unsigned round = 0; round < 4000; round++) {
		uint8_t *exact;

		memcpy(bytes, good, sizeof(bytes));
		for (unsigned i = 0; i < fake_random() % 6; i++)
			bytes[fake_random() % 0x900] = (uint8_t)fake_random();
		kernel.bytes = fake_random() % 4 ? IMAGE_BYTES : fake_random() % IMAGE_BYTES;
		/* So that reading behind the end is seen. */
		exact = malloc(kernel.bytes);
		ck_assert(exact != NULL || kernel.bytes == 0);
		memcpy(exact, bytes, kernel.bytes);
		kernel.at = exact;
		if (load_it("x", round % 3))
			loaded++;
		else
			ck_assert_uint_gt(strlen(error.text), 10);
		free(exact);
		kernel.at = bytes;
	}
	ck_assert_uint_gt(loaded, 100);
	ck_assert_uint_lt(loaded, 4000);
	fake_guest_stop();
}
END_TEST

START_TEST(files)
{
	char path[] = "/tmp/socle-loader-XXXXXX";
	int fd = mkstemp(path);
	struct loader_image image;

	ck_assert_int_ge(fd, 0);
	ck_assert(!loader_read(path, 1000, &image, &error));
	ck_assert_ptr_nonnull(strstr(error.text, "empty"));
	ck_assert_int_eq(write(fd, "0123456789", 10), 10);
	ck_assert(loader_read(path, 10, &image, &error));
	ck_assert_uint_eq(image.bytes, 10);
	ck_assert_int_eq(memcmp(image.at, "0123456789", 10), 0);
	loader_free(&image);
	loader_free(&image);
	ck_assert(!loader_read(path, 9, &image, &error));
	ck_assert_ptr_nonnull(strstr(error.text, "10 bytes"));
	ck_assert(!loader_read("/tmp", 10, &image, &error));
	ck_assert(!loader_read("/dev/null", 10, &image, &error));
	close(fd);
	unlink(path);
	ck_assert(!loader_read(path, 10, &image, &error));
	ck_assert_ptr_nonnull(strstr(error.text, "No such file"));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("loader");
	TCase *test = tcase_create("loader");

	tcase_set_timeout(test, 60);
	tcase_add_test(test, linux_64);
	tcase_add_test(test, linux_32);
	tcase_add_loop_test(test, linux_bad, 0, (int)(sizeof(bad_linux) / sizeof(bad_linux[0])));
	tcase_add_test(test, linux_moves);
	tcase_add_loop_test(test, elf, 0, 4);
	tcase_add_loop_test(test, elf_bad, 0, (int)(sizeof(bad_elf) / sizeof(bad_elf[0])));
	tcase_add_loop_test(test, elf_overlap, 0, 2);
	tcase_add_loop_test(test, multiboot, 0, 2);
	tcase_add_loop_test(test, damaged, 0, 5);
	tcase_add_test(test, files);
	suite_add_tcase(suite, test);
	return suite;
}
