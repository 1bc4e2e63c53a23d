"""The simulated Windows Setup acts on its CDs alone: what they lack, it asks for and waits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from image_media import WIN10, WIN11, Edition, make_medium

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import ConfigurationError
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.image.answers import ANSWER_FILE, Answers, render, setup_files
from harness.image.iso import make_setup_iso, read_medium
from harness.image.oses import OSES
from harness.lab import Firmware, Secret, load_lab
from harness.model import Arch
from harness.simlab import SimLab
from harness.simlab.faults import FaultScope, parse_faults

Change = Callable[[str], str]
_BUSY_S = 20


@dataclass
class Bench:
    """A simulated host with one domain to set up."""

    host: Host
    folder: Path

    def start(
        self,
        *,
        editions: tuple[Edition, ...] = WIN10,
        name: str = "win10",
        firmware: Firmware = Firmware.BIOS,
        change: Change = str,
        files: dict[str, bytes] | None = None,
        patched: bool = True,
        answer_file: str = ANSWER_FILE,
    ) -> None:
        """Put the CDs there, the answer file changed, and start the domain."""
        medium = read_medium(make_medium(self.folder / "medium.iso", editions))
        answers = Answers(
            OSES[name], Arch.X64, firmware, medium.images[1], "t1", "pvhck", Secret("Pass-Word.1"), 2048,
            product_key=OSES[name].keys["Professional"],
        )  # fmt: skip
        root = {answer_file: change(render(answers)).encode()}
        beside = setup_files(answers) if files is None else files
        root |= {f"pvhck/{file}": data for file, data in beside.items()}
        make_setup_iso(self.folder / "setup.iso", root, {})
        content = bytearray(medium.path.read_bytes())
        if patched and medium.no_prompt is not None:
            at = medium.no_prompt.offset
            content[at : at + 4] = medium.no_prompt.data
        self.host.shell.put(bytes(content), "/root/medium.iso")
        self.host.shell.put(self.folder / "setup.iso", "/root/setup.iso")
        self.host.shell.check(["qemu-img", "create", "-q", "-f", "qcow2", "/root/hda.qcow2", "40960M"])
        self.create(firmware=firmware)

    def create(self, *, firmware: Firmware = Firmware.BIOS, medium: bool = True, boot: str = "dc") -> None:
        cds = (DiskSpec("/root/medium.iso", "hdc", cdrom=True),) if medium else ()
        self.host.toolstack.create(
            DomainSpec(
                name="setup",
                memory_mib=2048,
                vcpus=1,
                disks=(
                    DiskSpec("/root/hda.qcow2", "hda", "qcow2"),
                    *cds,
                    DiskSpec("/root/setup.iso", "hdd", cdrom=True),
                ),
                nics=(NicSpec("00:16:3e:00:00:01", "xenbr0"),),
                firmware=firmware,
                console_log="/root/console",
                boot=boot,
                on_reboot="preserve",
            )
        )

    def await_text(self, pattern: str) -> str:
        def probe() -> Done[str] | NotYet:
            text = self.host.shell.run(["cat", "/root/console"]).stdout
            return Done(text) if re.search(pattern, text) else NotYet(text)

        return wait_until(probe, subject=pattern, deadline=Deadline.after(_BUSY_S), interval_s=0.2)

    def await_restart(self) -> None:
        def probe() -> Done[None] | NotYet:
            domain = self.host.toolstack.find("setup")
            return Done(None) if domain is not None and domain.shutdown else NotYet(str(domain))

        wait_until(probe, subject="the restart", deadline=Deadline.after(_BUSY_S), interval_s=0.2)
        self.host.toolstack.destroy("setup")


@contextmanager
def bench(folder: Path, host: str = "") -> Iterator[Bench]:
    path = folder / "hosts.ini"
    path.write_text(f"[host sim]\nkind = simulated\nmemory = 8g\n{host}\n")
    with (
        SimLab(load_lab(path), folder=folder / "lab", seed=1) as sim,
        Host(sim.lab.hosts["sim"], Credentials(lambda ref: ref.name)) as opened,
    ):
        yield Bench(opened, folder)


def without(tag: str) -> Change:
    return lambda text: re.sub(rf"\s*<{tag}>.*?</{tag}>", "", text, flags=re.DOTALL)


def swapped(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "question"),
    [
        (without("AcceptEula"), "license terms"),
        (without("ProductKey"), "product key"),
        (swapped("<Value>2</Value>", "<Value>9</Value>"), "which operating system"),
        (swapped("<PartitionID>2</PartitionID>\n          </InstallTo>", "</InstallTo>"), "where to install"),
        (swapped('"amd64"', '"x86"'), "license terms"),
        (swapped("<unattend", "<unattended"), "the answer file is invalid"),
    ],
)
def test_what_an_answer_file_does_not_say_is_asked_in_windows_pe(
    tmp_path: Path, change: Change, question: str
) -> None:
    with bench(tmp_path) as there:
        there.start(change=change)
        there.await_text(f"waits for a person: {question}")


@pytest.mark.parametrize(
    ("change", "question"),
    [
        (without("ComputerName"), "a name for the computer"),
        (without("LocalAccounts"), "who will use this PC"),
        (swapped("<Username>pvhck", "<Username>else"), "the password of else"),
        (swapped("firstlogon.cmd", "another.cmd"), "nothing: the desktop is there"),
    ],
)
def test_what_is_lacking_later_is_asked_for_later(tmp_path: Path, change: Change, question: str) -> None:
    with bench(tmp_path) as there:
        there.start(change=change)
        there.await_restart()
        for _ in range(2):
            there.create(medium=False, boot="c")
            text = there.await_text("waits for a person|stage specialize")
            if "waits" in text:
                break
            there.await_restart()
        assert f"waits for a person: {question}" in text


def test_an_answer_file_under_another_name_is_not_found(tmp_path: Path) -> None:
    with bench(tmp_path) as there:
        there.start(answer_file="unattend.xml")
        there.await_text("there is no answer file")


def test_a_script_that_is_not_on_the_cd_stops_it(tmp_path: Path) -> None:
    with bench(tmp_path) as there:
        there.start(files={"firstlogon.cmd": b"echo pvhck stage first-logon>COM1\r\n"})
        there.await_restart()
        there.create(medium=False, boot="c")
        there.await_restart()
        there.create(medium=False, boot="c")
        there.await_text(r"setup\.json is not on the CD")


def test_windows_11_refuses_hardware_without_a_tpm_unless_it_is_told_not_to_look(tmp_path: Path) -> None:
    with bench(tmp_path) as there:
        there.start(
            editions=WIN11,
            name="win11",
            firmware=Firmware.UEFI,
            change=swapped("BypassTPMCheck", "BypassNothing"),
        )
        there.await_text("can't run Windows 11")


def test_a_uefi_that_was_led_to_the_asking_loader_boots_nothing(tmp_path: Path) -> None:
    with bench(tmp_path) as there:
        there.start(firmware=Firmware.UEFI, patched=False)
        text = there.await_text("No bootable device")
        assert "pvhck stage" not in text


def test_a_uefi_with_the_medium_still_in_begins_anew(tmp_path: Path) -> None:
    """Why a build is two domains."""
    with bench(tmp_path) as there:
        there.start(firmware=Firmware.UEFI)
        there.await_restart()
        there.create(firmware=Firmware.UEFI)
        assert "specialize" not in there.await_text("pvhck stage")


def test_a_bios_goes_on_from_the_disk_with_the_medium_still_in(tmp_path: Path) -> None:
    with bench(tmp_path) as there:
        there.start()
        there.await_restart()
        there.create()
        assert "windows-pe" not in there.await_text("pvhck stage specialize")


def test_a_layout_for_a_bios_is_refused_by_a_uefi(tmp_path: Path) -> None:
    with bench(tmp_path) as there:
        there.start(firmware=Firmware.UEFI, change=swapped("<Type>EFI</Type>", "<Type>Primary</Type>"))
        there.await_text("no EFI system partition")


def test_the_setup_cd_alone_boots_nothing(tmp_path: Path) -> None:
    with bench(tmp_path) as there:
        there.start()
        there.await_restart()
        there.host.shell.check(["qemu-img", "create", "-q", "-f", "qcow2", "/root/hda.qcow2", "40960M"])
        there.create(medium=False)
        there.await_text("No bootable device")


def test_switches_of_a_setup_take_stages_and_switches_of_guests_only() -> None:
    assert parse_faults(["setup-hangs", "setup-leaves:log-clean"], FaultScope.HOST, "host a")
    with pytest.raises(ConfigurationError, match="no fault switch 'setup-hangs'"):
        parse_faults(["setup-hangs"], FaultScope.GUEST, "template a")
    with pytest.raises(ConfigurationError, match="needs a guest switch, got 'nonsense'"):
        parse_faults(["setup-leaves:nonsense"], FaultScope.HOST, "host a")
