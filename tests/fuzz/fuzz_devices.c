// SPDX-License-Identifier: BSD-2-Clause
/*
 * The device models of a PC, all at once, by random ports and registers while time goes on, bytes
 * come in on the serial line and keyboard commands and DMA requests are made of noise.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_vmm.h"
#include "fuzz.h"
#include "vmm-user/vmm/fw_cfg.h"

#define STEPS 2000

static int line[2];

static void start(void)
{
	struct vmm *vmm = fake_vmm_start();

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, line) != 0)
		abort();
	fake_vmm.through_controllers = true;
	if (!pic_create(vmm) || !ioapic_create(vmm) || !pit_create(vmm) || !hpet_create(vmm) ||
	    !rtc_create(vmm, false) || !acpi_pm_create(vmm) || !debug_exit_create(vmm) ||
	    !i8042_create(vmm) || !uart16550_create(vmm, 0, line[0], line[0]) ||
	    !fw_cfg_create(vmm))
		abort();
}

static void stop(void)
{
	fake_vmm_stop();
	close(line[0]);
	close(line[1]);
}

/* Ports that belong to somebody, and any other. */
static uint64_t any_port(struct input *input)
{
	static const uint16_t bases[] = {0x20,	0x40, 0x60, 0x70,  0xa0,  0x3f8, 0x4d0, 0x510,
					 0x600, 0xf4, 0x61, 0x64,  0x514, 0x608, 0xb2,	0x604,
					 0x501, 0x92, 0x43, 0x3fb, 0x21,  0x71,	 0xcf9, 0xb000};
	uint64_t choice = input_take(input, 1);

	if (choice >= 8 * sizeof(bases) / sizeof(bases[0]))
		return input_take(input, 2);
	return bases[choice / 8] + choice % 8;
}

static uint64_t any_register(struct input *input)
{
	switch (input_take(input, 1) % 4) {
	case 0:
		return 0xfec00000 + input_below(input, 0x40);
	case 1:
	case 2:
		return 0xfed00000 + input_below(input, 0x400);
	default:
		return input_number(input);
	}
}

static void step(struct input *input)
{
	uint64_t choice = input_take(input, 1), at;
	uint8_t text[16] = {0};

	switch (choice % 8) {
	case 0:
	case 1:
		at = any_port(input);
		bus_do_read(&fake_vmm.vmm, BUS_PORT, at, 1u << choice / 8 % 3);
		break;
	case 2:
	case 3:
		at = any_port(input);
		bus_do_write(&fake_vmm.vmm, BUS_PORT, at, 1u << choice / 8 % 3,
			     input_take(input, 1u << choice / 8 % 3));
		break;
	case 4:
		mmio_read(any_register(input), 1u << choice / 8 % 4);
		break;
	case 5:
		at = any_register(input);
		mmio_write(at, 1u << choice / 8 % 4, input_take(input, 1u << choice / 8 % 4));
		break;
	case 6:
		/* Periodic timers do not make more than some thousand turns of this. */
		fake_vmm_pass(input_take(input, 1 + choice / 8 % 3));
		break;
	default:
		at = input_below(input, FAKE_RAM_BYTES - 8);
		memcpy(fake_vmm.vmm.ram.base + at, &(uint64_t){input_number(input)}, 8);
		*(uint64_t *)(void *)text = input_take(input, choice / 8 % 8);
		if (write(line[1], text, choice / 8 % 16) < 0)
			while (read(line[1], text, sizeof(text)) > 0)
				;
		fake_vmm_poll();
	}
	if (pic_output(&fake_vmm.vmm) && choice & 0x80)
		pic_acknowledge(&fake_vmm.vmm);
	if (choice == 0xff)
		ioapic_eoi(&fake_vmm.vmm, (uint8_t)input_take(input, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {data, bytes};

	start();
	for (int i = 0; i < STEPS && input.left != 0; i++)
		step(&input);
	stop();
	return 0;
}
