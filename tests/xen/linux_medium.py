"""A medium that boots Linux in the place of Windows: it does on real Xen what Windows Setup would do there.

It reads the answer file from the setup CD, tells the serial port of the stage it is in, writes something
bootable to the disk, and restarts. What it writes is a boot sector that tells of the next stage and stays.
Kernel and modules are the stand-in guest's.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pycdlib

__all__ = ["boot_sector", "make_linux_medium"]

_PADDING = 150 * 2048  # as mkisofs -pad
_MODULES = ("ata_piix", "sd_mod", "sr_mod", "isofs")
_GRUB_MODULES = ("biosdisk", "iso9660", "linux", "serial", "terminal", "echo")
_GRUB_CONFIG = """set root=(cd)
serial --unit=0 --speed=115200
terminal_output serial
echo medium: GRUB loads a kernel
linux (cd)/boot/vmlinuz console=ttyS0 quiet panic=5 xen_nopv pci=noearly mitigations=off
initrd (cd)/boot/initrd
echo medium: Linux starts
boot
"""
_INIT = """#!/bin/busybox sh
# What Windows PE does, in small. Names of devices are those of an IDE controller without any PV driver.
/bin/busybox mkdir -p /proc /sys /dev /cd /sbin
/bin/busybox --install -s /sbin
export PATH=/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in {modules}; do modprobe "$module"; done
for try in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/sda ] && [ -b /dev/sr1 ] && break; sleep 1; done
for cd in /dev/sr0 /dev/sr1; do
  mount -t iso9660 -o ro "$cd" /cd || continue
  [ -f /cd/Autounattend.xml ] && break
  umount /cd
done
found=$(sha256sum </cd/Autounattend.xml | cut -d' ' -f1)
if [ "$found" != {answers} ]; then
  printf 'pvhck stage failed: the answer file on the setup CD has SHA-256 %s\\n' "$found" >/dev/ttyS0
  sleep 1000
fi
printf 'pvhck stage windows-pe\\n' >/dev/ttyS0
dd if=/boot.bin of=/dev/sda bs=512 count=1 conv=fsync
sync
sleep 1
reboot -f
"""


def boot_sector(line: str) -> bytes:
    """A boot sector that writes a line to COM1, byte by byte once the port takes one, and stays.

    It halts with interrupts on: without them Xen takes it for a domain that has shut down (hvm_hlt).
    """
    text = f"{line}\r\n".encode("ascii") + b"\0"
    code = bytes.fromhex(
        "fb 31c0 8ed8"  # sti; xor ax,ax; mov ds,ax
        "be 2000 ac"  # mov si, text (set below); next: lodsb
        "84c0 7412 88c3"  # test al,al; jz halt; mov bl,al
        "bafd03 ec a820 74fb"  # mov dx,3fdh; again: in al,dx; test al,20h; jz again
        "baf803 88d8 ee ebe9"  # mov dx,3f8h; mov al,bl; out dx,al; jmp next
        "f4 ebfd"  # halt: hlt; jmp halt
    )
    place = code.index(b"\xbe") + 1
    code = code[:place] + (0x7C00 + len(code)).to_bytes(2, "little") + code[place + 2 :]
    return (code + text).ljust(510, b"\0") + b"\x55\xaa"


def make_linux_medium(tree: Path, folder: Path, *, answers: bytes, says: str) -> Path:
    """The medium, made from the stand-in guest's tree.

    It is content with a setup CD that has ``answers`` as its answer file, and leaves a boot sector that
    writes ``says``.
    """
    root = folder / "initrd"
    _fill(tree, root, hashlib.sha256(answers).hexdigest(), says)
    initrd, core = folder / "initrd.zst", folder / "core.img"
    _run(["sh", "-c", f"find . | cpio --quiet -o -H newc | zstd -q -19 >'{initrd.resolve()}'"], cwd=root)
    config = folder / "grub.cfg"
    config.write_text(_GRUB_CONFIG)
    # the configuration is in the image itself: GRUB needs no file of the CD to know what to do
    image = ["grub-mkimage", "-O", "i386-pc-eltorito", "-p", "(cd)/boot/grub", "-c", str(config)]
    _run([*image, "-o", str(core), *_GRUB_MODULES])
    path = folder / "linux.iso"
    _write(path, {"vmlinuz": tree / "boot/vmlinuz", "initrd": initrd}, core)
    return path


def _fill(tree: Path, root: Path, digest: str, says: str) -> None:
    (root / "bin").mkdir(parents=True)
    shutil.copy2(tree / "bin/busybox", root / "bin/busybox")
    (root / "boot.bin").write_bytes(boot_sector(says))
    (root / "init").write_text(_INIT.format(modules=" ".join(_MODULES), answers=digest))
    (root / "init").chmod(0o755)
    modules = next((tree / "lib/modules").iterdir())
    for path in modules.rglob("*.ko"):
        if path.parent.name in {"ata", "scsi", "cdrom", "isofs", "lib", "crypto", "block"}:
            target = root / path.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for listing in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if (modules / listing).exists():
            shutil.copyfile(modules / listing, root / "lib/modules" / modules.name / listing)
    _run(["depmod", "-b", str(root), modules.name])


def _write(path: Path, files: dict[str, Path], core: Path) -> None:
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, vol_ident="LINUXMEDIUM")
    iso.add_directory("/BOOT", joliet_path="/boot")
    iso.add_file(str(core), "/BOOT/CORE.;1", joliet_path="/boot/core.img")
    for number, (name, source) in enumerate(files.items()):
        iso.add_file(str(source), f"/BOOT/F{number}.;1", joliet_path=f"/boot/{name}")
    iso.add_eltorito("/BOOT/CORE.;1", "/BOOT.CAT;1", boot_load_size=4, boot_info_table=True)
    iso.write(str(path))
    iso.close()
    with path.open("ab") as image:
        # GRUB reads 16 sectors at a time, and has nothing of those that reach beyond the end of a CD
        image.write(bytes(_PADDING))


def _run(argv: list[str], cwd: Path | None = None) -> None:
    subprocess.run(argv, cwd=cwd, check=True, timeout=300)
