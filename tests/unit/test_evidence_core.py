"""A core dump of a guest that hangs: made where there is room, brought whole, nothing left on the host."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import InfrastructureError
from harness.evidence import Notes, dump_core

MIB = 1 << 20


class Host:
    """A host with so much memory in its guest and so much room."""

    def __init__(self, *, memory_mib: int = 1, free_mib: int = 100, brought: int | None = None) -> None:
        self.name = "xen1"
        self.asked: list[str] = []
        self.toolstack = SimpleNamespace(
            find=lambda _: SimpleNamespace(memory_mib=memory_mib), dump_core=self._dump
        )
        self.shell = SimpleNamespace(check=self._df, run=self._run, fetch=self._fetch)
        self._memory, self._free = memory_mib * MIB, free_mib << 10
        self._brought = self._memory if brought is None else brought

    def _df(self, argv: list[str], **_: object) -> str:
        head = "Filesystem 1024-blocks Used Available Capacity Mounted on"
        return f"{head}\n/dev/x {self._free} 0 {self._free} 0% /\n"

    def _dump(self, name: str, path: str, *, timeout_s: float) -> int:
        self.asked.append(f"dump {path}")
        return self._memory

    def _fetch(self, path: str, target: Path, *, timeout_s: float) -> None:
        if self._brought < 0:
            target.write_bytes(b"half")
            raise InfrastructureError("connection lost")
        target.write_bytes(bytes(self._brought))

    def _run(self, argv: list[str]) -> None:
        self.asked.append(" ".join(argv))


def dumped(host: Host, folder: Path) -> tuple[str, ...]:
    guest: Any = SimpleNamespace(host=host, name="win1")
    area: Any = SimpleNamespace(folder="/srv/runs/r1", path=lambda name: f"/srv/runs/r1/{name}")
    return dump_core(guest, area, folder / "e", Notes(folder / "e", str))


def test_it_is_brought_and_its_file_on_the_host_goes(tmp_path: Path) -> None:
    host = Host()

    assert dumped(host, tmp_path) == ("guest.core",)
    assert (tmp_path / "e" / "guest.core").stat().st_size == MIB
    assert host.asked == ["dump /srv/runs/r1/win1.core", "rm -f /srv/runs/r1/win1.core"]


@pytest.mark.parametrize("host", [Host(memory_mib=101), Host(memory_mib=5000, free_mib=9000)])
def test_none_is_made_that_would_fill_the_host_or_us(tmp_path: Path, host: Host) -> None:
    assert dumped(host, tmp_path) == ()
    assert host.asked == []
    assert "core dump: none made of win1" in (tmp_path / "e" / "notes.txt").read_text()


@pytest.mark.parametrize("brought", [-1, 10])
def test_half_of_one_is_none_and_the_host_is_clean(tmp_path: Path, brought: int) -> None:
    host = Host(brought=brought)

    with pytest.raises(InfrastructureError):
        dumped(host, tmp_path)
    assert host.asked[-1] == "rm -f /srv/runs/r1/win1.core"
    assert not (tmp_path / "e" / "guest.core").exists()
