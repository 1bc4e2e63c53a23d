"""What the host shows of a guest's drivers: front and back ends, and keys the drivers write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.guest.guest import Guest
from harness.host.domain import DiskSpec
from harness.install.guestview import Hardware, has_pv_disk, has_pv_nic
from harness.install.outcome import DriverFault, NotChecked
from harness.model import DriverName, GuestKind, ToolstackName, XenVersion
from harness.package import DriverBuild

__all__ = ["HostView", "Keys", "hardware_of", "host_faults", "look_at_host", "readable_keys", "target_of"]

_CONNECTED = "4"  # XenbusState (xen/include/public/io/xenbus.h)


@dataclass(frozen=True)
class HostView:
    """The guest's nodes in xenstore by path below its folder, and the states of its back ends by path."""

    nodes: Mapping[str, str]
    backends: Mapping[str, str]


@dataclass(frozen=True)
class Keys:
    """Which groups of keys can be judged here, and why others cannot."""

    drivers: bool
    feature: bool
    control: bool
    not_checked: tuple[NotChecked, ...]


def readable_keys(kind: GuestKind, toolstack: ToolstackName, xen: XenVersion) -> Keys:
    """Which keys a guest can have written: the toolstack decides (facts/pv-drivers.md 2.1).

    The stand-in's Linux front ends write neither ``drivers`` nor ``feature``, and its kernel sets
    ``control/feature-*`` only where the toolstack made them, seen on 4.17 and not on 4.14
    (facts/nested-xen.md).
    """
    xend = toolstack is ToolstackName.XM
    stand_in = kind is GuestKind.STAND_IN
    where = f"{toolstack} on Xen {xen}"
    may_write = "the guest may not write them with " + where
    linux = "the stand-in guest is Linux: its front ends do not write them"
    allowed = {
        "drivers/N": (not xend and xen >= XenVersion(4, 7), not stand_in),
        "feature/hotplug": (not xend and xen >= XenVersion(4, 7), not stand_in),
        "control/feature-*": (xend or xen >= XenVersion(4, 8), not stand_in or xen >= XenVersion(4, 17)),
    }
    drivers, feature, control = (all(conditions) for conditions in allowed.values())
    return Keys(
        drivers,
        feature,
        control,
        not_checked=tuple(
            NotChecked(check, linux if writable else may_write)
            for check, (writable, written) in allowed.items()
            if not (writable and written)
        ),
    )


def hardware_of(guest: Guest) -> Hardware:
    """What the domain was made with."""
    return Hardware(
        twin_macs=tuple(nic.mac for nic in guest.domain.nics if nic.model is not None),
        pv_macs=tuple(nic.mac for nic in guest.domain.nics if nic.model is None),
        targets=tuple(target_of(disk) for disk in guest.domain.disks if not disk.cdrom),
    )


def target_of(disk: DiskSpec) -> int:
    """The Xen target id of a disk: hda, sda and xvda are 0 (xen-vbd-interface.7)."""
    letter = disk.vdev.removeprefix("xv")[1:] if disk.vdev.startswith("xvd") else disk.vdev[2:]
    return ord(letter[:1]) - ord("a")


def look_at_host(guest: Guest) -> HostView:
    """Read the guest's folder in xenstore and the states of its back ends."""
    folder = guest.store
    tree = guest.host.xenstore.tree(folder)
    nodes = {path.removeprefix(f"{folder}/"): value for path, value in tree.items()}
    backends = {
        value: guest.host.xenstore.find(f"{value}/state") or ""
        for path, value in nodes.items()
        if path.startswith(("device/vif/", "device/vbd/")) and path.endswith("/backend")
    }
    return HostView(nodes, backends)


def host_faults(
    build: DriverBuild, view: HostView, keys: Keys, *, nic: DriverName = DriverName.XENVIF
) -> Iterator[DriverFault]:
    """Front or back ends that are not connected, and keys that a driver has not written.

    ``nic`` is answerable for vifs.
    """
    if has_pv_nic(build):
        yield from _device_faults("vif", view, nic)
    if has_pv_disk(build):
        yield from _device_faults("vbd", view, DriverName.XENVBD)
    if keys.drivers:
        yield from _version_faults(build, view)
    yield from _key_faults(build, view, keys)


def _device_faults(kind: str, view: HostView, answerable: DriverName) -> Iterator[DriverFault]:
    numbers = sorted(
        {
            path.split("/")[2]
            for path in view.nodes
            if path.startswith(f"device/{kind}/") and path.count("/") > 1
        }
    )
    for number in numbers:
        front = f"device/{kind}/{number}"
        if kind == "vbd" and view.nodes.get(f"{front}/device-type") == "cdrom":
            continue  # stays emulated
        back = view.nodes.get(f"{front}/backend", "")
        ends = (("front", view.nodes.get(f"{front}/state", "")), ("back", view.backends.get(back, "")))
        for end, state in ends:
            if state != _CONNECTED:
                yield DriverFault(
                    answerable, f"{kind} {number}: its {end} end is in state {state or 'none'}, not 4"
                )


def _version_faults(build: DriverBuild, view: HostView) -> Iterator[DriverFault]:
    """``drivers/N`` = ``<vendor> XENBUS 9.1.0.42`` (win-xenbus src/xenbus/fdo.c)."""
    lines = [value.split() for path, value in view.nodes.items() if path.startswith("drivers/")]
    for package in build.packages:
        named = [words for words in lines if package.name.upper() in words]
        if not named:
            yield DriverFault(package.name, "xenstore's drivers/N does not name it")
        elif not any(package.version in words for words in named):
            found = "; ".join(" ".join(words) for words in named)
            yield DriverFault(
                package.name, f"xenstore's drivers/N says {found}, not version {package.version}"
            )


def _key_faults(build: DriverBuild, view: HostView, keys: Keys) -> Iterator[DriverFault]:
    """Who writes which: facts/pv-drivers.md 2.2."""
    expected = [
        (keys.control, DriverName.XENBUS, "control/feature-suspend"),
        (keys.control, DriverName.XENIFACE, "control/feature-poweroff"),
        (keys.control, DriverName.XENIFACE, "control/feature-reboot"),
        (keys.feature, DriverName.XENVIF, "feature/hotplug/vif"),
        (keys.feature, DriverName.XENVBD, "feature/hotplug/vbd"),
    ]
    for judged, driver, key in expected:
        if judged and driver in build.names and view.nodes.get(key, "") != "1":
            yield DriverFault(driver, f"xenstore's {key} is {view.nodes.get(key, 'missing')!r}, not '1'")
