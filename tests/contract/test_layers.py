"""Disks with an installed build are kept, found by what made them, and removed when nobody runs on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.host.clone import Overlay
from harness.host.layers import Layer, LayerStore

pytestmark = pytest.mark.one_row

DAYS = 1.0


@pytest.fixture
def store(contract_lab) -> Iterator[LayerStore]:
    """In a folder of its own: the host's layers are left alone."""
    shell = contract_lab.host.shell
    folder = contract_lab.area.path("layers-of-this-test")
    own = LayerStore(shell, folder)
    yield own
    shell.check(["rm", "-rf", folder])


@pytest.fixture
def keep(contract_lab, store):
    """A layer made of an overlay on the template's image, as a guest's disk is."""
    shell = contract_lab.host.shell
    image = str(contract_lab.bare_template.image_on(contract_lab.host.spec))

    def make(name: str, *, days: float = DAYS) -> Layer:
        disk = contract_lab.area.path(f"{contract_lab.name()}.img")
        Overlay(shell).clone(image, disk)
        layer = store.keep(name, disk, template="win", run="run-1", days=days)
        assert not shell.run(["test", "-e", disk]).ok, "the disk is still the guest's"
        return layer

    return make


def there(contract_host, layer: Layer) -> bool:
    return contract_host.shell.run(["test", "-e", layer.image]).ok


def test_a_layer_is_found_by_its_name_alone(store, keep):
    kept = keep("win-1")
    assert store.find("win-1") == kept
    assert store.find("win-2") is None
    assert (kept.template, kept.made_by, round(kept.expires - kept.made)) == ("win", "run-1", 86400)


def test_a_guest_can_be_cloned_from_a_layer(contract_lab, keep):
    kept = keep("win-1")
    target = contract_lab.area.path(f"{contract_lab.name()}.img")
    disk = Overlay(contract_lab.host.shell).clone(kept.image, target)
    assert disk.image_format == "qcow2"
    info = contract_lab.host.shell.check(["qemu-img", "info", target])
    assert f"backing file: {kept.image}" in info
    contract_lab.host.shell.check(["rm", "-f", target])


def test_a_layer_that_has_expired_is_not_found_and_goes(store, keep, contract_host):
    kept = keep("win-1", days=-1)
    assert store.find("win-1") is None
    assert store.trim(1 << 20) == (kept,)
    assert not there(contract_host, kept)


def test_beyond_the_budget_a_layer_goes_and_within_it_stays(store, keep, contract_host):
    kept = keep("win-1")
    assert store.trim(max(kept.size_mib, 1)) == ()
    assert there(contract_host, kept)
    shell = contract_host.shell
    shell.check(["truncate", "-s", "3M", kept.image])
    shell.check(["sh", "-c", f"echo x >> {kept.image}"])
    larger = replace(kept, size_mib=3)
    shell.put(_note(larger).encode(), f"{kept.image.rpartition('/')[0]}/win-1.json")
    assert store.trim(2) == (larger,)
    assert not there(contract_host, kept)


def test_what_is_dropped_is_found_no_more_but_stays_while_guests_may_run_on_it(store, keep, contract_host):
    kept = keep("win-1")
    store.drop("win-1")
    assert store.find("win-1") is None
    assert there(contract_host, kept)
    store.trim(1 << 20)
    assert not there(contract_host, kept)


def test_two_guests_of_one_build_that_become_layers_do_not_overwrite_each_other(store, keep, contract_host):
    first, second = keep("win-1"), keep("win-1")
    assert first.image != second.image
    assert there(contract_host, first)
    assert store.find("win-1") == second


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": 1}'])
def test_a_note_that_cannot_be_read_is_no_layer(store, keep, contract_host, text):
    kept = keep("win-1")
    contract_host.shell.put(text.encode(), f"{kept.image.rpartition('/')[0]}/win-1.json")
    assert store.find("win-1") is None
    assert store.all() == ()


def _note(layer: Layer) -> str:
    return (
        f'{{"name": "{layer.name}", "image": "{layer.image}", "template": "{layer.template}", '
        f'"made_by": "{layer.made_by}", "made": {layer.made}, "expires": {layer.expires}, '
        f'"size_mib": {layer.size_mib}}}\n'
    )
