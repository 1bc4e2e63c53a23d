"""xl block-*, network-* and cd-* (recorded: xen-4.17/block-*, network-*, err-block-*, err-network-*)."""

from __future__ import annotations

from harness.model import XenVersion
from harness.simlab.commands.options import Options
from harness.simlab.host.backends import front_numbers
from harness.simlab.host.domain import Domain, DomainDisk
from harness.simlab.host.vdev import Vdev, parse_vdev
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.config import CfgSyntaxError, parse_nic, read_disk
from harness.simlab.xl.create import disk_problem, failed_bridge_script
from harness.simlab.xl.table import LibxlFailure, XlCommand, find_domain, libxl_error

__all__ = ["COMMANDS"]

_COMPLETE = "libxl_device.c:1486:device_addrm_aocomplete"


def _block_list(process: Process, options: Options) -> int:
    process.out("Vdev  BE  handle state evt-ch ring-ref BE-path                       \n")
    store = process.host.store
    for word in options.words:
        domain = process.host.hypervisor.find(word)
        if domain is None:
            process.err(f"{word} is an invalid domain identifier\n")  # and the exit code is 0
            continue
        for number, disk in sorted(domain.disks.items()):
            front = disk.paths.frontend
            state, channel, ref = front_numbers(store, front, "state", "event-channel", "ring-ref")
            ids = f"{number:<5} {0:<3} {domain.domid:<6}"
            process.out(f"{ids} {state:<5} {channel:<6} {ref:<8} {disk.paths.backend:<30}\n")
    return 0


def _block_attach(process: Process, options: Options) -> int:
    word, *specs = options.words
    domain = process.host.hypervisor.find(word)
    if domain is None:
        raise CommandError(f"{word} is an invalid domain identifier\n")
    try:
        config = read_disk(",".join(specs), process.host.version)
    except CfgSyntaxError as error:
        raise CommandError(f"Error: {error}\n") from error
    vdev = parse_vdev(config.vdev)
    problem = disk_problem(process, config)
    if vdev is None or problem:
        raise LibxlFailure(
            f"{problem}{libxl_error(_COMPLETE, 'unable to add device')}libxl_device_disk_add failed.\n"
        )
    if vdev.number in domain.disks:
        place = "libxl_disk.c:343:device_disk_add"
        raise LibxlFailure(
            libxl_error(place, "device already exists in xenstore", domain.domid)
            + libxl_error(_COMPLETE, "unable to add device")
            + "libxl_device_disk_add failed.\n"
        )
    process.host.plug.add_disk(domain, config, vdev, at_boot=False)
    process.host.plug.announce(domain)
    return 0


def _block_detach(process: Process, options: Options) -> int:
    word, name = options.words[:2]
    domain = find_domain(process, word)
    vdev = parse_vdev(name)
    disk = domain.disks.get(vdev.number) if vdev else None
    if disk is None:
        raise CommandError(_absent_disk(domain, vdev) + f"Error: Device {name} not connected.\n")
    let_go = process.host.plug.close(domain, disk.paths)
    if not let_go and not options.has("-f", "--force") and process.host.version >= XenVersion(4, 15):
        # since 4.15 a disk that the guest keeps stays (facts/pv-drivers.md 2.5)
        kept = f"unable to remove device with path {disk.paths.backend} - rc -9"
        raise LibxlFailure(
            libxl_error("libxl_device.c:1183:device_backend_callback", kept, domain.domid)
            + libxl_error(_COMPLETE, f"Unable to remove vbd with id {disk.vdev.number}", domain.domid)
            + "libxl_device_disk_safe_remove failed.\n"
        )
    process.host.plug.drop_disk(domain, disk)
    process.host.plug.announce(domain)
    return 0


def _absent_disk(domain: Domain, vdev: Vdev | None) -> str:
    if vdev is None:
        return ""
    path = f"/libxl/{domain.domid}/device/vbd/{vdev.number}"
    text = f"disk {path} does not exist (no backend path"  # the parenthesis is theirs
    return libxl_error("libxl_disk.c:516:libxl__disk_from_xenstore", text)


def _network_list(process: Process, options: Options) -> int:
    process.out(
        "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       \n"
    )
    store = process.host.store
    for word in options.words:
        domain = find_domain(process, word)
        for index, nic in sorted(domain.nics.items()):
            front = nic.paths.frontend
            state, channel, tx, rx = front_numbers(
                store, front, "state", "event-channel", "tx-ring-ref", "rx-ring-ref"
            )
            process.out(
                f"{index:<3} {0:<2} {nic.config.mac}{index:6} {state:5} {channel:6} "
                f"{tx:5}/{rx:<11} {nic.paths.backend:<30}\n"
            )
    return 0


