"""One host put together: shell, toolstack, xenstore."""

from __future__ import annotations

from typing import Self

from harness.host.ssh import SshShell
from harness.host.sshlogin import Credentials
from harness.host.toolstack.choose import Chosen, choose_toolstack
from harness.host.toolstack.protocol import HostInfo, Toolstack
from harness.host.xenstore import Xenstore
from harness.lab import HostSpec

__all__ = ["Host"]

# Debian has Xen's own programs in /usr/lib/xen-4.17/bin, others in /usr/libexec/xen/bin or /usr/sbin.
_PRIVATE = ("/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/sbin")
# DMI's system vendor in virtual machines; QEMU's was seen on the nested lab, the others are guesses.
_VIRTUAL = {"QEMU", "VMware, Inc.", "innotek GmbH", "Xen"}


class Host:
    """A host that is reached when it is first used. Use it as a context."""

    def __init__(self, spec: HostSpec, credentials: Credentials) -> None:
        self.spec = spec
        self.shell = SshShell(spec, credentials)
        self.xenstore = Xenstore(self.shell)
        self._chosen: Chosen | None = None
        self._nested: bool | None = None
        self._programs: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections to it; what needs one later opens it anew."""
        if self._chosen is not None:
            self._chosen.toolstack.close()
        self.shell.close()

    @property
    def name(self) -> str:
        """The name in hosts.ini."""
        return self.spec.name

    @property
    def chosen(self) -> Chosen:
        """The toolstack of the host's section or the one that is found there, and why.

        Raises:
            ToolMissing: no toolstack we can drive.
            CommandFailed: there is one, and it does not work.
        """
        if self._chosen is None:
            self._chosen = choose_toolstack(self.shell)
            self.shell.check(["mkdir", "-p", self.spec.storage])
        return self._chosen

    @property
    def toolstack(self) -> Toolstack:
        """What drives its domains; raises as ``chosen`` does."""
        return self.chosen.toolstack

    @property
    def info(self) -> HostInfo:
        """The host's figures when it was first asked: for what does not change."""
        return self.chosen.info

    @property
    def nested(self) -> bool:
        """Whether the host is itself a virtual machine: what is measured there says nothing of speed."""
        if self._nested is None:
            vendor = self.shell.run(["cat", "/sys/class/dmi/id/sys_vendor"], repeatable=True)
            self._nested = vendor.stdout.strip() in _VIRTUAL
        return self._nested

    def private_program(self, name: str) -> str:
        """A program of Xen's that is on no PATH, some of which have a prefix; empty where it is not there."""
        if name not in self._programs:
            words = ["find", *_PRIVATE, "-maxdepth", "4", "-name", f"*{name}"]
            found = self.shell.run(words, repeatable=True).stdout.splitlines()
            self._programs[name] = found[0] if found else ""
        return self._programs[name]
