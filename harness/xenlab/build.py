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
from harness.xenlab.debian import Suite, candidate_versions, make_minbase
from harness.xenlab.dom0 import dom0_layer, make_dom0
from harness.xenlab.guestdisk import make_store, store_layer
from harness.xenlab.guesttree import guest_tree_layer, make_guest_tree
from harness.xenlab.recipe import GUEST_RELEASE, KERNEL_PACKAGE, Release

__all__ = ["Layers", "build_layers", "current_layers", "minbase_layer"]

# Their versions tell one state of the release from the next; the rest of the base moves with them.
_BASE = ("base-files", "libc6")


@dataclass(frozen=True)
class Layers:
    """The layers of one lab. What is not named here is made anew at each start.

    ``minbase`` is what dom0 starts from, ``guest_base`` what the stand-in does: the same where the
    releases are.
    """

    bios: Layer
    minbase: Layer
    dom0: Layer
    guest_base: Layer
    guest: Layer
    store: Layer

    @property
    def all(self) -> tuple[Layer, ...]:
        """In the order they are made, each once."""
        made = (self.bios, self.minbase, self.dom0, self.guest_base, self.guest, self.store)
        return tuple(dict.fromkeys(made))


def minbase_layer(suite: Suite) -> Layer:
    """The layer that a tree of a release starts from."""
    versions = candidate_versions(_BASE, suite)
    return Layer("minbase", key_of(suite.release, versions, file_digest(Path(debian.__file__))))


def current_layers(release: Release, cache: Cache) -> Layers:
    """The layers this source and the package lists ask for.

    Raises:
        ConfigurationError: apt does not know a package the lab is made of.
    """
    host, guest = (_suite(name, cache) for name in (release.debian, GUEST_RELEASE))
    # at once: the layers ask for a few each, and every question takes apt a second
    candidate_versions((*_BASE, KERNEL_PACKAGE, release.hypervisor, release.device_model), host)
    candidate_versions((*_BASE, KERNEL_PACKAGE, "seabios"), guest)
    bios, minbase, guest_base = bios_layer(guest), minbase_layer(host), minbase_layer(guest)
    tree = guest_tree_layer(guest_base, guest)
    return Layers(
        bios, minbase, dom0_layer(minbase, bios, release, host), guest_base, tree, store_layer(tree)
    )


def build_layers(cache: Cache, layers: Layers, release: Release, progress: Callable[[str], None]) -> None:
    """Make the layers that are not there.

    Raises:
        ConfigurationError: not root: the trees need chroot and files of many owners.
        CommandFailed: a step failed; its last words are told.
    """
    if os.geteuid() != 0 and not all(cache.has(layer) for layer in layers.all):
        raise ConfigurationError(
            "the Xen lab is built, and then used, as root: its file trees need chroot",
            mend="sudo .venv/bin/pvhck lab xen build",
        )
    host, own = (_suite(name, cache) for name in (release.debian, GUEST_RELEASE))
    minbase, bios = cache.folder(layers.minbase), cache.folder(layers.bios)
    guest_base, guest = cache.folder(layers.guest_base), cache.folder(layers.guest)
    dom0 = partial(make_dom0, release=release, minbase=minbase, bios=bios)
    steps: tuple[tuple[Layer, str, Callable[[Path], None]], ...] = (
        (layers.bios, "compiling SeaBIOS with DMA", partial(make_bios, suite=own)),
        (layers.minbase, f"debootstrap of Debian {release.debian}", partial(_make_base, suite=host)),
        (layers.dom0, f"dom0 with Xen {release.xen}: packages, image, boot files", dom0),
        (layers.guest_base, f"debootstrap of Debian {GUEST_RELEASE}", partial(_make_base, suite=own)),
        (layers.guest, "stand-in guest: packages, kernel", partial(make_guest_tree, minbase=guest_base)),
        (layers.store, "stand-in guest: disks of the templates", partial(make_store, guest=guest)),
    )
    for layer, words, maker in steps:
        if not cache.has(layer):
            progress(words)
        cache.make(layer, maker)


def _suite(release: str, cache: Cache) -> Suite:
    return Suite(release, cache.root / f"apt-{release}")


def _make_base(folder: Path, *, suite: Suite) -> None:
    make_minbase(folder / "tree", suite)
