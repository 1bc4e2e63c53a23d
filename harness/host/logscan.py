"""What dom0's kernel and the hypervisor wrote while a run had the host, looked through for trouble.

Patterns: messages of Linux (kernel/panic.c, mm/oom_kill.c, kernel/watchdog.c, arch/x86/mm/fault.c) and of Xen
(common/grant_table.c, arch/x86/traps.c, include/xen/lib.h), as they have stood since the 2.6.18 and 3.4 days.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.host.host import Host

__all__ = ["HostLogs", "LogFinding", "new_lines", "read_logs", "scan"]

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (what, re.compile(pattern))
    for what, pattern in (
        ("panic", r"Kernel panic - not syncing|\(XEN\) Panic on CPU|FATAL (?:TRAP|PAGE FAULT)"),
        # before the bugs: the kernel calls a lockup one
        ("stall", r"soft lockup|blocked for more than \d+ seconds|detected stalls? on CPU"),
        ("oops", r"\bOops: |general protection fault|[Uu]nable to handle (?:kernel )?(?:page|paging|NULL)"),
        ("bug", r"kernel BUG at |\bBUG: |Xen BUG at "),
        ("segfault", r"\bsegfault at [0-9a-f]+"),
        ("out of memory", r"Out of memory: Kill|invoked oom-killer|page allocation failure"),
        (
            "grant error",
            r"grant_table\.c.*(?:Bad|Unable|Could not|Illegal|not pinned)|[Bb]ad grant reference",
        ),
    )
)
# What was seen on healthy hosts, and why nothing follows from it.
_KNOWN: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"soft lockup|detected stalls? on CPU"),
        "an emulated processor stands still now and then (nested Xen under TCG)",
    ),
)
_MOST = 20
_ALIKE = 5  # lines that tell where an older reading ended


@dataclass(frozen=True)
class HostLogs:
    """The logs of a host at a moment; one that cannot be read is empty."""

    kernel: str = ""
    hypervisor: str = ""


@dataclass(frozen=True)
class LogFinding:
    """A line that tells of trouble. ``known`` says why nothing follows from it, empty if something does."""

    log: str
    what: str
    line: str
    known: str = ""

    def __str__(self) -> str:
        return f"{self.what} in the log of {self.log}: {self.line}"


def read_logs(host: Host) -> HostLogs:
    """What the logs hold now. Not to be had on some old or restricted dom0: that is no fault of anybody."""
    kernel = hypervisor = ""
    with contextlib.suppress(HarnessError):
        kernel = host.shell.check(["dmesg"], repeatable=True)
    with contextlib.suppress(HarnessError):
        hypervisor = host.toolstack.dmesg()
    return HostLogs(kernel, hypervisor)


def scan(before: HostLogs, after: HostLogs, *, nested: bool = False) -> tuple[LogFinding, ...]:
    """What came in between and should not have. Pure. Known issues are those of nested hosts only."""
    found = []
    for log, old, new in (
        ("dom0's kernel", before.kernel, after.kernel),
        ("the hypervisor", before.hypervisor, after.hypervisor),
    ):
        for line in new_lines(old, new):
            what = next((name for name, pattern in _PATTERNS if pattern.search(line)), "")
            if what:
                known = next((why for pattern, why in _KNOWN if nested and pattern.search(line)), "")
                found.append(LogFinding(log, what, line.strip(), known))
    return tuple(found[:_MOST])


def new_lines(before: str, after: str) -> list[str]:
    """The lines of a ring buffer that came after those that were there before.

    When the last of them have been overwritten, all lines are new.
    """
    old, new = before.splitlines(), after.splitlines()
    if new[: len(old)] == old:
        return new[len(old) :]
    last = old[-_ALIKE:]
    starts = range(len(new) - len(last) + 1)
    end = next((start + len(last) for start in starts if new[start : start + len(last)] == last), 0)
    return new[end:]
