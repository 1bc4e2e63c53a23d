"""pnputil: packages into the driver store and onto devices, and away again.

Exit codes of the new one: Microsoft, "PnPUtil return values" (0, 259, 3010). What it ends with on an
error, and all codes of the old one, are guesses: the numbers are SetupAPI's (setupapi.h).
"""

from __future__ import annotations

import ntpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.model import DriverName
from harness.operations import OperationRefused
from harness.simlab.guest.catalog import Signature, read_signature
from harness.simlab.guest.disk import Kept, StoredPackage
from harness.simlab.guest.files import GuestFiles
from harness.simlab.guest.inf import Inf, InfError, read_inf
from harness.simlab.guest.jobs import Ended

__all__ = ["ACCESS_DENIED", "REBOOT_REQUIRED", "Pnputil", "Scanned"]

ACCESS_DENIED, REBOOT_REQUIRED = 5, 3010
_DONE, _NO_DEVICE, _REBOOT = 0, 259, REBOOT_REQUIRED
_FILE_NOT_FOUND = 2
_BAD_INF = 0xE0000100 - (1 << 32)  # ERROR_GENERAL_SYNTAX
_NO_MODELS = 0xE0000101 - (1 << 32)  # ERROR_SECTION_NOT_FOUND: nothing for this architecture
_NO_CATALOG = 0xE000022F - (1 << 32)  # ERROR_NO_CATALOG_FOR_OEM_INF
_NOT_LISTED = 0xE000024B - (1 << 32)  # ERROR_FILE_HASH_NOT_IN_CATALOG
_NOT_TRUSTED = 0xE0000242 - (1 << 32)  # ERROR_AUTHENTICODE_TRUST_NOT_ESTABLISHED


class _Failed(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Scanned:
    """What a look at all devices found for a package."""

    bound: bool  # it drives a device now
    wants_reboot: bool


class Pnputil:
    """The program. ``rescan`` looks at all devices again after a package has come or gone."""

    def __init__(
        self, kept: Kept, files: GuestFiles, rescan: Callable[[StoredPackage], Scanned], *, old: bool
    ) -> None:
        self._kept = kept
        self._files = files
        self._rescan = rescan
        self._old = old

    def driver_of(self, arguments: Sequence[str]) -> DriverName | None:
        """Which of the five a command line is about to add; None for any other."""
        match arguments:
            case ["/add-driver", path, *_] | ["-i", "-a", path]:
                try:
                    return self._read(path)[0].driver
                except _Failed:
                    return None
        return None

    def removes(self, arguments: Sequence[str]) -> DriverName | None:
        """Which of the five a command line is about to remove; None for any other."""
        match arguments:
            case ["/delete-driver", published, *_] | ["-f", "-d", published]:
                return next(
                    (one.inf.driver for one in self._kept.packages if one.published == published), None
                )
        return None

    def run(self, arguments: Sequence[str]) -> Ended:
        """Run to the end."""
        try:
            match arguments:
                case ["/add-driver", path, "/install"] if not self._old:
                    return self._add(path)
                case ["/delete-driver", published, "/uninstall", "/force"] if not self._old:
                    return self._delete(published)
                case ["-i", "-a", path]:
                    return self._add(path)
                case ["-f", "-d", published]:
                    return self._delete(published)
        except _Failed as failed:
            return Ended(failed.code, f"Microsoft PnP Utility\r\n\r\n{failed.text}\r\n")
        return Ended(1, "Microsoft PnP Utility\r\n\r\nUsage:\r\n")

    def _add(self, path: str) -> Ended:
        inf, signature = self._read(path)
        if not inf.models:
            raise _Failed(_NO_MODELS, f"{path}: nothing in it is for this architecture.")
        self._check(inf, signature, path)
        name = ntpath.basename(path)
        package = self._store(name, inf, signature)
        scanned = self._rescan(package)
        text = (
            f"Microsoft PnP Utility\r\n\r\nAdding driver package:  {name}\r\n"
            f"Driver package added successfully.\r\nPublished Name:         {package.published}\r\n"
        )
        if self._old:
            return Ended(_DONE, text)
        if not scanned.bound:
            return Ended(_NO_DEVICE, text)
        return Ended(_REBOOT if scanned.wants_reboot else _DONE, text)

    def _delete(self, published: str) -> Ended:
        package = next((one for one in self._kept.packages if one.published == published), None)
        if package is None:
            raise _Failed(_FILE_NOT_FOUND, f"{published} is not an installed driver package.")
        self._kept.packages.remove(package)
        wants_reboot = self._rescan(package).wants_reboot
        text = (
            "Microsoft PnP Utility\r\n\r\nDriver package uninstalled.\r\n"
            f"Driver package deleted: {published}\r\n"
        )
        return Ended(_REBOOT if wants_reboot and not self._old else _DONE, text)

    def _read(self, path: str) -> tuple[Inf, Signature]:
        try:
            data = self._files.existing(path).read_bytes()
        except OperationRefused as error:
            raise _Failed(_FILE_NOT_FOUND, f"{path}: the system cannot find the file.") from error
        encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
        try:
            inf = read_inf(data.decode(encoding, errors="replace"), self._kept.arch)
        except InfError as error:
            raise _Failed(_BAD_INF, f"{path}: {error}.") from error
        catalog = self._beside(path, inf.catalog) if inf.catalog else None
        return inf, read_signature(catalog, data)

    def _check(self, inf: Inf, signature: Signature, path: str) -> None:
        for name in inf.files:
            if self._beside(path, name) is None:
                raise _Failed(_FILE_NOT_FOUND, f"{name}: the system cannot find the file.")
        if not signature.signer:
            raise _Failed(_NO_CATALOG, "The third-party INF does not contain digital signature information.")
        if not signature.lists_inf:
            raise _Failed(_NOT_LISTED, "The hash for the file is not present in the specified catalog file.")
        if not signature.released and not signature.believed(self._kept.certificates):
            raise _Failed(_NOT_TRUSTED, f"The publisher {signature.signer} is not trusted on this machine.")

    def _beside(self, path: str, name: str) -> bytes | None:
        real = self._files.real(ntpath.join(ntpath.dirname(path), name))
        return real.read_bytes() if real.is_file() else None

    def _store(self, name: str, inf: Inf, signature: Signature) -> StoredPackage:
        for known in self._kept.packages:
            if (known.original, known.inf, known.signature) == (name, inf, signature):
                return known
        package = StoredPackage(f"oem{self._kept.next_oem}.inf", name, inf, signature)
        self._kept.next_oem += 1
        self._kept.packages.append(package)
        return package
