"""The answer file of Windows Setup, and what lies beside it on the setup CD. Pure.

Windows Setup reads ``Autounattend.xml`` from the root of removable media, read-only ones too
(learn.microsoft.com, "Windows Setup Automation Overview", "Implicit Answer File Search Order"): a CD of
its own is enough, and the medium of Windows stays as it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import jinja2

import harness.guest
from harness.image.oses import WindowsOs
from harness.image.stages import Stage, stage_line
from harness.image.wim import WimImage
from harness.lab import Firmware, Secret
from harness.model import Arch

__all__ = ["ANSWER_FILE", "SCRIPTS", "Answers", "computer_name", "keyboard_of", "render", "setup_files"]

ANSWER_FILE = "Autounattend.xml"
SCRIPTS = "pvhck"  # the folder on the CD
_HERE = Path(__file__).parent
_PREPARE = Path(harness.guest.__file__).with_name("prepare.ps1")
_LONGEST_NAME = 15  # NetBIOS
_PROCESSORS = {Arch.X64: "amd64", Arch.X86: "x86"}
# Drives that the setup CD can be: behind the system disk, and behind another CD
_DRIVES = "D E F G H"
# Input locales by language, where they are not the United States' (learn.microsoft.com, "Default Input
# Profiles (Input Locales) in Windows"); whoever looks at a screen should find his keys
_KEYBOARDS = {
    "de-DE": "0407:00000407",
    "en-GB": "0809:00000809",
    "es-ES": "0c0a:0000040a",
    "fr-FR": "040c:0000040c",
    "it-IT": "0410:00000410",
}
_PAGE_FILE_MORE_MIB = 512  # a full dump needs some MiB beyond the memory


@dataclass(frozen=True)
class Answers:
    """All that Setup is told. ``product_key`` is "" for none."""

    os: WindowsOs
    arch: Arch
    firmware: Firmware
    image: WimImage
    template: str
    user: str
    password: Secret
    memory_mib: int
    product_key: str = ""
    test_signing: bool = True


@dataclass(frozen=True)
class _Partition:
    number: int
    type: str
    size_mib: int  # 0: what is left
    file_system: str = ""  # "" is not formatted
    label: str = ""
    active: bool = False


# learn.microsoft.com, "UEFI/GPT-based hard drive partitions" and "BIOS/MBR-based hard drive partitions".
# No recovery partition: a template needs none, and it would stand in the way of a larger disk.
_LAYOUTS = {
    Firmware.UEFI: (
        _Partition(1, "EFI", 260, "FAT32", "System"),
        _Partition(2, "MSR", 16),
        _Partition(3, "Primary", 0, "NTFS", "Windows"),
    ),
    Firmware.BIOS: (
        _Partition(1, "Primary", 350, "NTFS", "System", active=True),
        _Partition(2, "Primary", 0, "NTFS", "Windows"),
    ),
}


def render(answers: Answers) -> str:
    """The text of ``Autounattend.xml``. It holds the password."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    layout = _LAYOUTS[answers.firmware]
    language = answers.image.languages[0] if answers.image.languages else "en-US"
    return environment.get_template("autounattend.xml.j2").render(
        processor=_PROCESSORS[answers.arch],
        language=language,
        keyboard=keyboard_of(language),
        before=(_say(Stage.WINDOWS_PE), *map(_bypass, answers.os.bypasses)),
        specialize=(_say(Stage.SPECIALIZE),),
        partitions=layout,
        formatted=tuple(partition for partition in layout if partition.file_system),
        target=layout[-1].number,
        index=answers.image.index,
        product_key=answers.product_key,
        computer=computer_name(answers.template, answers.user),
        legacy=answers.os.legacy,
        server=answers.os.server,
        user=answers.user,
        password=answers.password.reveal(),
        first_logon=_first_logon(),
    )


def setup_files(answers: Answers, updates: tuple[str, ...] = ()) -> dict[str, bytes]:
    """What lies in the folder ``pvhck`` of the CD, beside the updates themselves, by name.

    ``updates`` are the names of files in ``updates/``, in the order they are to be installed.
    """
    wanted = {
        "name": answers.template,
        "user": answers.user,
        "test_signing": answers.test_signing,
        "pagefile_mib": answers.memory_mib + _PAGE_FILE_MORE_MIB,
    }
    files = {path.name: _windows_text(path) for path in sorted((_HERE / "setup").iterdir()) if path.is_file()}
    files[_PREPARE.name] = _windows_text(_PREPARE)
    files["setup.json"] = json.dumps(wanted, indent=1).encode("ascii")
    if updates:
        files["updates.txt"] = "".join(f"{name}\r\n" for name in updates).encode("ascii")
    return files


def computer_name(template: str, user: str) -> str:
    """A computer name for a template: at most 15 of A-Z 0-9 and dashes, not digits alone, not the user's."""
    name = re.sub(r"[^A-Z0-9]+", "-", template.upper()).strip("-")[:_LONGEST_NAME].strip("-")
    if not name or name.isdecimal() or name == user.upper():
        name = f"WIN-{name}"[:_LONGEST_NAME].strip("-")
    return name


def keyboard_of(language: str) -> str:
    """The input locale for a language."""
    return _KEYBOARDS.get(language, "0409:00000409")


def _windows_text(path: Path) -> bytes:
    """cmd.exe loses its way in files whose lines end as here."""
    return path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _say(stage: Stage) -> str:
    return f"cmd.exe /c echo {stage_line(stage)}>COM1"


def _bypass(value: str) -> str:
    return f"reg.exe add HKLM\\SYSTEM\\Setup\\LabConfig /v {value} /t REG_DWORD /d 1 /f"


def _first_logon() -> str:
    script = f"%d:\\{SCRIPTS}\\firstlogon.cmd"
    return f"cmd.exe /c for %d in ({_DRIVES}) do if exist {script} call {script}"
