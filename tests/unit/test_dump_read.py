"""Kernel dumps, made by the tests to the public layout: what is read of them, and what is refused how.

No dump written by Windows was at hand: these tests hold two readings of the layout against each other.
"""

from __future__ import annotations

import re
import struct

import pytest
from dump_makers import AT, SIZE, a_memory_dump, a_minidump, crashed
from hypothesis import given
from hypothesis import strategies as st

from harness.dump import Dump, DumpType, ExceptionRecord, NotADump, read_dump, read_header
from harness.model import Arch

_WIDE = {Arch.X86: False, Arch.X64: True}
_TRIAGE_HEADER = 0x2000
_COUNT_AT, _LIST_AT = _TRIAGE_HEADER + 0x34, _TRIAGE_HEADER + 0x30


def patched(data: bytes, at: int, form: str, *values: int) -> bytes:
    return data[:at] + struct.pack(f"<{form}", *values) + data[at + struct.calcsize(f"<{form}") :]


@pytest.mark.parametrize("arch", list(Arch))
def test_a_header_says_bugcheck_build_machine_and_time(arch: Arch) -> None:
    header = read_header(a_memory_dump(arch))

    assert (header.wide, header.machine, header.build) == (_WIDE[arch], arch.value, 19045)
    assert header.bugcheck.code == 0xD1
    assert header.bugcheck.parameters == crashed(arch).parameters
    assert header.system_time == AT
    assert (header.checked, header.processors) == (False, 2)
    assert header.exception is None, "what Windows left unfilled is no exception"


@pytest.mark.parametrize("arch", list(Arch))
def test_the_header_alone_is_enough_for_the_bugcheck(arch: Arch) -> None:
    beginning = a_memory_dump(arch)[:0x2000]

    assert str(read_dump(beginning).crash) == "0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL"


def test_the_kinds_of_dump_are_told_apart() -> None:
    assert read_header(a_minidump()).type is DumpType.TRIAGE
    assert read_header(a_memory_dump(Arch.X64)).type is DumpType.BITMAP_KERNEL
    assert read_header(a_memory_dump(Arch.X86)).type is DumpType.KERNEL
    unset = patched(a_memory_dump(), 0xF98, "I", 0x45474150)
    assert read_header(unset).type is None, "PAGE is what Windows leaves where it says nothing"


@pytest.mark.parametrize("arch", list(Arch))
def test_a_minidump_names_the_driver_that_holds_the_address_at_fault(arch: Arch) -> None:
    dump = read_dump(a_minidump(arch))

    assert [module.name for module in dump.modules] == [image.name for image in crashed(arch).images]
    assert dump.damage == ""
    assert dump.module is not None
    image = crashed(arch).images[-1]
    assert (dump.module.base, dump.module.size, dump.module.timestamp) == (
        image.base,
        image.size,
        image.timestamp,
    )
    assert dump.crash.signature == "0xD1 in xenvif.sys"


def test_a_signature_is_the_same_wherever_the_driver_lay_in_memory() -> None:
    first, second = (read_dump(a_minidump(slide=slide)).crash for slide in (0, 0x5A_0000))

    assert first.bugcheck.parameters != second.bugcheck.parameters
    assert first.signature == second.signature


def test_the_mark_that_minidumps_put_to_a_code_makes_no_other_crash() -> None:
    plain, marked = (read_dump(a_minidump(code=code)).crash for code in (0x7E, 0x1000007E))

    assert plain.signature == marked.signature


def test_a_parameter_that_is_no_instruction_names_no_module() -> None:
    dump = read_dump(a_minidump(code=0x9F))

    assert dump.fault is None
    assert dump.crash.signature == "0x9F"
    assert str(dump.crash) == "0x9F DRIVER_POWER_STATE_FAILURE"


def test_the_exception_says_where_when_the_bugcheck_does_not() -> None:
    data = a_minidump(code=0x1A)
    address = crashed().images[3].base + 0x10
    data = patched(data, 0xF00, "IIQQ", 0xC0000005, 0, 0, address)

    dump = read_dump(data)

    assert dump.header.exception == ExceptionRecord(0xC0000005, address)
    assert dump.crash.signature == "0x1A in xenbus.sys"


def test_an_address_in_no_driver_names_none() -> None:
    assert read_dump(a_minidump(fault="nobody.sys")).crash.signature == "0xD1"


