/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pair of 8259A interrupt controllers of a PC (Intel 8259A data sheet; ICH9 data sheet, section
 * 13.4, for the edge/level registers). Lines 8 .. 15 are the slave's, which hangs on line 2.
 */
#include "vmm-user/vmm/machine.h"

#define PIC_VERSION	   1u
#define CASCADE		   2u
#define SPURIOUS	   7u
#define ICW1		   0x10u /* of a write to A0 = 0 */
#define ICW1_IC4	   0x01u
#define ICW1_SNGL	   0x02u
#define ICW4_AEOI	   0x02u
#define ICW4_SFNM	   0x10u
#define OCW3		   0x08u
#define OCW3_RIS	   0x01u
#define OCW3_RR		   0x02u
#define OCW3_POLL	   0x04u
#define OCW3_SMM	   0x20u
#define OCW3_ESMM	   0x40u
#define OCW2_LEVEL	   0x07u
#define OCW2_EOI	   0x20u
#define OCW2_SL		   0x40u
#define OCW2_ROTATE	   0x80u
#define POLL_ACTIVE	   0x80u
#define ELCR_PORT	   0x4d0
#define INIT_SEQUENCE_DONE 0

struct pic_chip {
	uint8_t irr, isr, imr;
	uint8_t lines;	 /* as they are */
	uint8_t elcr;	 /* 1: level-triggered */
	uint8_t base;	 /* ICW2 */
	uint8_t highest; /* the line of highest priority */
	uint8_t icw;	 /* the number of the ICW that comes next, or INIT_SEQUENCE_DONE */
	uint8_t wants_icw4, single;
	uint8_t aeoi, aeoi_rotate, sfnm, special_mask;
	uint8_t read_isr, poll;
};

struct pic_state {
	struct pic_chip chip[2];
	uint8_t output, reserved[7];
};

static const uint8_t elcr_writable[2] = {0xf8, 0xde};

/* Priorities --------------------------------------------------------------------------------- */

/* The line of highest priority in `lines`, or 8. */
static unsigned first(const struct pic_chip *chip, unsigned lines)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned line = (chip->highest + i) % 8;

		if (lines >> line & 1)
			return line;
	}
	return 8;
}

static unsigned rank(const struct pic_chip *chip, unsigned line)
{
	return line == 8 ? 8 : (line - chip->highest) % 8;
}

/* The line that the chip asks an interrupt for, or 8. */
static unsigned requested(const struct pic_chip *chip, bool master)
{
	unsigned lines = chip->irr & ~chip->imr & 0xffu, line;
	unsigned serviced = chip->isr;

	if (lines == 0)
		return 8;
	line = first(chip, lines);
	if (chip->special_mask)
		serviced &= ~chip->imr & 0xffu;
	/* In special fully nested mode the slave may interrupt its own service routine. */
	if (chip->sfnm && master && line == CASCADE)
		serviced &= ~(1u << CASCADE);
	return rank(chip, line) < rank(chip, first(chip, serviced)) ? line : 8;
}

static void set_line(struct pic_chip *chip, unsigned line, bool level)
{
	uint8_t bit = (uint8_t)(1u << line);

	if (chip->elcr & bit) {
		chip->irr = (uint8_t)(level ? chip->irr | bit : chip->irr & ~bit);
	} else if (level && (chip->lines & bit) == 0) {
		chip->irr |= bit;
	}
	chip->lines = (uint8_t)(level ? chip->lines | bit : chip->lines & ~bit);
}

/* The slave's output is the master's line 2, and follows it. */
static void update(struct vmm *vmm)
{
	struct pic_state *pic = vmm->pic;
	bool slave = requested(&pic->chip[1], false) != 8;
	uint8_t output;

	set_line(&pic->chip[0], CASCADE, slave);
	if (!slave)
		pic->chip[0].irr &= (uint8_t) ~(1u << CASCADE);
	output = requested(&pic->chip[0], true) != 8;
	if (output && !pic->output) {
		pic->output = output;
		irq_pic_changed(vmm);
	}
	pic->output = output;
}

