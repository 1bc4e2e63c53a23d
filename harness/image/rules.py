"""Rules of our own that an answer file has to keep, since no Windows is here to try it. Pure.

Each says what Microsoft's "Unattended Windows Setup Reference" says of a setting, or what the rest of the
file makes necessary. They find a template that was changed wrongly; they prove nothing about Windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from harness.lab import Firmware
from harness.model import Arch

__all__ = ["broken_rules"]

_NAMESPACE = "urn:schemas-microsoft-com:unattend"
_NS = {"u": _NAMESPACE}
_PROCESSORS = {Arch.X64: "amd64", Arch.X86: "x86"}
_TOKEN = "31bf3856ad364e35"  # noqa: S105  # the public key that all of Windows is signed with
# Components we use, with the passes they may stand in
_PASSES = {
    "Microsoft-Windows-International-Core-WinPE": {"windowsPE"},
    "Microsoft-Windows-Setup": {"windowsPE"},
    "Microsoft-Windows-Deployment": {"generalize", "specialize", "auditUser", "auditSystem"},
    "Microsoft-Windows-International-Core": {"specialize", "oobeSystem"},
    "Microsoft-Windows-Shell-Setup": {
        "offlineServicing", "generalize", "specialize", "auditSystem", "auditUser", "oobeSystem",
    },
}  # fmt: skip
_KEY = re.compile(r"[A-Z0-9]{5}(-[A-Z0-9]{5}){4}")
_COMPUTER = re.compile(r"(?!\d+$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,13}[A-Za-z0-9])?")
_NO_USER = set('"/\\[]:;|=,+*?<>@%')
_LONGEST_USER = 20
_LONGEST = {"Path": 259, "CommandLine": 1024}  # characters


def broken_rules(text: str, arch: Arch, firmware: Firmware) -> tuple[str, ...]:
    """What is wrong with an answer file, in words; nothing if all is well. Passwords are not shown."""
    try:
        root = ET.fromstring(text)  # noqa: S314  # made by ourselves
    except ET.ParseError as error:
        return (f"it is no XML: {error}",)
    if root.tag != f"{{{_NAMESPACE}}}unattend":
        return (f"its root is {root.tag}",)
    return (
        *_components(root, arch),
        *_orders(root),
        *_commands(root),
        *_disk(root, firmware),
        *_questions(root),
        *_names(root),
        *_logon(root),
    )


def _components(root: ET.Element, arch: Arch) -> Iterator[str]:
    for settings in root.iterfind("u:settings", _NS):
        name = settings.get("pass", "")
        seen: list[str] = []
        for component in settings.iterfind("u:component", _NS):
            title = component.get("name", "")
            if name not in _PASSES.get(title, set()):
                yield f"{title} has no settings in pass {name or 'without a name'}"
            if title in seen:
                yield f"{title} stands twice in pass {name}"
            seen.append(title)
            if component.get("processorArchitecture") != _PROCESSORS[arch]:
                yield f"{title} is for {component.get('processorArchitecture')}: Setup passes it over"
            rest = (component.get("publicKeyToken"), component.get("language"), component.get("versionScope"))
            if rest != (_TOKEN, "neutral", "nonSxS"):
                yield f"{title} is not named as Windows names it: {rest}"


def _orders(root: ET.Element) -> Iterator[str]:
    """Numbers of what is done in turn: from 1 on, none twice."""
    for parent in root.iter():
        orders = [child.findtext("u:Order", namespaces=_NS) for child in parent]
        given = [order for order in orders if order is not None]
        if given and given != [str(number + 1) for number in range(len(given))]:
            yield f"{_plain(parent.tag)} is numbered {', '.join(given)}"


def _commands(root: ET.Element) -> Iterator[str]:
    for name, longest in _LONGEST.items():
        for command in root.iter(f"{{{_NAMESPACE}}}{name}"):
            text = command.text or ""
            if not 0 < len(text) <= longest:
                yield f"a {name} has {len(text)} characters, at most {longest} are read"
            if not text.isascii() or not text.isprintable():
                yield f"a {name} has characters that not every code page has"


def _disk(root: ET.Element, firmware: Firmware) -> Iterator[str]:
    disk = root.find(".//u:DiskConfiguration/u:Disk", _NS)
    if disk is None or disk.findtext("u:WillWipeDisk", namespaces=_NS) != "true":
        yield "the disk is not set up from nothing"
        return
    kinds = [_text(one, "Type") for one in disk.iterfind("u:CreatePartitions/u:CreatePartition", _NS)]
    wanted = ["EFI", "MSR", "Primary"] if firmware is Firmware.UEFI else ["Primary", "Primary"]
    if kinds != wanted:
        yield f"partitions {', '.join(kinds)} do not boot by {firmware}: it needs {', '.join(wanted)}"
    extended = [
        _text(one, "Extend") == "true" for one in disk.iterfind("u:CreatePartitions/u:CreatePartition", _NS)
    ]
    if extended != [False] * (len(kinds) - 1) + [True]:
        yield "the last partition, and no other, takes what is left"
    formats = {
        _text(one, "PartitionID"): _text(one, "Format")
        for one in disk.iterfind("u:ModifyPartitions/u:ModifyPartition", _NS)
    }
    target = root.findtext(".//u:InstallTo/u:PartitionID", "", _NS)
    if target != str(len(kinds)) or formats.get(target) != "NTFS":
        yield f"Windows goes to partition {target}, which is not the last one, with NTFS"
    if firmware is Firmware.UEFI and formats.get("1") != "FAT32":
        yield "the EFI partition is not formatted with FAT32"
    active = [_text(one, "PartitionID") for one in disk.iterfind(".//u:ModifyPartition[u:Active]", _NS)]
    if active != ([] if firmware is Firmware.UEFI else ["1"]):
        yield f"active partitions: {', '.join(active) or 'none'}"


def _questions(root: ET.Element) -> Iterator[str]:
    """Everything that Setup would else ask a person."""
    yes = ("UserData/AcceptEula", "OOBE/HideEULAPage", "OOBE/HideWirelessSetupInOOBE")
    for name in yes:
        if root.findtext(f".//{_path(name)}", "", _NS) != "true":
            yield f"{name} is not true: somebody would be asked"
    there = ("SetupUILanguage/UILanguage", "InstallFrom/MetaData/Value", "TimeZone", "OOBE/ProtectYourPC")
    for name in there:
        if not root.findtext(f".//{_path(name)}", "", _NS):
            yield f"{name} is not there: somebody would be asked"
    shown = {element.text for element in root.iter(f"{{{_NAMESPACE}}}WillShowUI")}
    if shown - {"OnError", "Never"}:
        yield "a page is shown always"


def _names(root: ET.Element) -> Iterator[str]:
    computer = root.findtext(".//u:ComputerName", "", _NS)
    if not _COMPUTER.fullmatch(computer):
        yield f"{computer!r} cannot be a computer's name"
    users = [element.text or "" for element in root.iterfind(".//u:LocalAccount/u:Name", _NS)]
    for user in users:
        if not 0 < len(user) <= _LONGEST_USER or set(user) & _NO_USER or user.endswith("."):
            yield f"{user!r} cannot be a user's name"
        if user.lower() == computer.lower():
            yield f"{user!r} is the computer's name, too"
    for key in root.iterfind(".//u:ProductKey/u:Key", _NS):
        if not _KEY.fullmatch(key.text or ""):
            yield "the product key is none"


def _logon(root: ET.Element) -> Iterator[str]:
    """The account that logs on by itself is there, with that password, and something is run then."""
    logon = root.find(".//u:AutoLogon", _NS)
    if logon is None or _text(logon, "Enabled") != "true" or _text(logon, "LogonCount") != "1":
        yield "nobody logs on by himself, once"
        return
    user, password = _text(logon, "Username"), logon.findtext("u:Password/u:Value", "", _NS)
    accounts = {
        _text(account, "Name"): account.findtext("u:Password/u:Value", "", _NS)
        for account in root.iterfind(".//u:LocalAccount", _NS)
    }
    built_in = root.findtext(".//u:AdministratorPassword/u:Value", None, _NS)
    if built_in is not None:
        accounts["Administrator"] = built_in
    if not password or accounts.get(user) != password:
        yield f"{user!r} logs on by himself with a password that is not the account's"
    if any(flag.text != "true" for flag in root.iter(f"{{{_NAMESPACE}}}PlainText")):
        yield "a password stands there in another way than its PlainText says"
    if root.find(".//u:FirstLogonCommands/u:SynchronousCommand", _NS) is None:
        yield "nothing runs at the first logon"


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"u:{name}", "", _NS)


def _path(name: str) -> str:
    return "/".join(f"u:{word}" for word in name.split("/"))


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]
