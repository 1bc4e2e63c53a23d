"""xl trigger, sysrq, dump-core, qemu-monitor-command, config-update."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model import XenVersion
from harness.simlab.commands.options import Options
from harness.simlab.host.domain import Domain, DomainDisk
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.saving import write_core
from harness.simlab.xl.table import XlCommand, find_domain, libxl_error, no_model

__all__ = ["COMMANDS"]

_TRIGGERS = {"nmi", "reset", "init", "power", "sleep", "s3resume"}
_NOT_THERE = {"reset", "init", "sleep"}  # as recorded for reset; for the others a guess


def _trigger(process: Process, options: Options) -> int:
    domain, name = find_domain(process, options.words[0]), options.words[1]
    if name not in _TRIGGERS:
        raise CommandError(f'Invalid trigger "{name}"\n')
    if name in _NOT_THERE:
        # libxl says so, xl exits 0 all the same (xl_misc.c does not look)
        place = "libxl_domain.c:2207:libxl_send_trigger"
        process.err(
            libxl_error(place, f"Send trigger '{name}' failed: Function not implemented", domain.domid)
        )
    elif domain.guest is not None and domain.started:
        if name == "nmi":
            domain.guest.nmi()
        elif name == "power":
            domain.guest.press_power()
    return 0


def _sysrq(process: Process, options: Options) -> int:
    domain, letter = find_domain(process, options.words[0]), options.words[1]
    process.host.store.write(f"{domain.root}/control/sysrq", letter[0])  # Windows does not look there
    return 0


def _dump_core(process: Process, options: Options) -> int:
    domain, path = find_domain(process, options.words[0]), options.words[1]
    write_core(process, domain, path)
    if XenVersion(4, 14) <= process.host.version <= XenVersion(4, 20):
        process.killed.wait()  # measured on all three (facts/nested-xen.md): it writes all and never returns
    return 0


def _monitor(process: Process, options: Options) -> int:
    domain = find_domain(process, options.words[0])
    if domain.model_gone:  # recorded: xen-4.17/model-gone-monitor.txt
        raise CommandError(no_model(domain))
    match " ".join(options.words[1:]).split():
        case ["screendump", path]:
            return _screendump(process, domain, path)
        case ["info", "block"]:
            process.out(_info_block(process, domain))
        case ["info", "network"]:
            process.out(_info_network(domain))
        case [word, *_]:
            process.out(f"unknown command: '{word}'\n")
    return 0


def _screendump(process: Process, domain: Domain, path: str) -> int:
    if not domain.config.has_screen:
        # a guess at the words
        raise CommandError("libxl: error: QMP: There is no console to take a screendump from\n")
    process.host.files.check_room(path)
    # before a guest runs the firmware's screen is black: the least picture there is
    picture = (
        domain.guest.screen() if domain.guest is not None and domain.started else b"P6\n1 1\n255\n\0\0\0"
    )
    process.host.files.real(path).write_bytes(picture)
    return 0


def _info_block(process: Process, domain: Domain) -> str:
    """Recorded: stand-in-4.17/nopv-qemu-info-block.txt and all-qemu-info-block.txt."""
    shown: list[str] = []
    for _, disk in sorted(domain.disks.items()):
        shown += _shown_twice(process, disk, unplugged=domain.unplugged_disks)
    return "\n".join(shown) + "\n"


def _shown_twice(process: Process, disk: DomainDisk, *, unplugged: bool) -> Iterator[str]:
    """A disk as QEMU's emulated drive and as what its PV back end serves."""
    config, drive = disk.config, f"ide{disk.vdev.target // 2}-{{}}{disk.vdev.target % 2}"
    if not config.path:
        yield (
            f"{drive.format('cd')}: [not inserted]\n"
            "    Attached to:      /machine/unattached/device[24]\n"
            "    Removable device: not locked, tray closed\n"
        )
        return
    backing = process.host.files.images.of(process.host.files.real(config.path)).backing
    rest = "    Cache mode:       writeback\n"
    rest += f"    Backing file:     {backing} (chain depth: 1)\n" if backing else ""
    content = f"{config.path} ({config.image_format})\n    Attached to:      /machine/unattached/device"
    if disk.emulated and (config.cdrom or not unplugged):
        yield f"{drive.format('cd' if config.cdrom else 'hd')} (#block194): {content}[14]\n{rest}"
    if disk.paths.kind == "qdisk" and not config.cdrom:
        yield f"{config.vdev}-{config.image_format}: {content}[25]\n{rest}"


def _info_network(domain: Domain) -> str:
    """Recorded: stand-in-4.17/nopv-qemu-info-network.txt; empty once unplugged."""
    lines = [
        f"nic{index}: index=0,type=nic,model={nic.config.model},macaddr={nic.config.mac}\n"
        f" \\ net{index}: index=0,type=tap,ifname=vif{domain.domid}.{index}-emu,script=no,downscript=no\n"
        for index, nic in sorted(domain.nics.items())
        if nic.emulated and not domain.unplugged_nics
    ]
    return "".join(lines) + "\n"


def _config_update(process: Process, options: Options) -> int:
    """Recorded without its arguments: err-config-update-usage.txt."""
    if not options.words:
        process.out(COMMANDS["config-update"].help("config-update"))
        raise CommandError("xl config-update requires a domain argument\n")
    raise CommandError("xl config-update: not played by the simulated host\n")


COMMANDS: dict[str, XlCommand] = {
    "config-update": XlCommand(
        _config_update,
        usage="<Domain> <ConfigFile> [options] [vars]",
        summary="Update a running domain's saved configuration, "
        "used when rebuilding the domain after reboot.\n"
        "WARNING: xl now has better capability to manage domain configuration, "
        "avoid using this command when possible",
        options="-h                      Print this help.\n-f FILE, --defconfig=FILE\n"
        "                     Use the given configuration file.\n"
        "-d                      Enable debug messages.\n",
        dry_run=True,
    ),
    "dump-core": XlCommand(_dump_core, 2, "<Domain> <filename>", "Core dump a domain"),
    "qemu-monitor-command": XlCommand(
        _monitor,
        2,
        "<Domain> <Command>",
        "Issue a qemu monitor command to the device model of a domain",
        since=XenVersion(4, 8),
    ),
    "sysrq": XlCommand(_sysrq, 2, "<Domain> <letter>", "Send a sysrq to a domain"),
    "trigger": XlCommand(
        _trigger, 2, "<Domain> <nmi|reset|init|power|sleep|s3resume> [<VCPU>]", "Send a trigger to a domain"
    ),
}
