/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keyboard controller (IBM PS/2 technical reference, "Keyboard and Auxiliary Device
 * Controller"): what an operating system asks when it looks for a keyboard and a mouse, and the
 * reset line. Nobody types and nobody moves.
 */
#include "vmm-user/vmm/machine.h"

#define I8042_VERSION 1u
#define DATA_PORT     0x60
#define COMMAND_PORT  0x64
#define KEYBOARD_GSI  1
#define MOUSE_GSI     12
#define QUEUE_BYTES   16u

#define STATUS_OUTPUT_FULL 0x01u
#define STATUS_SYSTEM	   0x04u
#define STATUS_COMMAND	   0x08u /* the last write was to the command port */
#define STATUS_UNLOCKED	   0x10u
#define STATUS_MOUSE	   0x20u /* what waits is the mouse's */

#define CONFIG_KEYBOARD_IRQ 0x01u
#define CONFIG_MOUSE_IRQ    0x02u
#define CONFIG_RESET	    0x45u /* interrupt, system flag, translation */

#define OUTPUT_RESET 0x01u /* active low */
#define OUTPUT_A20   0x02u

enum command {
	READ_CONFIG = 0x20,
	WRITE_CONFIG = 0x60,
	MOUSE_DISABLE = 0xa7,
	MOUSE_ENABLE = 0xa8,
	MOUSE_TEST = 0xa9,
	SELF_TEST = 0xaa,
	KEYBOARD_TEST = 0xab,
	KEYBOARD_DISABLE = 0xad,
	KEYBOARD_ENABLE = 0xae,
	READ_OUTPUT = 0xd0,
	WRITE_OUTPUT = 0xd1,
	WRITE_KEYBOARD_BUFFER = 0xd2,
	WRITE_MOUSE_BUFFER = 0xd3,
	WRITE_MOUSE = 0xd4,
};

#define DEVICE_ACK    0xfa
#define DEVICE_PASSED 0xaa
#define DEVICE_RESET  0xff
#define DEVICE_GET_ID 0xf2
#define DEVICE_ECHO   0xee
#define MOUSE_STATUS  0xe9
#define TEST_PASSED   0x55

struct i8042_state {
	struct {
		uint8_t byte, mouse;
	} queue[QUEUE_BYTES];
	uint8_t first, count;
	uint8_t config, output;
	uint8_t command; /* that waits for its data; 0: none */
	uint8_t last_command_port;
	uint8_t keyboard_parameter, mouse_parameter; /* the next byte is one */
};

struct i8042 {
	struct vmm *vmm;
	struct i8042_state *state;
};

static void update(struct i8042 *i8042)
{
	const struct i8042_state *state = i8042->state;
	bool mouse = state->count > 0 && state->queue[state->first].mouse;
	bool keyboard = state->count > 0 && !mouse;

	irq_set(i8042->vmm, KEYBOARD_GSI, keyboard && (state->config & CONFIG_KEYBOARD_IRQ));
	irq_set(i8042->vmm, MOUSE_GSI, mouse && (state->config & CONFIG_MOUSE_IRQ));
}

static void answer(struct i8042 *i8042, uint8_t byte, bool mouse)
{
	struct i8042_state *state = i8042->state;
	unsigned at = (state->first + state->count) % QUEUE_BYTES;

	/* A guest that asks and never reads loses the answers. */
	if (state->count == QUEUE_BYTES)
		return;
	state->queue[at].byte = byte;
	state->queue[at].mouse = mouse;
	state->count++;
}

/* Devices ------------------------------------------------------------------------------------ */

static bool takes_parameter(uint8_t byte, bool mouse)
{
	/* LEDs, scan code set, rate; resolution and rate. */
	return mouse ? byte == 0xe8 || byte == 0xf3 : byte == 0xed || byte == 0xf0 || byte == 0xf3;
}

static void to_device(struct i8042 *i8042, uint8_t byte, bool mouse)
{
	uint8_t *parameter =
		mouse ? &i8042->state->mouse_parameter : &i8042->state->keyboard_parameter;

	if (!mouse && byte == DEVICE_ECHO && !*parameter) {
		answer(i8042, DEVICE_ECHO, false);
		return;
	}
	answer(i8042, DEVICE_ACK, mouse);
	if (*parameter) {
		/* Scan code set 0 asks for the one in use. */
		if (*parameter == 0xf0 && byte == 0)
			answer(i8042, 2, false);
		*parameter = 0;
		return;
	}
	if (takes_parameter(byte, mouse)) {
		*parameter = byte;
	} else if (byte == DEVICE_RESET) {
		answer(i8042, DEVICE_PASSED, mouse);
		if (mouse)
			answer(i8042, 0, true);
	} else if (byte == DEVICE_GET_ID) {
		answer(i8042, mouse ? 0x00 : 0xab, mouse);
		if (!mouse)
			answer(i8042, 0x83, false);
	} else if (byte == MOUSE_STATUS && mouse) {
		answer(i8042, 0, true);
		answer(i8042, 2, true);	  /* resolution */
		answer(i8042, 100, true); /* rate */
	}
}

/* Controller --------------------------------------------------------------------------------- */

static void reset(struct i8042 *i8042)
{
	vmm_end(i8042->vmm, VMM_REBOOT, "reset by the keyboard controller");
}

static void write_command(struct i8042 *i8042, uint8_t command)
{
	struct i8042_state *state = i8042->state;

	state->command = 0;
	switch (command) {
	case READ_CONFIG:
		answer(i8042, state->config, false);
		break;
	case MOUSE_DISABLE:
		state->config |= 0x20;
		break;
	case MOUSE_ENABLE:
		state->config &= (uint8_t)~0x20;
		break;
	case KEYBOARD_DISABLE:
		state->config |= 0x10;
		break;
	case KEYBOARD_ENABLE:
		state->config &= (uint8_t)~0x10;
		break;
	case SELF_TEST:
		state->count = 0;
		answer(i8042, TEST_PASSED, false);
		break;
	case MOUSE_TEST:
	case KEYBOARD_TEST:
		answer(i8042, 0, false);
		break;
	case READ_OUTPUT:
		answer(i8042, state->output, false);
		break;
	case WRITE_CONFIG:
	case WRITE_OUTPUT:
	case WRITE_KEYBOARD_BUFFER:
	case WRITE_MOUSE_BUFFER:
	case WRITE_MOUSE:
		state->command = command;
		break;
	default:
		/* 0xf0 .. 0xff pulse the output lines whose bit is clear; line 0 is the reset. */
		if (command >= 0xf0 && (command & 1) == 0)
			reset(i8042);
	}
}

static void write_data(struct i8042 *i8042, uint8_t byte)
{
	struct i8042_state *state = i8042->state;
	uint8_t command = state->command;

	state->command = 0;
	switch (command) {
	case WRITE_CONFIG:
		state->config = byte;
		break;
	case WRITE_OUTPUT:
		state->output = byte;
		if ((byte & OUTPUT_RESET) == 0)
			reset(i8042);
		break;
	case WRITE_KEYBOARD_BUFFER:
		answer(i8042, byte, false);
		break;
	case WRITE_MOUSE_BUFFER:
		answer(i8042, byte, true);
		break;
	case WRITE_MOUSE:
		to_device(i8042, byte, true);
		break;
	default:
		to_device(i8042, byte, false);
	}
}

static uint64_t data_read(void *device, uint64_t offset, unsigned bytes)
{
	struct i8042 *i8042 = device;
	struct i8042_state *state = i8042->state;
	uint8_t byte = state->queue[state->first].byte;

	(void)offset;
	(void)bytes;
	if (state->count == 0)
		return byte; /* the last one again */
	state->count--;
	if (state->count > 0) {
		state->first = (uint8_t)((state->first + 1) % QUEUE_BYTES);
		/* Each byte is an edge of its own. */
		irq_set(i8042->vmm, KEYBOARD_GSI, false);
		irq_set(i8042->vmm, MOUSE_GSI, false);
	}
	update(i8042);
	return byte;
}

static void data_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct i8042 *i8042 = device;

	(void)offset;
	(void)bytes;
	i8042->state->last_command_port = 0;
	write_data(i8042, (uint8_t)value);
	update(i8042);
}

