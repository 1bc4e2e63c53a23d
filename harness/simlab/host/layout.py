"""What libxl 4.17 writes to xenstore for a domain and its devices, with permissions.

Recorded: xen-4.17/xenstore-ls-fp-guest.txt, xenstore-ls-libxl.txt, xenstore-ls-vm.txt,
stand-in-4.17/nopv-xenstore-guest.txt, nopv-xenstore-backend.txt. Which of the nodes a guest
may write to was given to it by which release: facts of pv-drivers.md 2.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.model import XenVersion

__all__ = [
    "BACKENDS",
    "DiskPaths",
    "DomainFacts",
    "NicPaths",
    "Node",
    "disk_nodes",
    "domain_nodes",
    "nic_nodes",
    "tree",
]

BACKENDS = "/local/domain/0/backend"

Node = tuple[str, str, str]  # path, value, permissions


@dataclass(frozen=True)
class DomainFacts:
    """What the layout of a domain depends on. Memory in KiB."""

    domid: int
    name: str
    uuid: str
    static_max: int
    target: int
    videoram: int
    vcpus: int
    online: int
    firmware: str
    model_pid: int
    start_time: float
    version: XenVersion


@dataclass(frozen=True)
class DiskPaths:
    """A disk's place in xenstore; ``kind`` is qdisk (QEMU serves it), vbd (blkback) or tap (blktap)."""

    domid: int
    number: int
    kind: str

    @property
    def frontend(self) -> str:
        """The guest's end."""
        return f"/local/domain/{self.domid}/device/vbd/{self.number}"

    @property
    def backend(self) -> str:
        """Dom0's end."""
        return f"{BACKENDS}/{self.kind}/{self.domid}/{self.number}"

    @property
    def libxl(self) -> str:
        """The toolstack's own notes."""
        return f"/libxl/{self.domid}/device/vbd/{self.number}"


@dataclass(frozen=True)
class NicPaths:
    """An interface's place in xenstore."""

    domid: int
    index: int

    @property
    def frontend(self) -> str:
        """The guest's end."""
        return f"/local/domain/{self.domid}/device/vif/{self.index}"

    @property
    def backend(self) -> str:
        """Dom0's end."""
        return f"{BACKENDS}/vif/{self.domid}/{self.index}"

    @property
    def libxl(self) -> str:
        """The toolstack's own notes."""
        return f"/libxl/{self.domid}/device/vif/{self.index}"


def domain_nodes(facts: DomainFacts) -> Iterator[Node]:
    """All nodes of a domain but its disks and interfaces, parents first."""
    domid, root = facts.domid, f"/local/domain/{facts.domid}"
    read, own, front = f"n0,r{domid}", f"n{domid}", f"n{domid},r0"
    vm = f"/vm/{facts.uuid}"
    yield root, "", read
    for name, value in {
        "vm": vm,
        "name": facts.name,
        "domid": str(domid),
        "cpu": "",
        "memory": "",
        "memory/static-max": str(facts.static_max),
        "memory/target": str(facts.target),
        "memory/videoram": str(facts.videoram),
        "device": "",
        "device/suspend": "",
        "device/vbd": "",
        "device/vif": "",
        "device/vkbd": "",
        "control": "",
        "control/platform-feature-multiprocessor-suspend": "1",
        "control/platform-feature-xs_reset_watches": "1",
        "hvmloader": "",
        "hvmloader/bios": facts.firmware,
        "hvmloader/allow-memory-relocate": "0",
        "image": "",
        "image/device-model-pid": str(facts.model_pid),
        "platform": "",
        "platform/acpi": "1",
        "platform/acpi_s3": "1",
        "platform/acpi_s4": "1",
        "platform/acpi_laptop_slate": "0",
        "platform/device-model": "qemu_xen",
        "store": "",
        "store/port": "1",
        "store/ring-ref": "1044476",
        "console": "",
        "console/backend": f"{BACKENDS}/console/{domid}/0",
        "console/limit": "1048576",
        "console/output": "pty",
        "console/port": "2",
        "console/ring-ref": "1044479",
        "console/tty": "/dev/pts/0",
        "console/type": "xenconsoled",
    }.items():
        yield f"{root}/{name}", value, read
    for cpu in range(facts.vcpus):
        yield f"{root}/cpu/{cpu}", "", read
        yield f"{root}/cpu/{cpu}/availability", "online" if cpu < facts.online else "offline", read
    yield f"{root}/console/backend-id", "0", front
    for name in _guest_writable(facts.version):
        yield f"{root}/{name}", "", own
    yield from _keyboard(domid)
    yield f"{BACKENDS}/console/{domid}/0", "", read
    for name, value in _console(domid).items():
        yield f"{BACKENDS}/console/{domid}/0/{name}", value, read
        yield f"/libxl/{domid}/device/console/0/{name}", value, "n0"
    yield f"/libxl/{domid}/device/console/0/backend", f"{BACKENDS}/console/{domid}/0", "n0"
    yield f"/libxl/{domid}/dm-version", "qemu_xen", "n0"
    yield f"/libxl/{domid}/type", "hvm", "n0"
    for name, value in {
        "": "",
        "/image": "",
        "/image/ostype": "hvm",
        "/name": facts.name,
        "/rtc": "",
        "/rtc/timeoffset": "",
        "/start_time": f"{facts.start_time:.2f}",
        "/uuid": facts.uuid,
    }.items():
        yield f"{vm}{name}", value, read


