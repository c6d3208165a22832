/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VMM_ACPI_DSDT_H
#define VMM_ACPI_DSDT_H

#include "vmm-user/vmm/acpi_tables.h"
#include "vmm-user/vmm/aml.h"

/* The definition block behind the DSDT's header. */
void acpi_dsdt(const struct acpi_config *config, struct aml *aml);

#endif
