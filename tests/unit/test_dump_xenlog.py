"""What xen.sys says of a bugcheck, in the form of its source (win-xenbus src/xen/bug_check.c)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dump import Bugcheck, Crash, crash_in_log

P = "0000000000000028 0000000000000002 0000000000000000 FFFFF80012341A3F"


def told(*lines: str) -> list[str]:
    return [f"(XEN) [  12.5] (d7) XEN|BUGCHECK: {line}" for line in ("====>", *lines, "<====")]


def test_a_driver_at_fault_is_named_by_the_handler_of_its_bugcheck() -> None:
    crash = crash_in_log(
        told(
            f"DRIVER_IRQL_NOT_LESS_OR_EQUAL: {P}",
            "MEMORY REFERENCED: 0000000000000028",
            "             IRQL: 02",
            "           ACCESS: 0000000000000000",
            "          ADDRESS: xenvif.sys + 0000000000001A3F",
            "- RIP = FFFFF80012341A3F",
            "STACK:",
            f"FFFFF80000000000: ({P}) ntoskrnl.exe + 0000000000001000",
        )
    )

    assert crash == Crash(Bugcheck(0xD1, (0x28, 2, 0, 0xFFFFF80012341A3F)), "xenvif.sys")
    assert crash.signature == "0xD1 in xenvif.sys"


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (f"SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M: {P}", 0x7E),
        (f"1000007E: {P}", 0x7E),
        (f"0000009F: {P}", 0x9F),
        ("INACCESSIBLE_BOOT_DEVICE: 82A01000 00000000 00000000 00000000", 0x7B),
    ],
)
def test_names_and_numbers_of_both_widths_are_codes(head: str, code: int) -> None:
    crash = crash_in_log(told(head))

    assert crash is not None
    assert crash.bugcheck.code == code


def test_an_exception_names_the_module_it_was_raised_in() -> None:
    crash = crash_in_log(
        told(
            f"SYSTEM_THREAD_EXCEPTION_NOT_HANDLED: {P}",
            "C0000005 AT XENVBD.SYS + 0000000000000210",
        )
    )

    assert crash is not None
    assert crash.signature == "0x7E in xenvbd.sys"


def test_an_assertion_is_put_down_to_the_driver_that_called_the_kernel() -> None:
    frames = ("xen.sys", "ntoskrnl.exe", "ntoskrnl.exe", "xenvif.sys", "ndis.sys")
    crash = crash_in_log(
        told(
            f"0000DEAD: {P}",
            "STACK:",
            *(f"FFFFF8800000{n:04X}: ({P}) {name} + 0000000000001000" for n, name in enumerate(frames)),
        )
    )

    assert crash is not None
    assert str(crash) == "0xDEAD ASSERTION_FAILURE in xenvif.sys"


def test_a_stack_is_no_ground_for_other_bugchecks() -> None:
    crash = crash_in_log(told(f"0000009F: {P}", f"FFFFF88000000000: ({P}) xenvif.sys + 0000000000001000"))

    assert crash is not None
    assert crash.module == ""


def test_the_last_crash_of_several_counts() -> None:
    crash = crash_in_log([*told(f"0000009F: {P}"), *told(f"0000007A: {P}")])

    assert crash is not None
    assert crash.bugcheck.code == 0x7A


@pytest.mark.parametrize(
    "lines", [[], ["(XEN) (d7) a guest says something"], told(), told("A NEW NAME: " + P), told("D1: 1 2")]
)
def test_what_tells_of_no_known_bugcheck_is_no_crash(lines: list[str]) -> None:
    assert crash_in_log(lines) is None


@given(st.lists(st.one_of(st.text(), st.from_regex(r"[A-Z_]+: ([0-9A-F]{8,17} ?){4}"))))
def test_any_lines_are_taken(texts: list[str]) -> None:
    crash = crash_in_log(told(*texts))

    assert crash is None or crash.signature.startswith("0x")
