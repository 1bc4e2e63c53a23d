"""The stand-in guest on real Xen: without PV drivers, with all of them, stopped cleanly, uncleanly, crashed.

The tests share guests and run in the order they stand here: booting one takes a minute and more.
"""

from __future__ import annotations

import pytest
from xen_steps import BOOT_S, STEP_S, install_preset

from harness.deadline import Done, NotYet, wait_until
from harness.errors import OperationFailed
from harness.guest.power import shut_down, start_again
from harness.host.domain import DiskSpec
from harness.host.toolstack.protocol import Fallback
from harness.install.patience import reboot_guest
from harness.model import INSTALL_ORDER
from harness.operations import OPERATIONS, Effect

pytestmark = pytest.mark.xen

_VERSION = "9.1.0.7"
# What reading operations need to be asked with, where they take parameters.
_PARAMETERS = {
    "pnp_devices": {"prefix": ""},
    "services": {"names": ("xenbus",)},
    "certificates": {"store": "Root"},
    "events_since": {"record": 0, "limit": 10},
    "stop_events": {"record": 0},
    "file_facts": {"path": "/etc/hostname"},
    "read_file": {"path": "/etc/hostname", "offset": 0, "length": 4},
}
_NEED_MORE = {"cd_files", "job_status", "read_pattern", "xenstore_read", "xenstore_watch"}


@pytest.fixture(scope="module")
def bare(boot):
    """Booted without any PV driver; the test that installs leaves it with all five."""
    return boot("standin-bare")


@pytest.fixture(scope="module")
def full(bare):
    """The same guest with all five packages, installed and booted."""
    _install(bare, INSTALL_ORDER)
    reboot_guest(bare, boot_s=BOOT_S, why="drivers were installed")
    return bare


def _install(guest, names):
    return [install_preset(guest, name, version=_VERSION) for name in names]


def _problems(guest):
    """Problem code by kind of Xen device: ``DEV_VIF`` -> 0."""
    found = {}
    for device in guest.operations.pnp_devices(prefix=""):
        if device.instance_id.startswith(("XEN", "PCI\\VEN_5853")):
            found[device.hardware_ids[0].split("&")[1]] = device.problem
    return found


def _states(guest):
    toolstack = guest.host.toolstack
    disk = next(one for one in toolstack.disks(guest.name) if one.vdev == 768)
    return toolstack.nics(guest.name)[0].state, disk.state


# -- without PV drivers


def test_every_reading_operation_answers(bare):
    for name, operation in OPERATIONS.items():
        if operation.effect is Effect.READS and name not in _NEED_MORE:
            getattr(bare.operations, name)(**_PARAMETERS.get(name, {}))


def test_without_drivers_all_is_emulated_and_xen_gets_no_answer(bare):
    assert _problems(bare) == {"DEV_0001": 28}
    (adapter,) = bare.operations.network_adapters()
    assert adapter.instance_id.startswith("PCI\\VEN_10EC")  # the emulated rtl8139
    assert [(disk.name, disk.target) for disk in bare.operations.disks()] == [("QEMU HARDDISK", -1)]
    assert _states(bare) == (1, 1)
    with pytest.raises(OperationFailed, match="XENIFACE offers no xenstore"):
        bare.operations.xenstore_read(path="data")
    assert bare.host.toolstack.shutdown(bare.name).refused


# -- install


def test_five_packages_are_installed_and_wait_for_a_boot(bare):
    assert _install(bare, INSTALL_ORDER) == [3010, 259, 259, 259, 259]
    assert [one.driver for one in bare.operations.pending_reboots()] == ["xenbus"]
    assert _problems(bare) == {"DEV_0001": 14}


def test_after_the_boot_every_device_works_and_the_emulated_ones_are_gone(full):
    assert _problems(full) == {"DEV_0001": 0, "DEV_IFACE": 0, "DEV_NET": 0, "DEV_VBD": 0, "DEV_VIF": 0}
    assert full.operations.pending_reboots() == ()
    assert _states(full) == (4, 4)
    (adapter,) = full.operations.network_adapters()
    assert adapter.instance_id.startswith("XENVIF\\")
    assert adapter.mac == full.mac
    assert adapter.driver_version == _VERSION
    assert [(disk.name, disk.target) for disk in full.operations.disks()] == [("Xen PV disk xvda", 0)]
    assert {
        one.state for one in full.operations.services(names=("xenbus", "xenagent", "xennet", "xenvbd"))
    } == {"running"}


def test_the_restart_that_installed_them_was_clean_by_the_guests_own_log(full):
    stops = full.operations.stop_events(record=0)
    assert (stops.requested, stops.clean, stops.unclean) == (1, 1, 0)


# -- with PV drivers


