/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC in either mode, and the I/O APIC. */
#ifndef GUEST_APIC_H
#define GUEST_APIC_H

#include "lib/guest.h"

/* Numbers of registers: the x2APIC MSR - 0x800, the xAPIC offset / 16. */
#define APIC_ID	       0x02u
#define APIC_VERSION   0x03u
#define APIC_TPR       0x08u
#define APIC_PPR       0x0au
#define APIC_EOI       0x0bu
#define APIC_LDR       0x0du
#define APIC_DFR       0x0eu
#define APIC_SVR       0x0fu
#define APIC_ISR       0x10u
#define APIC_TMR       0x18u
#define APIC_IRR       0x20u
#define APIC_ESR       0x28u
#define APIC_ICR       0x30u
#define APIC_LVT_TIMER 0x32u
#define APIC_LVT_LINT0 0x35u
#define APIC_LVT_LINT1 0x36u
#define APIC_TMICT     0x38u
#define APIC_TMCCT     0x39u
#define APIC_TDCR      0x3eu
#define APIC_SELF_IPI  0x3fu

#define APIC_BASE	       0xfee00000ull
#define APIC_BASE_BSP	       (1ull << 8)
#define APIC_BASE_X2APIC       (1ull << 10)
#define APIC_BASE_ENABLE       (1ull << 11)
#define LVT_MASKED	       (1u << 16)
#define LVT_PERIODIC	       (1u << 17)
#define LVT_DEADLINE	       (2u << 17)
#define LVT_EXTINT	       (7u << 8)
#define DELIVERY_FIXED	       (0u << 8)
#define DELIVERY_LOWEST	       (1u << 8)
#define DELIVERY_NMI	       (4u << 8)
#define DELIVERY_INIT	       (5u << 8)
#define DELIVERY_SIPI	       (6u << 8)
#define DELIVERY_EXTINT	       (7u << 8)
#define DESTINATION_LOGICAL    (1u << 11)
#define ICR_ASSERT	       (1u << 14)
#define ICR_SELF	       (1u << 18)
#define ICR_ALL		       (2u << 18)
#define ICR_OTHERS	       (3u << 18)
#define REDIRECTION_LEVEL      (1ull << 15)
#define REDIRECTION_REMOTE_IRR (1ull << 14)
#define REDIRECTION_MASKED     (1ull << 16)

/* Switches this CPU's local APIC on: xAPIC mode, or x2APIC. */
void apic_enable(bool x2apic);
uint32_t apic_read(unsigned number);
void apic_write(unsigned number, uint32_t value);
/* Bit `vector` of a 256-bit register (APIC_ISR, APIC_TMR, APIC_IRR). */
bool apic_bit(unsigned first, unsigned vector);
void apic_eoi(void);
/* Sends an IPI: destination as the mode has it in its low bits. */
void apic_send(uint32_t destination, uint32_t command);
/* Programs a pin of the I/O APIC. */
void ioapic_set(unsigned pin, uint64_t entry);
uint64_t ioapic_get(unsigned pin);
/* Moves the PIC's vectors to 0x20 and 0x28 and masks all of its lines but these. */
void pic_init(uint16_t open);

#endif
