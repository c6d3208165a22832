/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI fixed hardware: PM1 event and control blocks, the power-management timer, an empty
 * general-purpose event block, and the reset register (ACPI 6.4, section 4.8; ICH9 data sheet,
 * sections 13.8 and 13.7.5 for 0xb2 and 0xcf9).
 */
#include "vmm-user/vmm/devices/acpi_pm.h"
#include "vmm-user/vmm/machine.h"

#define ACPI_PM_VERSION 1u
#define TIMER_HZ	3579545ull
#define NANOSECONDS	1000000000ull
#define TIMER_BITS	24
#define CARRY_TICKS	(1ull << (TIMER_BITS - 1)) /* TMR_STS: the highest bit changes */

#define TMR_STS	     (1u << 0)
#define GBL_STS	     (1u << 5)
#define PWRBTN_STS   (1u << 8)
#define SLPBTN_STS   (1u << 9)
#define RTC_STS	     (1u << 10)
#define WAK_STS	     (1u << 15)
#define PM1_STS_BITS (TMR_STS | GBL_STS | PWRBTN_STS | SLPBTN_STS | RTC_STS | WAK_STS)
#define PM1_EN_BITS  (TMR_STS | GBL_STS | PWRBTN_STS | SLPBTN_STS | RTC_STS)

#define SCI_EN	     (1u << 0)
#define SLP_TYP(cnt) ((cnt) >> 10 & 7)
#define SLP_EN	     (1u << 13)
#define PM1_CNT_BITS 0x1c03u
#define RESET_CPU    (1u << 2)

struct acpi_pm_state {
	uint16_t status, enable, control;
	uint8_t reset, smi_command, smi_status, reserved[7];
	uint64_t carry; /* ticks / CARRY_TICKS when TMR_STS was last brought up to date */
	uint8_t gpe[ACPI_GPE0_BYTES];
};

struct acpi_pm {
	struct vmm *vmm;
	struct acpi_pm_state *state;
	struct vmm_timer timer;
};

static uint64_t ticks(struct vmm *vmm)
{
	return (uint64_t)((unsigned __int128)vmm_now(vmm) * TIMER_HZ / NANOSECONDS);
}

static uint64_t tick_time(uint64_t tick)
{
	return (uint64_t)(((unsigned __int128)tick * NANOSECONDS + TIMER_HZ - 1) / TIMER_HZ);
}

/* Brings TMR_STS up to date, and the SCI's level with it; waits for the next carry if need be. */
static void update(struct acpi_pm *pm)
{
	struct acpi_pm_state *state = pm->state;
	uint64_t carry = ticks(pm->vmm) / CARRY_TICKS;
	bool level = false;

	if (carry != state->carry)
		state->status |= TMR_STS;
	state->carry = carry;
	if (state->enable & TMR_STS & ~state->status)
		timer_set(pm->vmm, &pm->timer, tick_time((carry + 1) * CARRY_TICKS));
	else
		timer_clear(pm->vmm, &pm->timer);
	if (state->status & state->enable & PM1_EN_BITS)
		level = true;
	for (unsigned i = 0; i < ACPI_GPE0_BYTES / 2; i++)
		if (state->gpe[i] & state->gpe[ACPI_GPE0_BYTES / 2 + i])
			level = true;
	irq_set(pm->vmm, ACPI_SCI_GSI, level && (state->control & SCI_EN) != 0);
}

static void carried(void *device)
{
	update(device);
}

void acpi_pm_power_button(struct vmm *vmm)
{
	struct acpi_pm *pm = vmm->acpi_pm;

	pm->state->status |= PWRBTN_STS;
	update(pm);
}

/* PM1a_EVT ----------------------------------------------------------------------------------- */

static uint64_t event_read(void *device, uint64_t offset, unsigned bytes)
{
	struct acpi_pm *pm = device;
	uint32_t value;

	(void)bytes;
	update(pm);
	value = pm->state->status | (uint32_t)pm->state->enable << 16;
	return value >> (8 * offset);
}

static void event_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct acpi_pm *pm = device;
	struct acpi_pm_state *state = pm->state;

	update(pm);
	for (unsigned i = 0; i < bytes; i++, value >>= 8) {
		unsigned shift = 8 * ((offset + i) % 2);
		uint32_t byte = (uint32_t)(value & 0xff) << shift;

		if (offset + i < 2)
			state->status &= (uint16_t) ~(byte & PM1_STS_BITS);
		else
			state->enable = (uint16_t)((state->enable & ~(0xffu << shift)) |
						   (byte & PM1_EN_BITS));
	}
	update(pm);
}

/* PM1a_CNT ----------------------------------------------------------------------------------- */

static uint64_t control_read(void *device, uint64_t offset, unsigned bytes)
{
	struct acpi_pm *pm = device;

	(void)bytes;
	return (uint64_t)pm->state->control >> (8 * offset);
}

