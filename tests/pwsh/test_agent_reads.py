"""Every reading operation, on every recorded Windows, for every state: the module's answer is the state's."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pwsh_process import AgentProcess
from pwsh_state import EMPTY, GERMAN, GOOD, ODD, ONE, GuestState, expected
from pwsh_windows import Windows

from harness import wire
from harness.guest.calls import decode_result
from harness.operations import OPERATIONS

_STATES = {"good": GOOD, "empty": EMPTY, "one": ONE, "odd": ODD, "german": GERMAN}
_READS: list[tuple[str, dict[str, Any]]] = [
    ("system_facts", {}),
    ("boot_id", {}),
    ("security_facts", {}),
    ("pnp_devices", {"prefix": ""}),
    ("pnp_devices", {"prefix": "PCI\\VEN_5853"}),
    ("pnp_devices", {"prefix": "xenbus\\"}),
    (
        "services",
        {"names": ["xenbus_monitor", "missing", "xenbus", "xenagent", "disk", "xennet", 'o\'brien\\x "y"']},
    ),
    ("services", {"names": ["missing"]}),
    ("services", {"names": []}),
    ("driver_packages", {}),
    ("certificates", {"store": "Root"}),
    ("certificates", {"store": "TrustedPublisher"}),
    ("pending_reboots", {}),
    ("network_adapters", {}),
    ("disks", {}),
    ("volumes", {}),
    ("memory", {}),
    ("event_mark", {}),
    ("events_since", {"record": 0, "limit": 1000}),
    ("events_since", {"record": 103, "limit": 2}),
    ("stop_events", {"record": 0}),
    ("stop_events", {"record": 103}),
]


def _shown(state: GuestState, kept: AgentProcess, windows: Windows) -> GuestState:
    """The state as this Windows can show it."""
    assert isinstance(kept.first, wire.Ready)
    state = dataclasses.replace(
        state, system=dataclasses.replace(state.system, shell_version=kept.first.shell)
    )
    if not windows.old:
        return state
    return dataclasses.replace(
        state,
        security=dataclasses.replace(state.security, defender_realtime=None),
        # on Windows 7 CIM knows a device's class only by its driver, and one sector size
        devices=tuple(
            device if device.driver_inf else dataclasses.replace(device, device_class="")
            for device in state.devices
        ),
        disks=tuple(dataclasses.replace(disk, physical_sector=disk.logical_sector) for disk in state.disks),
    )


@pytest.mark.parametrize(("op", "params"), _READS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("name", _STATES)
def test_a_reading_operation_answers_with_the_state(
    kept: AgentProcess, windows: Windows, name: str, op: str, params: dict[str, Any]
) -> None:
    state = _shown(windows.put(_STATES[name]), kept, windows)
    answer = kept.ask(op, **params)
    assert isinstance(answer, wire.Answer), answer
    assert decode_result(OPERATIONS[op], answer.result) == expected(state, op, params)


@pytest.mark.parametrize("path", ["data", "data/value", "device"])
def test_xenstore_nodes_are_read_with_value_and_children(
    kept: AgentProcess, windows: Windows, path: str
) -> None:
    state = windows.put(GOOD)
    answer = kept.ask("xenstore_read", path=path)
    assert isinstance(answer, wire.Answer), answer
    assert decode_result(OPERATIONS["xenstore_read"], answer.result) == expected(
        state, "xenstore_read", {"path": path}
    )
    assert windows.log == [{"session": "ended"}]


@pytest.mark.parametrize("path", ["data/odd", "data/date", "data/ms", "data/space"])
def test_odd_values_of_xenstore_arrive_unchanged(kept: AgentProcess, windows: Windows, path: str) -> None:
    state = windows.put(ODD)
    assert state.xenstore is not None
    answer = kept.ask("xenstore_read", path=path)
    assert isinstance(answer, wire.Answer), answer
    assert answer.result["value"] == state.xenstore[path]


def test_a_missing_xenstore_node_is_told_from_a_forbidden_one(kept: AgentProcess, windows: Windows) -> None:
    windows.put(GOOD)
    missing, forbidden = (
        kept.ask("xenstore_read", path="data/none"),
        kept.ask("xenstore_read", path="data/secret"),
    )
    assert isinstance(missing, wire.Refusal)
    assert isinstance(forbidden, wire.Refusal)
    assert (missing.kind, forbidden.kind) == ("not-found", "access-denied")


def test_without_xeniface_xenstore_fails_and_names_it(kept: AgentProcess, windows: Windows) -> None:
    windows.put(EMPTY)
    answer = kept.ask("xenstore_read", path="data")
    assert isinstance(answer, wire.Refusal)
    assert answer.kind == "command-failed"
    assert "XENIFACE" in answer.detail


@pytest.mark.parametrize(("path", "fired"), [("data/value", True), ("data/quiet", False)])
def test_a_watch_needs_a_second_event(
    kept: AgentProcess, windows: Windows, path: str, *, fired: bool
) -> None:
    windows.put(GOOD)
    answer = kept.ask("xenstore_watch", path=path, seconds=1)
    assert isinstance(answer, wire.Answer), answer
    assert answer.result == {"path": path, "fired": fired}


@pytest.mark.parametrize(
    ("op", "params", "class_name"),
    [
        ("boot_id", {}, "Win32_OperatingSystem"),
        ("pnp_devices", {"prefix": ""}, "Win32_PnPEntity"),
        ("services", {"names": ["x"]}, "Win32_BaseService"),
        ("volumes", {}, "Win32_LogicalDisk"),
    ],
)
def test_what_windows_refuses_is_access_denied_whatever_its_language(
    kept: AgentProcess, windows: Windows, op: str, params: dict[str, Any], class_name: str
) -> None:
    windows.put(GERMAN, denied=[class_name])
    answer = kept.ask(op, **params)
    assert isinstance(answer, wire.Refusal)
    assert (answer.kind, answer.detail) == ("access-denied", "Zugriff verweigert")


def test_a_failing_class_is_an_error_and_not_an_empty_answer(kept: AgentProcess, windows: Windows) -> None:
    windows.put(GOOD, failing=["Win32_OperatingSystem", "MSFT_Disk", "Win32_DiskDrive"])
    for op in ("memory", "disks"):
        answer = kept.ask(op)
        assert isinstance(answer, wire.Refusal)
        assert answer.kind == "command-failed"


def test_a_cd_with_another_label_is_not_found(kept: AgentProcess, windows: Windows) -> None:
    windows.put(EMPTY)
    answer = kept.ask("cd_files", label="PVHCK")
    assert isinstance(answer, wire.Refusal)
    assert answer.kind == "not-found"


def test_a_disk_that_is_not_there_is_not_found(kept: AgentProcess, windows: Windows) -> None:
    windows.put(GOOD)
    for target in (-1, 9):
        answer = kept.ask("read_pattern", target=target, blocks=1, block_size=512)
        assert isinstance(answer, wire.Refusal)
        assert answer.kind == "not-found"
