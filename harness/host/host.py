"""One host put together: shell, toolstack, xenstore."""

from __future__ import annotations

from typing import Self

from harness.errors import CommandFailed, ConfigurationError, ToolMissing
from harness.host.ssh import SshShell
from harness.host.sshlogin import Credentials
from harness.host.toolstack.protocol import HostInfo, Toolstack
from harness.host.toolstack.xl import XlToolstack
from harness.host.xenstore import Xenstore
from harness.lab import HostSpec
from harness.model import ToolstackName

__all__ = ["Host"]

_NOT_FOUND = 127

# DMI's system vendor in virtual machines; QEMU's was seen on the nested lab, the others are guesses.
_VIRTUAL = {"QEMU", "VMware, Inc.", "innotek GmbH", "Xen"}


class Host:
    """A host that is reached when it is first used. Use it as a context."""

    def __init__(self, spec: HostSpec, credentials: Credentials) -> None:
        self.spec = spec
        self.shell = SshShell(spec, credentials)
        self.xenstore = Xenstore(self.shell)
        self._toolstack: Toolstack | None = None
        self._info: HostInfo | None = None
        self._nested: bool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shell.close()

    @property
    def name(self) -> str:
        """The name in hosts.ini."""
        return self.spec.name

    @property
    def toolstack(self) -> Toolstack:
        """The toolstack of the host's section, or the one that is found there.

        Raises:
            ToolMissing: no toolstack we can drive.
        """
        if self._toolstack is None:
            self._toolstack = self._choose()
        return self._toolstack

    @property
    def info(self) -> HostInfo:
        """The host's figures when it was first asked: for what does not change."""
        if self._info is None:
            self._info = self.toolstack.info()
        return self._info

    @property
    def nested(self) -> bool:
        """Whether the host is itself a virtual machine: what is measured there says nothing of speed."""
        if self._nested is None:
            vendor = self.shell.run(["cat", "/sys/class/dmi/id/sys_vendor"], repeatable=True)
            self._nested = vendor.stdout.strip() in _VIRTUAL
        return self._nested

    def _choose(self) -> Toolstack:
        wanted = self.spec.toolstack
        if wanted in {ToolstackName.XM, ToolstackName.LIBVIRT}:
            raise ConfigurationError(
                f"host {self.name}: toolstack {wanted} is not there yet", mend="set toolstack = xl"
            )
        result = self.shell.run(["xl", "info"], repeatable=True)
        if result.rc == _NOT_FOUND or "not found" in result.stderr:
            raise ToolMissing(
                f"host {self.name}: there is no xl",
                mend="is this dom0 of a Xen host, and does its PATH hold /usr/sbin over SSH?",
            )
        if not result.ok:
            raise CommandFailed(
                f"host {self.name}: {result.describe()}",
                mend="is this dom0 of a running Xen host, and may the user run xl (sudo = yes)?",
            )
        self.shell.check(["mkdir", "-p", self.spec.storage])
        return XlToolstack(self.shell)
