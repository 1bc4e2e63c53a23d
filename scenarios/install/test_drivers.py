"""Each driver by itself: its device, its services, and what the host sees of it."""

from harness.scenario import (
    DriverBuild,
    DriverName,
    Guest,
    InstallParams,
    Requirement,
    drivers,
    requires,
    verify_drivers,
)


@drivers("xenbus")
@requires(Requirement(drivers=(DriverName.XENBUS,)))
def test_xenbus_works(installed_guest: Guest, driver_build: DriverBuild, install: InstallParams) -> None:
    wrong = verify_drivers(installed_guest, driver_build, install, DriverName.XENBUS).of(DriverName.XENBUS)

    assert not wrong, "; ".join(wrong)


@drivers("xeniface")
@requires(Requirement(drivers=(DriverName.XENIFACE,)))
def test_xeniface_works(installed_guest: Guest, driver_build: DriverBuild, install: InstallParams) -> None:
    wrong = verify_drivers(installed_guest, driver_build, install, DriverName.XENIFACE).of(
        DriverName.XENIFACE
    )

    assert not wrong, "; ".join(wrong)


@drivers("xenvif")
@requires(Requirement(drivers=(DriverName.XENVIF,)))
def test_xenvif_works(installed_guest: Guest, driver_build: DriverBuild, install: InstallParams) -> None:
    wrong = verify_drivers(installed_guest, driver_build, install, DriverName.XENVIF).of(DriverName.XENVIF)

    assert not wrong, "; ".join(wrong)


@drivers("xennet")
@requires(Requirement(drivers=(DriverName.XENNET,)))
def test_xennet_works(installed_guest: Guest, driver_build: DriverBuild, install: InstallParams) -> None:
    wrong = verify_drivers(installed_guest, driver_build, install, DriverName.XENNET).of(DriverName.XENNET)

    assert not wrong, "; ".join(wrong)


@drivers("xenvbd")
@requires(Requirement(drivers=(DriverName.XENVBD,)))
def test_xenvbd_works(installed_guest: Guest, driver_build: DriverBuild, install: InstallParams) -> None:
    wrong = verify_drivers(installed_guest, driver_build, install, DriverName.XENVBD).of(DriverName.XENVBD)

    assert not wrong, "; ".join(wrong)


@drivers("xenbus", "xenvif", "xennet")
@requires(Requirement(drivers=(DriverName.XENBUS, DriverName.XENVIF, DriverName.XENNET)))
def test_the_emulated_interface_is_gone(installed_guest: Guest) -> None:
    adapters = installed_guest.operations.network_adapters()

    emulated = [adapter.name for adapter in adapters if adapter.instance_id.startswith("PCI\\")]
    assert not emulated, f"still there: {', '.join(emulated)}"
    assert [adapter.mac for adapter in adapters if adapter.up] == [installed_guest.mac]


@drivers("xenbus", "xenvbd")
@requires(Requirement(drivers=(DriverName.XENBUS, DriverName.XENVBD)))
def test_the_emulated_disk_is_gone(installed_guest: Guest) -> None:
    disks = installed_guest.operations.disks()

    emulated = [f"{disk.number} ({disk.name})" for disk in disks if disk.target < 0]
    assert not emulated, f"still there: {', '.join(emulated)}"
    assert 0 in [disk.target for disk in disks], "there is no PV system disk"