/* Lines and acknowledge ---------------------------------------------------------------------- */

void pic_set(struct vmm *vmm, unsigned irq, bool level)
{
	struct pic_state *pic = vmm->pic;

	set_line(&pic->chip[irq / 8 % 2], irq % 8, level);
	update(vmm);
}

bool pic_waits(const struct vmm *vmm, unsigned irq)
{
	const struct pic_state *pic = vmm->pic;
	const struct pic_chip *chip = &pic->chip[irq / 8 % 2];

	return (chip->irr & ~chip->imr & 1u << irq % 8) != 0;
}

bool pic_output(struct vmm *vmm)
{
	const struct pic_state *pic = vmm->pic;

	return pic->output != 0;
}

static void acknowledge(struct pic_chip *chip, unsigned line)
{
	uint8_t bit = (uint8_t)(1u << line);

	if ((chip->elcr & bit) == 0)
		chip->irr &= (uint8_t)~bit;
	if (!chip->aeoi)
		chip->isr |= bit;
	else if (chip->aeoi_rotate)
		chip->highest = (uint8_t)((line + 1) % 8);
}

uint8_t pic_acknowledge(struct vmm *vmm)
{
	struct pic_state *pic = vmm->pic;
	struct pic_chip *master = &pic->chip[0], *slave = &pic->chip[1];
	unsigned line = requested(master, true);
	unsigned vector;

	if (line == 8) {
		vector = master->base + SPURIOUS;
	} else if (line == CASCADE) {
		unsigned below = requested(slave, false);

		acknowledge(master, CASCADE);
		if (below != 8)
			acknowledge(slave, below);
		vector = slave->base + (below == 8 ? SPURIOUS : below);
	} else {
		acknowledge(master, line);
		vector = master->base + line;
	}
	update(vmm);
	return (uint8_t)vector;
}

/* Registers ---------------------------------------------------------------------------------- */

static void end_of_interrupt(struct pic_chip *chip, unsigned value)
{
	unsigned line = value & OCW2_LEVEL;

	if ((value & OCW2_SL) == 0) {
		unsigned serviced = chip->isr;

		/* A line that special mask mode looks past is not what has ended. */
		if (chip->special_mask)
			serviced &= ~chip->imr & 0xffu;
		line = first(chip, serviced);
		if (line == 8)
			return;
	}
	chip->isr &= (uint8_t) ~(1u << line);
	if (value & OCW2_ROTATE)
		chip->highest = (uint8_t)((line + 1) % 8);
}

static void write_ocw2(struct pic_chip *chip, unsigned value)
{
	switch (value & (OCW2_ROTATE | OCW2_SL | OCW2_EOI)) {
	case 0:
		chip->aeoi_rotate = 0;
		break;
	case OCW2_ROTATE:
		chip->aeoi_rotate = 1;
		break;
	case OCW2_ROTATE | OCW2_SL:
		chip->highest = (uint8_t)((value + 1) & OCW2_LEVEL);
		break;
	case OCW2_SL: /* no operation */
		break;
	default:
		end_of_interrupt(chip, value);
	}
}

static void write_command(struct pic_chip *chip, unsigned value)
{
	if (value & ICW1) {
		/* Edges that were seen before do not count; a line that is high has to fall first.
		 */
		chip->irr &= chip->elcr;
		chip->isr = chip->imr = 0;
		chip->highest = 0;
		chip->aeoi = chip->aeoi_rotate = chip->sfnm = chip->special_mask = 0;
		chip->read_isr = chip->poll = 0;
		chip->wants_icw4 = (value & ICW1_IC4) != 0;
		chip->single = (value & ICW1_SNGL) != 0;
		chip->icw = 2;
	} else if (value & OCW3) {
		if (value & OCW3_POLL)
			chip->poll = 1;
		if (value & OCW3_RR)
			chip->read_isr = (value & OCW3_RIS) != 0;
		if (value & OCW3_ESMM)
			chip->special_mask = (value & OCW3_SMM) != 0;
	} else {
		write_ocw2(chip, value);
	}
}

