/* SPDX-License-Identifier: BSD-2-Clause */
/* Protocols that GNU-EFI does not declare, as far as the loader calls them. */
#ifndef BOOT_PROTOCOLS_H
#define BOOT_PROTOCOLS_H

#include <efi.h>

/* EFI_MP_SERVICES_PROTOCOL (Platform Initialization 1.7, volume 2, section 13.4). */
#define MP_SERVICES_GUID                                                                           \
	{                                                                                          \
		0x3fdda605, 0xa76e, 0x4f46,                                                        \
		{                                                                                  \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                             \
		}                                                                                  \
	}
#define MP_STATUS_BSP	  1
#define MP_STATUS_ENABLED 2
#define MP_STATUS_HEALTHY 4

struct mp_processor_information {
	UINT64 processor_id; /* the local APIC's id */
	UINT32 status;
	UINT32 location[3];
	UINT32 location2[6];
};

struct mp_services {
	EFI_STATUS(EFIAPI *get_number)(struct mp_services *, UINTN *count, UINTN *enabled);
	EFI_STATUS(EFIAPI *get_information)
	(struct mp_services *, UINTN number, struct mp_processor_information *);
};

/* EFI_HII_FONT_PROTOCOL (UEFI 2.9, section 34.1). */
#define HII_FONT_GUID                                                                              \
	{                                                                                          \
		0xe9ca4775, 0x8657, 0x47fc,                                                        \
		{                                                                                  \
			0x97, 0xe7, 0x7e, 0xd6, 0x5a, 0x08, 0x43, 0x24                             \
		}                                                                                  \
	}

struct image_output {
	UINT16 width, height;
	EFI_GRAPHICS_OUTPUT_BLT_PIXEL *bitmap;
};

struct hii_font {
	void *string_to_image, *string_id_to_image;
	EFI_STATUS(EFIAPI *get_glyph)
	(struct hii_font *, CHAR16, const void *information, struct image_output **,
	 UINTN *baseline);
};

/* EFI_RNG_PROTOCOL (UEFI 2.9, section 37.5). */
#define RNG_GUID                                                                                   \
	{                                                                                          \
		0x3152bca5, 0xeade, 0x433d,                                                        \
		{                                                                                  \
			0x86, 0x2e, 0xc0, 0x1c, 0xdc, 0x29, 0x1f, 0x44                             \
		}                                                                                  \
	}

struct rng {
	void *get_info;
	EFI_STATUS(EFIAPI *get_rng)
	(struct rng *, const EFI_GUID *algorithm, UINTN bytes, UINT8 *to);
};

#endif
