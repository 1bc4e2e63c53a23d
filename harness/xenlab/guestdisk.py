"""The stand-in guest's disk: its base tree, the harness's Python files, GRUB, and what is installed.

Made without mount, loop device or boot (facts/nested-xen.md, "Recipe"). The disks of all templates go into
the image of dom0's storage.
"""

from __future__ import annotations

import importlib.util
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import harness
from harness.errors import InfrastructureError, ToolMissing
from harness.winrmd import ServerCertificate
from harness.xenlab import pvstate, tsc
from harness.xenlab.cache import Layer, file_digest, key_of
from harness.xenlab.dom0 import FILES
from harness.xenlab.recipe import TEMPLATES, StandInTemplate
from harness.xenlab.shell import run
from harness.xenlab.tsc import cpu_model, tsc_khz

__all__ = ["CERTIFICATE", "PASSWORD", "harness_files", "make_store", "store_layer"]

CERTIFICATE = "guest.crt"
PASSWORD = "guest.password"  # noqa: S105 - a file's name

_DISK_MIB = 1024
_STORE_SIZE = "24G"  # sparse
_START = 1048576  # where the partition begins, in bytes
_PYTHON = "opt/pvhck"
_GRUB_MODULES = (
    "biosdisk", "part_msdos", "ext2", "normal", "linux", "serial", "terminal", "echo", "test", "configfile"
)  # fmt: skip
_GRUB = Path("/usr/lib/grub/i386-pc")

# file below FILES -> (places in the guest, mode)
_OVERLAY: dict[str, tuple[tuple[str, ...], int]] = {
    "guest-start.sh": (("usr/local/sbin/guest-start",), 0o755),
    "guest-agent.sh": (("usr/local/sbin/guest-agent",), 0o755),
    "guest-dhcp.sh": (("usr/local/sbin/guest-dhcp",), 0o755),
    "guest-stop.sh": (("sbin/poweroff", "sbin/reboot"), 0o755),
    "guest-inittab.txt": (("etc/inittab",), 0o644),
    "guest-grub.txt": (("boot/grub/grub.cfg",), 0o644),
}

# What of this package runs in the guest, relative to its folder.
_HARNESS = (
    "__init__.py", "errors.py", "deadline.py", "model.py", "operations.py", "wire.py",
    "winrmd/*.py", "xenlab/__init__.py", "xenlab/pvstate.py", "xenlab/standin/**/*",
)  # fmt: skip


def harness_files() -> tuple[Path, ...]:
    """The files of this package that run in the guest, sorted."""
    top = Path(harness.__file__).parent
    found = {path for pattern in _HARNESS for path in top.glob(pattern) if path.is_file()}
    return tuple(sorted(path for path in found if "__pycache__" not in path.parts))


def store_layer(guest: Layer) -> Layer:
    """The layer that ``make_store`` fills."""
    sources = [Path(__file__), Path(tsc.__file__), *(FILES / name for name in _OVERLAY), *harness_files()]
    templates = [(template.name, template.installed) for template in TEMPLATES]
    return Layer("store", key_of(str(guest), templates, cpu_model(), file_digest(*sources)))


def make_store(folder: Path, *, guest: Path) -> None:
    """Put ``store.raw`` (dom0's storage with all templates) and the guests' secrets into ``folder``.

    ``guest.crt`` is the certificate every stand-in shows, ``guest.password`` its Administrator's password.
    """
    root = folder / "tree"
    run(["cp", "-a", guest / "tree", root])
    _overlay(root)
    _set_clock(root, tsc_khz(folder))
    _add_secrets(folder, root)
    _add_python(root)
    disk = folder / "disk.raw"
    _make_disk(disk, root, folder / "core.img")
    templates = folder / "store/templates"
    templates.mkdir(parents=True)
    for template in TEMPLATES:
        _preset(disk, template, folder)
        run(["qemu-img", "convert", "-O", "qcow2", disk, templates / f"{template.name}.qcow2"])
    store = folder / "store.raw"
    run(["mke2fs", "-q", "-t", "ext4", "-L", "pvhck", "-m", "0", "-d", folder / "store", store, _STORE_SIZE])
    disk.unlink()
    shutil.rmtree(root)
    shutil.rmtree(folder / "store")


