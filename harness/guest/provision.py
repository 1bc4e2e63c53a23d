"""A fresh guest from a template: clone, domain, and all of it away again."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest, Login, mac_for
from harness.host.area import RunArea, domain_name
from harness.host.clone import choose_strategy
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.host import Host
from harness.lab import GuestTemplate

__all__ = ["make_guest", "remove_guest"]


def make_guest(
    host: Host,
    area: RunArea,
    template: GuestTemplate,
    number: int,
    login: Login,
    *,
    report: Callable[[str], None],
) -> Guest:
    """Clone the template and describe the domain; it is not started yet.

    Raises:
        ProvisioningFailed: the clone cannot be made.
    """
    name = domain_name(area.run_id, number)
    report(f"cloning {template.image} for {name} on {host.name}")
    disk = choose_strategy(host.shell).clone(template.image, area.path(f"{name}.img"))
    domain = DomainSpec(
        name=name,
        memory_mib=template.memory_mib,
        vcpus=template.vcpus,
        disks=(
            DiskSpec(disk.path, "hda", disk.image_format),
            DiskSpec("", "hdc", cdrom=True),
        ),
        nics=(NicSpec(mac_for(area.run_id, number), host.spec.bridge),),
        firmware=template.firmware,
        console_log=area.path(f"{name}.console"),
        extra=template.extra,
    )
    return Guest(host, template, domain, login)


def remove_guest(guest: Guest, area: RunArea) -> None:
    """Take a guest away with everything that bears its name on the host."""
    guest.kill()
    files = area.path(guest.name)
    # the glob is the host's: names of run ids hold nothing a shell would read otherwise
    guest.host.shell.check(["sh", "-c", f"rm -f {files}.*"])
