"""Answer files as they are known to be meant (golden files), by our own rules, and each rule broken.

``python tests/unit/test_image_answers.py`` writes the golden files anew: to be read before they are kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.image.answers import Answers, computer_name, render, setup_files
from harness.image.oses import OSES
from harness.image.rules import broken_rules
from harness.image.stages import Stage, parse_stages
from harness.image.wim import WimImage
from harness.lab import Firmware, Secret
from harness.model import Arch

_GOLDEN = Path(__file__).parents[1] / "fixtures" / "answers"
_NAMES = {
    "win11": "Windows 11 Pro",
    "win10": "Windows 10 Pro",
    "server2025": "Windows Server 2025 Standard",
    "server2022": "Windows Server 2022 Standard",
    "server2019": "Windows Server 2019 Standard",
    "server2016": "Windows Server 2016 Standard",
    "win7": "Windows 7 PROFESSIONAL",
}
_BUILDABLE = [
    (name, arch, firmware)
    for name, os in OSES.items()
    for arch in os.arches
    for firmware in os.firmwares
    if not (arch is Arch.X86 and firmware is Firmware.UEFI)
]


def answers_for(
    name: str,
    arch: Arch = Arch.X64,
    firmware: Firmware = Firmware.BIOS,
    *,
    password: str = "Golden-Password-1",
    template: str = "",
    user: str = "pvhck",
    language: str = "en-US",
) -> Answers:
    os = OSES[name]
    edition = "ServerStandard" if os.server else "Professional"
    kind = "Server" if os.server else "Client"
    image = WimImage(2, _NAMES[name], edition, kind, arch, os.version, os.builds[0], (language,))
    return Answers(
        os=os,
        arch=arch,
        firmware=firmware,
        image=image,
        template=template or f"{name}-{arch}",
        user=user,
        password=Secret(password),
        memory_mib=os.memory_mib,
        product_key=os.keys.get(edition, ""),
    )


def golden(name: str, arch: Arch, firmware: Firmware) -> Path:
    return _GOLDEN / f"{name}-{arch}-{firmware}.xml"


@pytest.mark.parametrize(("name", "arch", "firmware"), _BUILDABLE)
def test_an_answer_file_is_the_one_that_was_looked_through(name: str, arch: Arch, firmware: Firmware) -> None:
    assert render(answers_for(name, arch, firmware)) == golden(name, arch, firmware).read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in _GOLDEN.glob("*.xml")} == {golden(*one).name for one in _BUILDABLE}


@pytest.mark.parametrize(("name", "arch", "firmware"), _BUILDABLE)
def test_an_answer_file_keeps_all_rules(name: str, arch: Arch, firmware: Firmware) -> None:
    assert broken_rules(golden(name, arch, firmware).read_text(), arch, firmware) == ()


@settings(deadline=None, max_examples=60)  # the machine may be busy
@given(st.text("ABCabc123<>&\"'%-_.ß", min_size=3, max_size=24))
def test_any_password_comes_out_of_the_xml_as_it_went_in(password: str) -> None:
    text = render(answers_for("win10", password=password))
    values = [
        element.text
        for element in ET.fromstring(text).iter()
        if element.tag.endswith("}Value") and element.text != "2"
    ]
    assert values == [password, password]
    assert broken_rules(text, Arch.X64, Firmware.BIOS) == ()


def test_windows_7_is_told_nothing_that_it_does_not_know() -> None:
    text = render(answers_for("win7"))
    assert "HideOnlineAccountScreens" not in text  # Windows 8 and later
    assert "LabConfig" not in text


def test_windows_11_is_told_to_do_without_tpm_and_secure_boot() -> None:
    text = render(answers_for("win11", firmware=Firmware.UEFI))
    assert text.count("LabConfig") == 4
    assert "BypassTPMCheck" in text


def test_a_server_gets_its_administrators_password_and_a_client_does_not() -> None:
    assert "<AdministratorPassword>" in render(answers_for("server2022"))
    assert "<AdministratorPassword>" not in render(answers_for("win10"))


def test_the_built_in_administrator_is_not_made_a_second_time() -> None:
    text = render(answers_for("server2022", user="Administrator"))
    assert "<LocalAccounts>" not in text
    assert broken_rules(text, Arch.X64, Firmware.BIOS) == ()


def test_a_german_medium_is_set_up_in_german_with_german_keys() -> None:
    text = render(answers_for("win10", language="de-DE"))
    assert text.count("<UILanguage>de-DE</UILanguage>") == 3
    assert text.count("<InputLocale>0407:00000407</InputLocale>") == 2


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("win10-x64", "WIN10-X64"),
        ("a_b.c", "A-B-C"),
        ("server2022-x64-uefi", "SERVER2022-X64"),
        ("2022", "WIN-2022"),
        ("pvhck", "WIN-PVHCK"),
        ("...", "WIN"),
    ],
)
def test_a_template_gives_a_name_that_a_computer_can_have(template: str, name: str) -> None:
    assert computer_name(template, "pvhck") == name


@settings(deadline=None, max_examples=60)  # the machine may be busy
@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", fullmatch=True))
def test_any_template_gives_an_answer_file_that_keeps_the_rules(template: str) -> None:
    assert broken_rules(render(answers_for("win10", template=template)), Arch.X64, Firmware.BIOS) == ()


BREAKS = [
    ("<unattend", "<unattended", "no XML"),
    ("urn:schemas-microsoft-com:unattend", "urn:else", "its root is"),
    ('processorArchitecture="amd64"', 'processorArchitecture="x86"', "Setup passes it over"),
    ('versionScope="nonSxS"', 'versionScope="SxS"', "not named as Windows names it"),
    ('<settings pass="specialize">', '<settings pass="special">', "no settings in pass special"),
    ("<Order>2</Order>", "<Order>3</Order>", "CreatePartitions is numbered"),
    ("echo pvhck", "echo prüf", "not every code page"),
    ("<CommandLine>", f"<CommandLine>{'x' * 1000}", "at most 1024"),
    ("<WillWipeDisk>true", "<WillWipeDisk>false", "not set up from nothing"),
    ("<Extend>true</Extend>", "<Size>9</Size>", "takes what is left"),
    ("<Type>Primary</Type>", "<Type>EFI</Type>", "do not boot by bios"),
    ("<Active>true</Active>", "", "active partitions: none"),
    ("<PartitionID>2</PartitionID>\n          </InstallTo>", "</InstallTo>", "Windows goes to partition"),
    ("<AcceptEula>true", "<AcceptEula>false", "AcceptEula is not true"),
    ("<TimeZone>UTC</TimeZone>", "", "TimeZone is not there"),
    ("<Value>2</Value>", "", "MetaData/Value is not there"),
    ("<WillShowUI>OnError", "<WillShowUI>Always", "shown always"),
    ("<ComputerName>WIN10-X64", "<ComputerName>WIN10_X64", "cannot be a computer's name"),
    ("<ComputerName>WIN10-X64", "<ComputerName>pvhck", "the computer's name, too"),
    ("<Name>pvhck</Name>", "<Name>pv[hck</Name>", "cannot be a user's name"),
    ("<Key>W269N-", "<Key>W269N", "product key is none"),
    ("<LogonCount>1", "<LogonCount>9", "nobody logs on"),
    ("<Username>pvhck", "<Username>else", "not the account's"),
    ("<PlainText>true", "<PlainText>false", "PlainText"),
    ("SynchronousCommand wcm", "AsynchronousCommand wcm", "no XML"),
]


@pytest.mark.parametrize(("old", "new", "words"), BREAKS)
def test_a_broken_answer_file_breaks_a_rule(old: str, new: str, words: str) -> None:
    text = golden("win10", Arch.X64, Firmware.BIOS).read_text()
    assert old in text
    found = broken_rules(text.replace(old, new, 1), Arch.X64, Firmware.BIOS)
    assert any(words in one for one in found), found
    assert not any("Golden-Password" in one for one in found)


def test_a_layout_for_the_other_firmware_breaks_a_rule() -> None:
    text = golden("win10", Arch.X64, Firmware.UEFI).read_text()
    assert any("do not boot by bios" in one for one in broken_rules(text, Arch.X64, Firmware.BIOS))


def test_without_a_first_logon_command_a_rule_is_broken() -> None:
    text = golden("win10", Arch.X64, Firmware.BIOS).read_text()
    text = text.replace("SynchronousCommand wcm", "Else wcm").replace("</SynchronousCommand>", "</Else>")
    text = text.replace("RunElse", "RunSynchronousCommand")
    assert any(
        "nothing runs at the first logon" in one for one in broken_rules(text, Arch.X64, Firmware.BIOS)
    )


# -- what lies beside it


def test_scripts_lie_on_the_cd_with_the_line_ends_that_cmd_needs() -> None:
    files = setup_files(answers_for("win10"))
    assert set(files) == {"firstlogon.cmd", "go-on.cmd", "setup.ps1", "prepare.ps1", "setup.json"}
    for name in files.keys() - {"setup.json"}:
        assert files[name].isascii(), name
        assert files[name].count(b"\n") == files[name].count(b"\r\n") > 9, name


def test_no_password_lies_beside_the_answer_file() -> None:
    files = setup_files(answers_for("win10"), ("a.msu",))
    assert not any(b"Golden-Password" in data for data in files.values())


def test_setup_is_told_the_page_file_that_a_full_dump_needs() -> None:
    wanted = json.loads(setup_files(answers_for("win11", firmware=Firmware.UEFI))["setup.json"])
    assert wanted == {"name": "win11-x64", "user": "pvhck", "test_signing": True, "pagefile_mib": 4608}


def test_updates_are_named_in_their_order_one_a_line() -> None:
    assert setup_files(answers_for("win7"), ("b.msu", "a.exe"))["updates.txt"] == b"b.msu\r\na.exe\r\n"


def test_every_stage_that_a_script_or_answer_file_tells_of_is_known() -> None:
    files = setup_files(answers_for("win10"))
    said = render(answers_for("win10")).replace("&gt;COM1", "\n")
    said += files["firstlogon.cmd"].decode().replace(">COM1", "") + files["go-on.cmd"].decode()
    script = files["setup.ps1"].decode().replace("Write-Stage -Name '", "pvhck stage ").replace("'\r\n", "\n")
    heard = {one.stage for one in parse_stages(said.replace(">COM1", "") + script).stages}
    assert heard == set(Stage) - {Stage.COPIED}


if __name__ == "__main__":
    _GOLDEN.mkdir(parents=True, exist_ok=True)
    for one in _BUILDABLE:
        golden(*one).write_text(render(answers_for(*one)))
