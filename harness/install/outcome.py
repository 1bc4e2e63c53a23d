"""What installing, verifying and removing found: values that reports show."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import GuestError
from harness.model import DriverName

__all__ = [
    "DriverFault",
    "InstallReport",
    "InstalledPackage",
    "NotChecked",
    "SigningSteps",
    "StepTime",
    "UninstallReport",
    "Verification",
]


@dataclass(frozen=True)
class DriverFault:
    """What is wrong, and which driver is answerable for it."""

    driver: DriverName
    what: str

    def __str__(self) -> str:
        return f"{self.driver}: {self.what}"


@dataclass(frozen=True)
class NotChecked:
    """A check that cannot be made here, and why."""

    check: str
    reason: str


@dataclass(frozen=True)
class Verification:
    """What a look at guest and host found. ``checks`` are those made, in words, good or bad."""

    faults: tuple[DriverFault, ...]
    checks: tuple[str, ...]
    not_checked: tuple[NotChecked, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def of(self, driver: DriverName | str) -> tuple[str, ...]:
        """What is wrong with one driver."""
        return tuple(fault.what for fault in self.faults if fault.driver == driver)

    def demand(self, subject: str) -> None:
        """Raise what is wrong: of each driver the first fault, the others follow from it as a rule.

        Raises:
            GuestError: anything is.
        """
        firsts = {fault.driver: fault for fault in reversed(self.faults)}
        if firsts:
            texts = [
                str(firsts[driver]) + _more(len(self.of(driver)) - 1)
                for driver in DriverName
                if driver in firsts
            ]
            raise GuestError(f"{subject}: {'; '.join(texts)}")


@dataclass(frozen=True)
class StepTime:
    """A step and how long it took, in seconds."""

    step: str
    seconds: float


@dataclass(frozen=True)
class SigningSteps:
    """What a guest was told so that it takes the signatures.

    ``certificates`` are the additions (``Root: CN=...``); ``test_signing`` is what it was switched
    to, None when it was right already.
    """

    certificates: tuple[str, ...] = ()
    test_signing: bool | None = None

    @property
    def rebooted(self) -> bool:
        """Whether the guest was rebooted for it."""
        return self.test_signing is not None


@dataclass(frozen=True)
class InstalledPackage:
    """A package that was installed. ``replaced`` are the versions that the driver store had before."""

    name: DriverName
    version: str
    sha256: str
    exit_code: int | None
    replaced: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class InstallReport:
    """How a build went into a guest. ``reboots`` are those the drivers asked for."""

    guest: str
    synthetic: bool
    packages: tuple[InstalledPackage, ...]
    signing: SigningSteps
    reboots: int
    reasons: tuple[str, ...]  # for each reboot, who asked for it
    steps: tuple[StepTime, ...]
    verification: Verification
    warnings: tuple[str, ...]

    def demand(self) -> None:
        """Raise what is wrong with the drivers.

        Raises:
            GuestError: names each driver, its device and what is wrong.
        """
        self.verification.demand(f"{self.guest} after the installation")


@dataclass(frozen=True)
class UninstallReport:
    """How the drivers came out of a guest; ``verification`` is about what must be gone or back."""

    guest: str
    removed: tuple[str, ...]  # published names
    reboots: int
    steps: tuple[StepTime, ...]
    verification: Verification
    warnings: tuple[str, ...]

    def demand(self) -> None:
        """Raise what is left behind.

        Raises:
            GuestError: names each driver and what it left.
        """
        self.verification.demand(f"{self.guest} after the removal")


def _more(count: int) -> str:
    return f" (and {count} more)" if count else ""