def _overlay(root: Path) -> None:
    for name, (places, mode) in _OVERLAY.items():
        for place in places:
            target = root / place
            target.unlink(missing_ok=True)
            shutil.copyfile(FILES / name, target)
            target.chmod(mode)
    init = root / "sbin/init"
    init.unlink(missing_ok=True)
    init.symlink_to("/bin/busybox")
    (root / "etc/hostname").write_text("standin\n")
    (root / "etc/resolv.conf").write_text("")


def _set_clock(root: Path, khz: int) -> None:
    config = root / "boot/grub/grub.cfg"
    config.write_text(config.read_text().replace("@TSC_KHZ@", str(khz)))


def _add_secrets(folder: Path, root: Path) -> None:
    certificate = ServerCertificate.make("standin")
    password = secrets.token_urlsafe(18)
    inside = {
        pvstate.PASSWORD_FILE: f"{password}\n".encode(),
        pvstate.CERTIFICATE_FILE: certificate.certificate,
        pvstate.KEY_FILE: certificate.key,
    }
    (root / "etc/pvhck").mkdir()
    for path, content in inside.items():
        _write_private(root / path.lstrip("/"), content)
    _write_private(folder / PASSWORD, f"{password}\n".encode())
    (folder / CERTIFICATE).write_bytes(certificate.certificate)


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _add_python(root: Path) -> None:
    target = root / _PYTHON
    top = Path(harness.__file__).parent
    for path in harness_files():
        place = target / "harness" / path.relative_to(top)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    shutil.copytree(_pure_spnego(), target / "spnego", ignore=shutil.ignore_patterns("__pycache__"))
    # compiled here: under TCG that costs many times as much, at every boot of every clone
    run(
        [
            "chroot",
            root,
            "python3",
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
            f"/{_PYTHON}",
        ]
    )


def _pure_spnego() -> Path:
    """Our own pyspnego (pinned in requirements/runtime.txt): Debian has no package of it."""
    spec = importlib.util.find_spec("spnego")
    if spec is None or spec.origin is None:
        raise ToolMissing("the Python package pyspnego is not installed", mend="tools/setup.sh runtime")
    folder = Path(spec.origin).parent
    if any(folder.rglob("*.so")):
        raise InfrastructureError(f"{folder} holds compiled code: it cannot be put into the guest as it is")
    return folder


def _make_disk(disk: Path, root: Path, core: Path) -> None:
    """A bootable disk: one ext4 partition at 1 MiB, GRUB before it."""
    run([
        "grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", core, *_GRUB_MODULES
    ])  # fmt: skip
    with disk.open("wb") as image:
        image.truncate(_DISK_MIB * 1048576)
    run([
        "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal,^metadata_csum,^64bit", "-m", "0",
        "-L", "root", "-d", root, "-E", f"offset={_START},lazy_itable_init=0", disk, f"{_DISK_MIB - 1}M",
    ])  # fmt: skip
    run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk], stdin=f"{_START // 512},,L,*\n")
    boot, rest = (_GRUB / "boot.img").read_bytes(), core.read_bytes()
    core.unlink()
    if 512 + len(rest) > _START:
        raise InfrastructureError(f"GRUB's core image is {len(rest)} bytes: it does not fit before 1 MiB")
    with disk.open("r+b") as image:
        image.write(boot[:440])  # what follows is the partition table
        image.seek(512)
        image.write(rest)


def _preset(disk: Path, template: StandInTemplate, folder: Path) -> None:
    """Write into the disk which packages are installed."""
    script = "".join(_debugfs_lines(template, folder))
    said = run(["debugfs", "-w", "-f", "-", f"{disk}?offset={_START}"], stdin=script)
    if "Allocated inode" not in said:  # debugfs exits with 0 even when it wrote nothing
        raise InfrastructureError(f"debugfs could not preset {template.name}: {said.strip()}")


def _debugfs_lines(template: StandInTemplate, folder: Path) -> Iterator[str]:
    texts = {
        pvstate.PV_CONFIG_FILE: pvstate.pv_config(template.installed),
        pvstate.INSTALLED_FILE: pvstate.installed_text(template.installed),
    }
    for number, (place, text) in enumerate(texts.items()):
        source = folder / f"preset-{number}"
        source.write_text(text)
        yield f"rm {place}\nwrite {source} {place}\n"
