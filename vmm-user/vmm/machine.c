/* SPDX-License-Identifier: BSD-2-Clause */
/* The domain as a whole: its memory, its devices, pausing, and its end. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "vmm-user/vmm/control.h"
#include "vmm-user/vmm/fw_cfg.h"
#include "vmm-user/vmm/pci.h"
#include "vmm-user/vmm/vcpu.h"

#define LOG_LINE_BYTES 512

unsigned vmm_vcpus(const struct vmm *vmm)
{
	return vmm->config.vcpus;
}

void vmm_log(struct vmm *vmm, const char *format, ...)
{
	char line[LOG_LINE_BYTES];
	va_list arguments;
	int length;
	ssize_t written;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	if ((size_t)length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	/* A guest's text must stay one entry. */
	for (int i = 0; i < length; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[length] = '\0';
	if (vmm != NULL)
		snprintf(vmm->last_log, sizeof(vmm->last_log), "%.*s",
			 (int)sizeof(vmm->last_log) - 1, line);
	line[length] = '\n';
	written = write(STDERR_FILENO, line, (size_t)length + 1);
	(void)written; /* there is nobody to tell */
}

/* The TSC's rate ------------------------------------------------------------------------------ */

#define NANOSECONDS 1000000000ull

static uint64_t monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

/*
 * Measured from the machine's creation to now, so it becomes exact by itself. The error of the
 * first answers makes a sleep end early or late by less than it lasts.
 */
uint64_t machine_tsc_to_ns(const struct vmm *vmm, uint64_t ticks)
{
	uint64_t tsc = __rdtsc() - vmm->tsc_start, clock = monotonic() - vmm->clock_start;
	unsigned __int128 product = (unsigned __int128)ticks * clock;

	if (tsc == 0 || product / tsc > UINT64_MAX)
		return UINT64_MAX;
	return (uint64_t)(product / tsc);
}

/* The end and pauses ------------------------------------------------------------------------- */

static void stop_all(struct vmm *vmm)
{
	for (unsigned i = 0; vmm->vcpu != NULL && i < vmm->config.vcpus; i++)
		vcpu_signal(&vmm->vcpu[i], VCPU_PENDING_STOP);
	condition_broadcast(&vmm->changed);
	event_wake(vmm);
}

void vmm_end(struct vmm *vmm, enum vmm_end how, const char *format, ...)
{
	va_list arguments;

	/* The first reason is the one that counts. */
	if (vmm->ending)
		return;
	va_start(arguments, format);
	vsnprintf(vmm->reason, sizeof(vmm->reason), format, arguments);
	va_end(arguments);
	vmm->end = how;
	vmm->ending = true;
	stop_all(vmm);
}

void machine_pause(struct vmm *vmm)
{
	if (vmm->paused)
		return;
	vmm->paused = true;
	stop_all(vmm);
}

void machine_unpause(struct vmm *vmm)
{
	vmm->paused = false;
	event_clock_start(vmm);
	condition_broadcast(&vmm->changed);
}

/* Memory ------------------------------------------------------------------------------------- */

static size_t total_bytes(const struct vmm *vmm)
{
	return (size_t)vmm->config.memory_bytes + (size_t)vmm_control_bytes(&vmm->config);
}

