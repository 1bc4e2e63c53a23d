"""The way to a host's libvirt: through our own SSH connection, or, in the simulated lab, by a program there.

libvirt's own ``xen+ssh://`` starts another ssh with another idea of keys, known hosts, jump hosts and
passwords. A socket of ours whose connections run libvirt's helper over the connection we have needs none.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from harness.errors import HostUnreachable, InfrastructureError, ToolMissing
from harness.host.ssh import SshShell
from harness.host.toolstack.libvirt_binding import LibvirtBinding
from harness.host.toolstack.libvirt_xml import HostPrograms
from harness.lab import HostKind
from harness.libvirtport import LibvirtPort, LibvirtRefusal, PortDomain, PortEvent, ShutdownMode

__all__ = ["find_programs", "open_port"]

# virt-ssh-helper is in libvirt since 6.8; before, its clients ran netcat.
_HELPER = """\
if command -v virt-ssh-helper >/dev/null 2>&1; then exec virt-ssh-helper xen:///system; fi
for socket in /run/libvirt/libvirt-sock /var/run/libvirt/libvirt-sock; do
    if [ -S "$socket" ]; then exec nc -U "$socket"; fi
done
echo "no socket of libvirtd, or no nc" >&2; exit 1"""
# Debian's places, then upstream's; libvirt's own guess is upstream's alone (facts/nested-xen.md).
_LOADERS = (
    "/usr/lib/xen-*/boot/hvmloader",
    "/usr/lib/xen/boot/hvmloader",
    "/usr/libexec/xen/boot/hvmloader",
)
_EMULATORS = (
    "/usr/libexec/xen-qemu-system-i386",
    "/usr/lib/xen/bin/qemu-system-i386",
    "/usr/lib/xen-*/bin/qemu-system-i386",
    "/usr/bin/qemu-system-i386",
    "/usr/bin/qemu-system-x86_64",
)
_FIRST = 'for path in {paths}; do if [ -x "$path" ] || [ -f "$path" ]; then echo "$path"; exit; fi; done'
_SIMULATED = "pvhck-libvirt-port"


def open_port(shell: SshShell) -> LibvirtPort:
    """Connect to the host's libvirt.

    Raises:
        ToolMissing: libvirt-python is not installed here.
        HostUnreachable: libvirt does not answer there.
    """
    if shell.spec.kind is HostKind.SIMULATED:
        return _SimulatedPort(shell)
    folder = Path(tempfile.mkdtemp(prefix="pvhck-libvirt-"))
    path = folder / "socket"
    tunnel = shell.program_socket(["sh", "-c", _HELPER], path)

    def cut() -> None:
        tunnel.close()
        shutil.rmtree(folder, ignore_errors=True)

    try:
        return LibvirtBinding(
            f"xen+unix:///system?socket={path}", patience=max(1.0, shell.spec.time_factor), cut=cut
        )
    except ConnectionError as error:
        cut()
        raise HostUnreachable(
            f"host {shell.spec.name}: no connection to libvirt: {error}",
            mend="is libvirtd running there, and has it its Xen driver? "
            "virsh -c xen:///system version; systemctl restart libvirtd",
        ) from error
    except ToolMissing:
        cut()
        raise


def find_programs(shell: SshShell) -> HostPrograms:
    """Where the host has hvmloader and QEMU."""
    return HostPrograms(loader=_first(shell, _LOADERS), emulator=_first(shell, _EMULATORS))


def _first(shell: SshShell, paths: tuple[str, ...]) -> str:
    script = _FIRST.format(paths=" ".join(paths))  # patterns of our own: the shell there expands them
    return shell.run(["sh", "-c", script], repeatable=True).stdout.strip()


class _SimulatedPort:
    """``LibvirtPort`` of a simulated host: a program there takes each call as JSON, and answers so."""

    def __init__(self, shell: SshShell) -> None:
        self._shell = shell

    def version(self) -> int:
        version: int = self._ask("version")
        return version

    def domains(self) -> tuple[PortDomain, ...]:
        return tuple(PortDomain(**row) for row in self._ask("domains"))

    def xml(self, name: str) -> str:
        text: str = self._ask("xml", name=name)
        return text

    def create(self, xml: str, *, paused: bool) -> None:
        self._ask("create", xml=xml, paused=paused)

    def destroy(self, name: str) -> None:
        self._ask("destroy", name=name)

    def shutdown(self, name: str, mode: ShutdownMode) -> None:
        self._ask("shutdown", name=name, mode=mode.value)

    def reboot(self, name: str) -> None:
        self._ask("reboot", name=name)

    def pause(self, name: str) -> None:
        self._ask("pause", name=name)

    def resume(self, name: str) -> None:
        self._ask("resume", name=name)

    def set_memory(self, name: str, kib: int) -> None:
        self._ask("set_memory", name=name, kib=kib)

    def set_vcpus(self, name: str, count: int) -> None:
        self._ask("set_vcpus", name=name, count=count)

    def save(self, name: str, path: str) -> None:
        self._ask("save", name=name, path=path)

    def restore(self, path: str, *, paused: bool) -> None:
        self._ask("restore", path=path, paused=paused)

    def attach(self, name: str, xml: str) -> None:
        self._ask("attach", name=name, xml=xml)

    def detach(self, name: str, xml: str) -> None:
        self._ask("detach", name=name, xml=xml)

    def events(self) -> tuple[PortEvent, ...]:
        return tuple(PortEvent(**row) for row in self._ask("events"))

    def close(self) -> None:
        """Each call is a connection of its own: there is nothing to end."""

    def _ask(self, call: str, **parameters: Any) -> Any:
        request = json.dumps({"call": call, "parameters": parameters})
        result = self._shell.run([_SIMULATED], stdin=request, timeout_s=200)
        if not result.ok:
            raise InfrastructureError(f"host {self._shell.spec.name}: {result.describe()}")
        answer = json.loads(result.stdout)
        if "refusal" in answer:
            raise LibvirtRefusal(answer["refusal"]["code"], answer["refusal"]["text"])
        return answer["result"]
