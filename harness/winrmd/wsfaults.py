"""The faults this endpoint answers with, by what happened (facts/winrm.md 5.4; English texts shortened)."""

from __future__ import annotations

from harness.winrmd.soap import FaultSide, WsFault

__all__ = [
    "aborted",
    "bad_parameter",
    "file_not_found",
    "internal_error",
    "shell_gone",
    "timed_out",
    "too_many_operations",
    "too_many_shells",
    "unknown_action",
    "unknown_resource",
]

_SENDER, _RECEIVER = FaultSide.SENDER, FaultSide.RECEIVER


def timed_out() -> WsFault:
    """No output within the operation timeout."""
    return WsFault(
        2150858793,
        _RECEIVER,
        "w:TimedOut",
        "The WS-Management service cannot complete the operation within the time specified in "
        "OperationTimeout.",
    )


def shell_gone() -> WsFault:
    """An unknown shell or command."""
    return WsFault(
        2150858843,
        _SENDER,
        "w:InvalidSelectors",
        "The request for the Windows Remote Shell with ShellId failed because the shell was not found on "
        "the server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists "
        "on the server.",
    )


def too_many_shells(user: str, limit: int) -> WsFault:
    """MaxShellsPerUser. The subcode is a guess."""
    return WsFault(
        2150859173,
        _SENDER,
        "w:QuotaLimit",
        "The WS-Management service cannot process the request. This user is allowed a maximum number of "
        f"{limit} concurrent shells, which has been exceeded ({user}).",
    )


def too_many_operations(user: str, limit: int) -> WsFault:
    """MaxConcurrentOperationsPerUser. The subcode is a guess."""
    return WsFault(
        2150859174,
        _SENDER,
        "w:QuotaLimit",
        f"The WS-Management service cannot process the request. The maximum number of {limit} concurrent "
        f"operations for this user has been exceeded ({user}).",
    )


def file_not_found() -> WsFault:
    """The program to run is not there."""
    return WsFault(2147942402, _RECEIVER, "w:InternalError", "The system cannot find the file specified.")


def bad_parameter(what: str) -> WsFault:
    """A body that lacks what it must have."""
    return WsFault(87, _SENDER, "w:InvalidParameter", f"The parameter is incorrect: {what}")


def aborted() -> WsFault:
    """A command ended by another request while its output was awaited (code and text: general knowledge)."""
    return WsFault(
        995,
        _RECEIVER,
        "w:InternalError",
        "The I/O operation has been aborted because of either a thread exit or an application request.",
    )


def internal_error(what: str) -> WsFault:
    """Something of ours went wrong (code: ERROR_INTERNAL_ERROR; that Windows uses it here is a guess)."""
    return WsFault(1359, _RECEIVER, "w:InternalError", f"An internal error occurred: {what}")


def unknown_resource(uri: str) -> WsFault:
    """A resource this endpoint does not have (code: ERROR_WSMAN_RESOURCE_NOT_FOUND, general knowledge)."""
    return WsFault(
        2150858752,
        _SENDER,
        "w:InvalidResourceURI",
        f"The service cannot find the resource identified by the resource URI and selectors: {uri}",
    )


def unknown_action(action: str) -> WsFault:
    """An action this endpoint does not know (code: guess)."""
    return WsFault(2150858753, _SENDER, "a:ActionNotSupported", f"The action is not supported: {action}")
