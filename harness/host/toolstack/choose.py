"""Which toolstack drives a host: the one of its section, or the one that is found there, and why."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from harness.errors import CommandFailed, ConfigurationError, ToolMissing
from harness.host.ssh import SshShell
from harness.host.toolstack.libvirt import LibvirtToolstack
from harness.host.toolstack.libvirt_open import find_programs, open_port
from harness.host.toolstack.protocol import HostInfo, Toolstack
from harness.host.toolstack.quirks import BESIDE_XEND
from harness.host.toolstack.tables import parse_info
from harness.host.toolstack.xl import XlToolstack
from harness.host.toolstack.xm import XmToolstack
from harness.model import CommandResult, ToolstackName, XenVersion

__all__ = ["Chosen", "choose_toolstack"]

_FIRST_LIBVIRT = XenVersion(4, 6)  # docs/drvxen.rst of libvirt
_FIRST_XL = XenVersion(4, 1)  # xl of 4.0 lacks shutdown and device commands (facts/pv-drivers.md 8.1)


@dataclass(frozen=True)
class Chosen:
    """A host's toolstack. ``why`` is for people."""

    toolstack: Toolstack
    info: HostInfo
    why: str


def choose_toolstack(shell: SshShell) -> Chosen:
    """The toolstack of the host's section; without one xl where it can work, else xm.

    Raises:
        ToolMissing: neither is there.
        CommandFailed: one is there and does not work.
        ConfigurationError: the section names one that cannot drive this Xen.
    """
    match shell.spec.toolstack:
        case ToolstackName.XL:
            return _xl(shell, "hosts.ini says so")
        case ToolstackName.XM:
            return _xm(shell, "hosts.ini says so")
        case ToolstackName.LIBVIRT:
            return _libvirt(shell)
        case None:
            return _found(shell)


def _found(shell: SshShell) -> Chosen:
    xend = shell.run(["xm", "info"], repeatable=True)
    if xend.ok:
        info = parse_info(xend.stdout)
        why = f"xend runs, on Xen {info.version}: xl beside it would not know its domains"
        return Chosen(XmToolstack(shell, info.version), info, why)
    return _xl(shell, "xend does not run" if _is_there(xend) else "there is no xm")


def _xl(shell: SshShell, why: str) -> Chosen:
    result = shell.run(["xl", "info"], repeatable=True)
    if not _is_there(result):
        raise ToolMissing(
            f"host {shell.spec.name}: there is no xl",
            mend="is this dom0 of a Xen host, and does its PATH hold /usr/sbin over SSH? "
            "Xen before 4.1 has xm only: set toolstack = xm",
        )
    if not result.ok and "xend is running" in result.stderr:
        raise CommandFailed(
            f"host {shell.spec.name}: {result.describe()}",
            mend=f"{BESIDE_XEND.what}: set toolstack = xm, or service xend stop",
        )
    if not result.ok:
        raise CommandFailed(
            f"host {shell.spec.name}: {result.describe()}",
            mend="is dom0 running on Xen, are its daemons up, and may the user run xl (sudo = yes)? "
            "cat /sys/hypervisor/type; service xencommons start",
        )
    info = parse_info(result.stdout)
    if info.version < _FIRST_XL:
        raise ConfigurationError(
            f"host {shell.spec.name}: xl of Xen {info.version} can do too little", mend="set toolstack = xm"
        )
    return Chosen(XlToolstack(shell, info.version), info, why)


def _libvirt(shell: SshShell) -> Chosen:
    info = _xl(shell, "").info  # what libvirt's driver lacks goes through xl
    if info.version < _FIRST_LIBVIRT:
        raise ConfigurationError(
            f"host {shell.spec.name}: libvirt wants Xen {_FIRST_LIBVIRT} or later, it is {info.version}",
            mend="set toolstack = xl",
        )
    toolstack = LibvirtToolstack(
        shell,
        info.version,
        connect=lambda: open_port(shell),
        programs=functools.cache(lambda: find_programs(shell)),
    )
    toolstack.domains()  # that libvirt answers is found out now, not by the first test
    return Chosen(toolstack, info, "hosts.ini says so")


def _xm(shell: SshShell, why: str) -> Chosen:
    result = shell.run(["xm", "info"], repeatable=True)
    if not _is_there(result):
        raise ToolMissing(
            f"host {shell.spec.name}: there is no xm", mend="Xen 4.5 and later have none: set toolstack = xl"
        )
    if not result.ok:
        raise CommandFailed(
            f"host {shell.spec.name}: {result.describe()}", mend="is xend running? service xend start"
        )
    info = parse_info(result.stdout)
    return Chosen(XmToolstack(shell, info.version), info, why)


def _is_there(result: CommandResult) -> bool:
    return not result.not_found and "not found" not in result.stderr
