"""An answer file as Windows Setup takes it: read anew at each pass, with what it lacks found out there."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from harness.lab import Firmware
from harness.model import Arch
from harness.simlab.setup.cd import WindowsImage

__all__ = ["Unattended", "WouldAsk", "parse_answers"]

_NS = {"u": "urn:schemas-microsoft-com:unattend"}
_PROCESSORS = {Arch.X64: "amd64", Arch.X86: "x86"}
_FIRST_11 = 22000


class WouldAsk(Exception):
    """Setup stops and shows a page: what it would ask a person."""


@dataclass(frozen=True)
class Unattended:
    """Settings of the components for one architecture; those for others are passed over."""

    root: ET.Element
    processor: str

    def commands(self, name: str) -> tuple[str, ...]:
        """Paths of RunSynchronous commands of a pass, in their order."""
        found = [
            (int(_text(command, "u:Order") or 0), _text(command, "u:Path"))
            for component in self._components(name)
            for command in component.iterfind("u:RunSynchronous/u:RunSynchronousCommand", _NS)
        ]
        return tuple(path for _, path in sorted(found))

    def text(self, name: str, path: str) -> str:
        """A setting of a pass, "" if it is not there."""
        steps = "/".join(f"u:{step}" for step in path.split("/"))
        found = (component.findtext(steps, "", _NS) for component in self._components(name))
        return next((value for value in found if value), "")

    @property
    def accounts(self) -> dict[str, str]:
        """Passwords of the accounts that are made, by name."""
        made = {
            _text(account, "u:Name"): _text(account, "u:Password/u:Value")
            for component in self._components("oobeSystem")
            for account in component.iterfind("u:UserAccounts/u:LocalAccounts/u:LocalAccount", _NS)
        }
        built_in = self.text("oobeSystem", "UserAccounts/AdministratorPassword/Value")
        return made | ({"Administrator": built_in} if built_in else {})

    def check_copying(self, image: WindowsImage | None, editions: int, firmware: Firmware) -> None:
        """What Windows PE needs before it copies.

        Raises:
            WouldAsk: it is not said, or cannot be done.
        """
        if self.text("windowsPE", "UserData/AcceptEula") != "true":
            raise WouldAsk("license terms")
        if image is None:
            raise WouldAsk("which operating system")
        if _PROCESSORS.get(image.arch or Arch.X64) != self.processor:
            raise WouldAsk("an image for another processor")
        evaluation = image.edition.endswith("Eval")
        if editions > 1 and not evaluation and not self.text("windowsPE", "UserData/ProductKey/Key"):
            raise WouldAsk("product key")  # guess: which media ask was not tried
        kinds = [_text(one, "u:Type") for one in self._partitions()]
        if firmware is Firmware.UEFI and "EFI" not in kinds:
            raise WouldAsk("where to install: no EFI system partition")
        if self.text("windowsPE", "ImageInstall/OSImage/InstallTo/PartitionID") != str(len(kinds)):
            raise WouldAsk("where to install")

    def check_hardware(self, image: WindowsImage, bypassed: set[str]) -> None:
        """Windows 11 wants a TPM and Secure Boot, which no simulated domain has.

        Raises:
            WouldAsk: nothing told it to do without.
        """
        if (
            image.build >= _FIRST_11
            and not image.server
            and not {
                "BypassTPMCheck",
                "BypassSecureBootCheck",
            }
            <= bypassed
        ):
            raise WouldAsk("this PC can't run Windows 11")

    def _components(self, name: str) -> list[ET.Element]:
        return [
            component
            for settings in self.root.iterfind("u:settings", _NS)
            if settings.get("pass") == name
            for component in settings.iterfind("u:component", _NS)
            if component.get("processorArchitecture") == self.processor
        ]

    def _partitions(self) -> list[ET.Element]:
        return [
            one
            for component in self._components("windowsPE")
            for one in component.iterfind(
                "u:DiskConfiguration/u:Disk/u:CreatePartitions/u:CreatePartition", _NS
            )
        ]


def parse_answers(text: bytes, arch: Arch) -> Unattended:
    """An answer file for the Windows PE of an architecture.

    Raises:
        WouldAsk: Setup cannot read it.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314  # from a CD that the harness made
    except ET.ParseError as error:
        raise WouldAsk(f"the answer file is invalid: {error}") from error
    return Unattended(root, _PROCESSORS[arch])


def _text(element: ET.Element, path: str) -> str:
    return element.findtext(path, "", _NS)
