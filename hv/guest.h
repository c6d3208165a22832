/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests' vCPUs: running them for their VMM, and their exits. A run is a hypercall of the service
 * VM's vCPU: until the guest leaves, this CPU enters the guest's vCPU in place of the service VM's.
 */
#ifndef HV_GUEST_H
#define HV_GUEST_H

#include "arch/x86/vcpu.h"

struct domain;

/*
 * SOCLE_CALL_VCPU_RUN and SOCLE_CALL_VCPU_KICK, by a caller with the domain's key. The result of a
 * run is put into the service VM's RAX: at once if the guest is not entered, else when it is left.
 * Until then it is SOCLE_OK, the caller's.
 */
void guest_run(struct vcpu *service, struct domain *domain, uint64_t number);
int64_t guest_kick(struct domain *domain, uint64_t number);

/* What is done at each exit of a guest, by reason. */
extern const vcpu_handler guest_handlers[SOCLE_EXIT_COUNT];

#endif
