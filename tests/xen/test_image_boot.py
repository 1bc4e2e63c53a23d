"""A setup's two domains on real Xen, with Linux in the place of Windows.

No Windows is here. What is shown: a BIOS boots a medium from the first CD drive by itself, the medium finds
the setup CD that the harness made in the second, its stages come over the serial console while it runs, its
restart is kept for us to see, and a second domain without the medium goes on from the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from linux_medium import make_linux_medium

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.host.area import RunArea, domain_name
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.host import Host
from harness.image.answers import ANSWER_FILE
from harness.image.follow import Follower
from harness.image.iso import make_setup_iso
from harness.image.stages import Said, Stage, stage_line
from harness.xenlab.build import current_layers
from harness.xenlab.cache import Cache
from harness.xenlab.recipe import RELEASES

pytestmark = [pytest.mark.xen, pytest.mark.slow]

_ANSWERS = Path(__file__).parents[1] / "fixtures" / "answers" / "win10-x64-bios.xml"
_NUMBER = 90
_PATIENCE = 0.5  # of stages that may take an hour with a Windows


@pytest.fixture
def tree(xen_lab) -> Path:
    """The stand-in guest's tree, with a kernel and modules."""
    cache = Cache.default()
    return cache.folder(current_layers(RELEASES[xen_lab.xen], cache).guest) / "tree"


@pytest.fixture
def name(xen_host: Host, area: RunArea):
    """A domain's name; the domain and its files go at the end."""
    name = domain_name(area.run_id, _NUMBER)
    yield name
    if xen_host.toolstack.find(name) is not None:
        xen_host.toolstack.destroy(name)
    xen_host.shell.check(["sh", "-c", f"rm -f {area.path(name)}.*"])


@pytest.fixture(autouse=True)
def watched(xen_host: Host, note_real_xen: Callable[[Callable[[], str], Callable[[], None]], None]) -> None:
    """A triple fault of the emulated processor is told from a failure; nothing here can be brought back."""
    note_real_xen(lambda: xen_host.shell.run(["xl", "dmesg"]).stdout, lambda: None)


def test_a_built_setup_cd_is_found_by_what_boots_from_the_medium(
    xen_host: Host, area: RunArea, name: str, tree: Path, tmp_path: Path
) -> None:
    answers = _ANSWERS.read_bytes()
    medium = make_linux_medium(tree, tmp_path, answers=answers, says=stage_line(Stage.SPECIALIZE))
    make_setup_iso(tmp_path / "setup.iso", {ANSWER_FILE: answers, "pvhck/setup.json": b"{}"}, {})
    shell = xen_host.shell
    shell.put(medium, area.path(f"{name}.medium.iso"))
    shell.put(tmp_path / "setup.iso", area.path(f"{name}.setup.iso"))
    shell.check(["qemu-img", "create", "-q", "-f", "qcow2", area.path(f"{name}.qcow2"), "64M"])

    stages: list[Said] = []
    follower = Follower(
        host=xen_host,
        domain=name,
        console_log=area.path(f"{name}.console"),
        folder=tmp_path / "evidence",
        report=stages.append,
        patience=_PATIENCE,
    )
    xen_host.toolstack.create(_domain(xen_host, area, name, first=True))
    follower.until(lambda domain: domain is not None and domain.shutdown)
    assert [said.stage for said in stages] == [Stage.WINDOWS_PE], follower.console.text
    xen_host.toolstack.destroy(name)
    follower.saw(Said(Stage.COPIED))

    xen_host.toolstack.create(_domain(xen_host, area, name, first=False))
    _await_stage(follower, Stage.SPECIALIZE, xen_host)
    assert xen_host.toolstack.find(name) is not None, "it halts, and stays"


def _await_stage(follower: Follower, stage: Stage, host: Host) -> None:
    def probe() -> Done[None] | NotYet:
        text = host.shell.run(["cat", follower.console_log]).stdout
        heard = follower.console.hear(text)
        return Done(None) if heard.last is stage else NotYet(text[-200:])

    wait_until(
        probe, subject=f"stage {stage}", deadline=Deadline.after(60 * host.spec.time_factor), interval_s=1
    )


def _domain(host: Host, area: RunArea, name: str, *, first: bool) -> DomainSpec:
    """As ``harness.image.build`` makes them."""
    medium = (DiskSpec(area.path(f"{name}.medium.iso"), "hdc", cdrom=True),) if first else ()
    return DomainSpec(
        name=name,
        memory_mib=384,
        vcpus=1,
        disks=(
            DiskSpec(area.path(f"{name}.qcow2"), "hda", "qcow2"),
            *medium,
            DiskSpec(area.path(f"{name}.setup.iso"), "hdd", cdrom=True),
        ),
        nics=(NicSpec("00:16:3e:5e:7e:01", host.spec.bridge),),
        console_log=area.path(f"{name}.console"),
        boot="dc" if first else "c",
        on_reboot="preserve" if first else "restart",
        screen=False,
    )