/* All pieces in a row: RAM, then a control frame if there is one. NULL: reported. */
static uint8_t *map_extents(struct vmm *vmm)
{
	const struct vmm_config *config = &vmm->config;
	uint8_t *base = mmap(NULL, total_bytes(vmm) + SOCLE_FRAME_BYTES, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t at = 0;

	if (base == MAP_FAILED) {
		vmm_log(vmm, "memory: no room for %zu bytes: %s", total_bytes(vmm),
			strerror(errno));
		return NULL;
	}
	/* A dax device is mapped at multiples of its page size only. */
	base += SOCLE_FRAME_BYTES - (uintptr_t)base % SOCLE_FRAME_BYTES;
	for (unsigned i = 0; i < config->extents; i++) {
		const struct vmm_extent *extent = &config->extent[i];

		if (mmap(base + at, extent->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 config->memory_fd, (off_t)extent->offset) == MAP_FAILED) {
			vmm_log(vmm, "memory: cannot map %llu bytes at %#llx: %s",
				(unsigned long long)extent->bytes,
				(unsigned long long)extent->offset, strerror(errno));
			return NULL;
		}
		at += extent->bytes;
	}
	return base;
}

/* Where [at, ...) of the row is: host-physical, and how many bytes follow in one piece. */
static uint64_t locate(const struct vmm *vmm, uint64_t at, uint64_t *bytes)
{
	const struct vmm_extent *extent = vmm->config.extent;

	while (at >= extent->bytes)
		at -= (extent++)->bytes;
	*bytes = extent->bytes - at;
	return extent->physical + at;
}

/* Tells the hypervisor that the guest finds [at, end) of the row at `guest`. */
static bool map_guest(struct vmm *vmm, uint64_t guest, uint64_t at, uint64_t end)
{
	while (at < end) {
		uint64_t bytes, physical = locate(vmm, at, &bytes);
		int64_t result;

		if (bytes > end - at)
			bytes = end - at;
		result = socle_map(&vmm->handle, vmm->config.domain, guest, physical,
				   SOCLE_ACCESS_READ | SOCLE_ACCESS_WRITE | SOCLE_ACCESS_EXECUTE,
				   bytes);
		if (result < 0) {
			vmm_log(vmm, "memory: %#llx bytes at guest's %#llx: %s",
				(unsigned long long)bytes, (unsigned long long)guest,
				socle_error_text(result));
			return false;
		}
		at += bytes;
		guest += bytes;
	}
	return true;
}

static bool map_all(struct vmm *vmm)
{
	const struct guest_ram *ram = &vmm->ram;
	const uint64_t hole_end = VMM_HOLE + VMM_HOLE_BYTES;

	return map_guest(vmm, 0, 0, VMM_HOLE) && map_guest(vmm, hole_end, hole_end, ram->low) &&
	       map_guest(vmm, MEMORY_HIGH_BASE, ram->low, ram->low + ram->high);
}

/* The VMM's own part of the row: its offset; *bytes is its size. */
static uint64_t control_place(const struct vmm *vmm, uint64_t *bytes)
{
	*bytes = vmm_control_bytes(&vmm->config);
	if (*bytes != 0)
		return vmm->config.memory_bytes;
	*bytes = VMM_HOLE_BYTES;
	return VMM_HOLE;
}

/* Creation ----------------------------------------------------------------------------------- */

static bool create_devices(struct vmm *vmm)
{
	const int *serial = vmm->config.serial_fd;

	return pic_create(vmm) && ioapic_create(vmm) && apic_create(vmm) && pit_create(vmm) &&
	       rtc_create(vmm, vmm->config.rtc_local) && acpi_pm_create(vmm) && hpet_create(vmm) &&
	       i8042_create(vmm) && debug_exit_create(vmm) && fw_cfg_create(vmm) &&
	       uart16550_create(vmm, 0, serial[0], serial[0]) &&
	       uart16550_create(vmm, 1, serial[1], serial[1]);
}

bool machine_create(struct vmm *vmm)
{
	uint64_t areas = (uint64_t)vmm->config.vcpus * SOCLE_VCPU_AREA_BYTES;
	uint64_t control, bytes, piece;
	uint8_t *base;

	if (vmm->handle.raw == NULL) {
		bool svm = vmm->config.vendor == SOCLE_VENDOR_SVM;

		vmm->handle = (struct socle_handle){
			.raw = svm ? socle_raw_vmmcall : socle_raw_vmcall,
			.key = vmm->config.key,
			.vendor = vmm->config.vendor,
			.run = svm ? socle_run_vmmcall : socle_run_vmcall,
		};
	}
	vmm->tsc_start = __rdtsc();
	vmm->clock_start = monotonic();
	base = map_extents(vmm);
	control = control_place(vmm, &bytes);
	if (base == NULL || !state_open(vmm, base + control + areas, bytes - areas))
		return false;
	memory_set(vmm, base, vmm->config.memory_bytes);
	return event_open(vmm) && create_devices(vmm) && pci_create(vmm) && map_all(vmm) &&
	       vcpu_create_all(vmm, base + control, locate(vmm, control, &piece));
}
