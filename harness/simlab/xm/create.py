"""xm create (xm/create.py, ``make_domain``)."""

from __future__ import annotations

from harness.model import XenVersion
from harness.simlab.commands.options import Options
from harness.simlab.host.vdev import parse_vdev
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.config import CfgSyntaxError, DiskConfig, DomainConfig
from harness.simlab.xm.config import XmConfigError, parse_xm_config
from harness.simlab.xm.table import XmCommand

__all__ = ["COMMANDS", "disk_complaint"]

_RANDOM_BYTES = 19  # a UUID and half a MAC
_LOADER = "/usr/lib/xen/boot/hvmloader"


def _create(process: Process, options: Options) -> int:
    path = options.words[0]
    if not process.host.files.real(path).is_file():
        raise CommandError(f'Error: Unable to open config file: "{path}"\n')
    process.out(f'Using config file "{path}".\n')
    try:
        config = parse_xm_config(process.host.files.read(path), process.host.random_bytes(_RANDOM_BYTES))
    except (XmConfigError, CfgSyntaxError) as error:
        raise CommandError(f"Error: {error}\n") from error
    host = process.host
    # one at a time: what is looked for must still be there when it is taken
    with host.hypervisor.lock:
        complaint = _kernel_complaint(process, config) or _complaint(process, config)
        if complaint:
            raise CommandError(f"Error: {complaint}\n")
        domain = host.lifecycle.create(config, host.hypervisor.new_domid())
    if not options.has("-p", "--paused"):
        host.lifecycle.unpause(domain)
    process.out(f"Started domain {domain.name} (id={domain.domid})\n")
    return 0


def _kernel_complaint(process: Process, config: DomainConfig) -> str:
    if config.text("builder") != "hvm":
        return "Kernel image does not exist"  # a guess at the words: it would be a PV guest
    kernel = config.text("kernel")
    named = {"hvmloader"} if process.host.version >= XenVersion(4, 0) else set()
    return "" if kernel in {_LOADER, *named} else f'Cannot find kernel "{kernel}"'


def _complaint(process: Process, config: DomainConfig) -> str:
    host = process.host
    taken = host.hypervisor.find(config.name)
    if taken is not None:
        return f"Domain '{config.name}' already exists with ID '{taken.domid}'"
    for disk in config.disks:
        if complaint := disk_complaint(process, disk):
            return complaint
    if config.memory * 1024 > host.hypervisor.free_kib:
        free = host.hypervisor.free_kib
        return f"I need {config.memory * 1024} KiB, but dom0_min_mem is 0 and only {free} KiB are free"
    for index, nic in enumerate(config.nics):
        if nic.bridge not in host.bridges:
            return f"Device {index} (vif) could not be connected. Could not find bridge device {nic.bridge}"
    return ""


def disk_complaint(process: Process, disk: DiskConfig) -> str:
    """What xend says about a disk that cannot be served, "" for one that can."""
    if parse_vdev(disk.vdev) is None:
        return f"Unable to find number for device ({disk.vdev})"
    if not disk.path:
        return "" if disk.cdrom else "Block device must have physical details specified"
    if not process.host.files.exists(disk.path):
        return f"Disk image does not exist: {disk.path}"
    image = process.host.files.images.of(process.host.files.real(disk.path))
    if not disk.cdrom and disk.image_format not in {"raw", image.image_format}:
        return f"Device {disk.vdev} (tap) could not be connected."  # a guess at the words
    return ""


COMMANDS: dict[str, XmCommand] = {
    "create": XmCommand(_create, 1, 1, "pqc", ("paused", "quiet", "console_autoconnect")),
}
