"""``pvhck lab adopt``: tests on somebody else's domain, which is as it was when they end or are cut off."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_lab import Command, KeptLab, Said, begin, kept_lab, pvhck

from harness.errors import GuestError
from harness.guest.guest import Guest, Login
from harness.host.clone import FullCopy
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.host.toolstack.xl_config import render
from harness.install import prepare_guest
from harness.lab import load_lab
from harness.lab.profile import InstallParams
from harness.model import Arch, FailureKind, Outcome
from harness.package import load_build
from harness.package.synthetic import make_build
from harness.results import RunResults, load_results

MAC = "00:16:3e:0a:0b:0c"
OWNED = r"C:\ProgramData\pvhck\mine.txt"
HOME = "/srv/owner"


@dataclass
class Owner:
    """The one whose domain ``win1`` is: with all drivers, and files of its own."""

    lab: KeptLab
    host: Host
    guest: Guest
    build: Path
    folder: Path

    @property
    def facts(self) -> dict[str, object]:
        """What must be the same whenever we are done."""
        domain = self.host.toolstack.find("win1")
        assert domain is not None, "the owner's domain is gone"
        root = f"/local/domain/{domain.domid}"
        return {
            "domid": domain.domid,
            "disks": [disk.vdev for disk in self.host.toolstack.disks("win1")],
            "target": self.host.xenstore.read(f"{root}/memory/target"),
            "file": self.lab.model.files.read(f"{HOME}/notes.txt"),
            "other": self.host.toolstack.find("other") is not None,
        }

    @property
    def lying(self) -> tuple[str, ...]:
        """What runs have on the host; loop devices of the owner's domains are none of it."""
        runs = self.lab.model.files.real(f"{self.lab.spec.storage}/runs")
        loops = [path for _, path in self.lab.model.loops.items() if not path.startswith(HOME)]
        return (*loops, *sorted(str(path.relative_to(runs)) for path in runs.rglob("*")))

    def adopt(self, name: str, text: str, *words: str | Path, **template: str | None) -> Command:
        """Begin a run of scenarios on it, in a folder of its own."""
        folder = self.folder / name
        scenarios = folder / "scenarios" / "power"
        scenarios.mkdir(parents=True)
        (scenarios / "test_it.py").write_text(text)
        hosts = self.lab.hosts_ini(template=template)
        given = ("--hosts", hosts, "--template", "win", "--scenarios", "scenarios", *words)
        return begin(folder, "lab", "adopt", "far", "win1", *given)

    def adopted(
        self, name: str, text: str, *words: str | Path, **template: str | None
    ) -> tuple[Said, RunResults]:
        with self.adopt(name, text, *words, **template) as command:
            said = command.end()
        return said, load_results(self.folder / name / "reports" / "latest")


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    folder = tmp_path_factory.mktemp("adopt")
    built = make_build(folder / "build", version="9.1.0.2", arches=[Arch.X64])
    with kept_lab(folder) as lab, Host(lab.spec, Credentials(lambda ref: "")) as host:
        template = load_lab(lab.hosts_ini()).templates["win"]
        assert template.secret is not None
        password = Path(template.secret.name).read_text()
        host.shell.check(["mkdir", "-p", HOME])
        image = str(template.image_on(lab.spec))
        disk = FullCopy(host.shell).clone(image, f"{HOME}/win1.qcow2")
        spec = DomainSpec(
            "win1", 512, 1, (DiskSpec(disk.path, "hda", "qcow2"),), (NicSpec(MAC, lab.spec.bridge),)
        )
        lab.model.files.write(f"{HOME}/win1.cfg", render(spec, host.info.version))
        guest = Guest(host, template, spec, Login(template.user, password))
        guest.start()
        guest.wait_ready(guest.deadline(60))
        with load_build(built) as build:
            prepare_guest(guest, build, InstallParams())
        guest.disconnect()
        host.shell.check(["truncate", "-s", "16M", f"{HOME}/other.raw"])
        host.toolstack.create(
            DomainSpec("other", 64, 1, (DiskSpec(f"{HOME}/other.raw", "hda"),), ()), paused=True
        )
        lab.model.files.write(f"{HOME}/notes.txt", "not yours")
        yield Owner(lab, host, guest, built, folder)


@pytest.fixture(autouse=True)
def _as_it_was(owner: Owner) -> Iterator[None]:
    """Whatever a test here does: the owner finds everything as it was, and nothing else."""
    before = owner.facts
    yield
    after = owner.facts
    if after["domid"] != before["domid"]:  # it was allowed to reboot
        before["domid"] = after["domid"]
    assert after == before
    assert owner.lying == ()


def reasons(results: RunResults) -> dict[str, tuple[str, str]]:
    return {
        test.id.partition("::")[2].partition("[")[0]: (test.outcome.value, test.reason)
        for test in results.tests
    }


