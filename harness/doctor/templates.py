"""A template as it lies on a host, without booting it."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator

from harness.doctor.check import Check, State, failed
from harness.errors import ConfigurationError, InfrastructureError
from harness.host.clone import can_reflink
from harness.host.host import Host
from harness.host.numbers import whole_number
from harness.host.space import space_of
from harness.host.volumes import Volume, find_volume, is_device, room_for
from harness.lab import CloneMethod, GuestTemplate, resolve_secret
from harness.model import GuestKind

__all__ = ["check_template"]

_MIB = 1 << 20


def check_template(host: Host, template: GuestTemplate) -> Iterator[Check]:
    """Its password here, its image there, and whether the host can carry it."""
    subject = f"{template.name} on {host.name}"
    if template.secret is not None:
        yield _check_secret(subject, template)
    yield _check_fits(subject, host, template)
    if template.guest is GuestKind.SIMULATED:
        yield Check(subject, "image", State.SKIPPED, "a simulated guest has none")
        return
    try:
        yield from _check_image(subject, host, template)
    except InfrastructureError as error:
        yield failed(subject, "image", error)


def _check_secret(subject: str, template: GuestTemplate) -> Check:
    assert template.secret is not None
    try:
        resolve_secret(template.secret)
    except ConfigurationError as error:
        return failed(subject, "password", error)
    return Check(subject, "password", State.OK, f"{template.secret} is set")


def _check_fits(subject: str, host: Host, template: GuestTemplate) -> Check:
    needs = f"needs {template.memory_mib} MiB and {template.vcpus} vCPUs"
    gives = f"{host.name} gives {host.spec.memory_mib} MiB and {host.spec.vcpus}"
    if template.memory_mib > host.spec.memory_mib or template.vcpus > host.spec.vcpus:
        mend = "lower the template's memory and vcpus, or raise the host's, in hosts.ini"
        return Check(subject, "size", State.FAIL, f"{needs}, {gives}", mend)
    return Check(subject, "size", State.OK, needs)


def _check_image(subject: str, host: Host, template: GuestTemplate) -> Iterator[Check]:
    image = str(template.image_on(host.spec))
    volume = find_volume(host.shell, image) if is_device(image) else None
    if volume is not None:
        yield from _check_volume(subject, host, volume)
        return
    if host.spec.clone is CloneMethod.LVM:
        mend = f"lvcreate -n LV -V SIZE --thinpool POOL VG; qemu-img convert -n -O raw IMAGE {image}"
        yield Check(subject, "image", State.FAIL, f"there is no logical volume {image}", mend)
        return
    there = host.shell.run(["stat", "-L", "-c", "%s", image], repeatable=True)
    if not there.ok:
        mend = f"copy it there: scp IMAGE {host.spec.user}@{host.spec.address}:{shlex.quote(image)}"
        yield Check(subject, "image", State.FAIL, f"there is no {image}", mend)
        return
    size = whole_number(there.stdout, f"the size of {image}") // _MIB
    yield Check(subject, "image", State.OK, f"{image}, {size} MiB")
    yield _check_format(subject, host, image)
    if host.spec.clone is CloneMethod.REFLINK:
        yield _check_reflink(subject, host, image)
    if host.spec.clone is CloneMethod.COPY:
        yield _check_room(subject, host, size)


def _check_volume(subject: str, host: Host, volume: Volume) -> Iterator[Check]:
    kind = "thin" if volume.thin else "not thin"
    yield Check(subject, "image", State.OK, f"logical volume {volume}, {volume.size_mib} MiB, {kind}")
    if host.spec.clone not in {CloneMethod.AUTO, CloneMethod.LVM}:
        found = f"clone = {host.spec.clone} reads the whole volume as a raw image: no snapshot is taken"
        yield Check(subject, "clone", State.WARN, found, "set clone = lvm, or leave it out")
        return
    room = room_for(host.shell, volume)
    state = State.FAIL if room.full else State.OK
    mend = "a smaller snapshot (hosts.ini), a thin pool, or a larger group: vgextend; lvextend"
    yield Check(subject, "space", state, str(room), mend if room.full else "")


def _check_reflink(subject: str, host: Host, image: str) -> Check:
    probe = f"{host.spec.storage}/pvhck-doctor-{secrets.token_hex(8)}"
    if can_reflink(host.shell, image, probe):
        return Check(subject, "reflink", State.OK, f"{host.spec.storage} shares blocks with the image")
    return Check(
        subject,
        "reflink",
        State.FAIL,
        f"{host.spec.storage} cannot share blocks with {image}",
        "both on one XFS (mkfs.xfs -m reflink=1) or Btrfs; or leave clone out",
    )


def _check_format(subject: str, host: Host, image: str) -> Check:
    result = host.shell.run(["qemu-img", "info", "--output=json", image], repeatable=True)
    if not result.ok:
        return Check(subject, "format", State.SKIPPED, result.describe())
    name = "qcow2" if '"format": "qcow2"' in result.stdout else "raw"
    if f'"format": "{name}"' not in result.stdout:
        mend = f"qemu-img convert -O qcow2 {shlex.quote(image)} {shlex.quote(image)}.qcow2"
        return Check(subject, "format", State.FAIL, "neither raw nor qcow2", mend)
    if '"backing-filename"' in result.stdout:
        return Check(
            subject,
            "format",
            State.WARN,
            f"{name} with a backing file: a change there spoils it",
            f"qemu-img convert -O qcow2 {shlex.quote(image)} {shlex.quote(image)}.whole",
        )
    return Check(subject, "format", State.OK, name)


def _check_room(subject: str, host: Host, size_mib: int) -> Check:
    space = space_of(host.shell, host.spec.storage)
    needed = size_mib * host.spec.max_guests
    found = f"{host.spec.max_guests} full copies take up to {needed} MiB, {space.free_mib} are free"
    if space.free_mib >= needed:
        return Check(subject, "space", State.OK, found)
    return Check(subject, "space", State.WARN, found, "set clone = overlay, or make room")
