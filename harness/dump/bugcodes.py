"""Bugchecks by number, name and meaning of their parameters: those that PV drivers meet.

Names and parameters: "Bug Check Code Reference" (learn.microsoft.com, windows-hardware/drivers/debugger);
0xDEAD: ASSERT and BUG of the Xen drivers themselves (win-xenbus src/common/assert.h).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ASSERTION", "NMI", "Bugcheck", "code_named", "code_of"]

ASSERTION = 0xDEAD
NMI = 0x80

_NAMES = {
    0x0A: "IRQL_NOT_LESS_OR_EQUAL",
    0x18: "REFERENCE_BY_POINTER",
    0x19: "BAD_POOL_HEADER",
    0x1A: "MEMORY_MANAGEMENT",
    0x1E: "KMODE_EXCEPTION_NOT_HANDLED",
    0x24: "NTFS_FILE_SYSTEM",
    0x3B: "SYSTEM_SERVICE_EXCEPTION",
    0x44: "MULTIPLE_IRP_COMPLETE_REQUESTS",
    0x4E: "PFN_LIST_CORRUPT",
    0x50: "PAGE_FAULT_IN_NONPAGED_AREA",
    0x76: "PROCESS_HAS_LOCKED_PAGES",
    0x77: "KERNEL_STACK_INPAGE_ERROR",
    0x7A: "KERNEL_DATA_INPAGE_ERROR",
    0x7B: "INACCESSIBLE_BOOT_DEVICE",
    0x7C: "BUGCODE_NDIS_DRIVER",
    0x7E: "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
    0x7F: "UNEXPECTED_KERNEL_MODE_TRAP",
    NMI: "NMI_HARDWARE_FAILURE",
    0x8E: "KERNEL_MODE_EXCEPTION_NOT_HANDLED",
    0x9C: "MACHINE_CHECK_EXCEPTION",
    0x9F: "DRIVER_POWER_STATE_FAILURE",
    0xA0: "INTERNAL_POWER_ERROR",
    0xA5: "ACPI_BIOS_ERROR",
    0xBE: "ATTEMPTED_WRITE_TO_READONLY_MEMORY",
    0xC1: "SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION",
    0xC2: "BAD_POOL_CALLER",
    0xC4: "DRIVER_VERIFIER_DETECTED_VIOLATION",
    0xC5: "DRIVER_CORRUPTED_EXPOOL",
    0xC9: "DRIVER_VERIFIER_IOMANAGER_VIOLATION",
    0xCB: "DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS",
    0xCE: "DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS",
    0xD1: "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
    0xD5: "DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL",
    0xD6: "DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION",
    0xDA: "SYSTEM_PTE_MISUSE",
    0xE2: "MANUALLY_INITIATED_CRASH",
    0xE3: "RESOURCE_NOT_OWNED",
    0xE6: "DRIVER_VERIFIER_DMA_VIOLATION",
    0xEF: "CRITICAL_PROCESS_DIED",
    0xF4: "CRITICAL_OBJECT_TERMINATION",
    0xF7: "DRIVER_OVERRAN_STACK_BUFFER",
    0xFC: "ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY",
    0x101: "CLOCK_WATCHDOG_TIMEOUT",
    0x109: "CRITICAL_STRUCTURE_CORRUPTION",
    0x10D: "WDF_VIOLATION",
    0x124: "WHEA_UNCORRECTABLE_ERROR",
    0x133: "DPC_WATCHDOG_VIOLATION",
    0x139: "KERNEL_SECURITY_CHECK_FAILURE",
    0x13A: "KERNEL_MODE_HEAP_CORRUPTION",
    0x14F: "PDC_WATCHDOG_TIMEOUT",
    ASSERTION: "ASSERTION_FAILURE",
}
# Which parameter, from 1, is the address of the instruction at fault. Others are addresses of data.
_INSTRUCTION = {
    0x0A: 4,
    0x1E: 2,
    0x3B: 2,
    0x50: 3,
    0x7E: 2,
    0x8E: 2,
    0xC5: 4,
    0xD1: 4,
    0xD5: 3,
    0xD6: 3,
}
_IN_MINIDUMP = 0x1000_0000  # the form some codes have in a minidump: 0x1000007E is 0x7E


@dataclass(frozen=True)
class Bugcheck:
    """Why a kernel stopped. ``code`` is as Microsoft's list has it, whatever its form in the dump."""

    code: int
    parameters: tuple[int, int, int, int]

    @property
    def name(self) -> str:
        """Its name, empty where we know none."""
        return _NAMES.get(self.code, "")

    @property
    def instruction(self) -> int | None:
        """The address of the instruction at fault, where a parameter says it and it is known."""
        number = _INSTRUCTION.get(self.code)
        return (self.parameters[number - 1] or None) if number is not None else None

    def __str__(self) -> str:
        return f"0x{self.code:X} {self.name}".rstrip()


def code_of(number: int) -> int:
    """A code without the mark that minidumps put to some."""
    return number - _IN_MINIDUMP if _IN_MINIDUMP <= number < 2 * _IN_MINIDUMP else number


def code_named(name: str) -> int | None:
    """The code of that name; xen.sys calls a code in its minidump form by an ``_M`` at the end."""
    return _CODES.get(name.removesuffix("_M"))


_CODES = {name: code for code, name in _NAMES.items()}