static void control_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct acpi_pm *pm = device;
	uint32_t mask = (bytes >= 2 ? 0xffffu : 0xffu) << (8 * offset);
	uint32_t written = (pm->state->control & ~mask) | ((uint32_t)value << (8 * offset) & mask);

	/* SCI_EN is changed by way of SMI_CMD. */
	pm->state->control =
		(uint16_t)((written & PM1_CNT_BITS & ~SCI_EN) | (pm->state->control & SCI_EN));
	if ((written & SLP_EN) == 0)
		return;
	if (SLP_TYP(written) == ACPI_SLP_TYP_S5)
		vmm_end(pm->vmm, VMM_POWEROFF, "ACPI S5");
	else
		vmm_log(pm->vmm, "ACPI: sleep type %u is not offered", SLP_TYP(written));
}

/* PM_TMR, GPE0 ------------------------------------------------------------------------------- */

static uint64_t timer_read(void *device, uint64_t offset, unsigned bytes)
{
	struct acpi_pm *pm = device;

	(void)bytes;
	return (ticks(pm->vmm) & ((1u << TIMER_BITS) - 1)) >> (8 * offset);
}

static void timer_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	(void)device;
	(void)offset;
	(void)bytes;
	(void)value;
}

static uint64_t gpe_read(void *device, uint64_t offset, unsigned bytes)
{
	struct acpi_pm *pm = device;
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)pm->state->gpe[offset + i] << (8 * i);
	return value;
}

static void gpe_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct acpi_pm *pm = device;

	for (unsigned i = 0; i < bytes; i++, value >>= 8) {
		uint8_t *byte = &pm->state->gpe[offset + i];

		/* The first half is status, write 1 to clear; the second enables. */
		if (offset + i < ACPI_GPE0_BYTES / 2)
			*byte &= (uint8_t)~value;
		else
			*byte = (uint8_t)value;
	}
	update(pm);
}

/* SMI_CMD, reset ----------------------------------------------------------------------------- */

static uint64_t smi_read(void *device, uint64_t offset, unsigned bytes)
{
	struct acpi_pm *pm = device;

	(void)bytes;
	return offset == 0 ? pm->state->smi_command : pm->state->smi_status;
}

static void smi_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct acpi_pm *pm = device;

	if (bytes == 2 || offset == 1)
		pm->state->smi_status = (uint8_t)(bytes == 2 ? value >> 8 : value);
	if (offset == 1)
		return;
	pm->state->smi_command = (uint8_t)value;
	if ((uint8_t)value == ACPI_ENABLE)
		pm->state->control |= SCI_EN;
	else if ((uint8_t)value == ACPI_DISABLE)
		pm->state->control &= (uint16_t)~SCI_EN;
	update(pm);
}

static uint64_t reset_read(void *device, uint64_t offset, unsigned bytes)
{
	struct acpi_pm *pm = device;

	(void)offset;
	(void)bytes;
	return pm->state->reset;
}

static void reset_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct acpi_pm *pm = device;

	(void)offset;
	(void)bytes;
	if (value & RESET_CPU & ~pm->state->reset)
		vmm_end(pm->vmm, VMM_REBOOT, "reset register");
	pm->state->reset = (uint8_t)(value & 0x0a);
}

/*
 * The machine comes up in ACPI mode: there is no system-management mode to leave it to, and a FADT
 * may then say SMI_CMD 0.
 */
bool acpi_pm_create(struct vmm *vmm)
{
	static struct acpi_pm device;
	struct acpi_pm *pm = &device;
	const struct bus_range ranges[] = {
		{"PM1 event", ACPI_PM1A_EVT, 4, event_read, event_write, pm},
		{"PM1 control", ACPI_PM1A_CNT, 2, control_read, control_write, pm},
		{"PM timer", ACPI_PM_TMR, 4, timer_read, timer_write, pm},
		{"GPE0", ACPI_GPE0, ACPI_GPE0_BYTES, gpe_read, gpe_write, pm},
		{"SMI command", ACPI_SMI_CMD, 2, smi_read, smi_write, pm},
		{"reset", ACPI_RESET_REG, 1, reset_read, reset_write, pm},
	};
	bool fresh;

	*pm = (struct acpi_pm){.vmm = vmm, .timer = {.expired = carried, .device = pm}};
	pm->state = state_section(vmm, "acpi-pm", 0, ACPI_PM_VERSION, sizeof(*pm->state), &fresh);
	if (pm->state == NULL)
		return false;
	if (fresh) {
		pm->state->control = SCI_EN;
		pm->state->carry = ticks(vmm) / CARRY_TICKS;
	}
	vmm->acpi_pm = pm;
	for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (!bus_add(vmm, BUS_PORT, &ranges[i]))
			return false;
	update(pm);
	return true;
}
