"""Which layer a guest of this run can come from, and which guest becomes one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import HarnessError
from harness.guest.guest import Guest
from harness.guest.power import shut_down
from harness.host.host import Host
from harness.host.layers import LayerStore
from harness.lab import GuestTemplate
from harness.package import DriverBuild

__all__ = ["Layering", "Layers", "NoLayers"]

_DAYS = 14
_FORMAT = 1  # counts up when what we do to a guest besides the build changes


class Layers(Protocol):
    """Where a guest with drivers can come from, besides its template."""

    def wants(self, guest: Guest) -> bool:
        """Whether this guest, if its drivers work, is to become one."""

    def find(self, template: GuestTemplate) -> str:
        """The image to clone instead of the template's; empty if there is none."""

    def keep(self, guest: Guest) -> bool:
        """Make a layer of a guest whose drivers work; it is off afterwards, and must go.

        Whether it could be done; what stood against it is a warning.
        """

    def drop(self, template: GuestTemplate) -> None:
        """The layer is not what it should be."""


class NoLayers:
    """Without a build, or on a host that keeps none: every guest comes from its template."""

    def wants(self, guest: Guest) -> bool:
        """See ``Layers.wants``."""
        del guest
        return False

    def find(self, template: GuestTemplate) -> str:
        """See ``Layers.find``."""
        del template
        return ""

    def keep(self, guest: Guest) -> bool:
        """See ``Layers.keep``."""
        del guest
        return False

    def drop(self, template: GuestTemplate) -> None:
        """See ``Layers.drop``."""


@dataclass
class Layering:
    """``Layers`` of one host for one build. A guest has ``off_s`` seconds to go down."""

    host: Host
    build: DriverBuild
    run_id: str
    report: Callable[[str], None]
    warn: Callable[[str], None]
    off_s: float
    _warned: bool = False
    _names: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> LayerStore:
        """The host's layers."""
        return LayerStore(self.host.shell)

    def wants(self, guest: Guest) -> bool:
        """See ``Layers.wants``. A layer is a file: a logical volume cannot become one."""
        if not guest.domain.disks[0].is_device:
            return True
        if not self._warned:
            self._warned = True
            self.warn(
                f"host {self.host.name}: a logical volume cannot be kept as a layer: the build is installed "
                "in every guest anew"
            )
        return False

    def find(self, template: GuestTemplate) -> str:
        """See ``Layers.find``."""
        layer = self.store.find(self._name(template))
        return layer.image if layer is not None else ""

    def keep(self, guest: Guest) -> bool:
        """See ``Layers.keep``."""
        template = guest.template
        self.report(f"keeping {guest.name} as a layer for later guests of {template.name}")
        try:
            shut_down(guest, ack_s=self.off_s, off_s=self.off_s)
            self.store.keep(
                self._name(template),
                guest.domain.disks[0].path,
                template=template.name,
                run=self.run_id,
                days=_DAYS,
            )
        except (HarnessError, AssertionError) as error:
            self.warn(f"{guest.name} could not be kept as a layer: {error}")
            return False
        return True

    def drop(self, template: GuestTemplate) -> None:
        """See ``Layers.drop``."""
        self.warn(f"host {self.host.name}: the layer of {template.name} does not verify: it is used no more")
        self.store.drop(self._name(template))

    def _name(self, template: GuestTemplate) -> str:
        if template.name not in self._names:
            image = str(template.image_on(self.host.spec))
            facts = {
                "format": _FORMAT,
                "image": self.host.shell.check(["stat", "-c", "%n %s %Y", image], repeatable=True).strip(),
                "packages": sorted(
                    (package.name, package.arch, package.version, package.sha256)
                    for package in self.build.for_arch(template.arch).packages
                ),
            }
            digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
            self._names[template.name] = f"{template.name}-{digest}"
        return self._names[template.name]
