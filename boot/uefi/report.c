// SPDX-License-Identifier: BSD-2-Clause
#include "boot/uefi/loader.h"

#include "arch/x86/asm.h"
#include "hv/console.h"
#include "hv/string.h"

#define FAIL_PAUSE_MICROSECONDS 3000000 /* how long a failure stays on the screen */
#define LINE_BYTES		256

static EFI_GUID console_out_device = {
	0xd3b36f2c, 0xd551, 0x11d4, {0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
static EFI_GUID device_path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;

static struct loader *the_loader;
static struct boot_framebuffer no_screen;
static bool firmware_console = true;
static bool firmware_has_serial;
static char log[sizeof(((struct boot_info *)0)->log)];
static uint32_t log_bytes;

/* True if a device path has a UART in it. */
static bool has_uart(EFI_DEVICE_PATH *path)
{
	for (unsigned i = 0; i < 32 && path->Type != END_DEVICE_PATH_TYPE; i++) {
		if (path->Type == MESSAGING_DEVICE_PATH && path->SubType == MSG_UART_DP)
			return true;
		path = (EFI_DEVICE_PATH *)((uint8_t *)path + path->Length[0] +
					   (path->Length[1] << 8));
	}
	return false;
}

/* True if the firmware's console already writes to a serial port, so that lines come out once. */
static bool console_has_serial(void)
{
	EFI_HANDLE *handles;
	UINTN count;
	bool found = false;

	if (EFI_ERROR(boot_services->LocateHandleBuffer(ByProtocol, &console_out_device, NULL,
							&count, &handles)))
		return false;
	for (UINTN i = 0; i < count && !found; i++) {
		EFI_DEVICE_PATH *path;

		if (!EFI_ERROR(boot_services->HandleProtocol(handles[i], &device_path_guid,
							     (void **)&path)))
			found = has_uart(path);
	}
	boot_services->FreePool(handles);
	return found;
}

void report_init(struct loader *loader)
{
	the_loader = loader;
	firmware_has_serial = console_has_serial();
	if (!firmware_has_serial)
		console_open(0x3f8, &no_screen, NULL);
}

void report_own_console(struct loader *loader)
{
	struct boot_framebuffer *screen = &loader->boot->framebuffer;

	firmware_console = false;
	console_open(loader->config.serial, screen, (volatile uint32_t *)screen->base);
}

static void write(const char *text, size_t bytes)
{
	CHAR16 wide[LINE_BYTES + 2];
	size_t at = 0;

	if (!firmware_console || !firmware_has_serial)
		console_write(text, bytes);
	if (!firmware_console)
		return;
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == '\n')
			wide[at++] = '\r';
		wide[at++] = (CHAR16)text[i];
	}
	wide[at] = 0;
	system_table->ConOut->OutputString(system_table->ConOut, wide);
}

static void write_line(const char *prefix, const char *format, va_list arguments)
{
	char line[LINE_BYTES];
	uint64_t ticks = the_loader->tsc_hz / 1000000;
	uint64_t time = ticks != 0 ? (rdtsc() - the_loader->boot_tsc) / ticks : 0;
	size_t length = format_text(line, sizeof(line), "[%5llu.%06llu] %s",
				    (unsigned long long)(time / 1000000),
				    (unsigned long long)(time % 1000000), prefix);

	length += format_text_v(line + length, sizeof(line) - 1 - length, format, arguments);
	line[length++] = '\n';
	write(line, length);
	if (log_bytes + length <= sizeof(log)) {
		memcpy(log + log_bytes, line, length);
		log_bytes += (uint32_t)length;
	}
}

void report(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_line("", format, arguments);
	va_end(arguments);
}

_Noreturn void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_line("Socle cannot start: ", format, arguments);
	va_end(arguments);
	if (firmware_console) {
		report("returning to the firmware");
		boot_services->Stall(FAIL_PAUSE_MICROSECONDS);
		free_all();
		boot_services->Exit(the_loader->image, EFI_LOAD_ERROR, 0, NULL);
	}
	report("resetting the machine");
	delay_microseconds(the_loader, FAIL_PAUSE_MICROSECONDS);
	system_table->RuntimeServices->ResetSystem(EfiResetCold, EFI_LOAD_ERROR, 0, NULL);
	cpu_stop();
}

void report_hand_over(struct boot_info *boot)
{
	memcpy(boot->log, log, log_bytes);
	boot->log_bytes = log_bytes;
}
