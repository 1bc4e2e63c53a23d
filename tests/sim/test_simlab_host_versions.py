"""xl of the simulated host as other versions than 4.17, against what real xl of those printed.

The recordings are of the contract suite (see tests/unit/test_host_recordings.py). libxl's line numbers, which
differ between versions, are not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from simlab_host_support import FIXTURES, STORAGE, Dom0, DoubleGuest, Ran, dom0, recorded, without_numbers

from harness.model import XenVersion

_VERSIONS = ("4.14", "4.20")
_DOMAIN = re.compile(r"pvhck-contract-[\w-]+|win1")  # the names that the suite gives, and ours
_CAUSE = 8  # lines about the bridge, before those about taking the domain away

# refused by xl itself: nobody has that name, or there is no such file
_OF_NOBODY = (
    "xl-list-l-fails",
    "xl-network-detach-fails",
    "xl-network-list-fails",
    "xl-pause-fails",
    "xl-qemu-monitor-command-fails",
    "xl-restore-fails",
    "xl-save-fails",
    "xl-shutdown-F-fails",
    "xl-trigger-fails",
    "xl-unpause-fails",
    "xl-uptime-fails",
    "xl-vcpu-list-fails",
    "xl-vcpu-set-fails",
)
_OF_A_BARE_GUEST = (
    "xl-mem-set-fails",
    "xl-network-attach-fails",
    "xl-reboot-F-fails",
    "xl-reboot-fails",
    "xl-shutdown-fails",
)


@pytest.fixture(params=_VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def host(version: str, tmp_path: Path) -> Iterator[Dom0]:
    """With a guest that has no PV drivers."""
    major, minor = (int(part) for part in version.split("."))
    with dom0(tmp_path, xen=XenVersion(major, minor), guest=lambda name: DoubleGuest(name, pv=False)) as made:
        yield made


def command_of(version: str, name: str) -> str:
    """The recorded command, for our domain and our files."""
    line = (FIXTURES / f"xen-{version}" / f"{name}.txt").read_text().splitlines()[0]
    return _DOMAIN.sub("win1", re.sub(r"/var/lib/pvhck/runs/[^/ ]+", STORAGE, line))


def assert_as_recorded(ran: Ran, version: str, name: str) -> None:
    wanted = recorded(f"xen-{version}", name)
    assert (ran.rc, _words(ran.out), _words(ran.err)) == (wanted.rc, _words(wanted.out), _words(wanted.err))


def _words(text: str) -> str:
    plain = re.sub(r"/var/lib/pvhck/(runs/[^/ ]+/)?|/root/", "", text)
    return without_numbers(_DOMAIN.sub("DOMAIN", plain))


@pytest.mark.parametrize("name", _OF_NOBODY)
def test_what_is_not_there_is_refused_in_the_words_of_that_version(host: Dom0, version: str, name: str):
    assert_as_recorded(host.run(command_of(version, name)), version, name)


@pytest.mark.parametrize("name", _OF_A_BARE_GUEST)
def test_a_guest_without_drivers_is_refused_in_the_words_of_that_version(host: Dom0, version: str, name: str):
    host.create()
    assert_as_recorded(host.run(command_of(version, name)), version, name)


def test_a_disk_is_not_attached_twice(host: Dom0, version: str):
    host.create()
    host.ok(f"truncate -s 8M {STORAGE}/win1.raw")
    attach = command_of(version, "xl-block-attach-fails").replace(".more.raw", ".raw")
    host.run(attach)
    assert_as_recorded(host.run(attach), version, "xl-block-attach-fails")


def test_a_disk_that_no_front_end_lets_go_stays_since_4_15_and_is_forced_before(host: Dom0, version: str):
    host.create()
    host.ok(f"truncate -s 8M {STORAGE}/more.raw")
    host.ok(f"xl block-attach win1 format=raw,vdev=xvdg,access=rw,target={STORAGE}/more.raw")
    name = "xl-block-detach-fails" if version == "4.20" else "xl-block-detach"

    assert_as_recorded(host.run(command_of(version, name)), version, name)


@pytest.mark.parametrize("version", ["4.14"], indirect=True)  # where what is there can be detached
def test_a_disk_that_was_never_there_is_not_detached(host: Dom0, version: str):
    host.create()
    detached = host.run(command_of(version, "xl-block-detach-fails"))
    assert_as_recorded(detached, version, "xl-block-detach-fails")


def test_a_domain_on_a_bridge_that_is_not_there_is_not_made(host: Dom0, version: str):
    made = host.create(vif=["mac=00:16:3e:00:00:09,bridge=nosuchbr"])
    wanted = recorded(f"xen-{version}", "xl-create-p-fails")
    # the cause; how libxl then misses the domain that it takes away is worded otherwise on 4.20
    cause = _words(wanted.err).splitlines()[:_CAUSE]
    assert (made.rc, _words(made.err).splitlines()[:_CAUSE]) == (wanted.rc, cause)
    assert "Could not find bridge device nosuchbr" in cause[-1]


def test_a_domain_that_is_gone_is_not_destroyed_again(host: Dom0, version: str):
    assert_as_recorded(host.run(command_of(version, "xl-destroy-fails")), version, "xl-destroy-fails")
