"""Files to and from a guest: pulled by HTTP, or on a CD when the guest cannot reach us.

What arrives is hashed there and compared here.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pycdlib

from harness.deadline import Done, NotYet, wait_until
from harness.errors import HarnessError, InfrastructureError, OperationFailed
from harness.guest.fileserver import MOST_ACCEPTED, FileServer
from harness.guest.guest import Guest
from harness.host.area import RunArea
from harness.operations import FileFacts, GuestOperations

__all__ = ["CD_DRIVE", "CD_LABEL", "FileServer", "by_cd", "from_guest", "make_iso", "sha256_of", "to_guest"]

CD_LABEL = "PVHCK"
CD_DRIVE = "hdc"
_CD_S = 60
# Joliet: 64 characters with the version, and none of these; one beyond the BMP counts twice. What is . or ..
# would be a folder.
_CD_NAME_BYTES = 64  # what pycdlib 1.22.0 takes for those characters: it counts UTF-8
_CD_NAME = re.compile(r"(?!\.{1,2}$)[^*/:;?\\\x00-\x1f\U00010000-\U0010ffff]{1,60}")


def sha256_of(path: Path) -> str:
    """A local file's SHA-256."""
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def to_guest(guest: GuestOperations, server: FileServer, source: Path, target: str) -> FileFacts:
    """Have the guest pull a file; its hash there is ours.

    Raises:
        InfrastructureError: it arrived with another hash or size.
    """
    wanted = sha256_of(source)
    with server.offer(source) as url:
        facts = guest.pull_file(url=url, path=target, sha256=wanted)
    if (facts.sha256, facts.size) != (wanted, source.stat().st_size):
        raise InfrastructureError(
            f"{source.name} arrived as {facts.path} with SHA-256 {facts.sha256}, not {wanted}",
            mend="something between us and the guest changes what it carries",
        )
    return facts


def from_guest(
    guest: GuestOperations, server: FileServer, path: str, target: Path, *, most: int = MOST_ACCEPTED
) -> FileFacts:
    """Have the guest send a file of at most so many bytes to ``target``; its hash here is the one it took.

    Raises:
        InfrastructureError: it arrived with another hash or size.
    """
    with server.accept(target, most=most) as url:
        facts = guest.push_file(path=path, url=url)
    arrived = (sha256_of(target), target.stat().st_size) if target.exists() else ("", 0)
    if arrived != (facts.sha256, facts.size):
        raise InfrastructureError(
            f"{path} of the guest arrived with SHA-256 {arrived[0] or 'of nothing'}, not {facts.sha256}",
            mend="something between the guest and us changes what it carries, or our disk is full",
        )
    return facts


def by_cd(guest: Guest, area: RunArea, files: Mapping[str, Path], folder: str) -> tuple[FileFacts, ...]:
    """Files into a folder of a guest that cannot reach us: on a CD that its toolstack inserts.

    ``files`` are by their name on the CD, which is the one in the folder, too. The facts are in
    their order.

    Raises:
        InfrastructureError: one arrived with another hash.
    """
    path = area.path(f"{guest.name}.files.iso")
    with tempfile.TemporaryDirectory() as scratch:
        iso = Path(scratch) / "files.iso"
        make_iso(dict(files), iso)
        guest.host.shell.put(iso, path)
    toolstack = guest.host.toolstack
    toolstack.insert_cd(guest.name, CD_DRIVE, path)
    try:
        _await_cd(guest)
        return tuple(_copied(guest, name, source, f"{folder}/{name}") for name, source in files.items())
    finally:
        toolstack.eject_cd(guest.name, CD_DRIVE)
        guest.host.shell.check(["rm", "-f", path])


def _await_cd(guest: Guest) -> None:
    def probe() -> Done[None] | NotYet:
        try:
            guest.operations.cd_files(label=CD_LABEL)
        except OperationFailed as error:
            if error.kind != "not-found":
                raise
            return NotYet(str(error))
        return Done(None)

    wait_until(probe, subject=f"{guest.name} sees the CD", deadline=guest.deadline(_CD_S))


def _copied(guest: Guest, name: str, source: Path, target: str) -> FileFacts:
    facts = guest.operations.copy_from_cd(label=CD_LABEL, name=name, path=target)
    if facts.sha256 != sha256_of(source):
        raise InfrastructureError(f"{name} came from the CD with SHA-256 {facts.sha256}, not its own")
    return facts


def make_iso(files: dict[str, Path], target: Path) -> None:
    """An ISO image (Joliet, label ``PVHCK``) with files in its root folder, by the names given."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, vol_ident=CD_LABEL)
    try:
        for number, (name, path) in enumerate(sorted(files.items())):
            if not _CD_NAME.fullmatch(name) or len(name.encode()) > _CD_NAME_BYTES:
                raise HarnessError(f"{name!r} cannot be a file name on a CD", mend="rename it")
            iso.add_file(str(path), f"/F{number:07}.;1", joliet_path=f"/{name}")
        iso.write(str(target))
    finally:
        with contextlib.suppress(Exception):
            iso.close()
