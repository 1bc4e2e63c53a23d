"""What a guest keeps on its system disk: qcow2's magic, then JSON, written at each change."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import cattrs

from harness.lab import Firmware, GuestTemplate
from harness.model import Arch
from harness.operations import Certificate, Event
from harness.simlab.guest.catalog import Signature
from harness.simlab.guest.inf import Inf
from harness.simlab.machine import QCOW2_MAGIC

__all__ = ["Account", "Kept", "KeptJob", "StoredPackage", "SystemDisk", "blank_disk", "copied_disk"]

_converter = cattrs.Converter(forbid_extra_keys=True)

# In every Windows, so that the store is not empty: as Microsoft's root program lists it.
_BUILT_IN_ROOTS = (
    Certificate(
        "Root",
        "3B1EFD3A66EA28B16697394703A72CA340A05BD5",
        "CN=Microsoft Root Certificate Authority 2010, O=Microsoft Corporation, "
        "L=Redmond, S=Washington, C=US",
    ),
)


@dataclass(frozen=True)
class StoredPackage:
    """A package in the driver store, as it was when it was added."""

    published: str
    original: str
    inf: Inf
    signature: Signature


@dataclass
class Bugcheck:
    """What the next boot writes to the event log about a crash."""

    code: int
    parameters: tuple[int, int, int, int]
    dump: str


@dataclass
class KeptJob:
    """A job; its output lies in files. ``exit_code`` None: it runs, or was lost with its boot."""

    boot: str
    exit_code: int | None = None


@dataclass(frozen=True)
class Account:
    """Who may log in to a Windows that was set up here, and the certificate it shows (PEM).

    ``faults`` are switches of the guest, by their names in hosts.ini.
    """

    user: str
    password: str = field(repr=False)
    certificate: str
    key: str = field(repr=False)
    faults: tuple[str, ...] = ()


@dataclass
class Kept:
    r"""Everything that outlives a boot.

    ``running`` says that no clean stop has happened since the last boot. ``unplug`` are the values
    of ``XEN\Unplug`` (facts/pv-drivers.md 6), ``filters`` whether xenfilt stands in the class
    filters, ``adapters`` the settings that were changed, by MAC and keyword.
    """

    template: str
    os: str
    arch: Arch
    computer_name: str
    secure_boot: bool | None = None
    test_signing: bool = False
    packages: list[StoredPackage] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    jobs: dict[str, KeptJob] = field(default_factory=dict)
    adapters: dict[str, dict[str, str]] = field(default_factory=dict)
    unplug: dict[str, int] = field(default_factory=dict)
    filters: bool = False
    running: bool = False
    next_oem: int = 0
    bugcheck: Bugcheck | None = None
    account: Account | None = None  # of a Windows that was set up here
    setup: str = ""  # the step of its setup that comes next
    answers: str = ""  # Setup's copy of the answer file


class SystemDisk:
    """The file of a guest's system disk.

    Raises (when made):
        ValueError: nothing bootable lies there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._closed = False
        data = path.read_bytes()
        if not data.startswith(QCOW2_MAGIC):
            raise ValueError(f"{path.name} is no disk of a simulated guest")
        self.kept = _converter.structure(json.loads(data[len(QCOW2_MAGIC) :]), Kept)

    def save(self) -> None:
        """Write what is kept now. A disk that is gone, or closed, stays as it is."""
        data = _encode(self.kept)
        with self._lock:
            if self._closed:
                return
            try:
                with self._path.open("r+b") as file:
                    file.write(data)
                    file.truncate()
            except FileNotFoundError:
                self._closed = True

    def close(self) -> None:
        """The power is gone: nothing more is written."""
        with self._lock:
            self._closed = True

    def reopen(self) -> None:
        """The guest goes on after a restore, with what it had in memory."""
        with self._lock:
            self._closed = False


def copied_disk(kept: Kept) -> bytes:
    """The system disk as Windows PE leaves it."""
    kept.certificates = list(_BUILT_IN_ROOTS)
    return _encode(kept)


def blank_disk(template: GuestTemplate, seed: int) -> bytes:
    """The system disk of a freshly installed Windows without any of the drivers."""
    digest = hashlib.sha256(f"{seed}/{template.name}".encode()).hexdigest()
    return _encode(
        Kept(
            template=template.name,
            os=template.os,
            arch=template.arch,
            computer_name=f"WIN-{digest[:11].upper()}",
            secure_boot=False if template.firmware is Firmware.UEFI else None,
            certificates=list(_BUILT_IN_ROOTS),
        )
    )


def _encode(kept: Kept) -> bytes:
    return QCOW2_MAGIC + json.dumps(_converter.unstructure(kept), separators=(",", ":")).encode()
