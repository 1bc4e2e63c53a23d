"""A driver build into a guest and out again: order, certificates, reboots, verification."""

from harness.install.install import install_build, prepare_guest
from harness.install.outcome import (
    DriverFault,
    InstalledPackage,
    InstallReport,
    NotChecked,
    SigningSteps,
    StepTime,
    UninstallReport,
    Verification,
)
from harness.install.remove import uninstall_build
from harness.install.verify import look, verify_drivers

__all__ = [
    "DriverFault",
    "InstallReport",
    "InstalledPackage",
    "NotChecked",
    "SigningSteps",
    "StepTime",
    "UninstallReport",
    "Verification",
    "install_build",
    "look",
    "prepare_guest",
    "uninstall_build",
    "verify_drivers",
]