def _guest_writable(version: XenVersion) -> Iterator[str]:
    yield from ("control/shutdown", "control/sysrq", "device/suspend/event-channel", "data")
    if version >= XenVersion(4, 7):
        yield from ("drivers", "feature", "attr")
    if version >= XenVersion(4, 14):
        yield "error"
    # libxl_create.c of stable-4.8 and later; seen on 4.17
    if version >= XenVersion(4, 8):
        yield from (f"control/feature-{name}" for name in ("poweroff", "reboot", "suspend", "s3", "s4"))


def _console(domid: int) -> dict[str, str]:
    return {
        "frontend": f"/local/domain/{domid}/console",
        "frontend-id": str(domid),
        "online": "1",
        "protocol": "vt100",
        "state": "1",
    }


def _keyboard(domid: int) -> Iterator[Node]:
    front, back = f"/local/domain/{domid}/device/vkbd/0", f"{BACKENDS}/vkbd/{domid}/0"
    yield from tree(front, {"backend": back, "backend-id": "0", "state": "1"}, f"n{domid},r0")
    common = {"frontend": front, "frontend-id": str(domid), "online": "1"}
    extra = {"feature-abs-pointer": "1", "feature-raw-pointer": "1", "hotplug-status": "connected"}
    yield from tree(back, {**common, **extra, "state": "2"}, f"n0,r{domid}")
    yield from tree(f"/libxl/{domid}/device/vkbd/0", {**common, "backend": back, "state": "1"}, "n0")


def disk_nodes(paths: DiskPaths, name: str, size: int, detail: dict[str, str]) -> Iterator[Node]:
    """Nodes of a disk. ``detail`` holds params, mode, device-type and, for blkback, physical-device.

    With a loop device there is its name as node. Of a logical volume (recorded):
    lvm-2.03/xenstore-ls-f-block-device.txt.
    """
    domid, device_type = paths.domid, detail["device-type"]
    yield from tree(
        paths.frontend,
        {
            "backend": paths.backend,
            "backend-id": "0",
            "device-type": device_type,
            "state": "1",
            "trusted": "1",
            "virtual-device": str(paths.number),
        },
        f"n{domid},r0",
    )
    common = {
        "bootable": "1",
        "dev": name,
        "device-type": device_type,
        "discard-enable": "1",
        "frontend": paths.frontend,
        "frontend-id": str(domid),
        "mode": detail["mode"],
        "online": "1",
        "params": detail["params"],
        "removable": "1" if device_type == "cdrom" else "0",
        "specification": "xen",
        "state": "1",
        "type": "qdisk" if paths.kind == "qdisk" else "phy",
    }
    served = {
        "feature-discard": "1",
        "feature-flush-cache": "1",
        "hotplug-status": "connected",
        "info": {"cdrom": "1"}.get(device_type, "0"),
        "max-ring-page-order": "4",
        "sector-size": "512",
        "sectors": str(size // 512),
        "state": "2",
    }
    if paths.kind == "qdisk":
        served |= {"discard-alignment": "0", "discard-granularity": "512"}
    else:
        common["script"] = "/etc/xen/scripts/block"
        served |= {
            "discard-alignment": "0",
            "discard-granularity": "4096",
            "discard-secure": "0",
            "feature-barrier": "1",
            "feature-max-indirect-segments": "256",
            "feature-persistent": "1",
            "multi-queue-max-queues": "2",
            "physical-device": detail["physical-device"],
            "physical-device-path": detail["node"] or _mapper(detail["params"]),
            "physical-sector-size": "512",
        }
        served |= {"node": detail["node"]} if detail["node"] else {}
    yield from tree(paths.backend, common | served, f"n0,r{domid}")
    yield from tree(paths.libxl, {"backend": paths.backend, **common}, "n0")


def _mapper(device: str) -> str:
    """What /dev/GROUP/VOLUME leads to: device-mapper doubles the dashes of both names."""
    group, name = device.removeprefix("/dev/").replace("-", "--").split("/")
    return f"/dev/mapper/{group}-{name}"


def nic_nodes(paths: NicPaths, mac: str, bridge: str, *, emulated: bool) -> Iterator[Node]:
    """Nodes of an interface."""
    domid = paths.domid
    front = {
        "backend": paths.backend,
        "backend-id": "0",
        "handle": str(paths.index),
        "mac": mac,
        "state": "1",
        "trusted": "1",
    }
    yield from tree(paths.frontend, front, f"n{domid},r0")
    yield f"{paths.frontend}/mtu", "1500", f"n0,r{domid}"
    common = {
        "bridge": bridge,
        "frontend": paths.frontend,
        "frontend-id": str(domid),
        "handle": str(paths.index),
        "mac": mac,
        "online": "1",
        "script": "/etc/xen/scripts/vif-bridge",
        "type": "vif_ioemu" if emulated else "vif",
    }
    served = dict.fromkeys(
        (
            "feature-ctrl-ring",
            "feature-dynamic-multicast-control",
            "feature-gso-tcpv4",
            "feature-gso-tcpv6",
            "feature-ipv6-csum-offload",
            "feature-multicast-control",
            "feature-rx-copy",
            "feature-sg",
            "feature-split-event-channels",
            "feature-xdp-headroom",
        ),
        "1",
    )
    served |= {
        "feature-rx-flip": "0",
        "hotplug-status": "connected",
        "multi-queue-max-queues": "2",
        "state": "2",
    }
    yield from tree(paths.backend, common | served, f"n0,r{domid}")
    notes = {"backend": paths.backend, **common, "hotplug-status": "", "state": "1"}
    yield from tree(paths.libxl, notes, "n0")


def tree(root: str, values: dict[str, str], permissions: str) -> Iterator[Node]:
    """A folder and its values, all with the same permissions."""
    yield root, "", permissions
    for name, value in values.items():
        yield f"{root}/{name}", value, permissions
