"""What xend 4.0 writes to xenstore for a domain and its devices, with permissions.

Read from tools/python/xen/xend of stable-4.0: XendDomainInfo.py (``_recreateDomFunc``, ``_storeDomDetails``),
server/blkif.py, server/netif.py, server/DevController.py. 3.4 makes no ``data`` folder.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.model import XenVersion
from harness.simlab.host.layout import DiskPaths, DomainFacts, NicPaths, Node, tree

__all__ = ["XEND_LOG", "xend_disk_nodes", "xend_domain_nodes", "xend_nic_nodes"]

XEND_LOG = "/var/log/xen/xend.log"
_OWN = ("device", "control", "error", "memory", "guest", "hvmpv")


def xend_domain_nodes(facts: DomainFacts) -> Iterator[Node]:
    """All nodes of a domain but its disks and interfaces, parents first; no ``memory/static-max``."""
    domid, root, vm = facts.domid, f"/local/domain/{facts.domid}", f"/vm/{facts.uuid}"
    read, own = f"n0,r{domid}", f"n{domid}"
    yield root, "", read
    yield f"{root}/vm", vm, read
    for name in (*_OWN, *(("data",) if facts.version >= XenVersion(4, 0) else ())):
        yield f"{root}/{name}", "", own
    for name, value in {
        "domid": str(domid),
        "name": facts.name,
        "description": "",
        "console": "",
        "console/limit": "1048576",
        "console/type": "ioemu",
        "store": "",
        "store/port": "2",
        "store/ring-ref": "1044476",
        "memory/target": str(facts.target),
        "control/platform-feature-multiprocessor-suspend": "1",
        "cpu": "",
        "image": "",
        "image/device-model-pid": str(facts.model_pid),
        "device/vbd": "",
        "device/vif": "",
    }.items():
        yield f"{root}/{name}", value, own if name.startswith(("control", "memory", "device")) else read
    for cpu in range(facts.vcpus):
        yield f"{root}/cpu/{cpu}", "", read
        yield f"{root}/cpu/{cpu}/availability", "online" if cpu < facts.online else "offline", read
    for name, value in {
        "": "",
        "/name": facts.name,
        "/uuid": facts.uuid,
        "/start_time": f"{facts.start_time:.2f}",
        "/image": "(hvm (kernel ) (loader /usr/lib/xen/boot/hvmloader))",
        "/rtc": "",
        "/rtc/timeoffset": "0",
        "/xend": "",
        "/xend/restart_count": "0",
    }.items():
        yield f"{vm}{name}", value, read


def xend_disk_nodes(paths: DiskPaths, name: str, size: int, detail: dict[str, str]) -> Iterator[Node]:
    """Nodes of a disk. ``detail`` holds params, mode, device-type and, with a loop device, node."""
    domid, device_type = paths.domid, detail["device-type"]
    front = {
        "backend": paths.backend,
        "backend-id": "0",
        "device-type": device_type,
        "state": "1",
        "virtual-device": str(paths.number),
    }
    yield from tree(paths.frontend, front, f"n{domid},r0")
    back = {
        "dev": f"{name}:cdrom" if device_type == "cdrom" else name,
        "domain": detail["domain"],
        "feature-barrier": "1",
        "frontend": paths.frontend,
        "frontend-id": str(domid),
        "hotplug-status": "connected",
        "info": "1" if device_type == "cdrom" else "0",
        "mode": detail["mode"],
        "online": "1",
        "params": detail["params"],
        "sector-size": "512",
        "sectors": str(size // 512),
        "state": "2",
        "type": "tap" if paths.kind == "tap" else "file" if detail["node"] else "phy",
    }
    if detail["physical-device"]:
        back["physical-device"] = detail["physical-device"]
    if detail["node"]:
        back["node"] = detail["node"]
    yield from tree(paths.backend, back, f"n0,r{domid}")


def xend_nic_nodes(paths: NicPaths, mac: str, bridge: str, *, domain: str) -> Iterator[Node]:
    """Nodes of an interface that was made without ``type=ioemu``: the front end knows its own MAC."""
    domid = paths.domid
    front = {
        "backend": paths.backend,
        "backend-id": "0",
        "handle": str(paths.index),
        "mac": mac,
        "state": "1",
    }
    yield from tree(paths.frontend, front, f"n{domid},r0")
    back = {
        "bridge": bridge,
        "domain": domain,
        "feature-rx-copy": "1",
        "feature-rx-flip": "0",
        "feature-sg": "1",
        "feature-gso-tcpv4": "1",
        "frontend": paths.frontend,
        "frontend-id": str(domid),
        "handle": str(paths.index),
        "hotplug-status": "connected",
        "mac": mac,
        "online": "1",
        "script": "/etc/xen/scripts/vif-bridge",
        "state": "2",
    }
    yield from tree(paths.backend, back, f"n0,r{domid}")
