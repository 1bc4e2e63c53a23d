"""xm block-*, network-*, block-configure, mem-set, mem-max, vcpu-set (xm/main.py, xend/XendDomainInfo.py)."""

from __future__ import annotations

from harness.simlab.commands.options import Options
from harness.simlab.host.backends import front_numbers
from harness.simlab.host.domain import Domain, DomainDisk, DomainNic
from harness.simlab.host.layout import DiskPaths, NicPaths
from harness.simlab.host.vdev import parse_vdev
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.config import CfgSyntaxError, DiskConfig, parse_legacy_disk
from harness.simlab.xm.config import XmConfigError, parse_xm_nic
from harness.simlab.xm.create import disk_complaint
from harness.simlab.xm.table import XmCommand, find_domain, xend_error

__all__ = ["COMMANDS"]


def _block_list(process: Process, options: Options) -> int:
    domain = find_domain(options.words[0], process)
    store = process.host.store
    if domain.disks:
        process.out("Vdev  BE handle state evt-ch ring-ref BE-path\n")
    for number, disk in sorted(domain.disks.items()):
        front = disk.paths.frontend
        state, channel, ref = front_numbers(store, front, "state", "event-channel", "ring-ref")
        line = f"{number:<5}  {0:<3}  {0:<3}   {state:<3}    {channel:<3}    {ref:<5} "
        process.out(f"{line}{disk.paths.backend:<30}  \n")
    return 0


def _network_list(process: Process, options: Options) -> int:
    domain = find_domain(options.words[0], process)
    store = process.host.store
    if domain.nics:
        process.out("Idx BE     MAC Addr.     handle state evt-ch tx-/rx-ring-ref BE-path\n")
    for index, nic in sorted(domain.nics.items()):
        front = nic.paths.frontend
        state, channel, tx, rx = front_numbers(
            store, front, "state", "event-channel", "tx-ring-ref", "rx-ring-ref"
        )
        line = f"{index:<3} {0:<3}{nic.config.mac:<17}    {index:<3}   {state:<3}    {channel:<3}   "
        process.out(f"{line}{tx:<5}/{rx:<5}   {nic.paths.backend:<30}  \n")
    return 0


def _block_attach(process: Process, options: Options) -> int:
    word, *specs = options.words
    domain = find_domain(word, process)
    config = _disk(process, specs)
    vdev = parse_vdev(config.vdev)
    complaint = disk_complaint(process, config)
    if vdev is None or complaint:
        raise xend_error(process, complaint or "Unable to find number for device")
    if vdev.number in domain.disks:
        raise xend_error(process, f"Device {vdev.number} (vbd) is already connected.")
    process.host.plug.add_disk(domain, config, vdev, at_boot=False)
    process.host.plug.announce(domain)
    return 0


def _disk(process: Process, words: list[str]) -> DiskConfig:
    try:
        return parse_legacy_disk(",".join(words))
    except CfgSyntaxError as error:
        raise xend_error(process, f'Block device type "{error}" is invalid.') from error


def _block_detach(process: Process, options: Options) -> int:
    word, name = options.words
    domain = find_domain(word, process)
    disk = _disk_of(process, domain, name)
    _let_go(process, options, domain, disk.paths, f"{name} (vbd)")
    process.host.plug.drop_disk(domain, disk)
    process.host.plug.announce(domain)
    return 0


def _block_configure(process: Process, options: Options) -> int:
    word, *specs = options.words
    domain = find_domain(word, process)
    config = _disk(process, specs)
    disk = _disk_of(process, domain, config.vdev)
    if not (disk.config.cdrom and config.cdrom):
        raise xend_error(process, f"Refusing to reconfigure device vbd:{disk.vdev.number}")
    process.host.plug.change_cd(domain, disk, config.path)
    return 0


def _disk_of(process: Process, domain: Domain, name: str) -> DomainDisk:
    vdev = parse_vdev(name)
    disk = domain.disks.get(vdev.number) if vdev else None
    if disk is None:
        raise xend_error(process, f"Device {name} not connected")
    return disk


def _network_attach(process: Process, options: Options) -> int:
    word, *words = options.words
    domain = find_domain(word, process)
    try:
        config = parse_xm_nic(list(words), process.host.random_bytes(3))
    except XmConfigError as error:
        raise CommandError(f"Error: {error}\n") from error
    index = max(domain.nics, default=-1) + 1
    nic = process.host.plug.add_nic(domain, config, index, at_boot=False)
    if config.bridge not in process.host.bridges:
        # what is asked to go away without a guest's consent stays (DevController.py, destroyDevice)
        process.host.store.write(f"{nic.paths.backend}/online", "0")
        process.host.store.write(f"{nic.paths.backend}/state", "5")
        missing = f"Could not find bridge device {config.bridge}"
        raise xend_error(process, f"Device {index} (vif) could not be connected. {missing}")
    process.host.plug.announce(domain)
    return 0


def _network_detach(process: Process, options: Options) -> int:
    word, which = options.words
    domain = find_domain(word, process)
    nic = _nic_of(process, domain, which)
    _let_go(process, options, domain, nic.paths, f"{which} (vif)")
    process.host.plug.drop_nic(domain, nic)
    process.host.plug.announce(domain)
    return 0


def _let_go(
    process: Process, options: Options, domain: Domain, paths: DiskPaths | NicPaths, device: str
) -> None:
    """Ask the guest for a device; what it keeps is taken by force only."""
    if not process.host.plug.close(domain, paths) and not options.has("-f", "--force"):
        raise xend_error(process, f"Device {device} could not be disconnected. ")


def _nic_of(process: Process, domain: Domain, which: str) -> DomainNic:
    """By number; 3.4 knows no other way, and so we play none."""
    if which.isdigit() and int(which) in domain.nics:
        return domain.nics[int(which)]
    raise xend_error(process, f"Device {which} not connected")


def _mem_set(process: Process, options: Options) -> int:
    domain, mib = find_domain(options.words[0], process), int(options.words[1].rstrip("mM"))
    if mib > domain.config.maxmem:
        raise xend_error(process, "memory_dynamic_max must be less than or equal to memory_static_max")
    more = mib * 1024 - domain.memory
    if more > process.host.hypervisor.free_kib:
        raise xend_error(process, f"Not enough memory is available: {more} KiB")  # a guess at the words
    with process.host.hypervisor.lock:
        domain.limit = mib * 1024
    process.host.store.write(f"{domain.root}/memory/target", str(mib * 1024))
    return 0


def _vcpu_set(process: Process, options: Options) -> int:
    domain, count = find_domain(options.words[0], process), int(options.words[1])
    if count <= 0:
        raise xend_error(process, "Zero or less VCPUs is invalid")
    if count > domain.config.vcpus:
        raise xend_error(process, "Cannot set vcpus greater than max vcpus on running domain")
    process.host.lifecycle.set_online(domain, count)
    return 0


COMMANDS: dict[str, XmCommand] = {
    "block-attach": XmCommand(_block_attach, 4, 5),
    "block-configure": XmCommand(_block_configure, 4, 5),
    "block-detach": XmCommand(_block_detach, 2, 2, "f", ("force",)),
    "block-list": XmCommand(_block_list, 1, 1, "l", ("long",)),
    "mem-set": XmCommand(_mem_set, 2, 2),
    "network-attach": XmCommand(_network_attach, 1, 11),
    "network-detach": XmCommand(_network_detach, 2, 2, "f", ("force",)),
    "network-list": XmCommand(_network_list, 1, 1, "l", ("long",)),
    "vcpu-set": XmCommand(_vcpu_set, 2, 2),
}
