"""xl (Xen 4.1 and later) over a host's shell.

What xl's exit codes do not tell is read back: ``block-list`` of a domain that
does not exist exits 0, a failed ``network-attach`` leaves its interface behind
(facts/xen-peers.md 2.6, nested-xen.md; recorded in tests/fixtures/xen-4.17).
What differs between versions is in ``quirks``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import CommandFailed
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.numbers import whole_number
from harness.host.sshchannel import LineReader
from harness.host.toolstack import quirks
from harness.host.toolstack.command import SLOW_S, CommandToolstack
from harness.host.toolstack.legacy_disk import legacy_words
from harness.host.toolstack.protocol import (
    Description,
    Fallback,
    NoSuchDomain,
    RequestAnswer,
    Trigger,
    Unsupported,
)
from harness.host.toolstack.tables import parse_json_description, parse_sxp_description
from harness.host.toolstack.xl_config import disk_spec, nic_words, render
from harness.model import CommandResult, ToolstackName

__all__ = ["XlToolstack"]

_REFUSED = re.compile(
    # without the second half it is said of the ACPI fallback, too (stand-in-4.17/nopv-reboot-F.txt)
    r"PV control interface not available: external graceful"
    r"|HVM domain without PV drivers"  # 4.1 (tools/libxl/libxl.c, libxl_domain_shutdown)
)
_COMPLAINT = re.compile(r"libxl: error|^Error: |failed\b|^Cannot stat", re.MULTILINE)
_DUMP_POLL_S = 1.0
_DUMP_STILL = 3  # looks that must find the same size: by then xl has written everything
_DUMPED_PART = 0.9  # of a domain's memory; what it gave back or never touched is left out
_FAULTY_QEMU = ("5.2.", "7.2.")
_DRIVES = {"hda": 768, "hdb": 832, "hdc": 5632, "hdd": 5696}  # docs/misc/vbd-interface.txt


def _drive(vdev: str) -> str:
    """A drive's name in QEMU, as libxl gives it (libxl_dm.c, Xen 4.17)."""
    return f"ide-{_DRIVES[vdev]}"


