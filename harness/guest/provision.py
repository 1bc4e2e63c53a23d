"""A fresh guest from a template: clone, domain, and all of it away again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from harness.errors import ConfigurationError, ProvisioningFailed
from harness.guest.guest import Guest, Login, mac_for
from harness.guest.transfer import CD_DRIVE
from harness.host.area import RunArea, domain_name
from harness.host.clone import choose_strategy
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.host import Host
from harness.host.volumes import remove_volume
from harness.lab import GuestTemplate, NicModel, SecretRef

__all__ = ["add_disk", "login_of", "make_guest", "remove_disk", "remove_guest"]


def login_of(
    template: GuestTemplate, passwords: Mapping[str, str], reveal: Callable[[SecretRef], str]
) -> Login:
    """User and password of a template's guests; ``passwords`` are those of simulated ones, by template.

    Raises:
        ConfigurationError: its secret cannot be had.
    """
    if template.name in passwords:
        return Login(template.user, passwords[template.name])
    if template.secret is None:
        raise ConfigurationError(
            f"template {template.name}: no secret for user {template.user}",
            mend="set secret = env:NAME, file:PATH or keyring:SERVICE/USER in its section",
        )
    return Login(template.user, reveal(template.secret))


def make_guest(
    host: Host,
    area: RunArea,
    template: GuestTemplate,
    number: int,
    login: Login,
    *,
    report: Callable[[str], None],
    warn: Callable[[str], None] | None = None,
    image: str = "",
) -> Guest:
    """Clone the template, or ``image`` that came from it, and describe the domain; it is not started yet.

    Raises:
        ProvisioningFailed: the clone cannot be made.
    """
    name = domain_name(area.run_id, number)
    image = image or str(template.image_on(host.spec))
    report(f"cloning {image} for {name} on {host.name}")
    target = area.path(f"{name}.img")
    disk = choose_strategy(host, image, target).clone(image, target)
    model = None if template.nic is NicModel.NONE else template.nic.value
    domain = DomainSpec(
        name=name,
        memory_mib=template.memory_mib,
        vcpus=template.vcpus,
        disks=(
            DiskSpec(disk.path, "hda", disk.image_format),
            DiskSpec("", CD_DRIVE, cdrom=True),
        ),
        nics=(NicSpec(mac_for(area.run_id, number), host.spec.bridge, model),),
        firmware=template.firmware,
        console_log=area.path(f"{name}.console"),
        extra=template.extra,
    )
    return Guest(host, template, domain, login, warn=warn or report)


def remove_guest(guest: Guest, area: RunArea) -> None:
    """Take a guest away with everything that bears its name on the host."""
    guest.kill()
    # the dot: guest 1 is not to take the files of guest 11 along
    files = shlex.quote(area.path(f"{guest.name}."))
    guest.host.shell.check(["sh", "-c", f"rm -f {files}*"])
    for disk in guest.domain.disks:
        if disk.is_device:
            remove_volume(guest.host.shell, disk.path.removeprefix("/dev/"))


def add_disk(guest: Guest, area: RunArea, vdev: str, size_mib: int) -> DiskSpec:
    """Plug an empty disk into a running guest, as ``xvdg`` or later: earlier ones show up emulated, too.

    It goes with ``remove_disk``, or with the guest.

    Raises:
        ProvisioningFailed: the host has no room.
        CommandFailed: it cannot be plugged in.
    """
    path = area.path(f"{guest.name}.{vdev}.raw")
    result = guest.host.shell.run(["truncate", "-s", f"{size_mib}M", path])
    if not result.ok:
        raise ProvisioningFailed(
            f"host {guest.host.name}: no disk of {size_mib} MiB: {result.describe()}",
            mend=f"df -h {guest.host.spec.storage}",
        )
    disk = DiskSpec(path, vdev)
    guest.host.toolstack.attach_disk(guest.name, disk)
    return disk


def remove_disk(guest: Guest, disk: DiskSpec) -> None:
    """Unplug a disk that ``add_disk`` made, and delete it."""
    guest.host.toolstack.detach_disk(guest.name, disk.vdev)
    guest.host.shell.check(["rm", "-f", disk.path])
