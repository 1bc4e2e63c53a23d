"""INF texts for packages that a template has from the start, before anybody installed anything."""

from __future__ import annotations

from harness.model import DriverName
from harness.xenlab.standin.hardware import BUS_ID, child_ids

__all__ = ["PRESET_VERSION", "preset_inf"]

PRESET_VERSION = "1.0.0.0"

_CLASSES = {DriverName.XENNET: "Net", DriverName.XENVBD: "SCSIAdapter"}
_NAMES = {
    DriverName.XENBUS: "Xen PV Bus (stand-in)",
    DriverName.XENIFACE: "Xen PV Interface (stand-in)",
    DriverName.XENVIF: "Xen PV Network Class (stand-in)",
    DriverName.XENNET: "Xen PV Network Device (stand-in)",
    DriverName.XENVBD: "Xen PV Storage Host Adapter (stand-in)",
}
# Service and start type, as the packages' own INFs have them (facts/pv-drivers.md 1.1).
_SERVICES = {
    DriverName.XENBUS: (("xenbus", 0), ("xenfilt", 0), ("xenbus_monitor", 2)),
    DriverName.XENIFACE: (("xeniface", 3), ("xenagent", 2)),
    DriverName.XENVIF: (("xenvif", 3),),
    DriverName.XENNET: (("xennet", 3),),
    DriverName.XENVBD: (("xenvbd", 0), ("xendisk", 0)),
}


def preset_inf(name: DriverName) -> str:
    """The text of a package's INF for x64."""
    ids = (BUS_ID,) if name is DriverName.XENBUS else child_ids(name)
    models = "".join(f'"{_NAMES[name]}" = Install, {one}\n' for one in ids)
    added = "".join(f"AddService = {service}, 0, {service}_service\n" for service, _ in _SERVICES[name])
    services = "".join(f"[{service}_service]\nStartType = {start}\n" for service, start in _SERVICES[name])
    return (
        "[Version]\n"
        f'Class = {_CLASSES.get(name, "System")}\nProvider = "pvhck stand-in"\n'
        f"DriverVer = 01/01/2025,{PRESET_VERSION}\n"
        "[Manufacturer]\npvhck = Models,NTamd64\n"
        f"[Models.NTamd64]\n{models}[Install.NT.Services]\n{added}{services}"
    )
