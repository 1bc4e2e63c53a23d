"""Guests kept ready for the scenarios: one per host and template, fresh after a failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import GuestCrashed, GuestError, GuestHung
from harness.guest.guest import Guest, GuestState, Login
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import Leftover, RunArea
from harness.host.host import Host
from harness.lab import GuestTemplate
from harness.session.layering import Layers, NoLayers

__all__ = ["GuestKeeper", "Installed", "Keeper", "Preparation"]


class Installed(Protocol):
    """What an installation came to."""

    def demand(self) -> None:
        """Raise what is wrong with the drivers.

        Raises:
            GuestError: names each driver and what is wrong.
        """


class Preparation(Protocol):
    """What turns a guest that answers into one with the drivers under test in it."""

    def __call__(self, guest: Guest) -> Installed:
        """Prepare the guest.

        Raises:
            GuestError: the guest itself was lost over it.
        """


class Keeper(Protocol):
    """The guests of one host in one run, whoever they belong to; methods are those of ``GuestKeeper``."""

    def installed(self, template: GuestTemplate) -> Guest:
        """A guest with the drivers installed, whether or not they work."""

    def verify(self, guest: Guest) -> None:
        """Of a guest that ``installed`` gave: its drivers work."""

    def fresh(self, template: GuestTemplate, *, image: str = "") -> Guest:
        """A new guest as the template has it."""

    def lost(self, template: GuestTemplate) -> Guest | None:
        """The guest of a template that last could not be made ready."""

    def live(self) -> tuple[str, ...]:
        """Names of the guests that are kept now, and whose files are theirs."""

    def domids(self) -> frozenset[int]:
        """Numbers that domains of these guests have had."""

    def take_changes(self) -> tuple[Leftover, ...]:
        """What the last test has changed in guests that have to stay as they are; it is put back."""

    def remove(self, guest: Guest) -> None:
        """Take a guest away."""

    def forget(self) -> tuple[Guest, ...]:
        """Let go of all guests without touching them."""

    def close(self) -> None:
        """Take all guests away."""


@dataclass
class GuestKeeper:
    """The guests of one host in one run.

    A host carries at most ``max_guests``; the least recently asked for is given up first. A guest
    that could not be made ready stays until room is needed, so that evidence can be taken from it.
    """

    host: Host
    area: RunArea
    login: Callable[[GuestTemplate], Login]
    prepare: Preparation
    recheck: Preparation  # of a guest that comes from a layer, instead
    layers: Layers
    report: Callable[[str], None]
    warn: Callable[[str], None]
    boot_s: float
    _kept: dict[str, tuple[Guest, Installed]] = field(default_factory=dict)
    _spoilt: list[Guest] = field(default_factory=list)
    _lost: dict[str, Guest] = field(default_factory=dict)
    _failed: dict[str, GuestError] = field(default_factory=dict)
    _number: int = 0
    _domids: set[int] = field(default_factory=set)  # of guests that were removed

    def installed(self, template: GuestTemplate) -> Guest:
        """A guest with the drivers installed, whether or not they work: the kept one, else a fresh one.

        Raises:
            GuestError: no guest of this template survived the installation, now or earlier in this run.
        """
        if template.name in self._failed:
            raise _again(template, self._failed[template.name])
        kept, verdict = self._kept.pop(template.name, (None, None))
        if (
            kept is not None
            and verdict is not None
            and kept.state in {GuestState.DRIVERS, GuestState.VERIFIED}
        ):
            self._kept[template.name] = kept, verdict
            return kept
        if kept is not None:
            self.remove(kept)
        guest, verdict = self._from_layer(template) or self._from_template(template)
        guest.state = GuestState.DRIVERS
        self._kept[template.name] = guest, verdict
        return guest

    def verify(self, guest: Guest) -> None:
        """Of a guest that ``installed`` gave: its drivers work.

        Raises:
            GuestError: they do not; names each and what is wrong.
        """
        for kept, verdict in self._kept.values():
            if kept is guest and guest.state is not GuestState.VERIFIED:
                verdict.demand()
                guest.state = GuestState.VERIFIED

    def fresh(self, template: GuestTemplate, *, image: str = "") -> Guest:
        """A new guest as the template, or a layer by its image, has it: booted and answering.

        The caller removes it.
        """
        self._make_room()
        self._number += 1
        guest = make_guest(
            self.host,
            self.area,
            template,
            self._number,
            self.login(template),
            report=self.report,
            warn=self.warn,
            image=image,
        )
        try:
            self.report(f"starting {guest.name} on {self.host.name}")
            guest.start()
            guest.wait_ready(guest.deadline(self.boot_s))
        except BaseException:
            self._spoil(guest)
            raise
        return guest

    def lost(self, template: GuestTemplate) -> Guest | None:
        """The guest of a template that last could not be made ready; it may have been removed since."""
        return self._lost.get(template.name)

    def live(self) -> tuple[str, ...]:
        """Names of the guests that are kept now."""
        return tuple(guest.name for guest in self._all())

    def domids(self) -> frozenset[int]:
        """Numbers that domains of these guests have had, as far as they were seen."""
        return frozenset(self._domids).union(*(guest.domids for guest in self._all()))

    def take_changes(self) -> tuple[Leftover, ...]:
        """None: these guests are ours, and go."""
        return ()

    def remove(self, guest: Guest) -> None:
        """Take a guest away."""
        self._domids |= guest.domids
        self._kept = {name: entry for name, entry in self._kept.items() if entry[0] is not guest}
        self._spoilt = [spoilt for spoilt in self._spoilt if spoilt is not guest]
        remove_guest(guest, self.area)

    def forget(self) -> tuple[Guest, ...]:
        """Let go of all guests without touching them, for ``--keep``."""
        guests = self._all()
        self._kept.clear()
        self._spoilt.clear()
        for guest in guests:
            guest.disconnect()
        return guests

    def close(self) -> None:
        """Take all guests away."""
        for guest in self._all():
            self.remove(guest)

    def _from_layer(self, template: GuestTemplate) -> tuple[Guest, Installed] | None:
        """A guest of the build's layer, if there is one and its drivers work; else the layer goes."""
        image = self.layers.find(template)
        if not image:
            return None
        guest, verdict = self._cloned(template, image)
        if _works(verdict):
            return guest, verdict
        self.remove(guest)
        return None

    def _from_template(self, template: GuestTemplate) -> tuple[Guest, Installed]:
        """A guest that the build was installed in, by way of a layer if its drivers work."""
        guest = self.fresh(template)
        try:
            verdict = self._prepared(guest, self.prepare)
        except GuestError as error:
            self._failed[template.name] = error
            raise
        if not self.layers.wants(guest) or not _works(verdict):
            return guest, verdict
        kept = self.layers.keep(guest)
        self.remove(guest)
        if not kept:
            self.layers = NoLayers()  # it would not be otherwise the next time
            return self._from_template(template)
        # if its drivers do not work in the clone, that is what is wrong with the build
        return self._cloned(template, self.layers.find(template))

    def _cloned(self, template: GuestTemplate, image: str) -> tuple[Guest, Installed]:
        """A guest from a layer's image; a layer whose drivers do not work is used no more."""
        guest = self.fresh(template, image=image)
        verdict = self._prepared(guest, self.recheck)
        if not _works(verdict):
            self.layers.drop(template)
        return guest, verdict

    def _prepared(self, guest: Guest, prepare: Preparation) -> Installed:
        try:
            return prepare(guest)
        except BaseException:
            self._spoil(guest)
            raise

    def _all(self) -> tuple[Guest, ...]:
        return (*(guest for guest, _ in self._kept.values()), *self._spoilt)

    def _spoil(self, guest: Guest) -> None:
        guest.break_()
        self._spoilt.append(guest)
        self._lost[guest.template.name] = guest

    def _make_room(self) -> None:
        for guest in tuple(self._spoilt):
            self.remove(guest)
        while len(self._kept) >= self.host.spec.max_guests:
            guest, _ = next(iter(self._kept.values()))
            self.remove(guest)


def _works(verdict: Installed) -> bool:
    try:
        verdict.demand()
    except GuestError:
        return False
    return True


def _again(template: GuestTemplate, first: GuestError) -> GuestError:
    """What is said to every later test: a crash stays a crash, a hang a hang."""
    kind = next((kind for kind in (GuestCrashed, GuestHung) if isinstance(first, kind)), GuestError)
    return kind(f"no {template.name} survived the installation: {first}")
