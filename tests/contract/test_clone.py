"""A template's image becomes a disk, and is never touched itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.errors import ProvisioningFailed
from harness.host.clone import FullCopy, Overlay, choose_strategy
from harness.host.host import Host

pytestmark = pytest.mark.one_row


@pytest.fixture
def image(contract_lab) -> str:
    return str(contract_lab.bare_template.image_on(contract_lab.host.spec))


@pytest.fixture
def target(contract_lab) -> Iterator[str]:
    path = contract_lab.area.path(f"{contract_lab.name()}.img")
    yield path
    contract_lab.host.shell.check(["rm", "-f", path])


def size(host: Host, path: str) -> int:
    return int(host.shell.check(["stat", "-c", "%s", path]))


def facts(host: Host, path: str) -> str:
    """Size and time of change: hashing it takes too long under emulation."""
    return host.shell.check(["stat", "-c", "%s %Y", path])


@pytest.mark.parametrize("strategy", [Overlay, FullCopy])
def test_a_clone_is_a_disk_of_its_own_and_the_image_stays_as_it_was(contract_host, image, target, strategy):
    before = facts(contract_host, image)

    disk = strategy(contract_host.shell).clone(image, target)

    assert (disk.path, disk.image_format) == (target, "qcow2")
    assert size(contract_host, target) > 0
    assert facts(contract_host, image) == before


def test_a_copy_is_the_whole_image(contract_host, image, target):
    FullCopy(contract_host.shell).clone(image, target)
    sums = contract_host.shell.check(["sha256sum", image, target], timeout_s=120).split()
    assert sums[0] == sums[2]


def test_a_raw_image_stays_raw_when_it_is_copied(contract_lab, contract_host, target):
    raw = contract_lab.area.path("pvhck-raw.img")
    contract_host.shell.check(["truncate", "-s", "1M", raw])
    assert FullCopy(contract_host.shell).clone(raw, target).image_format == "raw"
    contract_host.shell.check(["rm", "-f", target])
    assert Overlay(contract_host.shell).clone(raw, target).image_format == "qcow2"
    contract_host.shell.check(["rm", "-f", raw])


@pytest.mark.parametrize("strategy", [Overlay, FullCopy])
def test_a_missing_image_is_named_and_nothing_is_left(contract_host, target, strategy):
    missing = f"{contract_host.spec.storage}/templates/nosuch.qcow2"
    with pytest.raises(ProvisioningFailed, match=missing):
        strategy(contract_host.shell).clone(missing, target)
    assert not contract_host.shell.run(["ls", target]).ok


@pytest.mark.parametrize("strategy", [Overlay, FullCopy])
def test_a_folder_that_is_missing_is_no_place_for_a_clone(contract_host, image, strategy):
    with pytest.raises(ProvisioningFailed, match="cannot clone"):
        strategy(contract_host.shell).clone(image, f"{contract_host.spec.storage}/nosuch/disk.img")


def test_the_host_s_own_strategy_is_overlays_where_qemu_img_is(contract_host):
    assert isinstance(choose_strategy(contract_host), Overlay)
