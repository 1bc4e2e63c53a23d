"""What ``xl list -l`` of Xen 4.1 prints (tools/libxl/xl_cmdimpl.c, ``printf_info``): nothing is quoted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.simlab.host.domain import Domain
from harness.simlab.host.simhost import SimHost

__all__ = ["describe_sxp"]


def describe_sxp(_host: SimHost, domains: Iterable[Domain | None]) -> str:
    """Domains as s-expressions; of dom0 there is none."""
    return "".join("".join(_lines(domain)) for domain in domains if domain is not None)


def _lines(domain: Domain) -> Iterator[str]:
    config = domain.config
    yield f"(domain\n\t(domid {domain.domid})\n\t(create_info)\n\t(hvm 1)\n\t(hap 1)\n\t(oos 1)\n"
    yield f"\t(ssidref 0)\n\t(name {config.name})\n\t(uuid {config.uuid})\n\t(cpupool Pool-0)\n"
    yield "\t(xsdata (null))\n\t(platformdata (null))\n\t(build_info)\n"
    yield f"\t(max_vcpus {config.vcpus})\n\t(tsc_mode 0)\n\t(max_memkb {domain.maxmem})\n"
    yield f"\t(target_memkb {config.memory * 1024})\n\t(nomigrate 0)\n"
    yield "\t(image\n\t\t(hvm\n\t\t\t(loader /usr/lib/xen/boot/hvmloader)\n"
    yield f"\t\t\t(video_memkb {domain.videoram})\n\t\t\t(acpi 1)\n\t\t\t(viridian 1)\n"
    yield f"\t\t\t(serial {config.text('serial', '(null)')})\n\t\t\t(boot {config.text('boot', 'cda')})\n"
    yield "\t\t)\n\t)\n"
    for _, disk in sorted(domain.disks.items()):
        yield "\t(device\n\t\t(tap\n\t\t\t(backend_domid 0)\n"
        yield f"\t\t\t(frontend_domid {domain.domid})\n\t\t\t(physpath {disk.config.path})\n"
        yield f"\t\t\t(phystype 0)\n\t\t\t(virtpath {disk.vdev.name})\n"
        yield f"\t\t\t(readwrite {int(not disk.config.read_only)})\n"
        yield f"\t\t\t(is_cdrom {int(disk.config.cdrom)})\n\t\t)\n\t)\n"
    for index, nic in sorted(domain.nics.items()):
        yield "\t(device\n\t\t(vif\n\t\t\t(backend_domid 0)\n"
        yield f"\t\t\t(frontend_domid {domain.domid})\n\t\t\t(devid {index})\n\t\t\t(mtu 1492)\n"
        yield f"\t\t\t(model {nic.config.model or '(null)'})\n"
        yield f"\t\t\t(mac {nic.config.mac.replace(':', '')})\n\t\t)\n\t)\n"
    yield ")\n"
