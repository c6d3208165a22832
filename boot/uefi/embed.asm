; SPDX-License-Identifier: BSD-2-Clause
; Files that socle.efi carries: the hypervisor, and the ACPI tables for firmware that has none.
section .data
align 4096
global hv_image, hv_image_end, minimal_dsdt, minimal_dsdt_end
hv_image:
        incbin HV_IMAGE
hv_image_end:
align 16
minimal_dsdt:
        incbin MINIMAL_DSDT
minimal_dsdt_end:
