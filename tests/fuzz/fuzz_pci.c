// SPDX-License-Identifier: BSD-2-Clause
/*
 * Configuration space by ports and by ECAM, BARs that move over each other, MSI and MSI-X, with
 * devices of every kind of BAR. Accesses to where the BARs may be follow.
 */
#include <stdlib.h>

#include "driver.h"
#include "fuzz.h"
#include "vmm-user/vmm/pci.h"
#include "vmm-user/vmm/pci_internal.h"

#define DEVICES 3u
#define STEPS	1000

static struct pci_device devices[DEVICES];

/* Accesses of a BAR lie within it. */
static void check(const struct pci_device *device, uint64_t offset, unsigned bytes)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < 6; i++)
		if (device->bar[i].bytes > most)
			most = device->bar[i].bytes;
	if (offset >= most || bytes > most - offset)
		abort();
}

static uint64_t bar_read(void *device, uint64_t offset, unsigned bytes)
{
	uint64_t value;

	check(device, offset, bytes);
	return pci_msix_read(device, 0, offset, bytes, &value) ? value : offset;
}

static void bar_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	check(device, offset, bytes);
	pci_msix_write(device, 0, offset, bytes, value);
}

static void start(void)
{
	struct vmm *vmm = fake_vmm_start();

	if (!pci_create(vmm))
		abort();
	for (unsigned i = 0; i < DEVICES; i++) {
		devices[i] = (struct pci_device){.name = i == 0	  ? "a"
							 : i == 1 ? "b"
								  : "c",
						 .device = &devices[i]};
		devices[i].bar[0] = (struct pci_bar){0x4000, false, i != 1, bar_read, bar_write};
		devices[i].bar[2] =
			(struct pci_bar){0x1000u << i, false, false, bar_read, bar_write};
		devices[i].bar[4] = (struct pci_bar){32, true, false, bar_read, bar_write};
		if (!pci_add(vmm, &devices[i], 0x1234, 0x5678, 0x010203, 0x1af4, 0x1100))
			abort();
		if (!pci_add_msix(&devices[i], 3, 0, 0x2000) || !pci_add_msi(&devices[i]))
			abort();
	}
}

static uint64_t any_address(struct input *input, const struct pci_device *device)
{
	unsigned bar = 0x10 + 4 * (unsigned)input_below(input, 6);
	uint64_t base = config_get(device->slot, bar, 4) & ~0xfull;

	if (bar == 0x10)
		base |= (uint64_t)config_get(device->slot, 0x14, 4) << 32;
	return base + input_below(input, 0x4000);
}

static void step(struct input *input)
{
	static const uint64_t places[] = {0xe0000000, 0xfec00000, 0xfee00000, 0xc0000000,
					  0x8000000000};
	uint64_t choice = input_take(input, 1),
		 offset = input_below(input, choice & 1 ? 4096 : 256);
	struct pci_device *device = &devices[choice / 2 % DEVICES];
	unsigned bytes = input_size(input), slot = device->slot;

	switch (input_take(input, 1) % 8) {
	case 0:
		mmio_write(PCI_ECAM_BASE + (slot << 15) + offset, bytes, input_take(input, bytes));
		break;
	case 1:
		mmio_write(PCI_ECAM_BASE + input_below(input, 0x10000000), bytes,
			   input_take(input, bytes));
		break;
	case 2:
		out(0xcf8 + choice % 8, bytes > 4 ? 4 : bytes, input_take(input, 4));
		break;
	case 3:
		config_set(slot, offset & 0xff, bytes > 4 ? 4 : bytes,
			   (uint32_t)input_take(input, 4));
		break;
	case 4: /* a BAR somewhere */
		config_set(slot, 0x10 + 4 * (unsigned)input_below(input, 6), 4,
			   (uint32_t)places[choice % 5] + (uint32_t)input_take(input, 2) * 16);
		config_set(slot, 4, 2, (uint32_t)input_take(input, 1));
		break;
	case 5:
		mmio_write(any_address(input, device), bytes, input_take(input, bytes));
		break;
	case 6:
		if (choice & 1)
			mmio_read(any_address(input, device), bytes);
		else
			in(any_address(input, device) & 0xffff, bytes > 4 ? 4 : bytes);
		break;
	default:
		if (choice & 1)
			pci_msix_raise(device, (unsigned)input_below(input, 3));
		else
			pci_msi_raise(device);
		pci_intx_set(device, choice & 2);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {data, bytes};

	start();
	for (int i = 0; i < STEPS && input.left != 0; i++)
		step(&input);
	free(pci_host());
	fake_vmm_stop();
	return 0;
}
