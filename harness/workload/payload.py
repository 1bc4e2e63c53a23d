"""A payload there and back, compared by SHA-256: what the network carries arrives unchanged."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.guest.guest import Guest
from harness.guest.transfer import FileServer, sha256_of
from harness.model import GuestKind

__all__ = ["PayloadResult", "Payloads"]

_CHUNK = 1 << 20
_MIB = 1 << 20


@dataclass(frozen=True)
class PayloadResult:
    """SHA-256 of what was sent, of what lay in the guest, and of what came back; sizes in bytes."""

    sent: str
    in_guest: str
    returned: str
    size: int
    returned_size: int

    @property
    def unchanged(self) -> bool:
        """Whether it was the same on both sides, and came back whole."""
        return self.sent == self.in_guest == self.returned and self.size == self.returned_size


class Payloads:
    """Random bytes between us and a guest; the same for the same seed."""

    def __init__(self, guest: Guest, server: FileServer, seed: int) -> None:
        self._guest = guest
        self._server = server
        self._seed = seed

    def exchange(self, mib: int) -> PayloadResult:
        """Have the guest pull so many MiB and push them back.

        Raises:
            OperationFailed: the guest found another hash than it was told.
        """
        operations = self._guest.operations
        there = _path(self._guest)
        with tempfile.TemporaryDirectory(prefix="pvhck-payload-") as folder:
            source, back = Path(folder, "payload.bin"), Path(folder, "returned.bin")
            _write_random(source, mib, self._seed)
            sent = sha256_of(source)
            try:
                with self._server.offer(source) as url:
                    arrived = operations.pull_file(url=url, path=there, sha256=sent)
                with self._server.accept(back) as url:
                    operations.push_file(path=there, url=url)
            finally:
                operations.remove_file(path=there)
            return PayloadResult(
                sent, arrived.sha256, sha256_of(back), source.stat().st_size, back.stat().st_size
            )


def _path(guest: Guest) -> str:
    if guest.kind is GuestKind.STAND_IN:
        return "/tmp/pvhck-payload.bin"  # noqa: S108  # a path of the guest
    return r"C:\ProgramData\pvhck\payload.bin"


def _write_random(path: Path, mib: int, seed: int) -> None:
    """Bytes that no compression on the way makes smaller, the same for the same seed."""
    source = random.Random(seed)  # noqa: S311  # a payload, no secret
    with path.open("wb") as target:
        for _ in range(mib * _MIB // _CHUNK):
            target.write(source.randbytes(_CHUNK))
