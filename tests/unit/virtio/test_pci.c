/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI bus as a system sees it: enumeration, BARs that are sized and moved, MSI-X, MSI, INTx. */
#include <string.h>

#include "driver.h"
#include "unit.h"
#include "vmm-user/vmm/pci.h"

#define BAR_MASK  0xfffffff0u
#define LAST_SLOT 31

static struct pci_device first, second;
static uint64_t written;

static uint64_t bar_read(void *device, uint64_t offset, unsigned bytes)
{
	struct pci_device *pci = device;
	uint64_t value;

	(void)bytes;
	if (pci_msix_read(pci, 0, offset, bytes, &value))
		return value;
	return pci->slot << 16 | offset;
}

static void bar_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	if (!pci_msix_write(device, 0, offset, bytes, value))
		written = offset << 32 | value;
}

static void add(struct vmm *vmm, struct pci_device *device, const char *name)
{
	*device = (struct pci_device){.name = name, .device = device};
	device->bar[0] = (struct pci_bar){0x4000, false, true, bar_read, bar_write};
	device->bar[2] = (struct pci_bar){0x1000, false, false, bar_read, bar_write};
	device->bar[4] = (struct pci_bar){32, true, false, bar_read, bar_write};
	ck_assert(pci_add(vmm, device, 0x1234, 0x5678, 0x010203, 0x1af4, 0x1100));
}

static void setup(void)
{
	struct vmm *vmm = fake_vmm_start();

	ck_assert(pci_create(vmm));
	add(vmm, &first, "first");
	add(vmm, &second, "second");
	ck_assert(pci_add_msix(&first, 3, 0, 0x2000));
	ck_assert(pci_add_msi(&first));
}

static void teardown(void)
{
	fake_vmm_stop();
}

static uint64_t ecam(unsigned slot, unsigned offset, unsigned bytes)
{
	return mmio_read(PCI_ECAM_BASE + (slot << 15) + offset, bytes);
}

START_TEST(bridges)
{
	ck_assert_uint_eq(config_get(0, 0, 4), 0x29c08086);
	ck_assert_uint_eq(config_get(LAST_SLOT, 0, 4), 0x29188086);
	ck_assert_uint_eq(config_get(0, 0xa, 2), 0x0600);
	ck_assert_uint_eq(config_get(LAST_SLOT, 0xa, 2), 0x0601);
	ck_assert_uint_eq(config_get(0, 0x60, 4), PCI_ECAM_BASE | 1);
	ck_assert_uint_eq(ecam(0, 0, 4), 0x29c08086);
	ck_assert_uint_eq(in(0xcf8, 4), 0x80000060);
}
END_TEST

START_TEST(enumeration)
{
	unsigned found = 0;

	for (unsigned slot = 0; slot < 32; slot++)
		found += config_get(slot, 0, 2) != 0xffff;
	ck_assert_uint_eq(found, 4);
	ck_assert_uint_eq(config_get(1, 0, 4), 0x56781234);
	ck_assert_uint_eq(config_get(1, 8, 4), 0x01020300);
	ck_assert_uint_eq(config_get(1, 0x2c, 4), 0x11001af4);
	ck_assert_uint_eq(config_get(1, 0x3d, 1), 1);
	ck_assert_uint_eq(ecam(2, 2, 2), 0x5678);
	ck_assert_uint_eq(ecam(2, 3, 1), 0x56);
	/* Other functions, other buses, the end of a function's space. */
	ck_assert_uint_eq(mmio_read(PCI_ECAM_BASE + (1 << 15 | 1 << 12), 4), 0xffffffff);
	ck_assert_uint_eq(mmio_read(PCI_ECAM_BASE + (1 << 20), 4), 0xffffffff);
	ck_assert_uint_eq(ecam(1, 0xffe, 2), 0);
	out(0xcf8, 4, 0x800);
	ck_assert_uint_eq(in(0xcfc, 4), 0xffffffff);
	/* Ids cannot be written. */
	config_set(1, 0, 4, 0);
	config_set(1, 8, 4, 0);
	ck_assert_uint_eq(config_get(1, 0, 4), 0x56781234);
	ck_assert_uint_eq(config_get(1, 8, 4), 0x01020300);
}
END_TEST