def test_an_unknown_code_is_shown_by_its_number() -> None:
    assert str(read_dump(a_minidump(code=0xBADC0DE)).crash.bugcheck) == "0xBADC0DE"


def test_a_driver_s_name_from_the_guest_cannot_carry_anything_into_a_report() -> None:
    path = r"\SystemRoot\System32\drivers\XENVIF.SYS"
    name = "<script>\u202e.sys"
    dump = read_dump(a_minidump(names=("ntoskrnl.exe", path, name), fault=path))

    assert dump.crash.signature == "0xD1 in xenvif.sys"
    assert dump.modules[2].name == "?script??.sys"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (bytes(9000), "9000 zeros"),
        (b"MDMP" + bytes(9000), "of a program"),
        (b"PAGEPAGE" + bytes(9000), "begins with 50 41 47 45"),
        (b"MZ\x90\0 and so on", "no kernel dump"),
        (a_minidump()[:100], "cut off in its header: 100 of 8192"),
        (a_minidump(Arch.X86)[:4000], "cut off in its header: 4000 of 4096"),
        (patched(a_minidump(), 0x30, "I", 0x14C), "64 bits says the machine is x86"),
    ],
)
def test_what_is_no_dump_is_refused_with_what_was_found(data: bytes, words: str) -> None:
    with pytest.raises(NotADump, match=words):
        read_dump(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (a_minidump()[:-1], "cut off: 32767 of 32768 bytes"),
        (a_minidump()[:-4] + bytes(4), "not written to its end"),
        (patched(a_minidump(), _COUNT_AT, "I", 0xFFFFFFFF), "4294967295 drivers"),
        (patched(a_minidump(), _COUNT_AT, "I", 4000), "beyond the end"),
        (patched(a_minidump(), _LIST_AT, "I", 0xFFFFFFF0), "beyond the end"),
        (patched(a_minidump(), _TRIAGE_HEADER + 8, "I", 0xFFFFFFF0), "beyond the end"),
        (patched(a_minidump(), 0x2100, "I", 0x7FFFFFFF), "driver's name .*beyond the end"),
        (patched(a_minidump(), 0x2100, "I", SIZE - 4), "characters, which cannot be"),
        (patched(a_minidump(), 0x2100 + 0x48, "I", 0xFFFFFFFF), "4294967295 bytes"),
        (patched(a_minidump(), 0x2100 + 0x38, "Q", 0), "at 0x0, which cannot be"),
    ],
)
def test_a_list_that_lies_is_said_and_the_bugcheck_stays_known(data: bytes, words: str) -> None:
    dump = read_dump(data)

    assert dump.modules == ()
    assert re.search(words, dump.damage), dump.damage
    assert str(dump.crash) == "0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL"


def _read_or_refused(data: bytes) -> Dump | None:
    try:
        return read_dump(data)
    except NotADump:
        return None


def _is_sound(dump: Dump | None) -> bool:
    return dump is None or (
        dump.crash.signature.startswith("0x") and all(len(module.name) <= 64 for module in dump.modules)
    )


@given(st.binary(max_size=300), st.sampled_from([b"", b"PAGEDUMP", b"PAGEDU64"]), st.integers(0, 9000))
def test_any_bytes_are_read_or_refused(data: bytes, magic: bytes, more: int) -> None:
    assert _is_sound(_read_or_refused(magic + data + bytes(more)))


@given(
    st.sampled_from([a_minidump(Arch.X64), a_minidump(Arch.X86), a_memory_dump()]),
    st.lists(st.tuples(st.integers(0, 0x2600), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
    st.one_of(st.none(), st.integers(0, SIZE)),
)
def test_a_dump_that_was_changed_anywhere_is_read_or_refused(
    data: bytes, changes: list[tuple[int, bytes]], cut: int | None
) -> None:
    changed = bytearray(data)
    for at, new in changes:
        changed[at : at + len(new)] = new
    assert _is_sound(_read_or_refused(bytes(changed[:cut])))


def test_a_time_that_no_calendar_has_is_none() -> None:
    for ticks in (0, 0x4547415045474150, 2**64 - 1):
        assert read_header(patched(a_memory_dump(), 0xFA8, "Q", ticks)).system_time is None