def test_xenstore_is_read_written_and_watched_from_the_guest(full):
    written = full.operations.xenstore_write(path="data/pvhck/from-guest", value="grüße")
    assert written.value == "grüße"
    assert full.host.xenstore.read(f"{full.store}/data/pvhck/from-guest") == "grüße"
    assert full.operations.xenstore_read(path="data/pvhck").children == ("from-guest",)
    assert not full.operations.xenstore_watch(path="data/pvhck", seconds=1).fired
    with pytest.raises(OperationFailed, match="access-denied"):
        full.operations.xenstore_write(path="memory/target", value="1")
    with pytest.raises(OperationFailed, match="not-found"):
        full.operations.xenstore_read(path="data/none")


def test_memory_that_is_taken_is_missing_in_the_guest(full):
    before = full.operations.memory()
    full.host.toolstack.set_memory(full.name, 300)

    def probe():
        now = full.operations.memory()
        gone = before.total_kib - now.total_kib
        return Done(now) if gone >= 80 * 1024 else NotYet(f"{gone} KiB gone")

    after = wait_until(
        probe, subject="the balloon takes 84 MiB", deadline=full.deadline(STEP_S), interval_s=2
    )
    assert after.physical_kib == before.physical_kib
    full.host.toolstack.set_memory(full.name, full.template.memory_mib)


def test_a_disk_plugged_in_is_written_past_the_cache_and_read_back(full, area):
    image = area.path("data.raw")
    full.host.shell.check(["truncate", "-s", "8M", image])
    full.host.toolstack.attach_disk(full.name, DiskSpec(image, "xvdg"))
    disk = wait_until(
        lambda: next((Done(one) for one in full.operations.disks() if one.target == 6), NotYet("no disk")),
        subject="xvdg in the guest",
        deadline=full.deadline(STEP_S),
        interval_s=1,
    )
    assert (disk.name, disk.size) == ("Xen PV disk xvdg", 8 << 20)
    written = full.operations.write_pattern(target=6, seed=5, blocks=4, block_size=65536)
    assert full.operations.read_pattern(target=6, blocks=4, block_size=65536) == written
    full.host.toolstack.detach_disk(full.name, "xvdg")
    on_host = full.host.shell.check(["sh", "-c", f"head -c 262144 {image} | sha256sum"]).split()[0]
    assert on_host == written.sha256
    with pytest.raises(OperationFailed, match="access-denied"):
        full.operations.write_pattern(target=0, seed=1, blocks=1, block_size=512)


def test_an_offload_that_is_switched_off_is_off(full):
    full.operations.set_network_setting(mac=full.mac, keyword="*LSOV2IPv4", value="0")
    (adapter,) = full.operations.network_adapters()
    assert dict(adapter.settings)["*LSOV2IPv4"] == "0"
    full.operations.set_network_setting(mac=full.mac, keyword="*LSOV2IPv4", value="1")


@pytest.mark.slow
def test_a_shutdown_by_xen_is_clean_by_the_guests_own_log(full):
    mark = full.operations.event_mark()
    shut_down(full, ack_s=30, off_s=STEP_S)
    start_again(full, ready_s=BOOT_S)
    stops = full.operations.stop_events(record=mark.record)
    assert (stops.requested, stops.clean, stops.unclean, stops.bugchecks) == (1, 1, 0, 0)
    providers = [event.provider for event in full.operations.events_since(record=mark.record, limit=10)]
    assert providers[0] == "xenagent"


@pytest.mark.slow
def test_a_domain_taken_away_was_an_unclean_stop(full):
    mark = full.operations.event_mark()
    full.kill()
    start_again(full, ready_s=BOOT_S)
    stops = full.operations.stop_events(record=mark.record)
    assert (stops.requested, stops.clean, stops.unclean) == (0, 0, 2)


@pytest.mark.slow
def test_a_panic_leaves_a_crashed_domain(full):
    full.host.shell.run(["xl", "sysrq", full.name, "c"])

    def probe():
        domain = full.host.toolstack.find(full.name)
        return Done(domain) if domain is not None and domain.crashed else NotYet(str(domain))

    wait_until(probe, subject="the domain is in state c", deadline=full.deadline(30), interval_s=1)


# -- what Windows would do at the power button


@pytest.mark.slow
def test_without_drivers_the_power_button_is_a_clean_stop(boot):
    guest = boot("standin-bare")
    mark = guest.operations.event_mark()
    assert not guest.host.toolstack.shutdown(guest.name, Fallback.ACPI).refused
    guest.wait_off(guest.deadline(STEP_S))
    start_again(guest, ready_s=BOOT_S)
    stops = guest.operations.stop_events(record=mark.record)
    assert (stops.requested, stops.clean, stops.unclean) == (1, 1, 0)
