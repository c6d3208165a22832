/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O APIC: 24 pins (Intel 82093AA data sheet, section 3; the EOI register is that of version
 * 0x20, ICH9 data sheet, section 13.5). A pin's level is "asserted" or not: polarity is the board's
 * affair and changes nothing here.
 */
#include "vmm-user/vmm/vcpu.h"

#define IOAPIC_STATE_VERSION 1u
#define IOAPIC_BASE	     0xfec00000ull
#define IOAPIC_BYTES	     0x1000
#define IOAPIC_PINS	     24u

#define IOREGSEL 0x00
#define IOWIN	 0x10
#define IOEOI	 0x40

#define IOAPICID  0x00
#define IOAPICVER 0x01
#define IOAPICARB 0x02
#define IOREDTBL  0x10 /* 2 registers a pin */
#define VERSION	  0x20u
#define ID_MASK	  0x0f000000u

#define REDIR_VECTOR(entry)	 ((uint8_t)(entry))
#define REDIR_DELIVERY(entry)	 ((uint8_t)((entry) >> 8 & 7))
#define REDIR_LOGICAL		 (1ull << 11)
#define REDIR_STATUS		 (1ull << 12) /* read-only: always idle */
#define REDIR_REMOTE_IRR	 (1ull << 14) /* read-only */
#define REDIR_LEVEL		 (1ull << 15)
#define REDIR_MASKED		 (1ull << 16)
#define REDIR_DESTINATION(entry) ((uint32_t)((entry) >> 56))
#define REDIR_WRITABLE		 (0xff0000000001ffffull & ~(REDIR_STATUS | REDIR_REMOTE_IRR))
#define DESTINATION_ALL		 0xff

struct ioapic_state {
	uint64_t redirection[IOAPIC_PINS];
	uint32_t lines; /* asserted pins */
	uint32_t id;
	uint8_t select, reserved[7];
};

static void deliver(struct vmm *vmm, uint64_t entry)
{
	struct apic_message message = {
		.destination = REDIR_DESTINATION(entry),
		.logical = (entry & REDIR_LOGICAL) != 0,
		.level = (entry & REDIR_LEVEL) != 0,
		.delivery = REDIR_DELIVERY(entry),
		.vector = REDIR_VECTOR(entry),
	};

	if (message.destination == DESTINATION_ALL)
		message.destination = APIC_BROADCAST;
	apic_send(vmm, &message);
}

/* A level-triggered pin sends when it is asserted, unmasked and not yet being serviced. */
static void service_level(struct vmm *vmm, unsigned pin)
{
	struct ioapic_state *ioapic = vmm->ioapic;
	uint64_t *entry = &ioapic->redirection[pin];

	if ((ioapic->lines >> pin & 1) == 0 || (*entry & REDIR_LEVEL) == 0 ||
	    (*entry & (REDIR_MASKED | REDIR_REMOTE_IRR)) != 0)
		return;
	*entry |= REDIR_REMOTE_IRR;
	deliver(vmm, *entry);
}

/* Edges on a masked pin are lost (82093AA, section 3.2.4, "interrupt mask"). */
void ioapic_set(struct vmm *vmm, unsigned pin, bool level)
{
	struct ioapic_state *ioapic = vmm->ioapic;
	bool was;

	if (pin >= IOAPIC_PINS)
		return;
	was = (ioapic->lines >> pin & 1) != 0;
	if (was == level)
		return;
	ioapic->lines ^= 1u << pin;
	if (!level)
		return;
	if (ioapic->redirection[pin] & REDIR_LEVEL)
		service_level(vmm, pin);
	else if ((ioapic->redirection[pin] & REDIR_MASKED) == 0)
		deliver(vmm, ioapic->redirection[pin]);
}

