/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's XMM registers, for instructions that move them to and from a device. The run call
 * stores them when the guest is left for such an instruction, and loads what was changed.
 */
#include <string.h>

#include "vmm-user/vmm/insn.h"
#include "vmm-user/vmm/vcpu.h"

static bool get(struct vmm *vmm, struct socle_vcpu_area *area, unsigned number, uint64_t value[2])
{
	const struct vcpu *vcpu = vcpu_current();

	(void)vmm;
	if (vcpu == NULL || vcpu->area != area || number >= 16)
		return false;
	memcpy(value, vcpu->state->vectors.xmm[number], 16);
	return true;
}

static bool set(struct vmm *vmm, struct socle_vcpu_area *area, unsigned number,
		const uint64_t value[2])
{
	struct vcpu *vcpu = vcpu_current();

	(void)vmm;
	if (vcpu == NULL || vcpu->area != area || number >= 16)
		return false;
	memcpy(vcpu->state->vectors.xmm[number], value, 16);
	area->load |= SOCLE_LOAD_VECTORS;
	return true;
}

void vcpu_use_vectors(void)
{
	static const struct insn_vectors vectors = {get, set};

	insn_use_vectors(&vectors);
}
