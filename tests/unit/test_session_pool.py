"""The hosts of a run: what is wrong with one is said, and keeps it from nothing but that one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Self

import pytest

from harness.errors import HostBusy, InfrastructureError
from harness.host.figures import HostFigures
from harness.host.health import Health, HealthNote
from harness.host.lease import holder_now
from harness.host.logscan import HostLogs
from harness.lab import HostKind, HostSpec
from harness.session import pool as pool_module
from harness.session.pool import HostPool


def host(name: str) -> Any:
    return SimpleNamespace(name=name, spec=HostSpec(name, HostKind.SSH, "192.0.2.1"), shell=None)


class Lease:
    """One that is always had."""

    given_back = 0

    def __init__(self, shell: object, holder: object) -> None:
        del shell, holder
        self.lost = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        Lease.given_back += 1


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> HostPool:
    monkeypatch.setattr(pool_module, "HostLease", Lease)
    monkeypatch.setattr(Lease, "given_back", 0)
    monkeypatch.setattr(HostPool, "_ready", lambda *_: HostLogs())
    monkeypatch.setattr(
        pool_module, "read_figures", lambda _: HostFigures(frozenset(), 0, 0, None, frozenset())
    )
    monkeypatch.setattr(pool_module, "health_of", _healths)
    return HostPool(holder_now("run-1"), 0, print, print)


def _healths(spec: HostSpec) -> HealthNote:
    return HealthNote(Health.MAINTENANCE, 1.0, "new disks") if spec.name == "away" else HealthNote()


def test_a_host_that_was_lost_is_used_no_more(pool: HostPool) -> None:
    found = host("a")
    pool.take(found)
    pool.take(found)
    pool._had["a"].lease.lost = "the connection broke"  # type: ignore[misc]
    with pytest.raises(HostBusy, match="not ours any more: the connection broke"):
        pool.take(found)
    assert pool.lost() == {"a": "the connection broke"}


def test_one_host_that_cannot_be_had_keeps_no_other_back(pool: HostPool) -> None:
    wrong = pool.take_all([host("b"), host("away"), host("a")])
    assert list(wrong) == ["away"]
    assert "under maintenance: new disks" in str(wrong["away"])


def test_a_host_that_is_not_ready_is_given_back_at_once_and_looked_at_again(
    pool: HostPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([InfrastructureError("0 MiB free"), HostBusy("a run without a lease")])

    def ready(_: HostPool, host: object) -> HostLogs:
        del host
        found = next(looks, None)
        if found is not None:
            raise found
        return HostLogs()

    monkeypatch.setattr(HostPool, "_ready", ready)
    assert "0 MiB free" in str(pool.take_all([host("a")])["a"])
    assert Lease.given_back == 1
    with pytest.raises(HostBusy, match="without a lease"):
        pool.take(host("a"))
    assert Lease.given_back == 2
    pool.take(host("a"))
    assert Lease.given_back == 2


def test_a_host_that_answers_no_more_at_the_end_keeps_no_other_from_being_given_back(
    pool: HostPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: object) -> HostLogs:
        raise InfrastructureError("no SSH connection")

    monkeypatch.setattr(pool_module, "read_logs", gone)
    with pool:
        pool.take_all([host("a"), host("b")])
    assert Lease.given_back == 2
