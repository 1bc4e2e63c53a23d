"""What xen.sys says of a bugcheck in the hypervisor's log.

The lines are those of win-xenbus, src/xen/bug_check.c: a frame of arrows, the bugcheck by name or number with
its parameters, then what its handler makes of it, and the stack. None was recorded from a Windows guest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.dump.bugcodes import ASSERTION, Bugcheck, code_named, code_of
from harness.dump.crash import Crash, module_name

__all__ = ["MARK", "TELLS", "crash_in_log"]

MARK = "XEN|BUGCHECK"
# What Windows writes to viridian's crash registers, as Xen prints it (xen/arch/x86/hvm/viridian/viridian.c);
# newer ones have the longer name, and 0x before the figures.
_REGISTERS = "VIRIDIAN (?:GUEST_)?CRASH: "
TELLS = rf"(?:{re.escape(MARK)}|{_REGISTERS})"  # a pattern: what a line about a crash has

_FIRST = "====>"
_HEX = r"(?:0x)?([0-9A-Fa-f]{8,16})"
_HEAD = re.compile(rf"(\w+): {_HEX} {_HEX} {_HEX} {_HEX}")
_NUMBER = re.compile(r"[0-9A-Fa-f]{8}")
# The address at fault as a module and the place in it, by the handlers that print one.
_AT_FAULT = re.compile(r"(?:ADDRESS:|[0-9A-F]{8} AT) (\S+) \+ [0-9A-F]+")
_FRAME = re.compile(r"[0-9A-F]{8,16}: \((?:[0-9A-F]{8,16} ?)+\) (\S+) \+ [0-9A-F]+")
_VIRIDIAN = re.compile(_REGISTERS + " ".join([r"(?:0x)?([0-9a-f]{1,16})"] * 5) + r"\b")
_KERNEL = {"ntoskrnl.exe", "ntkrnlpa.exe", "ntkrnlmp.exe", "hal.dll"}


def crash_in_log(lines: Iterable[str]) -> Crash | None:
    """The last crash that these lines of one guest tell of; None if they tell of none that is known."""
    lines = tuple(lines)
    said = _last([line.partition(MARK)[2].strip(" :") for line in lines if MARK in line])
    bugcheck = next((found for found in map(_bugcheck, said) if found is not None), None)
    if bugcheck is None:
        told = [_of_viridian(match) for match in map(_VIRIDIAN.search, lines) if match]
        return Crash(told[-1], "") if told else None
    return Crash(bugcheck, _at_fault(said) or (_caller(said) if bugcheck.code == ASSERTION else ""))


def _of_viridian(match: re.Match[str]) -> Bugcheck:
    code, first, second, third, fourth = (int(word, 16) for word in match.groups())
    return Bugcheck(code_of(code), (first, second, third, fourth))


def _last(said: Sequence[str]) -> Sequence[str]:
    """From the last beginning on; the log is a ring that may have lost it."""
    starts = [number for number, text in enumerate(said) if text == _FIRST]
    return said[starts[-1] + 1 :] if starts else said


def _bugcheck(text: str) -> Bugcheck | None:
    match = _HEAD.fullmatch(text)
    if match is None:
        return None
    name, *words = match.groups()
    code = int(name, 16) if _NUMBER.fullmatch(name) else code_named(name)
    if code is None:
        return None
    first, second, third, fourth = (int(word, 16) for word in words)
    return Bugcheck(code_of(code), (first, second, third, fourth))


def _at_fault(said: Iterable[str]) -> str:
    found = (_AT_FAULT.fullmatch(text) for text in said)
    return next((module_name(match[1]) for match in found if match), "")


def _caller(said: Iterable[str]) -> str:
    """Who called KeBugCheckEx: the stack begins in xen.sys, which was called by the kernel."""
    frames = (_FRAME.fullmatch(text) for text in said)
    modules = [module_name(match[1]) for match in frames if match]
    kernel = next((number for number, name in enumerate(modules) if name in _KERNEL), len(modules))
    return next((name for name in modules[kernel:] if name not in _KERNEL), "")
