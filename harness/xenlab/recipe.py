"""What the lab is made of: Debian release, packages of the build machine, addresses, templates.

What one step alone needs stands in that step's module, so that a change there does not build the others
anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.model import INSTALL_ORDER

__all__ = [
    "BRIDGE",
    "BRIDGE_ADDRESS",
    "BUILD_PACKAGES",
    "CONTROLLER",
    "GUEST_USER",
    "KERNEL_PACKAGE",
    "RELEASE",
    "STORAGE",
    "TEMPLATES",
    "XEN_PACKAGE",
    "StandInTemplate",
]

RELEASE = "bookworm"  # Debian 12: Xen 4.17
XEN_PACKAGE = "xen-hypervisor-4.17-amd64"
KERNEL_PACKAGE = "linux-image-amd64"  # the cloud kernel has no e1000 (its config-6.1.0-56, CONFIG_E1000)

BUILD_PACKAGES = (
    "cpio",
    "debootstrap",
    "e2fsprogs",
    "fdisk",
    "gcc",
    "grub-common",
    "grub-pc-bin",
    "kmod",
    "libc6-dev",
    "make",
    "openssh-client",
    "python3",
    "qemu-system-x86",
    "qemu-utils",
    "util-linux",
    "zstd",
)

BRIDGE = "xenbr0"
BRIDGE_ADDRESS = "10.77.0.1"  # dom0, as guests see it
# Guests reach this machine's loopback there: dom0 masquerades, QEMU's user network turns its gateway
# address into 127.0.0.1.
CONTROLLER = "10.0.2.2"
STORAGE = "/var/lib/pvhck"  # a disk of its own in dom0
GUEST_USER = "Administrator"


@dataclass(frozen=True)
class StandInTemplate:
    """A disk image of the stand-in guest with packages installed beforehand."""

    name: str
    installed: tuple[str, ...]

    @property
    def image(self) -> str:
        """Relative to ``STORAGE``."""
        return f"templates/{self.name}.qcow2"


TEMPLATES = (
    StandInTemplate("standin-bare", ()),
    StandInTemplate("standin-all", tuple(INSTALL_ORDER)),
)
