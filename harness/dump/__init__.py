"""Crash dumps of Windows kernels, and what crashes are called. Pure: no SSH, no guest.

The layouts are public knowledge (each module names its sources) and the tests' dumps are made by the tests
to them: no dump written by Windows was at hand.
"""

from harness.dump.bugcodes import NMI, Bugcheck
from harness.dump.crash import Crash
from harness.dump.header import DumpHeader, DumpType, ExceptionRecord, read_header
from harness.dump.read import Dump, NotADump, read_dump
from harness.dump.triage import LoadedModule
from harness.dump.xenlog import crash_in_log

__all__ = [
    "NMI",
    "Bugcheck",
    "Crash",
    "Dump",
    "DumpHeader",
    "DumpType",
    "ExceptionRecord",
    "LoadedModule",
    "NotADump",
    "crash_in_log",
    "read_dump",
    "read_header",
]
