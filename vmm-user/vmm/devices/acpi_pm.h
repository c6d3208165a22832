/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the FADT and the DSDT find the power-management registers (ACPI 6.4, section 4.8). */
#ifndef VMM_DEVICES_ACPI_PM_H
#define VMM_DEVICES_ACPI_PM_H

#define ACPI_PM_BASE	 0x600
#define ACPI_PM1A_EVT	 (ACPI_PM_BASE + 0) /* PM1_STS, PM1_EN: 4 bytes */
#define ACPI_PM1A_CNT	 (ACPI_PM_BASE + 4) /* 2 bytes */
#define ACPI_PM_TMR	 (ACPI_PM_BASE + 8) /* 4 bytes; the counter has 24 bits */
#define ACPI_GPE0	 0x620
#define ACPI_GPE0_BYTES	 16
#define ACPI_SMI_CMD	 0xb2
#define ACPI_ENABLE	 0x02
#define ACPI_DISABLE	 0x03
#define ACPI_SCI_GSI	 9
#define ACPI_SLP_TYP_S5	 5
#define ACPI_RESET_REG	 0xcf9
#define ACPI_RESET_VALUE 0x06

#endif
