// SPDX-License-Identifier: BSD-2-Clause
/*
 * Kernels of every format. The first byte chooses a RAM disk and a command line, the rest is the
 * image. What is loaded has to be at an entry within the guest's memory.
 */
#include <stdlib.h>

#include "fake_guest.h"
#include "fuzz.h"
#include "vmm-user/vmm/loader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct socle_vcpu_area area;
	static uint8_t disk[5000];
	struct loader_image modules[2] = {{"disk", disk, sizeof(disk)}, {"other", disk, 100}};
	struct loader_image kernel = {"kernel", NULL, 0};
	struct loader_request request = {&kernel, modules, 0, NULL, 0xe0000};
	struct loader_error error = {""};

	if (bytes == 0)
		return 0;
	if (guest.ram == NULL)
		fake_guest_start();
	request.modules = data[0] % 3;
	request.command_line = data[0] & 4 ? "console=ttyS0 quiet" : NULL;
	guest.high_bytes = data[0] & 8 ? 1ull << 30 : 0;
	/* Of its exact size, so that the sanitizer sees what reads behind it. */
	kernel.bytes = bytes - 1;
	kernel.at = malloc(kernel.bytes == 0 ? 1 : kernel.bytes);
	memcpy(kernel.at, data + 1, kernel.bytes);
	memset(&area, 0, sizeof(area));
	if (loader_load(fake_vmm, &request, &area, &error)) {
		if (area.load != (SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM))
			abort();
	} else if (error.text[0] == 0 || memchr(error.text, 0, sizeof(error.text)) == NULL) {
		abort();
	}
	free(kernel.at);
	return 0;
}
