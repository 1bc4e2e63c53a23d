"""libvirt-python behind its port, on libvirt's own test driver: lifecycle, memory, save, events, refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import ToolMissing
from harness.host.toolstack import libvirt_binding
from harness.host.toolstack.libvirt_binding import LibvirtBinding
from harness.libvirtport import LibvirtCode, LibvirtRefusal, PortEvent, PortState

XML = "<domain type='test'><name>{name}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
STARTED, SUSPENDED, RESUMED, STOPPED = 2, 3, 4, 5  # virDomainEventType


@pytest.fixture
def port(tmp_path: Path) -> Iterator[LibvirtBinding]:
    # test:///default is one for the whole process: a node of its own has no domains of other tests
    node = tmp_path / "node.xml"
    node.write_text("<node/>")
    binding = LibvirtBinding(f"test://{node}")
    binding.create(XML.format(name="win1"), paused=False)
    yield binding
    binding.close()


def row(port: LibvirtBinding, name: str = "win1") -> Any:
    return next((domain for domain in port.domains() if domain.name == name), None)


def test_a_domain_lives_is_paused_and_is_gone_when_it_is_destroyed(port: LibvirtBinding) -> None:
    assert row(port).state == PortState.RUNNING
    assert row(port).max_memory == 65536
    assert "<name>win1</name>" in port.xml("win1")
    port.pause("win1")
    assert row(port).state == PortState.PAUSED
    port.resume("win1")
    assert row(port).state == PortState.RUNNING
    port.destroy("win1")
    assert row(port) is None
    assert port.version() > 0


def test_memory_is_set_in_kib(port: LibvirtBinding) -> None:
    port.set_memory("win1", 32768)
    assert row(port).memory == 32768


def test_a_saved_domain_comes_back(port: LibvirtBinding, tmp_path: Path) -> None:
    path = str(tmp_path / "win1.save")
    port.save("win1", path)
    assert row(port) is None
    port.restore(path, paused=False)
    assert row(port).state == PortState.RUNNING


def test_events_are_gathered_until_they_are_asked_for(port: LibvirtBinding) -> None:
    port.pause("win1")
    port.resume("win1")
    port.destroy("win1")
    seen: list[PortEvent] = []

    def probe() -> Done[None] | NotYet:
        seen.extend(port.events())
        kinds = [event.event for event in seen if event.domain == "win1"]
        return Done(None) if kinds[-1:] == [STOPPED] else NotYet(str(seen))

    wait_until(probe, subject="the events", deadline=Deadline.after(20), interval_s=0.05)
    kinds = [event.event for event in seen if event.domain == "win1"]
    assert kinds == [STARTED, SUSPENDED, RESUMED, STOPPED]


def test_refusals_carry_libvirts_code_and_words(port: LibvirtBinding) -> None:
    with pytest.raises(LibvirtRefusal, match="Domain not found") as unknown:
        port.pause("nosuch")
    assert unknown.value.code == LibvirtCode.NO_DOMAIN
    with pytest.raises(LibvirtRefusal) as twice:
        port.create(XML.format(name="win1"), paused=False)
    assert twice.value.code == LibvirtCode.OPERATION_FAILED


def test_an_address_where_nobody_answers_is_no_connection(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        LibvirtBinding(f"xen+unix:///system?socket={tmp_path}/nobody")


def test_a_call_that_is_never_answered_is_given_up_with_its_connection(port: LibvirtBinding) -> None:
    cuts: list[str] = []
    port._cut = lambda: cuts.append("cut")
    gate = threading.Event()
    with pytest.raises(ConnectionError, match="did not answer"):
        port._within(gate.wait, 0.05)
    gate.set()
    assert cuts == ["cut"]


def test_without_the_library_its_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(libvirt_binding.importlib, "import_module", missing)
    with pytest.raises(ToolMissing, match="libvirt-dev"):
        LibvirtBinding("test:///default")
