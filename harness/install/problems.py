"""Device problem codes and installer exit codes in words, with their usual cause. Pure.

Problem codes: "Device Manager Error Messages" (learn.microsoft.com, windows-hardware/drivers/
install); causes with these drivers: facts/pv-drivers.md 1.1 to 1.5. Exit codes: winerror.h and
setupapi.h of the Windows SDK.
"""

from __future__ import annotations

__all__ = [
    "NEED_RESTART",
    "NO_DRIVER",
    "REBOOT_CODES",
    "SUCCESS_CODES",
    "describe_exit",
    "describe_problem",
]

NEED_RESTART = 14
NO_DRIVER = 28

# ERROR_NO_MORE_ITEMS: no device takes it now, or it has this driver already.
_NO_DEVICE = 259
REBOOT_CODES = frozenset({3010, 1641})  # ERROR_SUCCESS_REBOOT_REQUIRED, _INITIATED
SUCCESS_CODES = frozenset({0, _NO_DEVICE}) | REBOOT_CODES

_PROBLEMS = {
    1: (
        "the device is not configured correctly",
        "the driver's INF was not applied: look at setupapi.dev.log",
    ),
    3: ("the driver may be corrupted, or memory is short", "the image on disk is damaged"),
    10: (
        "the device cannot start",
        "its driver failed to start: no back end, or a driver up to 8.2 that waits for a reboot",
    ),
    12: ("the device cannot find enough free resources", "the platform device is not as Xen makes it"),
    14: ("the device needs a reboot", "its emulated twin is unplugged only at boot"),
    18: ("the driver has to be installed again", "an upgrade was cut in the middle"),
    19: ("its registry entries are wrong", "drivers of several vendors are mixed"),
    21: ("Windows is removing the device", "a removal waits for a reboot"),
    22: ("the device is disabled", "somebody disabled it"),
    24: (
        "the device is not present or has not all its drivers",
        "it was unplugged while its driver was installed",
    ),
    28: (
        "no driver is installed",
        "no package binds it: another vendor prefix, another interface revision, or the package was refused",
    ),
    31: ("Windows cannot load its drivers", "a driver below it failed"),
    32: ("its service is disabled", "the start type of its service was changed"),
    37: ("its driver failed to initialise", "DriverEntry gave an error: bus and function driver do not fit"),
    38: ("an older instance of its driver is still loaded", "an upgrade waits for a reboot"),
    39: ("its driver is missing or corrupted", "an image is missing, or of the wrong architecture"),
    43: ("its driver reported a failure", "the back end went away"),
    44: ("an application or service shut it down", "a service stopped it"),
    45: ("the device is not connected", "it is a leftover of a device that is gone"),
    48: ("its driver is blocked", "Windows has this driver on its list of faulty ones"),
    52: (
        "its driver's signature cannot be verified",
        "test signing is off, Secure Boot is on, or the certificate is not trusted",
    ),
    54: ("the device failed and is being reset", "wait, or reboot"),
}

_EXITS = {
    2: "the system cannot find the file",
    5: "access denied: the account has no full token",
    0x800B0109: "the root of the certificate chain is not trusted",
    0xE000022F: "the package has no signed catalog",
    0xE0000241: "the publisher is trusted only after somebody has agreed",
    0xE0000242: "the publisher is not trusted",
    0xE0000247: "the package could not be added to the driver store",
    0xE000024B: "the catalog does not list a file of the package",
}


def describe_problem(code: int) -> str:
    """``problem 10: the device cannot start (usually: ...)``."""
    if code not in _PROBLEMS:
        return f"problem {code}"
    meaning, cause = _PROBLEMS[code]
    return f"problem {code}: {meaning} (usually: {cause})"


def describe_exit(code: int | None) -> str:
    """An installer's exit code, in hexadecimal where it is an error of Windows' own, in words if known."""
    if code is None:
        return "no exit code"
    value = code & 0xFFFFFFFF
    # the setup errors are seen with either facility: 0xE0000xxx and 0x800F0xxx
    words = _EXITS.get(value) or _EXITS.get(0xE0000000 | (value & 0xFFFF) if value >> 16 == 0x800F else -1)  # noqa: PLR2004  # FACILITY_SETUPAPI as HRESULT
    number = str(code) if 0 <= code < 0x10000 else f"0x{value:08X}"  # noqa: PLR2004  # 16 bits
    return f"exit code {number}" + (f" ({words})" if words else "")
