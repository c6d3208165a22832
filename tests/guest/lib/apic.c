/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/apic.h"

#define SVR_ENABLED 0x100u
#define SPURIOUS    0xffu
#define IOAPIC	    0xfec00000ull
#define IOWIN	    0x10
#define REDIRECTION 0x10u
#define PIC1	    0x20
#define PIC2	    0xa0

void apic_enable(bool x2apic)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	/* x2APIC mode is left only through "disabled" (SDM volume 3, section 11.12.5). */
	if ((base & APIC_BASE_X2APIC) && !x2apic)
		wrmsr(MSR_APIC_BASE, base & ~(APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	if (!x2apic || !(base & APIC_BASE_X2APIC))
		wrmsr(MSR_APIC_BASE, (base & ~APIC_BASE_X2APIC) | APIC_BASE_ENABLE);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	this_cpu()->x2apic = x2apic;
	apic_write(APIC_SVR, SVR_ENABLED | SPURIOUS);
}

uint32_t apic_read(unsigned number)
{
	if (this_cpu()->x2apic)
		return (uint32_t)rdmsr(MSR_X2APIC + number);
	return mmio_read(APIC_BASE + 16 * number);
}

void apic_write(unsigned number, uint32_t value)
{
	if (this_cpu()->x2apic)
		wrmsr(MSR_X2APIC + number, value);
	else
		mmio_write(APIC_BASE + 16 * number, value);
}

bool apic_bit(unsigned first, unsigned vector)
{
	return (apic_read(first + vector / 32) >> vector % 32 & 1) != 0;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_send(uint32_t destination, uint32_t command)
{
	if (this_cpu()->x2apic) {
		wrmsr(MSR_X2APIC + APIC_ICR, (uint64_t)destination << 32 | command);
	} else {
		mmio_write(APIC_BASE + 16 * (APIC_ICR + 1), destination << 24);
		mmio_write(APIC_BASE + 16 * APIC_ICR, command);
	}
}

static uint32_t ioapic_read(unsigned index)
{
	mmio_write(IOAPIC, index);
	return mmio_read(IOAPIC + IOWIN);
}

static void ioapic_write(unsigned index, uint32_t value)
{
	mmio_write(IOAPIC, index);
	mmio_write(IOAPIC + IOWIN, value);
}

void ioapic_set(unsigned pin, uint64_t entry)
{
	ioapic_write(REDIRECTION + 2 * pin, REDIRECTION_MASKED);
	ioapic_write(REDIRECTION + 2 * pin + 1, (uint32_t)(entry >> 32));
	ioapic_write(REDIRECTION + 2 * pin, (uint32_t)entry);
}

uint64_t ioapic_get(unsigned pin)
{
	uint64_t low = ioapic_read(REDIRECTION + 2 * pin);

	return (uint64_t)ioapic_read(REDIRECTION + 2 * pin + 1) << 32 | low;
}

void pic_init(uint16_t open)
{
	out8(PIC1, 0x11);
	out8(PIC1 + 1, 0x20);
	out8(PIC1 + 1, 4);
	out8(PIC1 + 1, 1);
	out8(PIC2, 0x11);
	out8(PIC2 + 1, 0x28);
	out8(PIC2 + 1, 2);
	out8(PIC2 + 1, 1);
	out8(PIC1 + 1, (uint8_t)~open);
	out8(PIC2 + 1, (uint8_t) ~(open >> 8));
}
