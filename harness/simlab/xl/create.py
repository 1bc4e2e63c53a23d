"""xl create, and the ways it fails (recorded: xen-4.17/err-create-*.txt)."""

from __future__ import annotations

from collections.abc import Callable

from harness.simlab.commands.options import Options
from harness.simlab.host.domain import Domain
from harness.simlab.host.vdev import parse_vdev
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.config import CfgSyntaxError, DiskConfig, DomainConfig, parse_cfg
from harness.simlab.xl.table import XlCommand, libxl_error

__all__ = ["COMMANDS", "build_domain", "disk_problem", "failed_bridge_script"]

_FAILED = 3
_RANDOM_BYTES = 19  # a UUID and half a MAC


def _create(process: Process, options: Options) -> int:
    unplayed = options.flags & {"-n", "--dryrun", "-F", "-c"}
    if unplayed:
        raise CommandError(f"xl create: not played by the simulated host: {' '.join(sorted(unplayed))}\n")
    path, *assignments = options.words or (options.values.get("-f", options.values.get("--defconfig", "")),)
    if not process.host.files.real(path).is_file():
        raise CommandError(f"Failed to read config file: {path}: No such file or directory\n", _FAILED)
    text = process.host.files.read(path) + "\n" + "\n".join(assignments) + "\n"
    if not options.has("-q", "--quiet"):
        process.err(f"Parsing config from {path}\n")
    try:
        config = parse_cfg(text, path, process.host.random_bytes(_RANDOM_BYTES), process.host.version)
    except CfgSyntaxError as error:
        raise CommandError(f"{error}\nFailed to parse config: Invalid argument\n") from error
    if not config.hvm:
        raise CommandError("No kernel specified\n", _FAILED)  # a guess at the words: it would be a PV guest
    make = process.host.lifecycle.create
    domain = build_domain(process, config, lambda domid: make(config, domid))
    if not options.has("-p"):
        process.host.lifecycle.unpause(domain)
    return 0


def build_domain(process: Process, config: DomainConfig, make: Callable[[int], Domain]) -> Domain:
    """Make a domain if nothing is in the way; ``make`` gets its number.

    Raises:
        CommandError: with libxl's words and exit code 3.
    """
    hypervisor = process.host.hypervisor
    # one at a time: what is looked for must still be there when it is taken
    with hypervisor.lock:
        domid = hypervisor.new_domid()
        words = (
            _duplicate_name(process, config, domid)
            or _missing_disk(process, config, domid)
            or _no_memory(process, config, domid)
            or _no_bridge(process, config, domid)
        )
        if not words:
            return make(domid)
    raise CommandError(words, _FAILED)


def _duplicate_name(process: Process, config: DomainConfig, domid: int) -> str:
    """What libxl says about a name that is taken, "" if it is free."""
    if config.name != "Domain-0" and process.host.hypervisor.find(config.name) is None:
        return ""
    taken = f'Domain with name "{config.name}" already exists.'
    unread = f"xenstore read failed: `/libxl/{domid}/type': No such file or directory"
    return (
        libxl_error("libxl_domain.c:81:libxl__domain_rename", taken, domid)
        + libxl_error("libxl_create.c:1296:initiate_domain_create", "cannot make domain: -6", domid)
        + libxl_error("libxl_xshelp.c:206:libxl__xs_read_mandatory", unread)
        + "libxl: warning: libxl_dom.c:49:libxl__domain_type: "
        + f"unable to get domain type for domid={domid}, assuming HVM\n"
        + _destroyed(domid)
    )


def _missing_disk(process: Process, config: DomainConfig, domid: int) -> str:
    for number, disk in enumerate(config.disks):
        words = disk_problem(process, disk)
        if words:
            unset = f"Unable to set disk defaults for disk {number}"
            place = "libxl_create.c:1318:initiate_domain_create"
            return words + libxl_error(place, unset, domid) + _destroyed(domid)
    return ""


def disk_problem(process: Process, disk: DiskConfig) -> str:
    """What libxl says about a disk that cannot be served, "" for one that can."""
    place = "libxl_device.c:455:libxl__device_disk_set_backend"
    if parse_vdev(disk.vdev) is None:
        return libxl_error(place, f"Disk vdev={disk.vdev}: unknown name")  # a guess at the words
    if not disk.path:
        return ""
    if not process.host.files.exists(disk.path):
        return libxl_error(
            place, f"Disk vdev={disk.vdev} failed to stat: {disk.path}: No such file or directory"
        )
    image = process.host.files.images.of(process.host.files.real(disk.path))
    if not disk.cdrom and disk.image_format not in {"raw", image.image_format}:
        # a guess at the words: QEMU does not start, and says why in its own log
        return libxl_error(place, f"Disk vdev={disk.vdev}: {disk.path} is not {disk.image_format}")
    return ""


def _no_memory(process: Process, config: DomainConfig, domid: int) -> str:
    if config.memory * 1024 <= process.host.hypervisor.free_kib:
        return ""
    panic = "can't allocate low memory for domain: Out of memory"
    unbuilt = "xc_dom_boot_mem_init failed: Cannot allocate memory"
    return (
        f"xc: error: panic: xg_dom_boot.c:119: xc_dom_boot_mem_init: {panic}\n"
        + libxl_error("libxl_dom.c:586:libxl__build_dom", unbuilt)
        + libxl_error("libxl_create.c:1640:domcreate_rebuild_done", "cannot (re-)build domain: -3", domid)
        + _destroyed(domid)
    )


def _no_bridge(process: Process, config: DomainConfig, domid: int) -> str:
    for nic in config.nics:
        if nic.bridge not in process.host.bridges:
            place = "libxl_create.c:1921:domcreate_attach_devices"
            return (
                failed_bridge_script(process, nic.bridge, "online")
                + libxl_error(place, "unable to add vif devices", domid)
                + failed_bridge_script(process, nic.bridge, "offline")
                + failed_bridge_script(process, nic.bridge, "remove")
                + _destroyed(domid)
            )
    return ""


def failed_bridge_script(process: Process, bridge: str, action: str) -> str:
    """What the hotplug script and libxl say about a bridge that is not there."""
    ended = f"/etc/xen/scripts/vif-bridge {action} [{process.pid}] exited with error status 1"
    missing = f"script: Could not find bridge device {bridge}"
    return libxl_error("libxl_exec.c:117:libxl_report_child_exitstatus", ended) + libxl_error(
        "libxl_device.c:1337:device_hotplug_child_death_cb", missing
    )


def _destroyed(domid: int) -> str:
    return (
        libxl_error("libxl_domain.c:1183:libxl__destroy_domid", "Non-existant domain", domid)
        + libxl_error("libxl_domain.c:1137:domain_destroy_callback", "Unable to destroy guest", domid)
        + libxl_error("libxl_domain.c:1064:domain_destroy_cb", "Destruction of domain failed", domid)
    )


COMMANDS: dict[str, XlCommand] = {
    "create": XlCommand(
        _create,
        short="FcdepqVAnf:",
        long=("defconfig=", "quiet", "vncviewer", "dryrun"),
        usage="<ConfigFile> [options] [vars]",
        summary="Create a domain from config file <filename>",
        dry_run=True,
    ),
}
