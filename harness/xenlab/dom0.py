"""dom0: a Debian tree with Xen's tools and an init of our own, as an ext4 image. No mount, no loop device."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

from harness.xenlab.cache import Layer, file_digest, key_of
from harness.xenlab.debian import Suite, candidate_versions, install_into, shrink
from harness.xenlab.recipe import KERNEL_PACKAGE, STORAGE, Release
from harness.xenlab.shell import run

__all__ = ["FILES", "INIT", "PRIVATE_KEY", "dom0_layer", "drop_cpu_features", "make_dom0"]

FILES = Path(__file__).with_name("files")
INIT = "/sbin/lab-init"
PRIVATE_KEY = "id_ed25519"

_PACKAGES = (
    "openssh-server",
    "iproute2",
    KERNEL_PACKAGE,
    "xenstore-utils",
    "qemu-utils",
    "libvirt-daemon-system",
    "libvirt-clients",
    "libvirt-daemon-driver-xen",
    "dnsmasq-base",
    "nftables",
    "iperf3",
    "fio",
    "busybox-static",
    "kmod",
    "lvm2",
    "procps",
    "sudo",
    "xfsprogs",
    "zstd",
)
_IMAGE_SIZE = "6G"  # sparse

# What the initramfs needs to find the root disk; with MODULES=most it is four times as large.
_INITRAMFS_MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic")

# libvirt's model of the CPU expects features that TCG or Xen hide (facts/nested-xen.md, traps).
_HIDDEN_FEATURES = ("vme", "sep", "mca")
_CPU_MODELS = ("qemu64", "Opteron_G1", "486", "pentium", "kvm64")

# file below FILES -> (where in dom0, mode)
_OVERLAY = {
    "dom0-init.sh": (INIT, 0o755),
    "dom0-start.sh": ("/usr/local/sbin/dom0-start", 0o755),
    "dom0-inittab.txt": ("/etc/inittab", 0o644),
    "dom0-sshd.txt": ("/etc/ssh/sshd_config.d/pvhck.conf", 0o644),
    "dom0-libvirtd.txt": ("/etc/libvirt/libvirtd.conf", 0o644),
}


def dom0_layer(minbase: Layer, bios: Layer, release: Release, suite: Suite) -> Layer:
    """The layer that ``make_dom0`` fills."""
    versions = candidate_versions([release.hypervisor, KERNEL_PACKAGE, release.device_model], suite)
    sources = [Path(__file__), *(FILES / name for name in _OVERLAY)]
    return Layer("dom0", key_of(str(minbase), str(bios), versions, file_digest(*sources)))


def make_dom0(folder: Path, *, release: Release, minbase: Path, bios: Path) -> None:
    """Put the image, the boot files, the key pair and the host key into ``folder``.

    ``dom0.raw``, ``xen.elf``, ``vmlinuz``, ``initrd.img``, ``id_ed25519``, ``host_key.pub``.
    """
    root = folder / "tree"
    run(["cp", "-a", minbase / "tree", root])
    _prepare_initramfs(root)
    install_into(root, (*_PACKAGES, release.hypervisor, release.utils, release.device_model))
    shrink(root)
    _overlay(root, bios)
    _make_keys(folder, root)
    _take_boot_files(root / "boot", folder)
    image = folder / "dom0.raw"
    run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-m", "0", "-d", root, image, _IMAGE_SIZE])
    shutil.rmtree(root)


def drop_cpu_features(xml: str) -> str:
    """A file of libvirt's cpu_map without the features this nested Xen hides."""
    names = "|".join(_HIDDEN_FEATURES)
    return re.sub(rf"\s*<feature name='(?:{names})'/>", "", xml)


def _prepare_initramfs(root: Path) -> None:
    settings = root / "etc/initramfs-tools"
    (settings / "conf.d").mkdir(parents=True)
    (settings / "conf.d/lab").write_text("MODULES=list\n")
    (settings / "modules").write_text("".join(f"{name}\n" for name in _INITRAMFS_MODULES))


def _overlay(root: Path, bios: Path) -> None:
    for name, (place, mode) in _OVERLAY.items():
        target = root / place.lstrip("/")
        shutil.copyfile(FILES / name, target)
        target.chmod(mode)
    for model in _CPU_MODELS:
        path = root / f"usr/share/libvirt/cpu_map/x86_{model}.xml"
        path.write_text(drop_cpu_features(path.read_text()))
    shutil.copyfile(bios / "bios-256k.bin", root / "usr/share/seabios/bios-256k.bin")
    (root / STORAGE.lstrip("/")).mkdir(parents=True)
    (root / "etc/hostname").write_text("xenlab\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost xenlab\n")


def _make_keys(folder: Path, root: Path) -> None:
    """Our key pair and dom0's host key: both known before the first connection."""
    ssh = root / "etc/ssh"
    for old in ssh.glob("ssh_host_*"):
        old.unlink()
    host_key = ssh / "ssh_host_ed25519_key"
    for path, comment in ((folder / PRIVATE_KEY, "pvhck xenlab"), (host_key, "xenlab")):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    shutil.copyfile(host_key.with_suffix(".pub"), folder / "host_key.pub")
    authorized = root / "root/.ssh/authorized_keys"
    authorized.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(folder / f"{PRIVATE_KEY}.pub", authorized)
    authorized.chmod(0o600)


def _take_boot_files(boot: Path, folder: Path) -> None:
    xen = next(boot.glob("xen-4.*.gz"))
    (folder / "xen.elf").write_bytes(gzip.decompress(xen.read_bytes()))
    shutil.copyfile(next(boot.glob("vmlinuz-*")), folder / "vmlinuz")
    shutil.copyfile(next(boot.glob("initrd.img-*")), folder / "initrd.img")
