/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "fake_vmm.h"
#include "unit.h"
#include "vmm-user/vmm/fw_cfg.h"

#define ACCESS 0x1000u /* where the DMA structure lies */
#define TARGET 0x2000u

static struct vmm *vmm;
static const char hello[] = "hello, firmware";

static void start(void)
{
	vmm = fake_vmm_start();
	ck_assert(fw_cfg_create(vmm));
}

static uint32_t read32(void)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < 4; i++)
		value |= (uint32_t)in8(0x511) << (8 * i);
	return value;
}

static uint32_t dma(uint32_t control, uint32_t length, uint64_t address)
{
	uint8_t *at = guest_memory(vmm, ACCESS, 16);
	uint32_t result;

	control = __builtin_bswap32(control);
	length = __builtin_bswap32(length);
	address = __builtin_bswap64(address);
	memcpy(at, &control, 4);
	memcpy(at + 4, &length, 4);
	memcpy(at + 8, &address, 8);
	out(0x514, 4, 0);
	out(0x518, 4, __builtin_bswap32(ACCESS));
	memcpy(&result, at, 4);
	return __builtin_bswap32(result);
}

START_TEST(signature)
{
	out(0x510, 2, 0);
	ck_assert_uint_eq(read32(), 0x554d4551);
	ck_assert_uint_eq(in8(0x511), 0); /* behind the end */
	out(0x510, 2, 1);
	ck_assert_uint_eq(read32(), 3);
	ck_assert_uint_eq(in(0x514, 4), 0x554d4551);
	ck_assert_uint_eq(in(0x518, 4), 0x47464320);
	out(0x510, 2, 0x7777);
	ck_assert_uint_eq(read32(), 0);
	out(0x510, 2, 0x8000);
	ck_assert_uint_eq(read32(), 0);
	out(0x510, 2, 0xffff);
	ck_assert_uint_eq(read32(), 0);
}
END_TEST

START_TEST(files)
{
	char name[64];

	ck_assert(fw_cfg_add_file(vmm, "etc/hello", hello, sizeof(hello)));
	ck_assert(!fw_cfg_add_file(vmm, "etc/hello", hello, sizeof(hello)));
	ck_assert(fw_cfg_add_file(vmm, "etc/empty", "", 0));
	out(0x510, 2, FW_CFG_FILE_DIR);
	ck_assert_uint_eq(__builtin_bswap32(read32()), 2);
	ck_assert_uint_eq(__builtin_bswap32(read32()), sizeof(hello));
	ck_assert_uint_eq(__builtin_bswap32(read32()), 0x20 << 16);
	for (unsigned i = 0; i < 56; i++)
		name[i] = (char)in8(0x511);
	ck_assert_str_eq(name, "etc/hello");
	ck_assert_uint_eq(read32(), 0);
	ck_assert_uint_eq(__builtin_bswap32(read32()), 0x21 << 16);
	out(0x510, 2, 0x20);
	for (unsigned i = 0; i < sizeof(hello); i++)
		ck_assert_int_eq(in8(0x511), hello[i]);
	ck_assert_uint_eq(in8(0x511), 0);
	memset(name, 'x', 56);
	name[56] = 0;
	ck_assert(!fw_cfg_add_file(vmm, name, hello, 1));
	name[55] = 0;
	ck_assert(fw_cfg_add_file(vmm, name, hello, 1));
	for (unsigned i = 3; i < FW_CFG_FILES; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ck_assert(fw_cfg_add_file(vmm, name, hello, 1));
	}
	ck_assert(!fw_cfg_add_file(vmm, "one more", hello, 1));
	ck_assert(fw_cfg_add(vmm, FW_CFG_NB_CPUS, "\2", 2));
	ck_assert(!fw_cfg_add(vmm, FW_CFG_NB_CPUS, "\2", 2));
	ck_assert(!fw_cfg_add(vmm, FW_CFG_FILE_FIRST, "\2", 2));
}
END_TEST

START_TEST(direct)
{
	char *to = guest_memory(vmm, TARGET, 64);

	ck_assert(fw_cfg_add_file(vmm, "etc/hello", hello, sizeof(hello)));
	memset(to, 'z', 64);
	ck_assert_uint_eq(dma(0x20u << 16 | 0x08 | 0x02, 5, TARGET), 0);
	ck_assert_mem_eq(to, "helloz", 6);
	/* It goes on; zeros follow the end. */
	ck_assert_uint_eq(dma(0x04, 2, 0), 0);
	ck_assert_uint_eq(dma(0x02, 20, TARGET), 0);
	ck_assert_str_eq(to, "firmware");
	ck_assert_uint_eq((uint8_t)to[19], 0);
	ck_assert_int_eq(to[20], 'z');
	/* The data register goes on from the same place. */
	ck_assert_uint_eq(dma(0x20u << 16 | 0x08, 0, 0), 0);
	ck_assert_int_eq(in8(0x511), 'h');
}
END_TEST

START_TEST(direct_errors)
{
	ck_assert_uint_eq(dma(0x20u << 16 | 0x0a, 16, FAKE_RAM_BYTES - 8), 1);
	ck_assert_uint_eq(dma(0x02, 0xffffffff, 0), 1);
	ck_assert_uint_eq(dma(0x02, 16, ~0ull), 1);
	ck_assert_uint_eq(dma(0x10, 4, TARGET), 1);
	ck_assert_uint_eq(dma(0x02, 0, ~0ull), 0);
	ck_assert_uint_eq(dma(0x04, 0xffffffff, 0), 0);
	ck_assert_uint_eq(dma(0x04, 0xffffffff, 0), 0);
	ck_assert_uint_eq(dma(0x02, 16, TARGET), 0);
	/* The structure itself lies nowhere. */
	out(0x514, 4, __builtin_bswap32(0xffffffff));
	out(0x518, 4, __builtin_bswap32(0xfffffff8));
	out(0x514, 4, 0);
	out(0x518, 4, __builtin_bswap32(FAKE_RAM_BYTES - 15));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("fw_cfg");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_add_test(tests, signature);
	tcase_add_test(tests, files);
	tcase_add_test(tests, direct);
	tcase_add_test(tests, direct_errors);
	suite_add_tcase(suite, tests);
	return suite;
}
