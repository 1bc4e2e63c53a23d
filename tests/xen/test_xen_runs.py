"""Runs on real Xen besides those of ``make demo-xen``: driven through libvirt, and on an adopted domain.

The guest is the Linux stand-in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from xen_runs import assert_free, run_pvhck

from harness.guest.guest import Guest, Login
from harness.guest.provision import login_of, make_guest
from harness.host.area import RunArea
from harness.host.domain import DiskSpec
from harness.host.host import Host
from harness.lab import GuestTemplate, Lab, resolve_secret
from harness.model import GuestKind, Outcome
from harness.results import RunResults
from harness.xenlab import RunningLab

pytestmark = [pytest.mark.xen, pytest.mark.slow]

_SCENARIOS = (
    "test_xenvif_works",
    "test_a_payload_arrives_unchanged_both_ways",
    "test_a_disk_is_plugged_in_and_unplugged",
    "test_what_the_guest_writes_dom0_reads",
    "test_reboot_is_acknowledged_and_clean",
)
# There is no build to judge an owner's drivers by, and nobody allowed a reboot.
_SKIPPED = ("test_xenvif_works", "test_reboot_is_acknowledged_and_clean")
_ADOPTED = {name: Outcome.SKIPPED if name in _SKIPPED else Outcome.PASSED for name in _SCENARIOS}
_BOOT_S = 300
_HOME = "/var/lib/pvhck/owner"
_MAC = "00:16:3e:0a:0b:0c"


def _outcomes(results: RunResults) -> dict[str, tuple[Outcome, str]]:
    """By the name of the test: its outcome and reason."""
    return {
        test.id.partition("::")[2].partition("[")[0]: (test.outcome, test.reason) for test in results.tests
    }


def test_a_run_through_libvirt_passes_and_leaves_nothing(
    xen_lab: RunningLab, xen_host: Host, tmp_path: Path
) -> None:
    hosts_ini = xen_lab.hosts_ini().replace("toolstack = xl", "toolstack = libvirt")
    words = ["run", "-j", "1", "--build", "synthetic", "--template", "standin-all"]
    words += ["-k", " or ".join(_SCENARIOS)]
    results = run_pvhck(tmp_path, hosts_ini, words)

    assert _outcomes(results) == dict.fromkeys(_SCENARIOS, (Outcome.PASSED, ""))
    assert {test.toolstack for test in results.tests} == {"libvirt"}
    assert {test.guest.kind for test in results.tests if test.guest} == {GuestKind.STAND_IN}
    assert_free(xen_host)


@pytest.fixture
def owned(xen_host: Host, described: Lab) -> Iterator[Guest]:
    """Somebody's domain, which is none of ours: with all drivers, made by xl."""
    template = described.templates["standin-all"]
    login = login_of(template, {}, lambda ref: resolve_secret(ref).reveal())
    xen_host.shell.check(["mkdir", "-p", _HOME])
    guest = _made(xen_host, template, login)
    try:
        guest.start()
        guest.wait_ready(guest.deadline(_BOOT_S))
        guest.disconnect()
        yield guest
    finally:
        guest.kill()
        xen_host.shell.check(["rm", "-rf", _HOME])


def _made(host: Host, template: GuestTemplate, login: Login) -> Guest:
    with RunArea(host.shell, "owner") as area:
        ours = make_guest(host, area, template, 0, login, report=print)
        image = f"{_HOME}/win1.qcow2"
        host.shell.check(["mv", ours.domain.disks[0].path, image])
    domain = replace(
        ours.domain,
        name="win1",
        disks=(DiskSpec(image, "hda", "qcow2"),),
        nics=(replace(ours.domain.nics[0], mac=_MAC),),
        console_log=f"{_HOME}/win1.console",
    )
    return Guest(host, template, domain, login)


def test_an_adopted_domain_is_tested_and_stays_as_it_was(
    owned: Guest, xen_lab: RunningLab, xen_host: Host, tmp_path: Path
) -> None:
    boot, domid = owned.boot_id, owned.domid
    disks = [disk.vdev for disk in xen_host.toolstack.disks("win1")]
    words = ["lab", "adopt", "nested", "win1", "--template", "standin-all", "-k", " or ".join(_SCENARIOS)]
    results = run_pvhck(tmp_path, xen_lab.hosts_ini(), words)

    found = _outcomes(results)
    assert {name: outcome for name, (outcome, _) in found.items()} == _ADOPTED
    assert "--allow reboot" in found["test_reboot_is_acknowledged_and_clean"][1]
    assert {test.guest.adopted for test in results.tests if test.guest} == {"win1"}
    assert owned.wait_ready(owned.deadline(60)) == boot
    assert owned.domid == domid
    assert [disk.vdev for disk in xen_host.toolstack.disks("win1")] == disks
    assert_free(xen_host)
