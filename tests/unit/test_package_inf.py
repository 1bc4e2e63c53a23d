"""INF files in the shapes the Xen drivers' own have, and in all others."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Arch
from harness.package.inf import decode_inf, parse_inf
from harness.package.inffacts import architectures_of, read_inf

# Every construct the five drivers' INFs use: tokens in keys and values, renamed files, co-installers,
# several CopyFiles lines, decorated install sections, hexadecimal and commented numbers.
SHAPES = """\
; a comment with [brackets] and = signs
[version]
Signature = "$WINDOWS NT$"
Class=System
ClassGUID={4D36E97D-E325-11CE-BFC1-08002BE10318}
Provider=%Vendor%  ; who
CatalogFile=plain.cat
CatalogFile.NTamd64=wide.cat
DriverVer=02/28/2026,9.1.0.42

[Manufacturer]
%Vendor%=Inst,NTx86,NTamd64.10.0...14393

[Inst.NTx86]
%Thing.Desc% =Thing_Inst, BUS\\VEN_X&DEV_32
[Inst.NTamd64.10.0...14393]
%Thing.Desc% =Thing_Inst, BUS\\VEN_X&DEV_1
%Thing.Desc% =Thing_Inst, \\
    BUS\\VEN_X&DEV_2, BUS\\COMPATIBLE
