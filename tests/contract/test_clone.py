"""A template's image becomes a disk, and is never touched itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from contract_storage import CONTENT, VolumeGroup, begin_of, change, volume_group, xfs

from harness.errors import CommandFailed, ProvisioningFailed
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import Leftover, RunArea, leftovers, remove_leftover, run_states, sweep
from harness.host.clone import (
    CloneStrategy,
    FullCopy,
    LvmSnapshot,
    Overlay,
    Reflink,
    choose_strategy,
)
from harness.host.domain import DiskSpec
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.host.volumes import room_for, volume_at
from harness.lab import CloneMethod

pytestmark = pytest.mark.one_row

BOOT_S = 300
MIB = 1 << 20


@pytest.fixture(scope="module")
def group(contract_lab) -> Iterator[VolumeGroup]:
    with volume_group(contract_lab) as made:
        yield made


@pytest.fixture(scope="module")
def reflinks(contract_lab) -> Iterator[str]:
    """A folder of an XFS, with a template ``win.raw`` in it."""
    with xfs(contract_lab) as folder:
        contract_lab.host.shell.check(["truncate", "-s", "8M", f"{folder}/win.raw"])
        change(contract_lab.host.shell, f"{folder}/win.raw", CONTENT)
        yield folder


@dataclass(frozen=True)
class Place:
    """A way to clone where it can be done: ``image`` to ``target``."""

    strategy: CloneStrategy
    image: str
    target: str
    image_format: str


MAKERS: dict[str, str] = {  # the strategy, and where its template lies
    "Overlay": "storage",
    "FullCopy": "storage",
    "Reflink": "xfs",
    "LvmSnapshot-thick": "thick",
    "LvmSnapshot-thin": "thin",
}


@pytest.fixture(params=MAKERS)
def place(request, contract_lab) -> Iterator[Place]:
    shell, where = contract_lab.host.shell, MAKERS[request.param]
    strategy: Callable[..., CloneStrategy] = {
        "Overlay": Overlay,
        "FullCopy": FullCopy,
        "Reflink": Reflink,
    }.get(request.param, LvmSnapshot)
    name = contract_lab.name()
    target = contract_lab.area.path(f"{name}.img")
    if where == "storage":
        image = str(contract_lab.bare_template.image_on(contract_lab.host.spec))
        yield Place(strategy(shell), image, target, "qcow2")
    elif where == "xfs":
        folder = request.getfixturevalue("reflinks")
        yield Place(strategy(shell), f"{folder}/win.raw", target := f"{folder}/{name}.img", "raw")
    else:
        made = request.getfixturevalue("group")
        yield Place(strategy(shell), getattr(made, where), target, "raw")
    shell.check(["rm", "-f", target])
    for leftover in leftovers_of_kind(contract_lab, "logical volume"):
        remove_leftover(shell, contract_lab.host.toolstack, leftover)


@pytest.fixture
def image(contract_lab) -> str:
    return str(contract_lab.bare_template.image_on(contract_lab.host.spec))


@pytest.fixture
def target(contract_lab) -> Iterator[str]:
    path = contract_lab.area.path(f"{contract_lab.name()}.img")
    yield path
    contract_lab.host.shell.check(["rm", "-f", path])


def facts(host: Host, path: str) -> str:
    """Size and time of change: hashing it takes too long under emulation."""
    return host.shell.check(["stat", "-L", "-c", "%s %Y", path])


def virtual_size(host: Host, image: str) -> int:
    info = json.loads(host.shell.check(["qemu-img", "info", "--output=json", image]))
    return int(info["virtual-size"])


def there(host: Host, path: str) -> bool:
    return host.shell.run(["ls", path]).ok


def test_a_clone_is_a_disk_of_its_own_and_the_image_stays_as_it_was(contract_host, place):
    before = begin_of(contract_host.shell, place.image), facts(contract_host, place.image).split()[0]

    disk = place.strategy.clone(place.image, place.target)

    assert disk.image_format == place.image_format
    assert there(contract_host, disk.path)
    if disk.image_format == "raw":
        assert begin_of(contract_host.shell, disk.path) == CONTENT
        change(contract_host.shell, disk.path)
        assert begin_of(contract_host.shell, disk.path) == "changed!"
    assert before == (
        begin_of(contract_host.shell, place.image),
        facts(contract_host, place.image).split()[0],
    )


def test_an_image_that_is_a_file_is_not_even_touched(contract_host, image, target):
    before = facts(contract_host, image)
    for strategy in (Overlay, FullCopy):
        strategy(contract_host.shell).clone(image, target)
        assert facts(contract_host, image) == before
        contract_host.shell.check(["rm", "-f", target])


def test_a_copy_is_the_whole_image(contract_host, image, target):
    FullCopy(contract_host.shell).clone(image, target)
    shell = contract_host.shell
    sums = [shell.check(["sha256sum", path], timeout_s=120).split()[0] for path in (image, target)]
    assert sums[0] == sums[1]


def test_a_raw_image_stays_raw_when_it_is_copied(contract_lab, contract_host, target):
    raw = contract_lab.area.path("pvhck-raw.img")
    contract_host.shell.check(["truncate", "-s", "1M", raw])
    assert FullCopy(contract_host.shell).clone(raw, target).image_format == "raw"
    contract_host.shell.check(["rm", "-f", target])
    assert Overlay(contract_host.shell).clone(raw, target).image_format == "qcow2"
    contract_host.shell.check(["rm", "-f", raw])


def test_a_missing_image_is_named_and_nothing_is_left(contract_lab, contract_host, place):
    missing = f"{place.image.rpartition('/')[0]}/nosuch"
    with pytest.raises(ProvisioningFailed, match=missing):
        place.strategy.clone(missing, place.target)
    assert not there(contract_host, place.target)
    assert not leftovers_of_kind(contract_lab, "logical volume")


@pytest.mark.parametrize("strategy", [Overlay, FullCopy])
def test_a_folder_that_is_missing_is_no_place_for_a_clone(contract_host, image, strategy):
    with pytest.raises(ProvisioningFailed, match="cannot clone"):
        strategy(contract_host.shell).clone(image, f"{contract_host.spec.storage}/nosuch/disk.img")


# -- reflink


def test_a_reflink_into_another_file_system_is_refused_and_nothing_is_left(contract_host, reflinks, target):
    with pytest.raises(ProvisioningFailed, match=r"failed to clone.*[Cc]ross-device"):
        Reflink(contract_host.shell).clone(f"{reflinks}/win.raw", target)
    assert not there(contract_host, target)


def test_a_reflink_where_the_file_system_cannot_is_refused_and_nothing_is_left(contract_host, image, target):
    with pytest.raises(ProvisioningFailed, match=r"failed to clone.*not supported"):
        Reflink(contract_host.shell).clone(image, target)
    assert not there(contract_host, target)


def test_a_qcow2_template_stays_qcow2_in_a_reflink(contract_host, image, reflinks):
    contract_host.shell.check(["cp", "--sparse=always", image, f"{reflinks}/win.qcow2"], timeout_s=300)
    disk = Reflink(contract_host.shell).clone(f"{reflinks}/win.qcow2", f"{reflinks}/clone.img")
    assert disk.image_format == "qcow2"
    contract_host.shell.check(["rm", "-f", f"{reflinks}/win.qcow2", disk.path])


# -- LVM


def leftovers_of_kind(lab, kind: str) -> list[Leftover]:
    found = leftovers(lab.host.shell, lab.host.toolstack, lab.area.run_id)
    return [leftover for leftover in found if leftover.kind == kind]


def snapshot(lab, origin: str) -> str:
    """The name of a fresh snapshot, VG/LV."""
    disk = LvmSnapshot(lab.host.shell).clone(origin, lab.area.path(f"{lab.name()}.img"))
    return disk.path.removeprefix("/dev/")


@pytest.mark.parametrize("kind", ["thick", "thin"])
def test_a_snapshot_is_a_leftover_of_its_run_until_it_is_taken_away(contract_lab, group, kind):
    name = snapshot(contract_lab, getattr(group, kind))
    assert leftovers_of_kind(contract_lab, "logical volume") == [Leftover("logical volume", name)]

    remove_leftover(contract_lab.host.shell, contract_lab.host.toolstack, Leftover("logical volume", name))

    assert not leftovers_of_kind(contract_lab, "logical volume")
    assert name not in group.volumes()


def test_a_sweep_takes_a_dead_run_s_volumes_and_lets_those_of_others_be(contract_lab, group):
    shell, toolstack = contract_lab.host.shell, contract_lab.host.toolstack
    dead, alive = "pvhck-dead-run-1", snapshot(contract_lab, group.thin)
    others = ("pvhck-mine", "data")
    for name in (dead, *others):
        shell.check(["lvcreate", "-y", "-n", name, "-L", "4M", group.name], timeout_s=60)
    assert "dead-run" in run_states(shell, toolstack)  # though it has neither folder nor domain
    said: list[str] = []

    assert sweep(shell, toolstack, said.append) == 1

    assert said == [f"{contract_lab.host.name}: removing logical volume {group.name}/{dead}"]
    left = group.volumes()
    assert f"{group.name}/{dead}" not in left
    mine = [alive, *(f"{group.name}/{name}" for name in others)]
    assert set(mine) <= set(left)
    shell.check(["lvremove", "-f", *mine], timeout_s=60)


def test_a_snapshot_finds_no_room_in_a_full_group_and_leaves_nothing(contract_lab, group):
    shell = contract_lab.host.shell
    free = volume_at(shell, group.thick).group_free_mib
    shell.check(["lvcreate", "-y", "-n", "filling", "-L", f"{free - 4}M", group.name], timeout_s=60)
    try:
        assert room_for(shell, volume_at(shell, group.thick)).full
        with pytest.raises(ProvisioningFailed, match=r"insufficient free space.*vgs"):
            snapshot(contract_lab, group.thick)
        assert not leftovers_of_kind(contract_lab, "logical volume")
        assert not room_for(shell, volume_at(shell, group.thin)).full, "a pool has room of its own"
    finally:
        shell.check(["lvremove", "-f", f"{group.name}/filling"], timeout_s=60)


def test_a_snapshot_of_a_part_takes_only_that_part(contract_lab, contract_host, group, monkeypatch):
    shell = contract_host.shell
    before = volume_at(shell, group.thick).group_free_mib
    monkeypatch.setattr(shell, "spec", replace(shell.spec, snapshot_percent=25))

    name = snapshot(contract_lab, group.thick)

    taken = before - volume_at(shell, group.thick).group_free_mib
    assert 0 < taken < volume_at(shell, group.thick).size_mib
    shell.check(["lvremove", "-f", name], timeout_s=60)


def test_what_is_no_volume_is_no_template_of_a_snapshot(contract_host, image, target):
    with pytest.raises(ProvisioningFailed, match=r"cannot clone .* by LVM"):
        LvmSnapshot(contract_host.shell).clone(image, target)


def test_a_volume_that_is_a_guest_s_disk_is_not_taken_from_under_it(contract_lab, group):
    shell, toolstack = contract_lab.host.shell, contract_lab.host.toolstack
    name = snapshot(contract_lab, group.thick)
    domain = contract_lab.still(name=name.partition("/")[2])
    shell.check(["rm", "-f", domain.disks[0].path])
    toolstack.create(replace(domain, disks=(DiskSpec(f"/dev/{name}", "hda"),)), paused=True)
    try:
        with pytest.raises(CommandFailed, match=r"in use|used"):
            shell.check(["lvremove", "-f", name], timeout_s=60)
        (disk,) = toolstack.disks(domain.name)
        assert contract_lab.host.xenstore.read(f"{disk.backend_path}/params") == f"/dev/{name}"
    finally:
        toolstack.destroy(domain.name)
        shell.run(["rm", "-f", domain.console_log])
    # at once: blkback may still be letting go
    remove_leftover(shell, toolstack, Leftover("logical volume", name))
    assert name not in group.volumes()


# -- the choice


def test_by_itself_a_host_takes_the_best_that_the_image_and_its_place_allow(
    contract_lab, group, reflinks, monkeypatch
):
    host = contract_lab.host
    image = str(contract_lab.bare_template.image_on(host.spec))
    target = contract_lab.area.path("chosen.img")
    wanted = {
        (image, target): Overlay,
        (f"{reflinks}/win.raw", f"{reflinks}/probe.img"): Reflink,
        (f"{reflinks}/win.raw", target): Overlay,
        (group.thin, target): LvmSnapshot,
        (group.thick, target): LvmSnapshot,
    }
    monkeypatch.setattr(host, "spec", replace(host.spec, clone=CloneMethod.AUTO))
    assert {places: type(choose_strategy(host, *places)) for places in wanted} == wanted
    assert not there(host, f"{reflinks}/probe.img"), "what was tried is still there"


# -- guests


@pytest.mark.slow
def test_a_guest_boots_from_a_snapshot_and_takes_it_along(contract_lab, contract_host, image, monkeypatch):
    size = virtual_size(contract_host, image)
    with volume_group(contract_lab, "vgboots", 3 * size // MIB + 256) as group:
        shell, area = contract_host.shell, contract_lab.area
        volume = f"/dev/{group.name}/win.boots"
        shell.check(["lvcreate", "-y", "-n", "win.boots", "-L", f"{size // MIB}m", group.name], timeout_s=60)
        shell.check(["qemu-img", "convert", "-n", "-O", "raw", image, volume], timeout_s=600)
        monkeypatch.setattr(contract_host, "spec", replace(contract_host.spec, clone=CloneMethod.AUTO))
        template = contract_lab.bare_template
        guest = make_guest(
            contract_host,
            area,
            template,
            contract_lab.number(),
            contract_lab.login(template),
            report=lambda _: None,
            image=volume,
        )
        try:
            assert guest.domain.disks[0].path == f"/dev/{group.name}/{guest.name}"
            guest.start()
            guest.wait_ready(guest.deadline(BOOT_S))
        finally:
            remove_guest(guest, area)
        assert f"{group.name}/{guest.name}" not in group.volumes()


@pytest.mark.slow
def test_a_guest_boots_from_a_reflink_and_takes_it_along(contract_lab, contract_host, image):
    with xfs(contract_lab, "xfs-boots", 4096) as folder:
        template = replace(contract_lab.bare_template, image=f"{folder}/win.qcow2")
        contract_host.shell.check(["cp", "--sparse=always", image, template.image], timeout_s=300)
        spec = replace(contract_host.spec, storage=folder, clone=CloneMethod.AUTO)
        with Host(spec, Credentials(lambda ref: "")) as host, RunArea(host.shell, "reflinks") as area:
            guest = make_guest(
                host, area, template, 1, contract_lab.login(contract_lab.bare_template), report=lambda _: None
            )
            try:
                # nothing lies behind it: the template might go now
                info = host.shell.check(["qemu-img", "info", guest.domain.disks[0].path])
                assert "backing file" not in info
                guest.start()
                guest.wait_ready(guest.deadline(BOOT_S))
            finally:
                remove_guest(guest, area)
            assert not leftovers(host.shell, host.toolstack, "reflinks")
