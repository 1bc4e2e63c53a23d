"""What the lab is made of: Debian releases, packages of the build machine, addresses, templates.

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
    "GUEST_RELEASE",
    "GUEST_USER",
    "KERNEL_PACKAGE",
    "RELEASES",
    "STORAGE",
    "TEMPLATES",
    "Release",
    "StandInTemplate",
]


@dataclass(frozen=True)
class Release:
    """A release of Debian and the Xen it has. ``device_model`` is the package of dom0's QEMU."""

    xen: str
    debian: str
    device_model: str = "qemu-system-xen"

    @property
    def hypervisor(self) -> str:
        """Xen's package."""
        return f"xen-hypervisor-{self.xen}-amd64"

    @property
    def utils(self) -> str:
        """The toolstack's package."""
        return f"xen-utils-{self.xen}"


# Older and newer Xen are to be had as no package (facts/nested-xen.md).
RELEASES = {
    release.xen: release
    for release in (
        Release("4.17", "bookworm"),
        Release("4.14", "bullseye", "qemu-system-x86"),
        Release("4.20", "trixie"),
    )
}
GUEST_RELEASE = "bookworm"  # the stand-in is the same on all of them
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