def test_the_shipped_scenarios_run_on_it_and_say_whose_it_is(owner: Owner) -> None:
    folder = owner.folder / "smoke"
    said = pvhck(
        folder, "lab", "adopt", "far", "win1", "--hosts", owner.lab.hosts_ini(), "--template", "win",
        "--profile", "nightly", "--build", owner.build, "-k", "plugged_in or works or acknowledged or fresh",
    )  # fmt: skip
    said.demand(0, "adopted win1", "win1 is an adopted domain: it is not ours")
    results = load_results(folder / "reports" / "latest")
    assert {test.guest.adopted for test in results.tests if test.guest} == {"win1"}
    found = reasons(results)
    assert found["test_a_disk_is_plugged_in_and_unplugged"][0] == "passed"
    ran = {name for name, (outcome, _) in found.items() if outcome == "passed"}
    assert not {name for name in ran if "reboot" in name or "shutdown" in name or "installation" in name}
    assert "adopted" in (folder / "reports" / "latest" / "index.html").read_text()
    assert "adopted domain win1" in (folder / "reports" / "latest" / "junit.xml").read_text()


ASKED_FOR = """
from harness.scenario import Change, changes, dirties, reboot, shut_down, start_again

@changes(Change.INSTALL)
def test_installs(guest):
    raise AssertionError("it runs")

@changes(Change.REBOOT)
def test_reboots(guest, power):
    reboot(guest, ack_s=power.acknowledge_s, ready_s=power.reboot_s)

@changes(Change.POWER)
def test_power(guest, power):
    shut_down(guest, ack_s=power.acknowledge_s, off_s=power.shutdown_s)
    start_again(guest, ready_s=power.reboot_s)

@dirties
def test_dirties(guest):
    raise AssertionError("it runs")

def test_fresh(bare_guest):
    raise AssertionError("it runs")

def test_looks(guest):
    assert guest.operations.boot_id().boot_id
"""


def test_what_cannot_be_taken_back_is_skipped_unless_it_is_named(owner: Owner) -> None:
    said, results = owner.adopted("skips", ASKED_FOR)
    said.demand(0)
    found = reasons(results)
    assert found["test_looks"] == ("passed", "")
    for name, word in (("installs", "install"), ("reboots", "reboot"), ("power", "power")):
        outcome, reason = found[f"test_{name}"]
        assert (outcome, f"--allow {word}" in reason) == ("skipped", True)
    assert "adopted domain is no clone" in found["test_dirties"][1]
    assert "wants a fresh guest" in found["test_fresh"][1]


def test_what_is_named_runs_and_the_domain_comes_back_from_its_owner_s_file(owner: Owner) -> None:
    words = ("--allow", "reboot", "--allow", "power", "--config", f"{HOME}/win1.cfg")
    said, results = owner.adopted("allowed", ASKED_FOR, *words)
    said.demand(0)
    found = reasons(results)
    assert [found[f"test_{name}"][0] for name in ("reboots", "power", "looks")] == ["passed"] * 3
    assert [found[f"test_{name}"][0] for name in ("installs", "dirties", "fresh")] == ["skipped"] * 3


def test_power_is_not_taken_from_what_could_not_be_started_again(owner: Owner) -> None:
    with owner.adopt("no-config", ASKED_FOR, "--allow", "power") as command:
        command.end().demand(2, "could be shut down, and not be started again", "--config FILE")


CARELESS = """
import pytest
from harness.guest.provision import add_disk
from harness.scenario import Access, DataDisk, DiskLoad, Order
from harness.workload.fio import FioRun

def test_leaves_a_disk(guest, _leased):
    add_disk(guest, _leased.area, "xvdk", 16)

def test_leaves_less_memory(guest, host):
    host.toolstack.set_memory(guest.name, guest.domain.memory_mib - 64)

def test_leaves_a_program(guest, _leased):
    disk = DataDisk(guest, add_disk(guest, _leased.area, "xvdl", 16), 16 << 20, 1)
    device = "PhysicalDrive%d" % disk.wait_there(30).number  # it is Windows, whatever hosts.ini says of it
    load = DiskLoad(Access.WRITE, Order.RANDOM, 4, 1, 60000)
    program = FioRun(load, "\\\\\\\\.\\\\" + device, disk.size, windows=True)
    guest.operations.start_tool(path="fio", arguments=tuple(program.arguments()))

def test_leaves_a_setting(guest):
    adapter = next(one for one in guest.operations.network_adapters() if one.mac == guest.mac)
    keyword = "*TCPChecksumOffloadIPv4"
    value = dict(adapter.settings)[keyword]
    guest.operations.set_network_setting(mac=guest.mac, keyword=keyword, value="0" if value != "0" else "3")

def test_takes_its_power(guest):
    guest.kill()

def test_fails(guest, host):
    host.toolstack.set_memory(guest.name, guest.domain.memory_mib - 64)
    raise AssertionError("the guest has no such key")

def test_is_careful(guest, data_disks, storage):
    disk = data_disks.attach_blocks(1, 64, seconds=30)
    guest.operations.write_file(path=r"C:\\\\ProgramData\\\\pvhck\\\\sub\\\\x.bin", content="aGFsbG8=")
    assert disk.read_pattern(disk.write_pattern(blocks=1, block_size=65536))
"""


