"""Steps that the tests on real Xen share: packages into the stand-in guest and out of it."""

from __future__ import annotations

import base64

from harness.guest.guest import Guest
from harness.install.patience import run_job
from harness.model import DriverName
from harness.xenlab.standin.presets import PRESET_VERSION, preset_inf

__all__ = ["BOOT_S", "STEP_S", "install_preset", "uninstall_package"]

BOOT_S, STEP_S = 300, 60


def install_preset(guest: Guest, name: DriverName, *, version: str = PRESET_VERSION) -> int | None:
    """Install a package as templates have it, in a version of its own; gives the installer's exit code."""
    text = preset_inf(name).replace(PRESET_VERSION, version)
    path = f"/var/tmp/build/{name}.inf"
    guest.operations.write_file(path=path, content=base64.b64encode(text.encode()).decode())
    return run_job(
        guest,
        lambda: guest.operations.install_package(inf=path),
        subject=f"{guest.name} installs {name}",
        seconds=STEP_S,
    ).exit_code


def uninstall_package(guest: Guest, name: DriverName) -> None:
    """Take a package out of the guest's driver store."""
    package = next(one for one in guest.operations.driver_packages() if one.original == f"{name}.inf")
    run_job(
        guest,
        lambda: guest.operations.uninstall_package(published=package.published),
        subject=f"{guest.name} removes {name}",
        seconds=STEP_S,
    )