static void write_data(struct pic_chip *chip, unsigned value)
{
	switch (chip->icw) {
	case 2:
		chip->base = (uint8_t)(value & 0xf8);
		chip->icw = chip->single ? (chip->wants_icw4 ? 4 : INIT_SEQUENCE_DONE) : 3;
		break;
	case 3: /* who is slave on which line does not change */
		chip->icw = chip->wants_icw4 ? 4 : INIT_SEQUENCE_DONE;
		break;
	case 4:
		chip->aeoi = (value & ICW4_AEOI) != 0;
		chip->sfnm = (value & ICW4_SFNM) != 0;
		chip->icw = INIT_SEQUENCE_DONE;
		break;
	default:
		chip->imr = (uint8_t)value;
	}
}

static void chip_write(struct vmm *vmm, unsigned number, uint64_t offset, uint64_t value)
{
	struct pic_state *pic = vmm->pic;

	if (offset == 0)
		write_command(&pic->chip[number], (unsigned)value);
	else
		write_data(&pic->chip[number], (unsigned)value);
	update(vmm);
}

static uint64_t chip_read(struct vmm *vmm, unsigned number, uint64_t offset)
{
	struct pic_state *pic = vmm->pic;
	struct pic_chip *chip = &pic->chip[number];
	unsigned line;

	if (chip->poll) {
		chip->poll = 0;
		line = requested(chip, number == 0);
		if (line == 8)
			return 0;
		acknowledge(chip, line);
		update(vmm);
		return POLL_ACTIVE | line;
	}
	if (offset != 0)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static uint64_t master_read(void *device, uint64_t offset, unsigned bytes)
{
	return bytes == 1 ? chip_read(device, 0, offset) : ~0ull;
}

static void master_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	if (bytes == 1)
		chip_write(device, 0, offset, value);
}

static uint64_t slave_read(void *device, uint64_t offset, unsigned bytes)
{
	return bytes == 1 ? chip_read(device, 1, offset) : ~0ull;
}

static void slave_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	if (bytes == 1)
		chip_write(device, 1, offset, value);
}

static uint64_t elcr_read(void *device, uint64_t offset, unsigned bytes)
{
	const struct vmm *vmm = device;
	const struct pic_state *pic = vmm->pic;

	if (bytes == 2)
		return pic->chip[0].elcr | (uint64_t)pic->chip[1].elcr << 8;
	return pic->chip[offset].elcr;
}

static void elcr_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct vmm *vmm = device;
	struct pic_state *pic = vmm->pic;

	for (unsigned i = 0; i < bytes; i++, value >>= 8) {
		struct pic_chip *chip = &pic->chip[offset + i];

		chip->elcr = (uint8_t)(value & elcr_writable[offset + i]);
		/* What is level-triggered now is requested if, and only if, its line is high. */
		chip->irr = (uint8_t)((chip->irr & ~chip->elcr) | (chip->lines & chip->elcr));
	}
	update(vmm);
}

bool pic_create(struct vmm *vmm)
{
	const struct bus_range master = {"PIC", 0x20, 2, master_read, master_write, vmm};
	const struct bus_range slave = {"PIC slave", 0xa0, 2, slave_read, slave_write, vmm};
	const struct bus_range elcr = {"ELCR", ELCR_PORT, 2, elcr_read, elcr_write, vmm};
	struct pic_state *pic;
	bool fresh;

	pic = state_section(vmm, "pic", 0, PIC_VERSION, sizeof(*pic), &fresh);
	if (pic == NULL)
		return false;
	vmm->pic = pic;
	/* Until it is initialised the pair is silent. */
	if (fresh)
		pic->chip[0].imr = pic->chip[1].imr = 0xff;
	for (unsigned i = 0; i < 2; i++)
		pic->chip[i].highest %= 8;
	return bus_add(vmm, BUS_PORT, &master) && bus_add(vmm, BUS_PORT, &slave) &&
	       bus_add(vmm, BUS_PORT, &elcr);
}
