"""SeaBIOS that reads IDE disks by DMA.

Debian's own reads them word by word, and under TCG GRUB then takes minutes to load a kernel
(facts/nested-xen.md, "IDE needs a SeaBIOS with bus-master DMA"). Nested labs only: the disk stays IDE
because QEMU does not unplug AHCI disks.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.xenlab.cache import Layer, file_digest, key_of
from harness.xenlab.debian import Suite, candidate_versions
from harness.xenlab.shell import run

__all__ = ["bios_layer", "make_bios"]

_CONFIG = (
    "CONFIG_QEMU=y",
    "CONFIG_ROM_SIZE=256",
    "CONFIG_ATA_DMA=y",
    "CONFIG_ATA_PIO32=y",
    "CONFIG_BOOTMENU=n",
    "CONFIG_BOOTSPLASH=n",
)


def bios_layer(suite: Suite) -> Layer:
    """The layer that ``make_bios`` fills."""
    return Layer("bios", key_of(file_digest(Path(__file__)), candidate_versions(["seabios"], suite)))


def make_bios(folder: Path, *, suite: Suite) -> None:
    """Put ``bios-256k.bin`` into ``folder``."""
    work = folder / "work"
    work.mkdir()
    run(["tar", "-xf", suite.fetch_source("seabios", work)], cwd=work)
    source = next(work.glob("seabios-*/"))
    (source / ".config").write_text("".join(f"{line}\n" for line in _CONFIG))
    make = ("make", "PYTHON=python3")
    run([*make, "oldnoconfig"], cwd=source)
    for table in (source / "src/fw").glob("*.hex"):
        table.touch()  # newer than their sources: else make wants the ACPI compiler
    run([*make, "EXTRAVERSION=-standin", "-j2"], cwd=source)
    shutil.copyfile(source / "out/bios.bin", folder / "bios-256k.bin")
    shutil.rmtree(work)