START_TEST(capabilities)
{
	unsigned msix = config_capability(1, 0, 0x11), msi = config_capability(1, 0, 5);

	ck_assert_uint_eq(config_get(1, 6, 2) & 0x10, 0x10);
	ck_assert_uint_ge(msix, 0x40);
	ck_assert_uint_ge(msi, 0x40);
	ck_assert_uint_eq(config_get(1, msix + 2, 2), 2);
	ck_assert_uint_eq(config_get(1, msix + 4, 4), 0x2000);
	ck_assert_uint_eq(config_get(1, msix + 8, 4), 0x2030);
	ck_assert_uint_eq(config_get(2, 0x34, 1), 0);
	ck_assert_uint_eq(config_get(2, 6, 2) & 0x10, 0);
}
END_TEST

/* As Linux does it: ones are written, what sticks is read, the old value is put back. */
static uint32_t size(unsigned slot, unsigned offset)
{
	uint32_t old = config_get(slot, offset, 4), mask;

	config_set(slot, offset, 4, 0xffffffff);
	mask = config_get(slot, offset, 4);
	config_set(slot, offset, 4, old);
	return mask;
}

START_TEST(sizes)
{
	for (unsigned decode = 0; decode < 2; decode++) {
		config_set(1, 4, 2, decode ? 7 : 0);
		ck_assert_uint_eq(size(1, 0x10), 0xffffc004);
		ck_assert_uint_eq(size(1, 0x14), 0xffffffff);
		ck_assert_uint_eq(size(1, 0x18), 0xfffff000);
		ck_assert_uint_eq(size(1, 0x1c), 0);
		ck_assert_uint_eq(size(1, 0x20), 0xffffffe1);
		ck_assert_uint_eq(size(1, 0x24), 0);
		ck_assert_uint_eq(size(1, 0x30), 0);
	}
	/* After all that they are where they were. */
	ck_assert_uint_eq(mmio_read((config_get(1, 0x10, 4) & BAR_MASK) + 8, 4), 0x10008);
	ck_assert_uint_eq(mmio_read((config_get(1, 0x18, 4) & BAR_MASK) + 4, 4), 0x10004);
	ck_assert_uint_eq(in((config_get(1, 0x20, 4) & 0xfffe) + 4, 4), 0x10004);
}
END_TEST

START_TEST(decode)
{
	uint64_t base = config_get(1, 0x10, 4) & BAR_MASK;

	ck_assert_uint_eq(mmio_read(base, 4), 0xffffffff);
	config_set(1, 4, 2, 2);
	ck_assert_uint_eq(mmio_read(base + 4, 4), 0x10004);
	mmio_write(base + 16, 4, 0x77);
	ck_assert_uint_eq(written, 0x1000000077);
	ck_assert_uint_eq(in(config_get(1, 0x20, 4) & 0xfffe, 4), 0xffffffff);
	config_set(1, 4, 2, 1);
	ck_assert_uint_eq(mmio_read(base + 4, 4), 0xffffffff);
	ck_assert_uint_eq(in((config_get(1, 0x20, 4) & 0xfffe) + 8, 4), 0x10008);
}
END_TEST

START_TEST(moves)
{
	uint64_t base = config_get(1, 0x10, 4) & BAR_MASK;

	config_set(1, 4, 2, 2);
	/* Above 4 GiB, high half first and then low half first. */
	config_set(1, 0x14, 4, 0x80);
	ck_assert_uint_eq(mmio_read(base + 4, 4), 0xffffffff);
	config_set(1, 0x10, 4, 0x10000);
	ck_assert_uint_eq(mmio_read(0x8000010004, 4), 0x10004);
	config_set(1, 0x10, 4, 0x10000000);
	config_set(1, 0x14, 4, 0x81);
	ck_assert_uint_eq(mmio_read(0x8110000008, 4), 0x10008);
	ck_assert_uint_eq(mmio_read(0x8000010004, 4), 0xffffffff);
	/* Onto RAM, onto the platform, out of the world: nowhere. */
	config_set(1, 0x14, 4, 0);
	config_set(1, 0x10, 4, 0x10000);
	config_set(1, 0x10, 4, 0xfee00000);
	ck_assert_uint_eq(mmio_read(0xfee00004, 4), 0xffffffff);
	config_set(1, 0x14, 4, 0xffffff00);
	config_set(1, 0x14, 4, 0);
	config_set(1, 0x10, 4, (uint32_t)base);
	ck_assert_uint_eq(mmio_read(base + 4, 4), 0x10004);
}
END_TEST

