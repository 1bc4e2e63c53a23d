"""What ``xl list -l`` prints: libxl's JSON (recorded: xen-4.17/xl-list-l.txt and others of that name)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from harness.simlab.host.domain import Domain, DomainDisk, DomainNic
from harness.simlab.host.hypervisor import DOM0_KIB
from harness.simlab.host.simhost import SimHost

__all__ = ["describe"]

_SCHEDULER = {"sched": "credit2", "weight": 256, "cap": 0}
_UNSET_DOMID = 4294967295
_DEFAULT_ACTIONS = {"on_poweroff": "destroy", "on_crash": "destroy"}


def describe(host: SimHost, domains: Iterable[Domain | None]) -> str:
    """Domains as JSON, None for dom0."""
    entries = [_dom0() if domain is None else _entry(host, domain) for domain in domains]
    return _beautified(entries, 0) + "\n\n"


def _dom0() -> dict[str, Any]:
    builder = {
        "max_memkb": DOM0_KIB,
        "target_memkb": DOM0_KIB - 1,
        "sched_params": _SCHEDULER,
        "type.pv": {},
        "arch_arm": {},
        "arch_x86": {},
    }
    return {"domid": 0, "config": {"c_info": {"type": "pv", "name": "Domain-0"}, "b_info": builder}}


def _entry(host: SimHost, domain: Domain) -> dict[str, Any]:
    config = domain.config
    creation = {
        "type": "hvm",
        "name": config.name,
        "domid": _UNSET_DOMID,
        "uuid": config.uuid,
        "run_hotplug_scripts": "True",
    }
    target = int(host.store.get(f"{domain.root}/memory/target") or 0)
    builder: dict[str, Any] = {
        "max_vcpus": config.vcpus,
        "avail_vcpus": list(range(domain.online)),
        "max_memkb": domain.maxmem,
        "target_memkb": target + domain.videoram,
        "video_memkb": domain.videoram,
        "sched_params": _SCHEDULER,
        "claim_mode": "True",
    }
    builder |= {key: config.text(key) for key in ("kernel", "cmdline", "ramdisk") if key in config.keys}
    builder |= {"type.hvm": _hvm(domain), "arch_arm": {}, "arch_x86": {"msr_relaxed": "False"}}
    described: dict[str, Any] = {
        "c_info": creation,
        "b_info": builder,
        "disks": [_disk(disk) for _, disk in sorted(domain.disks.items())],
        "nics": [_nic(nic) for _, nic in sorted(domain.nics.items())],
    }
    described["on_reboot"] = config.text("on_reboot", "restart")
    for key, default in _DEFAULT_ACTIONS.items():
        if config.text(key, default) != default:
            described[key] = config.text(key)
    described["on_soft_reset"] = "soft_reset"
    return {"domid": domain.domid, "config": described}


def _hvm(domain: Domain) -> dict[str, Any]:
    config = domain.config
    hvm: dict[str, Any] = {}
    if "bios_path_override" in config.keys:
        hvm["system_firmware"] = config.text("bios_path_override")
    # kinds other than none, and ovmf, are guesses: recorded is a guest without a screen
    hvm["vga"] = {"kind": {"stdvga": "std"}.get(config.text("vga"), config.text("vga", "cirrus"))}
    hvm["vnc"] = {"enable": "True" if config.text("vnc", "1") == "1" else "False"}
    hvm |= {"sdl": {}, "spice": {}, "serial": config.text("serial", "none")}
    if config.text("bios") == "ovmf":
        hvm["bios"] = "ovmf"
    if "boot" in config.keys:
        hvm["boot"] = config.text("boot")
    if "usbdevice" in config.keys:
        hvm["usbdevice"] = config.text("usbdevice")
    if "usb" in config.keys:
        hvm["usb"] = "True" if config.text("usb") == "1" else "False"
    hvm["rdm"] = {}
    return hvm


def _disk(disk: DomainDisk) -> dict[str, Any]:
    config = disk.config
    shown: dict[str, Any] = {"pdev_path": config.path, "vdev": config.vdev}
    shown["format"] = config.image_format if config.path else "empty"
    if config.cdrom:
        shown |= {"removable": 1, "is_cdrom": 1}  # a guess: recorded guests had no CD drive
    else:
        shown["readwrite"] = int(not config.read_only)
    shown["colo_restore_enable"] = "False"
    return shown


def _nic(nic: DomainNic) -> dict[str, Any]:
    config = nic.config
    shown: dict[str, Any] = {"devid": nic.index}
    if config.model_given:
        shown["model"] = config.model
    shown |= {"mac": config.mac, "bridge": config.bridge}
    shown["nictype"] = "vif" if config.model is None else "vif_ioemu"
    return shown


def _beautified(value: Any, depth: int) -> str:
    """As yajl lays it out: four blanks, and an empty line in an empty map."""
    inner, outer = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict):
        if not value:
            return f"{{\n\n{outer}}}"
        rows = [f"{inner}{json.dumps(key)}: {_beautified(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    if isinstance(value, list):
        if not value:
            return f"[\n\n{outer}]"
        return "[\n" + ",\n".join(f"{inner}{_beautified(item, depth + 1)}" for item in value) + f"\n{outer}]"
    return json.dumps(value)
