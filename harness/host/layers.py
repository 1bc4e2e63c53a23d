"""Disks of guests with a driver build in them, kept on a host so that the next guest need not be made anew.

A layer is an image in ``STORAGE/layers`` and a note ``NAME.json``, written last: what no note names is not
whole. Its name comes from all that made it (template image, packages), so that nothing outdated is ever found
by it. Clones have the image as backing file: it is never written to, never replaced, and removed only when no
guest can be running on it.
"""

from __future__ import annotations

import json
import secrets
import shlex
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from harness.host.numbers import whole_number
from harness.host.ssh import SshShell
from harness.host.state import moment, read_note

__all__ = ["Layer", "LayerStore"]

_DAY_S = 86400
_MOVE_S = 900


@dataclass(frozen=True)
class Layer:
    """A layer of a host. Times are seconds since 1970 by the host's clock; ``size_mib`` is what it takes."""

    name: str
    image: str  # path on the host
    template: str
    made_by: str  # the run
    made: float
    expires: float
    size_mib: int


class LayerStore:
    """The layers of one host, in its storage unless said otherwise."""

    def __init__(self, shell: SshShell, folder: str = "") -> None:
        self._shell = shell
        self._folder = PurePosixPath(folder or f"{shell.spec.storage}/layers")

    def find(self, name: str) -> Layer | None:
        """A layer that is whole and has not expired."""
        layer = self._note(name)
        return layer if layer is not None and layer.expires > self._now() else None

    def keep(self, name: str, disk: str, *, template: str, run: str, days: float) -> Layer:
        """Make a guest's disk a layer; the guest is off, and its disk is moved away from it.

        Raises:
            CommandFailed: it cannot be moved.
        """
        shell, target = self._shell, str(self._folder / f"{name}-{secrets.token_hex(4)}.img")
        shell.check(["mkdir", "-p", str(self._folder)])
        shell.check(["mv", disk, target], timeout_s=_MOVE_S)
        now = self._now()
        size, _, _ = shell.check(["du", "-m", target], repeatable=True).partition("\t")
        size_mib = whole_number(size, "what du says")
        layer = Layer(name, target, template, run, now, now + days * _DAY_S, size_mib)
        shell.put((json.dumps(asdict(layer)) + "\n").encode(), self._note_path(name))
        return layer

    def drop(self, name: str) -> None:
        """No new guest comes from this layer; its image stays until ``trim``, as guests may run on it."""
        self._shell.check(["rm", "-f", self._note_path(name)])

    def all(self) -> tuple[Layer, ...]:
        """Every layer that is whole, the newest first."""
        notes = self._shell.run(["sh", "-c", f"cat {shlex.quote(str(self._folder))}/*.json"], repeatable=True)
        found = [layer for line in notes.stdout.splitlines() if (layer := _parse(line)) is not None]
        return tuple(sorted(found, key=lambda layer: layer.made, reverse=True))

    def trim(self, budget_mib: int) -> tuple[Layer, ...]:
        """Remove what has expired, the oldest beyond a budget, and images that no note names.

        No guest of a run may be on the host.
        """
        now, used = self._now(), 0
        kept: list[Layer] = []
        gone: list[Layer] = []
        for layer in self.all():
            fits = layer.expires > now and used + layer.size_mib <= budget_mib
            used += layer.size_mib if fits else 0
            (kept if fits else gone).append(layer)
        for layer in gone:
            self.drop(layer.name)
        images = self._shell.run(["find", str(self._folder), "-name", "*.img"], repeatable=True).stdout
        orphans = set(images.splitlines()) - {layer.image for layer in kept}
        if orphans:
            self._shell.check(["rm", "-f", *sorted(orphans)])
        return tuple(gone)

    def _note(self, name: str) -> Layer | None:
        return _parse(self._shell.run(["cat", self._note_path(name)], repeatable=True).stdout)

    def _note_path(self, name: str) -> str:
        return str(self._folder / f"{name}.json")

    def _now(self) -> float:
        return whole_number(self._shell.check(["date", "+%s"], repeatable=True), "the host's clock")


def _parse(line: str) -> Layer | None:
    try:
        fields = read_note(line)
        return Layer(
            str(fields["name"]),
            str(fields["image"]),
            str(fields["template"]),
            str(fields["made_by"]),
            moment(fields["made"]),
            moment(fields["expires"]),
            _size(fields["size_mib"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _size(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"no size: {value!r:.80}")
    return value