START_TEST(collisions)
{
	uint64_t base = config_get(1, 0x10, 4) & BAR_MASK;

	config_set(1, 4, 2, 2);
	config_set(2, 4, 2, 2);
	config_set(2, 0x10, 4, (uint32_t)base);
	ck_assert_uint_eq(mmio_read(base + 4, 4), 0x10004);
	/* When the first goes, the second comes. */
	config_set(1, 0x10, 4, 0xd0000000);
	ck_assert_uint_eq(mmio_read(base + 4, 4), 0x20004);
	ck_assert_uint_eq(mmio_read(0xd0000004, 4), 0x10004);
	/* And not onto the configuration window. */
	config_set(1, 0x10, 4, PCI_ECAM_BASE);
	ck_assert_uint_eq(ecam(0, 0, 4), 0x29c08086);
}
END_TEST

START_TEST(ecam_moves)
{
	config_set(0, 0x60, 4, 0);
	ck_assert_uint_eq(ecam(0, 0, 4), 0xffffffff);
	config_set(0, 0x64, 4, 0);
	config_set(0, 0x60, 4, 0xb0000001);
	ck_assert_uint_eq(mmio_read(0xb0000000, 4), 0x29c08086);
	/* By itself, too, and to a smaller one; a reserved length is none. */
	mmio_write(0xb0000060, 4, 0xe0000003);
	ck_assert_uint_eq(ecam(0, 0, 4), 0x29c08086);
	ck_assert_uint_eq(mmio_read(0xe8000000, 4), 0xffffffff);
	config_set(0, 0x60, 4, 0xe0000007);
	ck_assert_uint_eq(ecam(0, 0, 4), 0xffffffff);
	config_set(0, 0x60, 4, PCI_ECAM_BASE | 1);
	ck_assert_uint_eq(ecam(1, 0, 4), 0x56781234);
}
END_TEST

static void entry(uint64_t table, unsigned vector, uint32_t data, uint32_t mask)
{
	mmio_write(table + 16 * vector, 8, 0xfee01000);
	mmio_write(table + 16 * vector + 8, 4, data);
	mmio_write(table + 16 * vector + 12, 4, mask);
}

START_TEST(msix)
{
	uint64_t table = (config_get(1, 0x10, 4) & BAR_MASK) + 0x2000;
	unsigned capability = config_capability(1, 0, 0x11);

	config_set(1, 4, 2, 6);
	ck_assert_uint_eq(mmio_read(table + 12, 4), 1);
	entry(table, 0, 0x50, 0);
	entry(table, 2, 0x52, 1);
	pci_msix_raise(&first, 0);
	ck_assert_uint_eq(fake_vmm.messages, 0);
	config_set(1, capability + 2, 2, 0x8000);
	ck_assert(pci_msix_enabled(&first));
	ck_assert_uint_eq(fake_vmm.messages, 0);
	pci_msix_raise(&first, 0);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	ck_assert_uint_eq(fake_vmm.message[0].vector, 0x50);
	ck_assert_uint_eq(fake_vmm.message[0].destination, 1);
	/* Masked: pending, and sent when it is not any more. */
	pci_msix_raise(&first, 2);
	pci_msix_raise(&first, 2);
	ck_assert_uint_eq(mmio_read(table + 0x30, 8), 4);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	mmio_write(table + 0x2c, 4, 0);
	ck_assert_uint_eq(fake_vmm.messages, 2);
	ck_assert_uint_eq(fake_vmm.message[1].vector, 0x52);
	ck_assert_uint_eq(mmio_read(table + 0x30, 4), 0);
	/* The function's mask. */
	config_set(1, capability + 2, 2, 0xc000);
	pci_msix_raise(&first, 0);
	ck_assert_uint_eq(fake_vmm.messages, 2);
	config_set(1, capability + 2, 2, 0x8000);
	ck_assert_uint_eq(fake_vmm.messages, 3);
	/* What is no register, or no vector. */
	mmio_write(table + 0x30, 8, 0xff);
	mmio_write(table + 2, 2, 0xff);
	ck_assert_uint_eq(mmio_read(table, 4), 0xfee01000);
	pci_msix_raise(&first, 3);
	ck_assert_uint_eq(fake_vmm.messages, 3);
	ck_assert_uint_eq(config_get(1, capability + 2, 2), 0x8002);
}
END_TEST

