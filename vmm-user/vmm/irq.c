/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts from the devices' pins and messages to the local APICs. A line goes to the pin of that
 * number of the I/O APIC and to that of the PIC pair, with two exceptions of every PC: line 0 (the
 * timer) is pin 2 of the I/O APIC, and line 2 of the PIC is the cascade.
 */
#include "vmm-user/vmm/vcpu.h"

#define MSI_ADDRESS(address)	 ((address) >> 20 == 0xfee)
#define MSI_LOGICAL(address)	 (((address) >> 2 & 1) != 0)
#define MSI_DESTINATION(address) ((uint32_t)((address) >> 12 & 0xff))
#define MSI_DELIVERY(data)	 ((uint8_t)((data) >> 8 & 7))
#define MSI_LEVEL(data)		 (((data) >> 15 & 1) != 0)
#define MSI_BROADCAST		 0xff

#define TIMER_LINE   0
#define CASCADE_LINE 2
#define PIC_LINES    16

void irq_set(struct vmm *vmm, unsigned gsi, bool level)
{
	if (gsi == TIMER_LINE)
		ioapic_set(vmm, CASCADE_LINE, level);
	else
		ioapic_set(vmm, gsi, level);
	if (gsi < PIC_LINES && gsi != CASCADE_LINE)
		pic_set(vmm, gsi, level);
}

bool irq_waits(struct vmm *vmm, unsigned gsi)
{
	if (gsi < PIC_LINES && gsi != CASCADE_LINE && pic_waits(vmm, gsi))
		return true;
	return ioapic_waits(vmm, gsi == TIMER_LINE ? CASCADE_LINE : gsi);
}

void msi_send(struct vmm *vmm, uint64_t address, uint32_t data)
{
	struct apic_message message = {
		.destination = MSI_DESTINATION(address),
		.logical = MSI_LOGICAL(address),
		.level = MSI_LEVEL(data),
		.delivery = MSI_DELIVERY(data),
		.vector = (uint8_t)data,
	};

	/* Elsewhere it would be a write to memory by a device: nothing that a driver wants. */
	if (!MSI_ADDRESS(address))
		return;
	if (message.destination == MSI_BROADCAST)
		message.destination = APIC_BROADCAST;
	apic_send(vmm, &message);
}

void irq_eoi(struct vmm *vmm, uint8_t vector)
{
	ioapic_eoi(vmm, vector);
}

/* INTR goes to the first processor's LINT0. */
void irq_pic_changed(struct vmm *vmm)
{
	if (vmm->vcpu != NULL && pic_output(vmm) && apic_takes_extint(&vmm->vcpu[0]))
		vcpu_signal(&vmm->vcpu[0], VCPU_PENDING_INTR);
}
