"""A whole installation on a simulated lab, seen through the true module on the real engine.

From the harness's guest layer to the module everything is what real guests get: pywinrm's channel, WinRM on
loopback, the kept PowerShell process with the module the harness sent it. Only Windows' commands are stubs,
and they show the simulated guest as it is when it is asked.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pwsh_simlab import BY_THE_MODEL, ON_ENGINE, EngineAgents
from pwsh_windows import Windows

from harness.guest.guest import Guest, Login
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import RunArea
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.install import install_build, verify_drivers
from harness.lab import GuestTemplate, HostKind, HostSpec, Lab
from harness.lab.profile import InstallParams
from harness.model import INSTALL_ORDER, Arch, GuestKind, XenVersion
from harness.operations import OPERATIONS, Effect, SystemFacts
from harness.package import load_build, make_build
from harness.simlab import SimLab

_BOOT_S = 120  # the engine starts anew at each boot, on a machine that does much else
_PARAMS = InstallParams(boot_s=_BOOT_S, install_s=60, settle_s=20)
_ASKED: list[tuple[str, dict[str, Any]]] = [
    ("system_facts", {}),
    ("pnp_devices", {"prefix": ""}),
    ("services", {"names": ("xenbus", "xenvif", "xennet", "xenvbd", "xeniface", "xenagent", "WinRM")}),
    ("driver_packages", {}),
    ("pending_reboots", {}),
    ("network_adapters", {}),
    ("disks", {}),
    ("volumes", {}),
]


@dataclasses.dataclass(frozen=True)
class _Scene:
    guest: Guest
    agents: EngineAgents

    def same(self) -> dict[str, Any]:
        """What is read by way of everything, after it was compared with the model's own answers."""
        found = {}
        for op, params in _ASKED:
            found[op] = getattr(self.guest.operations, op)(**params)
            own = getattr(self.agents.systems[-1].operations, op)(**params)
            assert _timeless(found[op]) == _timeless(own), op
        return found


def _timeless(value: Any) -> Any:
    """Time goes on between two questions, and the engine's version is its own."""
    return (
        dataclasses.replace(value, time_utc="", shell_version="") if isinstance(value, SystemFacts) else value
    )


@pytest.fixture
def windows(make_windows: Callable[[str], Windows]) -> Windows:
    return make_windows("windows10-1809")


@pytest.fixture
def scene(tmp_path: Path, windows: Windows) -> Iterator[_Scene]:
    template = GuestTemplate(
        "win", GuestKind.SIMULATED, "win.qcow2", "Windows 10 (simulated)", Arch.X64, memory_mib=1024
    )
    spec = HostSpec("sim", HostKind.SIMULATED, "", memory_mib=4096, xen=XenVersion(4, 17))
    lab = Lab(tmp_path / "hosts.ini", {"sim": spec}, {"win": template})
    agents = EngineAgents(windows)
    with contextlib.ExitStack() as held:
        sim = held.enter_context(SimLab(lab, folder=tmp_path / "sim", seed=1, agent_for=agents))
        host = held.enter_context(Host(sim.lab.hosts["sim"], Credentials(str)))
        area = held.enter_context(RunArea(host.shell, "r1"))
        login = Login(template.user, sim.passwords["win"])
        guest = make_guest(host, area, template, 1, login, report=lambda _: None)
        held.callback(remove_guest, guest, area)
        guest.start()
        guest.wait_ready(guest.deadline(_BOOT_S))
        yield _Scene(guest, agents)


def test_every_reading_operation_is_on_the_engine_or_has_its_reason_not_to_be() -> None:
    reading = {name for name, operation in OPERATIONS.items() if operation.effect is Effect.READS}
    assert reading == ON_ENGINE | BY_THE_MODEL.keys()
    assert not ON_ENGINE & BY_THE_MODEL.keys()


def test_an_installation_is_judged_good_by_what_the_true_module_reads(scene: _Scene, tmp_path: Path) -> None:
    guest = scene.guest
    bare = scene.same()
    assert bare["system_facts"].shell_version.startswith("7."), "the engine, not the model, has answered"
    assert bare["driver_packages"] == ()
    assert [disk.bus for disk in bare["disks"]] == ["ATA"]

    build = load_build(make_build(tmp_path / "build", version="9.1.0.42"))
    report = install_build(guest, build, _PARAMS)
    report.demand()

    done = scene.same()
    assert len(scene.agents.systems) == 1 + report.reboots + report.signing.rebooted
    assert len({system.boot_id for system in scene.agents.systems}) == len(scene.agents.systems)
    assert [adapter.instance_id[:7] for adapter in done["network_adapters"]] == ["XENVIF\\"]
    assert [(disk.name, disk.target) for disk in done["disks"]] == [("XENSRC PVDISK", 0)]
    assert {package.original for package in done["driver_packages"]} == {f"{n}.inf" for n in INSTALL_ORDER}
    assert [service.state for service in done["services"]] == ["running"] * 7

    before = len(scene.agents.answered)
    assert verify_drivers(guest, build, _PARAMS).ok
    judged_by = set(scene.agents.answered[before:])
    assert {"pnp_devices", "services", "network_adapters", "disks"} <= judged_by

    newer = load_build(make_build(tmp_path / "newer", version="9.1.0.43"))
    other = verify_drivers(guest, newer, dataclasses.replace(_PARAMS, settle_s=0.1))
    assert not other.ok, "the module shows the versions that are installed, whatever is asked for"
