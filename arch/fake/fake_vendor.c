// SPDX-License-Identifier: BSD-2-Clause
#include <check.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fake_cpu.h"
#include "hv/console.h"
#include "hv/panic.h"

__attribute__((weak)) const struct arch_ops *arch;

static unsigned faults;
static uint8_t fault_vector;
static uint32_t fault_code;
static uint64_t registers[VCPU_CS_BASE + 1];
static uint64_t vendor_msr;
static unsigned guests_inside;
static uint64_t guest_load_bits, guest_last_event;
static bool guest_init_result = true, guest_window_shut;
static unsigned guest_interrupts;
static uint8_t guest_last_interrupt;

static jmp_buf panic_return;
static bool panic_expected;
static char panic_message[256];

static void fake_fault(struct vcpu *vcpu, uint8_t vector, uint32_t error_code)
{
	(void)vcpu;
	faults++;
	fault_vector = vector;
	fault_code = error_code;
}

static uint64_t fake_read(struct vcpu *vcpu, enum vcpu_register which)
{
	(void)vcpu;
	return registers[which];
}

static bool fake_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	(void)vcpu;
	if (msr != FAKE_MSR)
		return false;
	*value = vendor_msr;
	return true;
}

static bool fake_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	(void)vcpu;
	if (msr != FAKE_MSR)
		return false;
	vendor_msr = value;
	return true;
}

static void fake_dump(struct vcpu *vcpu)
{
	(void)vcpu;
	console_write("dump\n", 5);
}

static void fake_service_init(struct vcpu *vcpu, const struct boot_info *boot,
			      const struct boot_service_entry *entry, const struct ept *memory)
{
	(void)boot;
	(void)memory;
	vcpu->regs->rsi = entry->rsi;
	registers[VCPU_RIP] = entry->rip;
	registers[VCPU_RSP] = entry->rsp;
}

/* All that a vendor would write is written, so that memory which is not there any more shows. */
static bool fake_guest_init(struct vcpu *vcpu, const struct ept *memory)
{
	uint8_t *control = vcpu->control;

	for (unsigned i = 0; i < PAGE_BYTES; i++)
		ck_assert_msg(control[i] == 0, "the control block is not a zeroed page");
	memset(control, 0xcb, PAGE_BYTES);
	memcpy(control, &memory->root, sizeof(memory->root));
	memset(vcpu->fpu, 0xf9, 512);
	return guest_init_result;
}

static void fake_guest_load(struct vcpu *vcpu, uint64_t load)
{
	guests_inside++;
	guest_load_bits = load;
	((volatile uint8_t *)vcpu->control)[PAGE_BYTES - 1]++;
	((volatile uint8_t *)vcpu->fpu)[0]++;
}

static void fake_guest_leave(struct vcpu *vcpu)
{
	ck_assert_uint_gt(guests_inside, 0);
	guests_inside--;
	((volatile uint8_t *)vcpu->control)[PAGE_BYTES - 1]--;
	((volatile uint8_t *)vcpu->fpu)[0]--;
	vcpu->area->rip = registers[VCPU_RIP];
}

static void fake_guest_save_system(struct vcpu *vcpu)
{
	vcpu->area->system.cr3 = registers[VCPU_CR3];
}

static bool fake_guest_event(struct vcpu *vcpu, uint64_t event)
{
	(void)vcpu;
	if ((event & 0xff) == FAKE_BAD_EVENT)
		return false;
	guest_last_event = event;
	return true;
}

static bool fake_guest_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	(void)vcpu;
	if (guest_window_shut)
		return false;
	guest_last_interrupt = vector;
	guest_interrupts++;
	return true;
}

const struct arch_ops fake_ops = {
	.name = "fake",
	.ept_format = &ept_format_ept,
	.service_init = fake_service_init,
	.vcpu_fault = fake_fault,
	.vcpu_read = fake_read,
	.msr_read = fake_msr_read,
	.msr_write = fake_msr_write,
	.guest_init = fake_guest_init,
	.guest_load = fake_guest_load,
	.guest_leave = fake_guest_leave,
	.guest_save_system = fake_guest_save_system,
	.guest_event = fake_guest_event,
	.guest_interrupt = fake_guest_interrupt,
	.vcpu_dump = fake_dump,
};

void fake_start(void)
{
	fake_cpu_reset();
	faults = 0;
	fault_vector = 0;
	fault_code = 0;
	memset(registers, 0, sizeof(registers));
	vendor_msr = 0;
	guests_inside = 0;
	guest_load_bits = guest_last_event = 0;
	guest_init_result = true;
	guest_window_shut = false;
	guest_interrupts = 0;
	panic_message[0] = '\0';
	arch = &fake_ops;
}

unsigned fake_faults(void)
{
	return faults;
}

uint8_t fake_fault_vector(void)
{
	return fault_vector;
}

uint32_t fake_fault_code(void)
{
	return fault_code;
}

void fake_register(enum vcpu_register which, uint64_t value)
{
	registers[which] = value;
}

uint64_t fake_vendor_msr(void)
{
	return vendor_msr;
}

void fake_vendor_msr_set(uint64_t value)
{
	vendor_msr = value;
}

unsigned fake_guests_inside(void)
{
	return guests_inside;
}

uint64_t fake_guest_load_bits(void)
{
	return guest_load_bits;
}

uint64_t fake_guest_last_event(void)
{
	return guest_last_event;
}

unsigned fake_guest_interrupts(void)
{
	return guest_interrupts;
}

uint8_t fake_guest_last_interrupt(void)
{
	return guest_last_interrupt;
}

void fake_guest_window(bool open)
{
	guest_window_shut = !open;
}

void fake_guest_init_fails(void)
{
	guest_init_result = false;
}

bool fake_panics(void (*function)(void *argument), void *argument)
{
	panic_expected = true;
	if (setjmp(panic_return) == 0) {
		function(argument);
		panic_expected = false;
		return false;
	}
	panic_expected = false;
	return true;
}

const char *fake_panic_text(void)
{
	return panic_message;
}

static _Noreturn void give_up(void)
{
	if (!panic_expected)
		ck_abort_msg("panic: %s", panic_message);
	longjmp(panic_return, 1);
}

__attribute__((weak)) _Noreturn void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(panic_message, sizeof(panic_message), format, arguments);
	va_end(arguments);
	give_up();
}

__attribute__((weak)) _Noreturn void machine_reset(void)
{
	snprintf(panic_message, sizeof(panic_message), "reset");
	give_up();
}

_Noreturn void cpu_stop(void)
{
	snprintf(panic_message, sizeof(panic_message), "stop");
	give_up();
}

_Noreturn void triple_fault(void)
{
	snprintf(panic_message, sizeof(panic_message), "triple fault");
	give_up();
}

__attribute__((weak)) void panic_console_open(void) {}

__attribute__((weak)) void panic_console_close(void) {}
