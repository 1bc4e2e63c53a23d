"""The whole way from a medium to a template on the simulated lab: what is built, refused and left.

The medium, its Windows and what becomes of it are simulated; the host is reached by real SSH, the clone
of the gate by real WinRM.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pycdlib
import pytest
from image_media import SERVER2022, WIN7, WIN10, WIN11, Edition, make_medium, win7_updates

from harness.errors import ConfigurationError
from harness.guest.guest import Login
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import RunArea
from harness.host.host import Host
from harness.host.lease import HostLease, holder_now
from harness.host.sshlogin import Credentials
from harness.image import (
    GateFailed,
    Plan,
    Registered,
    Reporter,
    Request,
    Said,
    SetupFailed,
    Stage,
    build_image,
    make_plan,
    os_named,
)
from harness.image.plan import write_setup_iso
from harness.lab import Firmware, Secret, SecretRef, load_lab
from harness.model import Arch
from harness.simlab import SimLab
from harness.simlab.host.simhost import SimHost

_PASSWORD = "Sim-Password.1"
_EDITIONS = {"win10": WIN10, "win11": WIN11, "server2022": SERVER2022, "win7": WIN7}
_PATIENCE = 0.003  # a hang is known after seconds


@dataclass
class Place:
    """A simulated host, and what a build on it said."""

    host: Host
    model: SimHost
    folder: Path
    stages: list[Said] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def plan(self, name: str = "win10", *, uefi: bool = False, **changes: object) -> Plan:
        editions: tuple[Edition, ...] = _EDITIONS[name]
        request = Request(
            iso=make_medium(self.folder / f"{name}.iso", editions, uefi=uefi),
            os=os_named(name),
            arch=Arch.X64,
            firmware=Firmware.UEFI if uefi else Firmware.BIOS,
            template="t1",
            user="pvhck",
            secret=SecretRef("env", "PVHCK_T1"),
            updates=win7_updates(self.folder) if name == "win7" else (),
        )
        return make_plan(replace(request, **changes), Secret(_PASSWORD))

    def build(self, plan: Plan, *, patience: float = 1.0) -> Registered:
        return build_image(
            self.host,
            plan,
            run_id="image-1",
            folder=self.folder / "out",
            reporter=Reporter(self.stages.append, self.lines.append),
            patience=patience,
        )

    def files(self, under: str = "/var/lib/pvhck") -> set[str]:
        found = self.host.shell.check(["find", under, "-type", "f"]).splitlines()
        return {path for path in found if "/lease" not in path}

    def nothing_left(self) -> bool:
        alone = [domain.name for domain in self.host.toolstack.domains()] == ["Domain-0"]
        return alone and not self.files()


@contextmanager
def place(folder: Path, host: str = "") -> Iterator[Place]:
    path = folder / "hosts.ini"
    path.write_text(f"[host sim]\nkind = simulated\nmemory = 8g\n{host}\n")
    with (
        SimLab(load_lab(path), folder=folder / "lab", seed=1) as sim,
        Host(sim.lab.hosts["sim"], Credentials(lambda ref: ref.name)) as opened,
    ):
        yield Place(opened, sim.host("sim"), folder)


# -- what is built


@pytest.mark.parametrize(
    ("name", "uefi", "host"),
    [
        ("win10", False, ""),
        ("win10", True, ""),
        ("win11", True, ""),
        ("server2022", True, "toolstack = libvirt"),
        ("win7", False, "toolstack = xm\nxen = 3.4"),
        ("win10", False, "toolstack = xl\nxen = 4.1"),
    ],
)
def test_a_medium_becomes_a_template_that_passed_its_gate(
    tmp_path: Path, name: str, host: str, *, uefi: bool
) -> None:
    with place(tmp_path, host) as there:
        done = there.build(there.plan(name, uefi=uefi))
        assert there.files() == {done.image, done.metadata_file}
        assert [domain.name for domain in there.host.toolstack.domains()] == ["Domain-0"]
        metadata = json.loads(there.host.shell.get(done.metadata_file))
        digest = there.host.shell.check(["sha256sum", done.image]).split()[0]
    heard = [said.stage for said in there.stages]
    assert [stage for stage in Stage if stage in heard] == list(dict.fromkeys(heard)), "out of order"
    assert {Stage.WINDOWS_PE, Stage.COPIED, Stage.WINRM, Stage.DONE} <= set(heard)
    assert metadata["image"]["sha256"] == digest
    assert metadata["guest"] == "simulated"
    assert (metadata["os"], metadata["firmware"]) == (name, "uefi" if uefi else "bios")
    assert len(metadata["iso"]["sha256"]) == 64
    assert {check["state"] for check in metadata["gate"]} <= {"ok", "warn", "skipped"}
    assert _PASSWORD not in json.dumps(metadata)


def test_a_clone_of_the_template_lets_in_whoever_has_its_password_and_certificate(tmp_path: Path) -> None:
    with place(tmp_path) as there:
        done = there.build(there.plan())
        with RunArea(there.host.shell, "run1") as area:
            login = Login("pvhck", _PASSWORD)
            guest = make_guest(there.host, area, done.template, 1, login, report=print)
            guest.start()
            guest.wait_ready(guest.deadline(30))
            facts = guest.operations.system_facts()
            security = guest.operations.security_facts()
            guest.disconnect()
            remove_guest(guest, area)
    assert facts.os_name == "Microsoft Windows 10 Pro"
    assert facts.computer_name == "T1"
    assert security.test_signing
    assert done.metadata["certificate"] == f"sha256:{done.template.certificate.fingerprint}"


def test_without_test_signing_there_is_no_such_stage_and_the_template_has_it_off(tmp_path: Path) -> None:
    with place(tmp_path) as there:
        done = there.build(there.plan(test_signing=False))
    assert Stage.TEST_SIGNING not in [said.stage for said in there.stages]
    assert done.metadata["test_signing"] is False
    assert any("test signing: off" in line for line in there.lines)


def test_the_medium_on_the_host_differs_from_its_own_in_four_bytes_at_most(tmp_path: Path) -> None:
    with place(tmp_path, "faults = setup-hangs:windows-pe") as there:
        plan, seen = there.plan("win11", uefi=True), []
        real = there.model.files.real("/var/lib/pvhck/runs/image-1/pvhck-image-1-1.medium.iso")
        building = there.stages.append

        def look(said: Said) -> None:
            seen.append(real.read_bytes())
            building(said)

        reporter = Reporter(look, there.lines.append)
        with pytest.raises(SetupFailed):
            build_image(
                there.host,
                plan,
                run_id="image-1",
                folder=tmp_path / "out",
                reporter=reporter,
                patience=_PATIENCE,
            )
    before = plan.medium.path.read_bytes()
    assert len(seen[0]) == len(before)
    assert 0 < sum(old != new for old, new in zip(before, seen[0], strict=True)) <= 4


def test_the_setup_cd_is_read_back_with_everything_on_it(tmp_path: Path) -> None:
    with place(tmp_path) as there:
        plan = there.plan("win7")
    write_setup_iso(plan, tmp_path / "setup.iso")
    iso = pycdlib.PyCdlib()
    iso.open(str(tmp_path / "setup.iso"))
    found = {}
    for folder, _, names in iso.walk(joliet_path="/"):
        for name in names:
            data = io.BytesIO()
            iso.get_file_from_iso_fp(data, joliet_path=f"{folder.rstrip('/')}/{name}")
            found[f"{folder.rstrip('/')}/{name}"] = data.getvalue()
    iso.close()
    scripts = {"firstlogon.cmd", "go-on.cmd", "prepare.ps1", "setup.json", "setup.ps1", "updates.txt"}
    updates = {f"updates/{path.name}" for path in plan.updates}
    assert found.keys() == {"/Autounattend.xml"} | {f"/pvhck/{name}" for name in scripts | updates}
    assert found["/pvhck/updates.txt"].decode().split() == [path.name for path in plan.updates]
    assert _PASSWORD.encode() in found["/Autounattend.xml"]


# -- what goes wrong


@pytest.mark.parametrize(
    "stage", ["windows-pe", "specialize", "first-logon", "winrm", "settings", "clean-up", "done"]
)
def test_a_stage_that_hangs_is_named_with_a_picture_and_nothing_is_left(tmp_path: Path, stage: str) -> None:
    with place(tmp_path, f"faults = setup-hangs:{stage}") as there:
        plan = there.plan()
        with pytest.raises(SetupFailed, match=rf"stage {stage} \(.*nothing more came in \d+ s") as caught:
            there.build(plan, patience=_PATIENCE)
        assert there.nothing_left()
    picture = tmp_path / "out" / "screen.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in caught.value.found
    assert f"pvhck stage {stage}" in (tmp_path / "out" / "console.txt").read_text()


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ("winrm-401", "refuses user pvhck"),
        ("winrm-drop", "WinRM: .*last seen"),
        ("shutdown-unclean", r"event log: \d clean stops, 2 unclean"),
    ],
)
def test_a_template_that_fails_its_gate_is_never_registered(tmp_path: Path, left: str, words: str) -> None:
    with place(tmp_path, f"faults = setup-leaves:{left}") as there:
        plan = there.plan()
        with pytest.raises(GateFailed, match=words):
            there.build(plan, patience=_PATIENCE)
        assert there.nothing_left()
    assert there.stages[-1].stage is Stage.DONE, "Windows was set up"


def test_a_host_without_room_fails_it_and_keeps_nothing(tmp_path: Path) -> None:
    with place(tmp_path, "faults = no-memory") as there:
        plan = there.plan()
        with pytest.raises(Exception, match="memory"):
            there.build(plan)
        assert there.nothing_left()


def test_an_interruption_leaves_nothing_on_the_host(tmp_path: Path) -> None:
    def interrupt(said: Said) -> None:
        if said.stage is Stage.SPECIALIZE or said.stage is Stage.FIRST_LOGON:
            raise KeyboardInterrupt

    with place(tmp_path) as there:
        plan = there.plan()
        with pytest.raises(KeyboardInterrupt):
            build_image(
                there.host,
                plan,
                run_id="image-1",
                folder=tmp_path / "out",
                reporter=Reporter(interrupt, print),
            )
        assert there.nothing_left()


# -- what is refused before anything is made


def test_a_host_driven_by_xm_gets_no_uefi_guest(tmp_path: Path) -> None:
    with place(tmp_path, "toolstack = xm\nxen = 3.4") as there:
        plan = there.plan("win11", uefi=True)
        with pytest.raises(ConfigurationError, match="xend boots no UEFI guests"):
            there.build(plan)
        assert there.nothing_left()


def test_a_host_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with place(tmp_path) as there:
        plan = there.plan(memory_mib=16 * 1024)
        with pytest.raises(ConfigurationError, match="host sim gives 8192 MiB"):
            there.build(plan)


def test_a_template_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    with place(tmp_path) as there:
        done = there.build(there.plan())
        before = there.host.shell.check(["sha256sum", done.image])
        there.stages.clear()
        with pytest.raises(ConfigurationError, match="already"):
            there.build(there.plan())
        assert there.stages == []
        assert there.host.shell.check(["sha256sum", done.image]) == before


def test_a_host_that_a_run_has_is_not_built_on(tmp_path: Path) -> None:
    with place(tmp_path) as there:
        plan = there.plan()
        with (
            Host(there.host.spec, Credentials(lambda ref: ref.name)) as other,
            HostLease(other.shell, holder_now("run1"), folder=tmp_path / "locks"),
            pytest.raises(Exception, match="run run1"),
        ):
            there.build(plan)
        assert there.stages == []