class XlToolstack(CommandToolstack):
    """``Toolstack`` by xl."""

    name = ToolstackName.XL
    program = "xl"
    device_s = 60.0
    absent = re.compile(r"is an invalid domain identifier|Can't get domid of domain name")
    restart_gap_s = 0.0

    # -- looking

    def config(self, name: str) -> Description:
        """See ``Toolstack.config``."""
        text = self._read("list", "-l", name)
        # xl.conf may ask for s-expressions where JSON is the rule (output_format)
        if quirks.JSON_LIST.holds(self.version) and not text.lstrip().startswith("("):
            return parse_json_description(text, name)
        return parse_sxp_description(text, name)

    # -- requests

    def shutdown(self, name: str, fallback: Fallback = Fallback.NONE) -> RequestAnswer:
        """See ``Toolstack.shutdown``."""
        answer = self._request("shutdown", name, fallback)
        if answer.refused and fallback is Fallback.ACPI and not quirks.ACPI_FALLBACK.holds(self.version):
            self.trigger(name, Trigger.POWER)  # what -F does where it is there
            return replace(answer, refused=False)
        return answer

    def reboot(self, name: str, fallback: Fallback = Fallback.NONE) -> RequestAnswer:
        """See ``Toolstack.reboot``."""
        return self._request("reboot", name, fallback)

    # -- memory

    def set_memory(self, name: str, mib: int) -> int:
        """See ``Toolstack.set_memory``."""
        domid = self._required(name).domid
        # the unit is written out: manual and code disagree on a bare number (facts/pv-drivers.md 3)
        self._change("mem-set", name, f"{mib}m")
        return whole_number(self._store.read(f"/local/domain/{domid}/memory/target"), "memory/target")

    # -- devices

    def attach_nic(self, name: str, nic: NicSpec) -> None:
        """See ``Toolstack.attach_nic``."""
        self._plugged(
            name,
            nic.mac,
            lambda: self._change("network-attach", name, *nic_words(nic), timeout_s=self.device_s),
            lambda: self.detach_nic(name, nic.mac),
        )

    def detach_nic(self, name: str, mac: str) -> None:
        """See ``Toolstack.detach_nic``."""
        self._change("network-detach", name, mac, timeout_s=self.device_s)
        self._unplugged(name, mac)

    def insert_cd(self, name: str, vdev: str, path: str) -> None:
        """See ``Toolstack.insert_cd``."""
        self._required(name)
        self._require_file(path)
        if not self._dies_of_cd_insert(name):
            source = path if quirks.DISK_WORDS.holds(self.version) else f"file:{path}"
            self._change("cd-insert", name, vdev, source, timeout_s=self.device_s)
            return
        said = self._monitor(name, f'change {_drive(vdev)} "{path}" raw')
        if path not in self._monitor(name, "info block"):
            raise CommandFailed(f"host {self._host}: {path} into {vdev} of {name}: {said.strip()}")

    def eject_cd(self, name: str, vdev: str) -> None:
        """See ``Toolstack.eject_cd``."""
        if self._dies_of_cd_insert(name):
            self._monitor(name, f"eject -f {_drive(vdev)}")
        else:
            self._change("cd-eject", name, vdev, timeout_s=self.device_s)

    # -- evidence

    def dump_core(self, name: str, path: str, *, timeout_s: float) -> int:
        """See ``Toolstack.dump_core``."""
        deadline = Deadline.after(timeout_s * self._shell.spec.time_factor)
        whole = int(self._required(name).memory_mib * (1 << 20) * _DUMPED_PART)
        with self._shell.stream(["xl", "dump-core", name, path]) as lines:
            return self._dumped_size(path, lines, whole, deadline)

    def screen_dump(self, name: str) -> bytes:
        """See ``Toolstack.screen_dump``. By QEMU's monitor."""
        if not quirks.MONITOR.holds(self.version):
            self._required(name)
            raise Unsupported(
                f"host {self._host}: xl of Xen {self.version} cannot ask QEMU for the screen",
                mend=f"it can from Xen {quirks.MONITOR.since} on; look by VNC",
            )
        path = self._file(name, ".ppm")
        self._monitor(name, f"screendump {path}")
        try:
            return self._shell.get(path)
        finally:
            self._shell.run(["rm", "-f", path])

    # -- inner parts

    def _render(self, spec: DomainSpec) -> str:
        return render(spec, self.version)

    def _disk_words(self, disk: DiskSpec) -> tuple[str, ...]:
        return (disk_spec(disk),) if quirks.DISK_WORDS.holds(self.version) else legacy_words(disk)

    def _failed(self, result: CommandResult) -> bool:
        lies = quirks.exit_code_lies(result.argv[1], self.version)
        return not result.ok or (lies and _COMPLAINT.search(result.stderr) is not None)

    def _complaint(self, result: CommandResult) -> str:
        """The first error of several: the others follow from it.

        Recorded: xen-4.17/err-create-nomem.txt, whose last line is about a destruction that failed.
        """
        errors = [line for line in result.stderr.splitlines() if "error: " in line]
        return (replace(result, stdout="", stderr=errors[0]) if errors else result).describe()

    def _request(self, verb: str, name: str, fallback: Fallback) -> RequestAnswer:
        may_fall_back = fallback is Fallback.ACPI and quirks.ACPI_FALLBACK.holds(self.version)
        result = self._shell.run(["xl", verb, *(["-F"] if may_fall_back else []), name], timeout_s=SLOW_S)
        if not result.ok and _REFUSED.search(result.stderr):
            return RequestAnswer(refused=True, text=result.stderr, duration_s=result.duration_s)
        self._checked(result)
        return RequestAnswer(refused=False, text=result.stdout + result.stderr, duration_s=result.duration_s)

    def _monitor(self, name: str, command: str) -> str:
        return self._change("qemu-monitor-command", name, command).stdout

    def _dies_of_cd_insert(self, name: str) -> bool:
        """Whether ``xl cd-insert`` would end the domain's QEMU.

        Seen with Debian's Xen 4.17 and 4.14: QEMU 7.2.22 has a segmentation fault at the ``add-fd`` that
        xl sends, and 5.2.0 is gone as well. Whether versions between them are too is not known.
        """
        if not quirks.MONITOR.holds(self.version):
            return False
        try:
            return self._monitor(name, "info version").startswith(_FAULTY_QEMU)
        except NoSuchDomain:
            raise
        except CommandFailed:
            return False

    def _dumped_size(self, path: str, lines: LineReader, whole: int, deadline: Deadline) -> int:
        """Size of a dump once it is ``whole`` and its writer does not write any more."""
        sizes: list[int] = []

        def probe() -> Done[int] | NotYet:
            result = self._shell.run(["stat", "-c", "%s", path], repeatable=True)
            complaint = lines.complaint()
            if not result.ok and complaint:
                raise CommandFailed(f"host {self._host}: xl dump-core to {path}: {complaint}")
            sizes.append(whole_number(result.stdout, "the size of a dump") if result.ok else 0)
            still = len(sizes) > _DUMP_STILL and len(set(sizes[-_DUMP_STILL - 1 :])) == 1
            done = still and sizes[-1] >= whole
            return Done(sizes[-1]) if done else NotYet(f"{sizes[-1]} of {whole} bytes; {complaint}")

        return wait_until(
            probe,
            subject=f"xl dump-core has written {path} on host {self._host}",
            deadline=deadline,
            interval_s=_DUMP_POLL_S * self._shell.spec.time_factor,
        )