bool ioapic_waits(const struct vmm *vmm, unsigned pin)
{
	const struct ioapic_state *ioapic = vmm->ioapic;
	uint64_t entry;

	if (pin >= IOAPIC_PINS)
		return false;
	entry = ioapic->redirection[pin];
	return (entry & (REDIR_MASKED | REDIR_LEVEL)) == 0 &&
	       REDIR_DELIVERY(entry) <= APIC_DELIVERY_LOWEST &&
	       apic_waits(vmm, REDIR_VECTOR(entry));
}

void ioapic_eoi(struct vmm *vmm, uint8_t vector)
{
	struct ioapic_state *ioapic = vmm->ioapic;

	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t *entry = &ioapic->redirection[pin];

		if (REDIR_VECTOR(*entry) != vector || (*entry & REDIR_LEVEL) == 0 ||
		    (*entry & REDIR_REMOTE_IRR) == 0)
			continue;
		*entry &= ~REDIR_REMOTE_IRR;
		service_level(vmm, pin);
	}
}

static uint32_t register_read(const struct ioapic_state *ioapic)
{
	unsigned index = ioapic->select;

	switch (index) {
	case IOAPICID:
	case IOAPICARB:
		return ioapic->id;
	case IOAPICVER:
		return VERSION | (IOAPIC_PINS - 1) << 16;
	}
	if (index < IOREDTBL || (index - IOREDTBL) / 2 >= IOAPIC_PINS)
		return 0;
	return (uint32_t)(ioapic->redirection[(index - IOREDTBL) / 2] >> (index % 2 ? 32 : 0));
}

static void register_write(struct vmm *vmm, uint32_t value)
{
	struct ioapic_state *ioapic = vmm->ioapic;
	unsigned index = ioapic->select, pin;
	uint64_t entry, read_only;

	if (index == IOAPICID)
		ioapic->id = value & ID_MASK;
	if (index < IOREDTBL || (index - IOREDTBL) / 2 >= IOAPIC_PINS)
		return;
	pin = (index - IOREDTBL) / 2;
	entry = ioapic->redirection[pin];
	read_only = entry & REDIR_REMOTE_IRR;
	if (index % 2)
		entry = (entry & 0xffffffff) | (uint64_t)value << 32;
	else
		entry = (entry & ~0xffffffffull) | value;
	entry = (entry & REDIR_WRITABLE) | read_only;
	/* Being edge-triggered for a moment is how a driver without an EOI register ends one. */
	if ((entry & REDIR_LEVEL) == 0)
		entry &= ~REDIR_REMOTE_IRR;
	ioapic->redirection[pin] = entry;
	service_level(vmm, pin);
}

static uint64_t ioapic_read(void *device, uint64_t offset, unsigned bytes)
{
	const struct vmm *vmm = device;
	const struct ioapic_state *ioapic = vmm->ioapic;

	(void)bytes;
	if (offset == IOREGSEL)
		return ioapic->select;
	if (offset == IOWIN)
		return register_read(ioapic);
	return 0;
}

static void ioapic_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct vmm *vmm = device;
	struct ioapic_state *ioapic = vmm->ioapic;

	if (offset == IOREGSEL)
		ioapic->select = (uint8_t)value;
	else if (offset == IOWIN && bytes >= 4)
		register_write(vmm, (uint32_t)value);
	else if (offset == IOEOI)
		ioapic_eoi(vmm, (uint8_t)value);
}

bool ioapic_create(struct vmm *vmm)
{
	const struct bus_range range = {"I/O APIC",  IOAPIC_BASE,  IOAPIC_BYTES,
					ioapic_read, ioapic_write, vmm};
	struct ioapic_state *ioapic;
	bool fresh;

	ioapic = state_section(vmm, "ioapic", 0, IOAPIC_STATE_VERSION, sizeof(*ioapic), &fresh);
	if (ioapic == NULL)
		return false;
	vmm->ioapic = ioapic;
	for (unsigned pin = 0; fresh && pin < IOAPIC_PINS; pin++)
		ioapic->redirection[pin] = REDIR_MASKED;
	return bus_add(vmm, BUS_MEMORY, &range);
}
