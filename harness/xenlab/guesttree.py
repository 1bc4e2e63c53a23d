"""The stand-in guest's base: a small Debian tree, its kernel with the few modules it needs, its initramfs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.xenlab.cache import Layer, file_digest, key_of
from harness.xenlab.debian import Suite, candidate_versions, install_into, shrink
from harness.xenlab.dom0 import FILES
from harness.xenlab.recipe import KERNEL_PACKAGE
from harness.xenlab.shell import run

__all__ = ["guest_tree_layer", "make_guest_tree", "parse_modules_dep", "with_dependencies"]

_PACKAGES = (
    "busybox-static",
    "fio",
    "iperf3",
    "iproute2",
    "kmod",
    "python3",
    "python3-cryptography",
    "xenstore-utils",
)
# In the initramfs; the front end of the disk is loaded only when emulated disks are unplugged.
_BOOT_MODULES = ("ata_piix", "sd_mod", "ext4", "crc32c_generic", "xen-blkfront")
# On the root disk as well.
_MORE_MODULES = (
    "e1000", "8139cp", "xen-netfront", "button", "evdev", "sr_mod", "isofs", "nls_utf8", "nls_iso8859-1"
)  # fmt: skip
_INITRAMFS = FILES / "guest-initramfs.sh"


def guest_tree_layer(minbase: Layer, suite: Suite) -> Layer:
    """The layer that ``make_guest_tree`` fills."""
    versions = candidate_versions([KERNEL_PACKAGE], suite)
    return Layer("guest", key_of(str(minbase), versions, file_digest(Path(__file__), _INITRAMFS)))


def make_guest_tree(folder: Path, *, minbase: Path) -> None:
    """Put ``tree`` into ``folder``: everything of the guest's disk but what the harness brings."""
    root = folder / "tree"
    run(["cp", "-a", minbase / "tree", root])
    install_into(root, _PACKAGES)
    kernel = _unpack_kernel(root, folder / "kernel")
    shrink(root)
    (root / "boot/grub").mkdir(parents=True)
    shutil.copyfile(next((kernel / "boot").glob("vmlinuz-*")), root / "boot/vmlinuz")
    _copy_modules(kernel, root, (*_BOOT_MODULES, *_MORE_MODULES))
    _make_initramfs(kernel, root, folder / "initramfs")
    shutil.rmtree(kernel)


def parse_modules_dep(text: str) -> dict[str, tuple[str, ...]]:
    """Path of each module -> paths it needs, as in modules.dep(5)."""
    dependencies = {}
    for line in text.splitlines():
        path, _, needed = line.partition(":")
        dependencies[path] = tuple(needed.split())
    return dependencies


def with_dependencies(dependencies: Mapping[str, tuple[str, ...]], names: Iterable[str]) -> frozenset[str]:
    """Paths of the named modules and of all they need; names that are built in are left out.

    A module's name is its file's, with ``-`` and ``_`` the same.
    """
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in dependencies}
    found = [by_name[name.replace("-", "_")] for name in names if name.replace("-", "_") in by_name]
    return frozenset(found).union(*(dependencies[path] for path in found))


def _unpack_kernel(root: Path, target: Path) -> Path:
    """The kernel package's files, without what its installation would do (an initramfs of 40 MB)."""
    run(["chroot", root, "apt-get", "-qq", "update"])
    depends = run(["chroot", root, "apt-cache", "depends", KERNEL_PACKAGE])
    package = next(word for word in depends.split() if word.startswith("linux-image-") and word[12].isdigit())
    work = root / "kernel-package"
    work.mkdir()
    run(["chroot", root, "sh", "-c", f"cd /kernel-package && apt-get -qq download {package}"])
    run(["dpkg-deb", "-x", next(work.glob("*.deb")), target])
    shutil.rmtree(work)
    run(["depmod", "-b", target, _version(target)])
    return target


def _version(kernel: Path) -> str:
    return next((kernel / "lib/modules").iterdir()).name


def _copy_modules(kernel: Path, root: Path, names: Iterable[str]) -> None:
    version = _version(kernel)
    source = kernel / "lib/modules" / version
    target = root / "lib/modules" / version
    wanted = with_dependencies(parse_modules_dep((source / "modules.dep").read_text()), names)
    for path in wanted:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)
    for listing in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if (source / listing).exists():
            shutil.copyfile(source / listing, target / listing)
    run(["depmod", "-b", root, version])


def _make_initramfs(kernel: Path, root: Path, work: Path) -> None:
    (work / "bin").mkdir(parents=True)
    shutil.copy2(root / "bin/busybox", work / "bin/busybox")
    shutil.copyfile(_INITRAMFS, work / "init")
    (work / "init").chmod(0o755)
    _copy_modules(kernel, work, _BOOT_MODULES)
    pack = f"find . | cpio --quiet -o -H newc | zstd -q -19 > {root.resolve()}/boot/gi.cpio"
    run(["sh", "-c", pack], cwd=work)
    shutil.rmtree(work)