[THING_INST.NT]
CopyFiles=Drivers, @single.sys
CopyFiles=Programs
[Thing_Inst.NT.Services]
AddService=thing,%FUNCTION%,Thing_Service
AddService=filter,,Filter_Service,
AddService = agent, 0x800, Agent_Service,Agent_Log
[Thing_Inst.NT.CoInstallers]
CopyFiles=CoInst
[Drivers]
thing.sys
[Programs]
agent_9_1.exe,agent.exe,,0x20
[CoInst]
thing_coinst_9_1.dll,thing_coinst.dll
[SourceDisksFiles]
thing.sys=0,,
agent.exe=0,sub\\tools,
thing_coinst.dll=0,,
[Thing_Service]
StartType=%BOOT%
ServiceBinary=%12%\\thing.sys
[Filter_Service]
StartType      = 3               ; demand
ServiceBinary=%12%\\filter.sys
[Agent_Service]
StartType=2
ServiceBinary="%13%\\agent_9_1.exe"
[Strings]
Vendor="A ""quoted"" vendor; with more"
FUNCTION=0x00000002
BOOT=0x0
[Strings.0407]
Thing.Desc="Ding"
[Strings.0409]
Thing.Desc="Thing"
"""


def test_version_section_is_read_with_tokens_comments_and_decorations() -> None:
    facts = read_inf(SHAPES.encode(), Arch.X64)

    assert facts.provider == 'A "quoted" vendor; with more'
    assert (facts.version, facts.date) == ("9.1.0.42", dt.date(2026, 2, 28))
    assert (facts.device_class, facts.class_guid) == ("System", "{4d36e97d-e325-11ce-bfc1-08002be10318}")
    assert facts.catalog == "wide.cat", "the decorated entry counts for its architecture"
    assert read_inf(SHAPES.encode(), Arch.X86).catalog == "plain.cat"


def test_each_architecture_has_its_own_devices() -> None:
    assert read_inf(SHAPES.encode(), Arch.X64).hardware_ids == ("BUS\\VEN_X&DEV_1", "BUS\\VEN_X&DEV_2")
    assert read_inf(SHAPES.encode(), Arch.X86).hardware_ids == ("BUS\\VEN_X&DEV_32",)
    assert read_inf(SHAPES.encode(), Arch.X64).description == "Thing", "English before other languages"


def test_services_have_their_start_and_the_function_driver_is_known() -> None:
    services = read_inf(SHAPES.encode(), Arch.X64).services

    assert [(s.name, s.start, s.binary, s.function) for s in services] == [
        ("thing", "boot", "thing.sys", True),
        ("filter", "demand", "filter.sys", False),
        ("agent", "auto", "agent_9_1.exe", False),
    ]


def test_files_are_those_the_package_holds_not_their_names_once_installed() -> None:
    assert read_inf(SHAPES.encode(), Arch.X64).files == (
        "thing.sys",
        "single.sys",
        "sub/tools/agent.exe",
        "thing_coinst.dll",
    )


@pytest.mark.parametrize(
    ("manufacturer", "expected"),
    [
        ("%V%=Inst", {Arch.X86}),
        ("%V%=Inst,NT", {Arch.X86}),
        ("%V%=Inst,NTamd64", {Arch.X64}),
        ("%V%=Inst,NTx86.6.1,NTamd64.6.1", {Arch.X86, Arch.X64}),
        ("%V%=Inst,NTarm64", set()),
        ("%V%=Inst,NT$ARCH$", set()),  # a template that was never filled in
    ],
)
def test_architectures_come_from_the_decorations(manufacturer: str, expected: set[Arch]) -> None:
    assert architectures_of(parse_inf(f"[Manufacturer]\n{manufacturer}\n")) == expected


@pytest.mark.parametrize(
    "data",
    [
        "\ufeff[a]\nkey = ä\n".encode("utf-16-le"),
        "\ufeff[a]\nkey = ä\n".encode("utf-16-be"),
        "[a]\nkey = ä\n".encode("utf-16-le"),
        "\ufeff[a]\nkey = ä\n".encode(),
        "[a]\nkey = ä\n".encode(),
        "[a]\nkey = ä\n".encode("cp1252"),
        "[a]\r\nkey = ä\r\n".encode("cp1252"),
        "[a]\rkey = ä\r".encode(),
    ],
)
def test_every_encoding_windows_takes_is_read(data: bytes) -> None:
    assert parse_inf(decode_inf(data)).value("A", "KEY") == "ä"


def test_a_date_that_does_not_exist_is_no_date() -> None:
    facts = read_inf(b"[Version]\nDriverVer=02/31/2026,1.2.3.4\n", Arch.X64)

    assert (facts.date, facts.version) == (None, "1.2.3.4")


def test_percent_signs_and_unknown_tokens_stay() -> None:
    inf = parse_inf('[a]\nx="%%SystemRoot%%\\y",%12%\\z.sys\n[Strings]\nSystemRoot=wrong\n')

    assert next(inf.entries("a", "x")) == ("%SystemRoot%\\y", "%12%\\z.sys")


def test_sections_of_one_name_are_one() -> None:
    inf = parse_inf("[A]\nx=1\n[b]\n[a]\ny=2\n")

    assert [line.key for line in inf.lines("a")] == ["x", "y"]


@given(st.binary(max_size=400))
def test_any_bytes_can_be_read(data: bytes) -> None:
    for arch in Arch:
        facts = read_inf(data, arch)
        assert all(isinstance(name, str) for name in facts.hardware_ids)


@given(
    st.text(
        alphabet=st.sampled_from('[]%",;=\\ \n\rabN.t0x'),
        max_size=200,
    )
)
def test_any_mix_of_what_means_something_can_be_read(text: str) -> None:
    inf = parse_inf(text)

    assert all(name == name.lower() for name in inf.sections)


_names = st.text(alphabet="abcXYZ0189_.*", min_size=1, max_size=8)
_texts = st.text(
    alphabet=st.characters(
        codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="%"
    ),
    max_size=20,
)


def _quoted(value: str) -> str:
    doubled = value.replace('"', '""')
    return f'"{doubled}"'


@given(
    st.dictionaries(_names.map(str.lower), st.lists(_texts, min_size=2, max_size=4), min_size=1, max_size=4)
)
def test_what_is_quoted_comes_back_as_it_was(section: dict[str, list[str]]) -> None:
    text = "[some]\n" + "".join(
        f"{key} = {' , '.join(_quoted(value) for value in values)} ; comment\n"
        for key, values in section.items()
    )

    inf = parse_inf(text)

    assert {line.key: list(line.values) for line in inf.lines("SOME")} == section