def test_a_test_that_leaves_it_other_than_it_was_fails_and_says_what(owner: Owner) -> None:
    said, results = owner.adopted("careless", CARELESS)
    assert said.code == 1, said.all
    found = reasons(results)
    for name, words in (
        ("leaves_a_disk", "disk 51872 is plugged in"),
        ("leaves_less_memory", "its memory target is"),
        ("leaves_a_program", "a program of ours still runs in it"),
        ("leaves_a_setting", "*TCPChecksumOffloadIPv4"),
    ):
        outcome, reason = found[f"test_{name}"]
        assert outcome == "failed", (name, reason)
        assert "left behind on the host: domain win1: " in reason
        assert words in reason
        assert "not put back" not in reason
    assert found["test_fails"][0] == "failed"
    assert "the guest has no such key" in found["test_fails"][1]
    assert "is not destroyed" in found["test_takes_its_power"][1]
    assert found["test_is_careful"] == ("passed", "")
    assert not list(results.run.warnings[1:]), results.run.warnings


def test_files_of_ours_go_and_those_of_the_owner_stay(owner: Owner) -> None:
    operations = owner.guest.operations
    with pytest.raises(GuestError, match="not-found"):
        operations.file_facts(path=r"C:\ProgramData\pvhck\sub\x.bin")
    operations.write_file(path=OWNED, content="bWluZQ==")
    owner.guest.disconnect()
    said, _ = owner.adopted("files", CARELESS, "-k", "careful or program")
    assert said.code == 1
    assert operations.file_facts(path=OWNED).size == 4
    for path in (r"C:\ProgramData\pvhck\sub\x.bin",):
        with pytest.raises(GuestError, match="not-found"):
            operations.file_facts(path=path)
    operations.remove_file(path=r"C:\ProgramData\pvhck")
    owner.guest.disconnect()


HOLDS = """
import threading
from pathlib import Path

def test_holds(guest, host, data_disks):
    data_disks.attach_blocks(1, 64, seconds=30)
    host.toolstack.set_memory(guest.name, guest.domain.memory_mib - 64)
    (Path(__file__).parents[2] / "held").touch()
    threading.Event().wait(60)
"""


def test_ctrl_c_puts_everything_back(owner: Owner) -> None:
    with owner.adopt("ctrl-c", HOLDS) as command:
        command.wait_for((owner.folder / "ctrl-c" / "held").exists, "its test")
        assert len(owner.host.toolstack.disks("win1")) == 2
        command.signal(signal.SIGINT)
        assert command.end().code == 130


def test_after_a_kill_the_next_sweep_takes_the_disk_out_and_gives_the_memory_back(owner: Owner) -> None:
    with owner.adopt("killed", HOLDS) as command:
        command.wait_for((owner.folder / "killed" / "held").exists, "its test")
        command.signal(signal.SIGKILL)
        command.end()
    assert len(owner.host.toolstack.disks("win1")) == 2
    said = pvhck(owner.folder / "sweep", "lab", "sweep", "--hosts", owner.lab.hosts_ini())
    said.demand(0, "removing attached disk xvdg of win1", "removing memory target 512 MiB of win1")


HANGS = """
from harness.errors import GuestHung

def test_hangs(guest):
    raise GuestHung("it is silent")
"""


def test_one_that_hangs_gets_no_nmi_and_all_other_evidence(owner: Owner) -> None:
    said, results = owner.adopted("hangs", HANGS)
    said.demand(1, "win1 is let hang: nobody has allowed an NMI")
    (test,) = results.tests
    assert (test.outcome, test.kind) == (Outcome.FAILED, FailureKind.HANG)
    names = {Path(path).name for path in test.evidence}
    assert names
    assert "nmi.txt" not in names
    assert not owner.host.toolstack.find("win1").crashed


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("nosuch", "there is no domain nosuch"),
        ("Domain-0", "there is no domain Domain-0"),
        ("other", "other does not run"),
    ],
)
def test_what_cannot_be_adopted_is_said(owner: Owner, domain: str, words: str) -> None:
    folder = owner.folder / f"bad-{domain}"
    scenarios = folder / "scenarios" / "power"
    scenarios.mkdir(parents=True)
    (scenarios / "test_it.py").write_text("def test_looks(guest):\n    assert guest.boot_id\n")
    said = pvhck(
        folder, "lab", "adopt", "far", domain, "--hosts", owner.lab.hosts_ini(), "--template", "win",
        "--scenarios", "scenarios",
    )  # fmt: skip
    assert said.code in {2, 3}, said.all
    assert words in " ".join(said.all.split())


def test_the_password_can_be_another_than_the_template_s(owner: Owner) -> None:
    secret = load_lab(owner.lab.hosts_ini()).templates["win"].secret
    text = "def test_looks(guest):\n    assert guest.boot_id\n"
    given = ("--secret", f"file:{secret.name}" if secret else "")
    said, results = owner.adopted("other-secret", text, *given, secret="env:PVHCK_NOT_SET")
    said.demand(0)
    assert [test.outcome for test in results.tests] == [Outcome.PASSED]
    with owner.adopt("no-secret", text, "--secret", "geheim!") as command:
        refused = command.end()
    refused.demand(2, "--secret does not say where the password lies")
    assert "geheim" not in refused.all
