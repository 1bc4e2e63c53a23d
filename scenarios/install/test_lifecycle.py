"""A build into a fresh guest, over itself, over an older one, in part, and out again."""

from harness.scenario import (
    INSTALL_ORDER,
    Change,
    DriverBuild,
    DriverName,
    Guest,
    InstallParams,
    Measure,
    Requirement,
    changes,
    dirties,
    drivers,
    install_build,
    requires,
    uninstall_build,
)

_ALL = "xenbus", "xeniface", "xenvif", "xennet", "xenvbd"
_NETWORK = Requirement(emulated_nic=True)  # the build has to reach a guest that has no drivers yet


@drivers(*_ALL)
@requires(_NETWORK)
def test_a_fresh_installation_leaves_every_device_working(
    bare_guest: Guest, driver_build: DriverBuild, install: InstallParams, measure: Measure
) -> None:
    installed = install_build(bare_guest, driver_build, install)

    measure("install", sum(step.seconds for step in installed.steps), "s", better="lower")
    measure("install_reboots", installed.reboots, "reboots", better="lower")
    installed.demand()
    assert installed.reboots <= install.max_reboots


@changes(Change.INSTALL, Change.REBOOT)
@drivers(*_ALL)
def test_installing_the_same_build_again_changes_nothing(
    guest: Guest, driver_build: DriverBuild, install: InstallParams
) -> None:
    boot = guest.operations.boot_id()

    again = install_build(guest, driver_build, install)

    again.demand()
    assert again.reboots == 0, f"a reboot is asked for by {', '.join(again.reasons)}"
    assert guest.operations.boot_id() == boot, "the guest rebooted over it"


@drivers(*_ALL)
@requires(_NETWORK)
def test_an_upgrade_leaves_every_device_at_the_new_version(
    bare_guest: Guest, older_build: DriverBuild, driver_build: DriverBuild, install: InstallParams
) -> None:
    install_build(bare_guest, older_build, install).demand()

    upgraded = install_build(bare_guest, driver_build, install)

    upgraded.demand()
    assert all(package.replaced for package in upgraded.packages), "nothing was replaced: the same build?"
    assert upgraded.reboots <= install.max_reboots


@changes(Change.INSTALL, Change.REBOOT)
@dirties
@drivers(*_ALL)
def test_a_removal_gives_the_emulated_devices_back(
    guest: Guest, driver_build: DriverBuild, install: InstallParams
) -> None:
    removed = uninstall_build(guest, driver_build, install)

    removed.demand()
    assert removed.reboots <= install.max_reboots


@drivers("xenbus", "xenvif")
@requires(Requirement(drivers=INSTALL_ORDER, emulated_nic=True))
def test_without_xenvif_the_interface_stays_emulated_and_works(
    bare_guest: Guest, driver_build: DriverBuild, install: InstallParams
) -> None:
    installed = install_build(bare_guest, driver_build.without(DriverName.XENVIF), install)

    installed.demand()
    (adapter,) = [found for found in bare_guest.operations.network_adapters() if found.mac == bare_guest.mac]
    assert adapter.instance_id.startswith("PCI\\"), f"it is {adapter.instance_id}"
    assert adapter.up