static uint64_t status_read(void *device, uint64_t offset, unsigned bytes)
{
	const struct i8042 *i8042 = device;
	const struct i8042_state *state = i8042->state;
	unsigned status = STATUS_UNLOCKED | (state->config & STATUS_SYSTEM);

	(void)offset;
	(void)bytes;
	if (state->count > 0)
		status |=
			STATUS_OUTPUT_FULL | (state->queue[state->first].mouse ? STATUS_MOUSE : 0);
	if (state->last_command_port)
		status |= STATUS_COMMAND;
	return status;
}

static void command_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct i8042 *i8042 = device;

	(void)offset;
	(void)bytes;
	i8042->state->last_command_port = 1;
	write_command(i8042, (uint8_t)value);
	update(i8042);
}

bool i8042_create(struct vmm *vmm)
{
	static struct i8042 device;
	struct i8042 *i8042 = &device;
	const struct bus_range data = {"i8042 data", DATA_PORT, 1, data_read, data_write, i8042};
	const struct bus_range command = {"i8042 command", COMMAND_PORT,  1,
					  status_read,	   command_write, i8042};
	bool fresh;

	*i8042 = (struct i8042){.vmm = vmm};
	i8042->state = state_section(vmm, "i8042", 0, I8042_VERSION, sizeof(*i8042->state), &fresh);
	if (i8042->state == NULL)
		return false;
	if (fresh) {
		i8042->state->config = CONFIG_RESET;
		i8042->state->output = OUTPUT_RESET | OUTPUT_A20;
	}
	if (i8042->state->first >= QUEUE_BYTES || i8042->state->count > QUEUE_BYTES) {
		vmm_log(vmm, "i8042: the queue was left in a state that does not exist");
		return false;
	}
	return bus_add(vmm, BUS_PORT, &data) && bus_add(vmm, BUS_PORT, &command);
}
