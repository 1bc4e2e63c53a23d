"""Storage that clones can be made in, by a loop device on the host: an LVM group, an XFS with reflink."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from contract_lab import ContractLab

from harness.host.ssh import SshShell

__all__ = ["CONTENT", "VolumeGroup", "begin_of", "change", "volume_group", "xfs"]

CONTENT = "template"
_THICK_MIB, _THIN_MIB, _POOL_MIB = 16, 16, 64

# The nested dom0 has no udevd, and a socket that its initramfs left behind has LVM wait for one. On a host
# with udevd nothing of this is needed.
_WITHOUT_UDEV = """activation {
    udev_sync = 0
    udev_rules = 0
    verify_udev_operations = 1
}
devices { obtain_device_list_from_udev = 0 }
"""


@dataclass(frozen=True)
class VolumeGroup:
    """A group with a template of each kind in it, which begin with ``CONTENT``."""

    name: str
    shell: SshShell

    @property
    def thick(self) -> str:
        return f"/dev/{self.name}/win.thick"

    @property
    def thin(self) -> str:
        return f"/dev/{self.name}/win.thin"

    def volumes(self) -> list[str]:
        fields = ["--separator", "/", "-o", "vg_name,lv_name"]
        return self.shell.check(["lvs", "--noheadings", "--units", "b", *fields]).split()


def change(shell: SshShell, disk: str, text: str = "changed!") -> None:
    """Write over the beginning of a raw disk, as a guest would."""
    # fsync: what was written to a block device is seen there, and not in somebody's cache only
    result = shell.run(["dd", f"of={disk}", "conv=notrunc,fsync"], stdin=text)
    assert result.ok, result.describe()


def begin_of(shell: SshShell, disk: str, count: int = len(CONTENT)) -> str:
    return shell.check(["head", "-c", str(count), disk])


def _beside_runs(lab: ContractLab, name: str) -> str:
    """Not in the run's folder: what lies there, and loop devices on it, is taken away with a run."""
    return f"{lab.host.spec.storage}/contract-{name}"


@contextlib.contextmanager
def volume_group(lab: ContractLab, name: str = "vgcontract", size_mib: int = 300) -> Iterator[VolumeGroup]:
    """A volume group, with its templates; gone afterwards."""
    shell, file = lab.host.shell, _beside_runs(lab, f"{name}.img")
    if lab.real:
        shell.put(_WITHOUT_UDEV.encode(), "/etc/lvm/lvmlocal.conf")
    shell.check(["truncate", "-s", f"{size_mib}M", file])
    device = shell.check(["losetup", "-f", "--show", file]).strip()
    try:
        shell.check(["vgcreate", "-y", name, device], timeout_s=60)
        try:
            group = VolumeGroup(name, shell)
            _add_templates(group)
            yield group
        finally:
            shell.check(["vgremove", "-f", name], timeout_s=120)
    finally:
        shell.check(["losetup", "-d", device])
        shell.check(["rm", "-f", file])


def _add_templates(group: VolumeGroup) -> None:
    for words in (
        ["-n", "win.thick", "-L", f"{_THICK_MIB}M"],
        ["--type", "thin-pool", "-n", "pool", "-L", f"{_POOL_MIB}M"],
        ["-n", "win.thin", "-V", f"{_THIN_MIB}M", "--thinpool", "pool"],
    ):
        group.shell.check(["lvcreate", "-y", *words, group.name], timeout_s=120)
    for device in (group.thick, group.thin):
        change(group.shell, device, CONTENT)


@contextlib.contextmanager
def xfs(lab: ContractLab, name: str = "xfs", size_mib: int = 400) -> Iterator[str]:
    """A folder that is an XFS with reflink; gone afterwards. Smaller ones mkfs.xfs does not make."""
    shell, file, folder = lab.host.shell, _beside_runs(lab, f"{name}.img"), _beside_runs(lab, name)
    if lab.real:
        shell.check(["modprobe", "xfs"], timeout_s=60)
    shell.check(["truncate", "-s", f"{size_mib}M", file])
    shell.check(["mkfs.xfs", "-q", file], timeout_s=120)
    shell.check(["mkdir", folder])
    shell.check(["mount", "-o", "loop", file, folder], timeout_s=60)
    try:
        yield folder
    finally:
        shell.check(["umount", folder], timeout_s=60)
        shell.check(["rm", "-rf", file, folder])
