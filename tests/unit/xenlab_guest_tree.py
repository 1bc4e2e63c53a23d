"""A guest's /sys, /proc and /dev in a folder, as the recorded stand-in shows them in each state."""

from __future__ import annotations

from pathlib import Path

BOOT_ID = "4a5c4640-124f-4985-8d07-c5ad0246a0ee"


class GuestTree:
    """Builds the folder. Values: samples/stand-in-4.17 (lspci, guest-devices) and a running stand-in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/sys/kernel/random/boot_id", f"{BOOT_ID}\n")
        self.write("sys/class/misc/xen!xenbus/dev", "10:125\n")
        (root / "sys/block").mkdir(parents=True)
        self.pci("0000:00:01.1", 0x8086, 0x7010, 0x010180, driver="ata_piix")
        self.pci("0000:00:02.0", 0x5853, 0x0001, 0xFF8000, subsystem=(0x5853, 0x0001), revision=1)

    def bus_up(self) -> None:
        self.bind("sys/bus/pci/devices/0000:00:02.0", "xen-platform-pci")
        self.write("sys/hypervisor/type", "xen\n")
        for name in ("vif-0", "vbd-768"):
            self.front_end(name, "", "Initialising")

    def front_end(self, name: str, driver: str, state: str) -> None:
        path = f"sys/bus/xen/devices/{name}"
        self.write(f"{path}/state", f"{state}\n")
        if driver:
            self.bind(path, driver)

    def emulated_nic(self) -> None:
        self.pci("0000:00:03.0", 0x8086, 0x100E, 0x020000, driver="e1000", revision=3)

    def emulated_disk(self) -> None:
        self.write("sys/block/sda/device/model", "QEMU HARDDISK\n")
        self.write("sys/block/sda/device/type", "0\n")

    def open_xenstore(self) -> None:
        self.write("dev/xen/xenbus", "")

    def pci(
        self,
        slot: str,
        vendor: int,
        device: int,
        class_code: int,
        *,
        subsystem: tuple[int, int] = (0x1AF4, 0x1100),
        revision: int = 0,
        driver: str = "",
    ) -> None:
        path = f"sys/bus/pci/devices/{slot}"
        values = {
            "vendor": vendor,
            "device": device,
            "class": class_code,
            "subsystem_vendor": subsystem[0],
            "subsystem_device": subsystem[1],
            "revision": revision,
        }
        for name, value in values.items():
            self.write(f"{path}/{name}", f"{value:#x}\n")
        if driver:
            self.bind(path, driver)

    def bind(self, path: str, driver: str) -> None:
        target = self.root / "sys/bus/drivers" / driver
        target.mkdir(parents=True, exist_ok=True)
        link = self.root / path / "driver"
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)
