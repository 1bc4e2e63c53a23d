"""The build's steps in order: each fills one layer of the cache, and is left out when that layer is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.errors import ConfigurationError
from harness.xenlab import debian
from harness.xenlab.bios import bios_layer, make_bios
from harness.xenlab.cache import Cache, Layer, file_digest, key_of
from harness.xenlab.debian import candidate_versions, make_minbase
from harness.xenlab.dom0 import dom0_layer, make_dom0
from harness.xenlab.guestdisk import make_store, store_layer
from harness.xenlab.guesttree import guest_tree_layer, make_guest_tree
from harness.xenlab.recipe import KERNEL_PACKAGE, RELEASE, XEN_PACKAGE

__all__ = ["Layers", "build_layers", "current_layers", "minbase_layer"]

# Their versions tell one state of the release from the next; the rest of the base moves with them.
_BASE = ("base-files", "libc6")
_VERSIONED = (*_BASE, "seabios", "qemu-system-xen", KERNEL_PACKAGE, XEN_PACKAGE)


@dataclass(frozen=True)
class Layers:
    """The layers of one lab. What is not named here is made anew at each start."""

    bios: Layer
    minbase: Layer
    dom0: Layer
    guest: Layer
    store: Layer

    @property
    def all(self) -> tuple[Layer, ...]:
        """In the order they are made."""
        return (self.bios, self.minbase, self.dom0, self.guest, self.store)


def minbase_layer() -> Layer:
    """The layer that both trees start from."""
    return Layer("minbase", key_of(RELEASE, candidate_versions(_BASE), file_digest(Path(debian.__file__))))


def current_layers() -> Layers:
    """The layers this source and this machine's package lists ask for.

    Raises:
        ConfigurationError: apt does not know a package the lab is made of.
    """
    candidate_versions(_VERSIONED)  # at once: the layers ask for a few each
    bios, minbase = bios_layer(), minbase_layer()
    guest = guest_tree_layer(minbase)
    return Layers(bios, minbase, dom0_layer(minbase, bios), guest, store_layer(guest))


def build_layers(cache: Cache, layers: Layers, progress: Callable[[str], None]) -> None:
    """Make the layers that are not there.

    Raises:
        ConfigurationError: not root: the trees need chroot and files of many owners.
        CommandFailed: a step failed; its last words are told.
    """
    minbase, bios, guest = (cache.folder(layer) for layer in (layers.minbase, layers.bios, layers.guest))
    steps: tuple[tuple[Layer, str, Callable[[Path], None]], ...] = (
        (layers.bios, "compiling SeaBIOS with DMA", make_bios),
        (layers.minbase, "debootstrap of the base system", _make_base),
        (layers.dom0, "dom0: packages, image, boot files", partial(make_dom0, minbase=minbase, bios=bios)),
        (layers.guest, "stand-in guest: packages, kernel", partial(make_guest_tree, minbase=minbase)),
        (layers.store, "stand-in guest: disks of the templates", partial(make_store, guest=guest)),
    )
    if os.geteuid() != 0 and not all(cache.has(layer) for layer in layers.all):
        raise ConfigurationError(
            "the Xen lab is built, and then used, as root: its file trees need chroot",
            mend="sudo .venv/bin/pvhck lab xen build",
        )
    for layer, words, maker in steps:
        if not cache.has(layer):
            progress(words)
        cache.make(layer, maker)


def _make_base(folder: Path) -> None:
    make_minbase(folder / "tree")