START_TEST(msi)
{
	unsigned capability = config_capability(1, 0, 5);

	pci_msi_raise(&first);
	ck_assert_uint_eq(config_get(1, capability + 2, 2), 0x180);
	config_set(1, capability + 4, 4, 0xfee02000);
	config_set(1, capability + 12, 2, 0x61);
	config_set(1, capability + 16, 4, 1);
	config_set(1, capability + 2, 2, 1);
	ck_assert_uint_eq(fake_vmm.messages, 0);
	pci_msi_raise(&first);
	ck_assert_uint_eq(config_get(1, capability + 20, 4), 1);
	config_set(1, capability + 16, 4, 0);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	ck_assert_uint_eq(fake_vmm.message[0].vector, 0x61);
	pci_msi_raise(&first);
	ck_assert_uint_eq(fake_vmm.messages, 2);
}
END_TEST

START_TEST(intx)
{
	unsigned gsi = PCI_INTX_GSI(first.slot), capability = config_capability(1, 0, 0x11);

	pci_intx_set(&first, true);
	ck_assert(fake_vmm.level[gsi]);
	ck_assert_uint_eq(config_get(1, 6, 2) & 8, 8);
	config_set(1, 4, 2, 0x400);
	ck_assert(!fake_vmm.level[gsi]);
	config_set(1, 4, 2, 0);
	ck_assert(fake_vmm.level[gsi]);
	config_set(1, capability + 2, 2, 0x8000);
	ck_assert(!fake_vmm.level[gsi]);
	config_set(1, capability + 2, 2, 0);
	ck_assert(fake_vmm.level[gsi]);
	pci_intx_set(&first, false);
	ck_assert(!fake_vmm.level[gsi]);
}
END_TEST

/* Another process: everything is where the guest put it. */
START_TEST(takeover)
{
	unsigned capability = config_capability(1, 0, 0x11);
	struct vmm *vmm;

	config_set(1, 4, 2, 6);
	config_set(1, 0x14, 4, 0x80);
	config_set(1, 0x10, 4, 0x40000);
	entry(0x8000042000, 1, 0x71, 1);
	config_set(1, capability + 2, 2, 0x8000);
	pci_msix_raise(&first, 1);
	vmm = take_over();
	ck_assert(pci_create(vmm));
	add(vmm, &first, "first");
	add(vmm, &second, "second");
	ck_assert(pci_add_msix(&first, 3, 0, 0x2000));
	ck_assert(pci_add_msi(&first));
	ck_assert_uint_eq(config_capability(1, 0, 0x11), capability);
	ck_assert_uint_eq(mmio_read(0x8000040004, 4), 0x10004);
	mmio_write(0x8000042000 + 0x1c, 4, 0);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	ck_assert_uint_eq(fake_vmm.message[0].vector, 0x71);
}
END_TEST

/* Random writes everywhere: nothing but what the sanitizers say is wrong. */
START_TEST(hostile)
{
	uint64_t seed = 88172645463325252ull;

	for (unsigned i = 0; i < 100000; i++) {
		unsigned bytes = 1u << (seed >> 40 & 3);
		uint64_t at = (seed >> 8 & 3) << 15 | (seed >> 16 & 0xff);

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		if (seed & 1)
			mmio_write(PCI_ECAM_BASE + (at & ~(bytes - 1ull)), bytes, seed >> 32);
		else
			config_set(seed >> 8 & 0x1f, at & 0xfc, 4, (uint32_t)(seed >> 32));
		mmio_read(seed >> 20, bytes);
		mmio_write(seed >> 24, bytes, seed);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("pci");
	TCase *tests = tcase_create("pci");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, bridges);
	tcase_add_test(tests, enumeration);
	tcase_add_test(tests, capabilities);
	tcase_add_test(tests, sizes);
	tcase_add_test(tests, decode);
	tcase_add_test(tests, moves);
	tcase_add_test(tests, collisions);
	tcase_add_test(tests, ecam_moves);
	tcase_add_test(tests, msix);
	tcase_add_test(tests, msi);
	tcase_add_test(tests, intx);
	tcase_add_test(tests, takeover);
	tcase_add_test(tests, hostile);
	suite_add_tcase(suite, tests);
	return suite;
}
