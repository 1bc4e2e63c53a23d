"""A dump as far as it can be read without symbols: header, drivers, and which of them is at fault."""

from __future__ import annotations

from dataclasses import dataclass

from harness.dump.crash import Crash
from harness.dump.fields import NotADump
from harness.dump.header import DumpHeader, DumpType, read_header
from harness.dump.triage import LoadedModule, module_at, read_modules

__all__ = ["Dump", "NotADump", "read_dump"]


@dataclass(frozen=True)
class Dump:
    """What was read. ``modules`` are there in minidumps only; ``damage`` says why not in one of those."""

    header: DumpHeader
    modules: tuple[LoadedModule, ...] = ()
    damage: str = ""

    @property
    def fault(self) -> int | None:
        """The address of the instruction at fault: what the bugcheck says, else the exception."""
        exception = self.header.exception
        return self.header.bugcheck.instruction or (exception.address if exception else None)

    @property
    def module(self) -> LoadedModule | None:
        """The driver that holds it, where both are known."""
        return module_at(self.modules, self.fault) if self.fault is not None else None

    @property
    def crash(self) -> Crash:
        """What this crash is called."""
        module = self.module
        return Crash(self.header.bugcheck, module.name if module else "")


def read_dump(data: bytes) -> Dump:
    """Read a dump, or its header alone: what stands behind it is read in minidumps only.

    A minidump whose header can be read and whose list of drivers cannot is no error: the bugcheck is known.

    Raises:
        NotADump: not even the header can be read.
    """
    header = read_header(data)
    if header.type is not DumpType.TRIAGE:
        return Dump(header)
    try:
        return Dump(header, read_modules(data, header))
    except NotADump as error:
        return Dump(header, damage=str(error))
