"""What is to be built, looked at as far as this machine can tell: medium, edition, updates, answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigurationError, HarnessError
from harness.image.answers import ANSWER_FILE, SCRIPTS, Answers, render, setup_files
from harness.image.iso import Medium, make_setup_iso, read_medium
from harness.image.oses import WindowsOs
from harness.image.rules import broken_rules
from harness.image.updates import ordered_updates
from harness.image.wim import WimImage
from harness.lab import Firmware, Secret, SecretRef
from harness.model import Arch

__all__ = ["Plan", "Request", "choose_image", "make_plan", "write_setup_iso"]

_USER = re.compile(r'[^"/\\\[\]:;|=,+*?<>@%\s\x00-\x1f]{1,20}')


@dataclass(frozen=True)
class Request:
    """What a person asked for. ``edition`` is "" for the first one that suits; sizes in MiB, 0 for ours."""

    iso: Path
    os: WindowsOs
    arch: Arch
    firmware: Firmware
    template: str
    user: str
    secret: SecretRef
    edition: str = ""
    product_key: str = ""
    updates: tuple[Path, ...] = ()
    memory_mib: int = 0
    disk_mib: int = 0
    vcpus: int = 2
    test_signing: bool = True

    @property
    def memory(self) -> int:
        """Memory of the guest in MiB."""
        return self.memory_mib or self.os.memory_mib

    @property
    def disk(self) -> int:
        """Size of its disk in MiB."""
        return self.disk_mib or self.os.disk_mib


@dataclass(frozen=True)
class Plan:
    """A request that nothing here speaks against."""

    request: Request
    medium: Medium
    iso_sha256: str
    image: WimImage
    updates: tuple[Path, ...]
    answers: Answers


def make_plan(request: Request, password: Secret) -> Plan:
    """Read the medium and decide.

    Raises:
        ConfigurationError: it cannot be built; says what is missing or wrong.
    """
    request.os.check(request.arch, request.firmware)
    if not _USER.fullmatch(request.user):
        raise ConfigurationError(f"{request.user!r} cannot be a user of Windows", mend="--user NAME")
    if request.memory < request.os.memory_mib or request.disk < request.os.disk_mib:
        raise ConfigurationError(
            f"{request.os.title} with {request.memory} MiB of memory and a disk of {request.disk} MiB",
            mend=f"at least {request.os.memory_mib} MiB and {request.os.disk_mib} MiB",
        )
    updates = ordered_updates(request.os, request.arch, request.updates)
    medium = read_medium(request.iso)
    image = choose_image(request, medium.images)
    if request.firmware is Firmware.UEFI and medium.no_prompt is None:
        raise ConfigurationError(
            f"{request.iso} has no UEFI loader that starts without a key press (efisys_noprompt.bin)",
            mend="take Microsoft's own ISO, or --firmware bios",
        )
    answers = Answers(
        os=request.os,
        arch=request.arch,
        firmware=request.firmware,
        image=image,
        template=request.template,
        user=request.user,
        password=password,
        memory_mib=request.memory,
        product_key=request.product_key or request.os.keys.get(image.edition, ""),
        test_signing=request.test_signing,
    )
    broken = broken_rules(render(answers), request.arch, request.firmware)
    if broken:
        raise HarnessError(f"the answer file breaks rules: {'; '.join(broken)}", mend="please report it")
    return Plan(request, medium, _sha256(request.iso), image, updates, answers)


def choose_image(request: Request, images: Sequence[WimImage]) -> WimImage:
    """The image that was asked for, by number, name or edition; or the first edition that suits.

    Raises:
        ConfigurationError: there is none; says what there is.
    """
    first, last = request.os.builds
    fitting = [
        image
        for image in images
        if image.arch is request.arch
        and first <= image.build <= last
        and image.version == request.os.version
        and image.installation.startswith("Server") == request.os.server
    ]
    there = "; ".join(map(str, images))
    if not fitting:
        raise ConfigurationError(
            f"{request.iso.name} holds no {request.os.title} ({request.arch}), but: {there}",
            mend="another --iso, --os or --arch",
        )
    if not request.edition:
        return _first(request.os, fitting)
    wanted = request.edition.lower()
    for image in fitting:
        if wanted in {str(image.index), image.name.lower(), image.edition.lower()}:
            return image
    raise ConfigurationError(
        f"{request.iso.name} holds no edition {request.edition!r}, but: {'; '.join(map(str, fitting))}",
        mend="--edition with a number, a name or an edition of that list",
    )


def write_setup_iso(plan: Plan, target: Path) -> None:
    """The setup CD of a plan. It holds the password."""
    names = tuple(path.name for path in plan.updates)
    root = {ANSWER_FILE: render(plan.answers).encode()}
    root |= {f"{SCRIPTS}/{name}": data for name, data in setup_files(plan.answers, names).items()}
    updates = {path.name: path for path in plan.updates}
    make_setup_iso(target, root, {f"{SCRIPTS}/updates": updates} if updates else {})


def _first(os: WindowsOs, images: Sequence[WimImage]) -> WimImage:
    """In our order of editions; a server with a desktop before one without."""
    ranks = {edition: rank for rank, edition in enumerate(os.editions)}

    def rank(image: WimImage) -> tuple[int, bool, int]:
        return ranks.get(image.edition, len(ranks)), image.installation == "Server Core", image.index

    return min(images, key=rank)


def _sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
