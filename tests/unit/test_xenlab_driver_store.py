"""The stand-in's driver store, and what it writes for the next boot."""

from __future__ import annotations

import pytest

from harness.model import INSTALL_ORDER
from harness.operations import OperationRefused
from harness.xenlab import pvstate
from harness.xenlab.standin.driverstore import DriverStore
from harness.xenlab.standin.places import Places
from harness.xenlab.standin.presets import preset_inf

BUS, IFACE, VIF, NET, VBD = INSTALL_ORDER


@pytest.fixture
def store(tmp_path):
    store = DriverStore(Places(tmp_path))
    store.prepare()
    return store


def _inf(folder, name, version="1.0.0.0"):
    path = folder / f"{name}.inf"
    path.write_text(preset_inf(name).replace("1.0.0.0", version))
    return path


def _next_boot(root):
    return (
        pvstate.pv_config(()) if not Places(root).pv_config.exists() else Places(root).pv_config.read_text()
    )


def test_installing_one_after_another_changes_what_the_next_boot_unplugs(store, tmp_path):
    seen = []
    for name in (BUS, VIF, NET, VBD):
        store.add(_inf(tmp_path, name))
        seen.append(_next_boot(tmp_path))
    unplugs = ["never", "never", "nics", "all"]
    assert seen == [f'set pv="xen_emul_unplug={unplug}"\n' for unplug in unplugs]
    assert pvstate.parse_installed(Places(tmp_path).installed.read_text()) == {BUS, VIF, NET, VBD}


def test_removing_the_bus_leaves_a_boot_without_xen(store, tmp_path):
    bus = store.add(_inf(tmp_path, BUS))
    store.add(_inf(tmp_path, VBD))
    store.remove(bus.published)
    assert _next_boot(tmp_path) == 'set pv="xen_nopv"\n'


def test_the_same_package_twice_keeps_its_name(store, tmp_path):
    first = store.add(_inf(tmp_path, BUS))
    assert store.add(_inf(tmp_path, BUS)).published == first.published
    assert len(store.packages()) == 1


def test_an_older_version_is_used_again_when_the_newer_is_removed(store, tmp_path):
    store.add(_inf(tmp_path, VIF, "1.0.0.0"))
    newer = store.add(_inf(tmp_path, VIF, "2.0.0.0"))
    assert store.best(VIF).version == "2.0.0.0"
    store.remove(newer.published)
    assert store.best(VIF).version == "1.0.0.0"


def test_a_free_number_is_used_again_and_names_stay_unique(store, tmp_path):
    first = store.add(_inf(tmp_path, BUS))
    second = store.add(_inf(tmp_path, VIF))
    store.remove(first.published)
    assert store.add(_inf(tmp_path, NET)).published == first.published
    assert second.published in {one.published for one in store.packages()}


def test_a_preset_is_made_once_and_not_again_after_its_removal(tmp_path):
    places = Places(tmp_path)
    places.installed.parent.mkdir(parents=True)
    places.installed.write_text(pvstate.installed_text((BUS, IFACE)))
    store = DriverStore(places)
    store.prepare()
    assert store.installed() == {BUS, IFACE}
    for package in store.packages():
        store.remove(package.published)
    again = DriverStore(places)
    again.prepare()
    assert again.packages() == ()
    assert places.installed.read_text() == ""


@pytest.mark.parametrize(
    ("name", "kind"), [("oem7.inf", "not-found"), ("../x", "bad-parameter"), ("oem.inf", "bad-parameter")]
)
def test_what_cannot_be_removed_is_refused_with_the_right_word(store, name, kind):
    with pytest.raises(OperationRefused) as refusal:
        store.remove(name)
    assert refusal.value.kind == kind


def test_a_catalog_beside_the_inf_is_kept_whatever_its_case(store, tmp_path):
    path = _inf(tmp_path, BUS)
    path.write_text(path.read_text().replace("[Manufacturer]", "CatalogFile=xenbus.cat\n[Manufacturer]"))
    (tmp_path / "XENBUS.CAT").write_bytes(b"catalog")
    kept = store.catalog_of(store.add(path))
    assert kept is not None
    assert kept.read_bytes() == b"catalog"


def test_a_file_that_is_no_inf_leaves_the_store_as_it_was(store, tmp_path):
    path = tmp_path / "x.inf"
    path.write_text("nothing")
    with pytest.raises(OperationRefused, match="Version"):
        store.add(path)
    assert store.packages() == ()
