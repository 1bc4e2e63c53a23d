"""Bringing files into a guest: it pulls them by HTTP, or finds them on a CD when it cannot reach us."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, OperationFailed
from harness.guest.fileserver import TOKEN
from harness.guest.guest import Guest
from harness.guest.transfer import FileServer, by_cd, to_guest
from harness.host.area import RunArea, run_of
from harness.model import GuestKind

__all__ = ["Delivery", "address_for", "deliver"]

_LOOPBACK = "127.0.0.1"
_FOLDER_AND_NAME = re.compile(r"[\\/](?=[^\\/]*$)")
_TOKEN = re.compile(rf"/{TOKEN}[\w-]+/")  # of a file server's URL


@dataclass(frozen=True)
class Delivery:
    """A file that is in the guest; ``warning`` says why it did not go the usual way, if so."""

    path: str
    warning: str = ""


def address_for(guest: Guest) -> str:
    """Our address as a guest reaches us, empty if it cannot; a simulated one is on loopback itself."""
    return guest.host.spec.controller or (_LOOPBACK if guest.kind is GuestKind.SIMULATED else "")


def deliver(guest: Guest, source: Path, target: str) -> Delivery:
    """Have ``source`` in the guest as ``target``, its hash compared there.

    Raises:
        InfrastructureError: neither way works, or the file arrives changed.
        ConfigurationError: ``controller`` of hosts.ini cannot be served on.
    """
    address = address_for(guest)
    if not address:
        _by_cd(guest, source, target)
        return Delivery(target)
    try:
        with FileServer(address, towards=guest.host.spec.address) as server:
            to_guest(guest.operations, server, source, target)
    except OperationFailed as error:
        if error.kind != "command-failed":
            raise
        _by_cd(guest, source, target)
        detail = _TOKEN.sub("/<token>/", error.detail)
        return Delivery(target, f"it cannot fetch from {address}, it got a CD: {detail}")
    return Delivery(target)


def _by_cd(guest: Guest, source: Path, target: str) -> None:
    run = run_of(guest.name)
    if run is None:
        raise InfrastructureError(
            f"{guest.name} is no guest of a run: there is no place for a CD image on host {guest.host.name}",
            mend=f"set controller in [host {guest.host.name}] to our address as guests see it",
        )
    folder, name = _FOLDER_AND_NAME.split(target)
    by_cd(guest, RunArea(guest.host.shell, run), {name: source}, folder)