def _network_attach(process: Process, options: Options) -> int:
    word, *words = options.words
    domain = find_domain(process, word)
    config = parse_nic(words, process.host.random_bytes(3))
    index = max(domain.nics, default=-1) + 1
    # it is left behind when the script fails (recorded: err-network-attach-commas.txt)
    process.host.plug.add_nic(domain, config, index, at_boot=False)
    if config.bridge not in process.host.bridges:
        place = "libxl_device.c:1481:device_addrm_aocomplete"
        raise CommandError(
            failed_bridge_script(process, config.bridge, "online")
            + libxl_error(place, f"Unable to add vif with id {index}", domain.domid)
            + "libxl_device_nic_add failed.\n"
        )
    process.host.plug.announce(domain)
    return 0


def _network_detach(process: Process, options: Options) -> int:
    word, which = options.words[:2]
    domain = find_domain(process, word)
    nic = next(
        (
            nic
            for nic in domain.nics.values()
            if (nic.config.mac == which.lower() if ":" in which else str(nic.index) == which)
        ),
        None,
    )
    if nic is None:
        path = f"/libxl/{domain.domid}/device/vif/{which}"
        place, text = "libxl_xshelp.c:206:libxl__xs_read_mandatory", f"xenstore read failed: `{path}'"
        unread = "" if ":" in which else libxl_error(place, f"{text}: No such file or directory")
        raise CommandError(f"{unread}Unknown device {which}.\n")
    process.host.plug.close(domain, nic.paths)  # a guest that keeps it loses it all the same
    process.host.plug.drop_nic(domain, nic)
    process.host.plug.announce(domain)
    if nic.config.bridge not in process.host.bridges:
        process.err(failed_bridge_script(process, nic.config.bridge, "offline"))
    return 0


def _cd_insert(process: Process, options: Options) -> int:
    word, name, path = options.words[:3]
    domain = find_domain(process, word)
    if process.host.version < XenVersion(4, 2) and not path.startswith(("file:", "phy:")):
        raise LibxlFailure(f"Unknown disk type: {path}\nformat error\n")
    path = path.removeprefix("file:")
    if not process.host.files.real(path).is_file():
        if process.host.version < XenVersion(4, 3):
            return 0  # any path will do, and nobody says a word
        raise LibxlFailure(f"Cannot stat file: {path}\n")
    process.host.plug.change_cd(domain, _drive(domain, name), path)
    return 0


def _cd_eject(process: Process, options: Options) -> int:
    word, name = options.words[:2]
    domain = find_domain(process, word)
    process.host.plug.change_cd(domain, _drive(domain, name), "")
    return 0


def _drive(domain: Domain, name: str) -> DomainDisk:
    vdev = parse_vdev(name)
    disk = domain.disks.get(vdev.number) if vdev else None
    if disk is None or not disk.config.cdrom:
        # a guess at the words
        raise LibxlFailure(
            libxl_error("libxl_disk.c:829:libxl_cdrom_insert", "Virtual device not found", domain.domid)
        )
    return disk


COMMANDS: dict[str, XlCommand] = {
    "block-attach": XlCommand(
        _block_attach,
        2,
        "<Domain> <disk-spec-component(s)>...",
        "Create a new virtual block device",
        dry_run=True,
    ),
    "block-detach": XlCommand(
        _block_detach,
        2,
        "[option] <Domain> <DevId>",
        "Destroy a domain's virtual block device",
        "f",
        ("force",),
    ),
    "block-list": XlCommand(_block_list, 1, "<Domain(s)>", "List virtual block devices for a domain"),
    "cd-eject": XlCommand(_cd_eject, 2, "<Domain> <VirtualDevice>", "Eject a cdrom from a guest's cd drive"),
    "cd-insert": XlCommand(
        _cd_insert, 3, "<Domain> <VirtualDevice> <path>", "Insert a cdrom into a guest's cd drive"
    ),
    "network-attach": XlCommand(
        _network_attach,
        1,
        "<Domain> [type=<type>] [mac=<mac>] [bridge=<bridge>]",
        "Create a new virtual network device",
    ),
    "network-detach": XlCommand(
        _network_detach, 2, "<Domain> <DevId|mac>", "Destroy a domain's virtual network device"
    ),
    "network-list": XlCommand(
        _network_list, 1, "<Domain(s)>", "List virtual network interfaces for a domain"
    ),
}
