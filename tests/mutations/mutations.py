# SPDX-License-Identifier: BSD-2-Clause
"""Ten mistakes of one line, each of the kind that a tired programmer makes and a compiler lets through.
`what` says what is wrong afterwards; `tests` are those whose business it is to notice: unit tests by
their ctest name, the rest as `./test` takes them. `old` must occur once in the file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    name: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple


MUTATIONS = (
    Mutation(
        "map-owner",
        "MAP checks who owns the first page alone: a client maps frames of others behind its own.",
        "hv/domain.c",
        "if (!pool_is_assigned(hpa(to), bytes, (uint16_t)domain->id))",
        "if (!pool_is_assigned(hpa(to), PAGE_BYTES, (uint16_t)domain->id))",
        ("unit-ownership", "unit-domain")),
    Mutation(
        "no-scrub",
        "A donated frame goes back to the service VM with keys and control blocks in it.",
        "hv/domain.c",
        "memset(paging_pool_address(at), 0, SOCLE_FRAME_BYTES);",
        "",
        ("unit-domain", "unit-ownership")),
    Mutation(
        "half-a-key",
        "A key is taken for a domain's if one of its halves is right.",
        "hv/domain.h",
        "((domain->key.word[0] ^ key_low) | (domain->key.word[1] ^ key_high)) != 0)",
        "((domain->key.word[0] ^ key_low) & (domain->key.word[1] ^ key_high)) != 0)",
        ("unit-domain", "unit-ownership")),
    Mutation(
        "no-flush",
        "UNMAP returns while processors may still know what was mapped.",
        "hv/domain.c",
        "error = ept_unmap(&domain->memory, gpa(regs->r10), bytes);\n\tshootdown();",
        "error = ept_unmap(&domain->memory, gpa(regs->r10), bytes);",
        ("unit-ownership", "unit-domain")),
    Mutation(
        "lost-kick",
        "A kick is not remembered: the NMI comes, and the vCPU goes on running.",
        "hv/guest.c",
        "__atomic_store_n(&vcpu->kicked, 1, __ATOMIC_SEQ_CST);",
        "",
        ("unit-guest", "unit-ownership")),
    Mutation(
        "eoi-keeps-isr",
        "An end of interrupt leaves the interrupt in service: none of its priority comes again.",
        "hv/apic.c",
        "clear_bit(vcpu, APIC_ISR, (unsigned)vector);\n\t*detail",
        "*detail",
        ("unit-apic",)),
    Mutation(
        "msr-passed-through",
        "AMD-V: guests read the physical IA32_TSC, without an exit.",
        "arch/x86/svm/svm_guest.c",
        "{MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP};",
        "{MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,\n\t\t\t\t\t   MSR_TSC};",
        ("guests.msr[svm]",)),
    Mutation(
        "descriptor-bound",
        "Virtqueues: a chain may go on at the descriptor behind the table.",
        "vmm-user/vmm/virtqueue.c",
        "if (index >= table.entries)",
        "if (index > table.entries)",
        ("unit-virtqueue",)),
    Mutation(
        "error-code",
        "AMD-V: a #GP that the hypervisor raises has the vector as its error code.",
        "arch/x86/svm/svm_vcpu.c",
        "event |= EVENT_ERROR_CODE | (uint64_t)error_code << 32;",
        "event |= EVENT_ERROR_CODE | (uint64_t)(error_code | vector) << 32;",
        ("guests.msr[svm]", "guests.exceptions[svm]", "service_vm.ends_awkward_exits_as_a_processor_would[svm]")),
    Mutation(
        "debug-registers",
        "AMD-V: a guest's breakpoint addresses stay in the processor behind its run.",
        "arch/x86/svm/svm_guest.c",
        "\tif (__builtin_expect(vcpu->uses_debug, false))\n\t\tguest_debug_save(vcpu);",
        "",
        ("guest.keeps_what_is_beside_its_registers[svm]", "guests.exceptions[svm]")),
)
