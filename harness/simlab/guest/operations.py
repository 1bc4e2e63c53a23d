"""``GuestOperations`` of a simulated guest: each asks the part of the system that knows."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from harness import operations as ops
from harness.model import DriverName
from harness.operations import OperationRefused
from harness.simlab.faults import FaultKind
from harness.simlab.guest.catalog import read_certificate
from harness.simlab.guest.eventlog import now_text
from harness.simlab.guest.transfer import pull, push
from harness.simlab.machine import StopReason
from harness.simlab.stages import Stage

if TYPE_CHECKING:
    from harness.simlab.guest.system import System

__all__ = ["SimulatedOperations"]

_STORES = ("Root", "TrustedPublisher")


class SimulatedOperations:
    """Answers under the guest's lock, but for what waits or carries data."""

    def __init__(self, system: System) -> None:
        self._system = system

    # -- what it is

    def system_facts(self) -> ops.SystemFacts:
        """See ``GuestOperations``."""
        system = self._system
        return ops.SystemFacts(
            os_name=f"Microsoft {system.kept.os}",
            os_version=system.edition.version,
            architecture=system.kept.arch.value,
            locale="en-US",
            computer_name=system.kept.computer_name,
            domain_member=False,
            shell_version=system.edition.shell_version,
            processors=system.life.machine.vcpus,
            time_utc=now_text(),
            boot_id=system.boot_id,
        )

    def boot_id(self) -> ops.BootId:
        """See ``GuestOperations``."""
        return ops.BootId(self._system.boot_id)

    def security_facts(self) -> ops.SecurityFacts:
        """See ``GuestOperations``."""
        system = self._system
        return ops.SecurityFacts(
            secure_boot=system.kept.secure_boot,
            test_signing=system.drivers.boot.test_signing,
            full_token=True,
            script_policy=system.edition.script_policy,
            defender_realtime=None if system.edition.old else True,
            firewall=tuple(
                ops.FirewallProfile(name, enabled=True) for name in ("Domain", "Private", "Public")
            ),
        )

    def memory(self) -> ops.Memory:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.balloon.memory()

    # -- devices and drivers

    def pnp_devices(self, *, prefix: str) -> tuple[ops.PnpDevice, ...]:
        """See ``GuestOperations``."""
        self._enter(Stage.VERIFY, after=Stage.REBOOT)
        with self._lock:
            return self._system.drivers.devices(self._system.life.machine, prefix)

    def services(self, *, names: tuple[str, ...]) -> tuple[ops.Service, ...]:
        """See ``GuestOperations``."""
        self._enter(Stage.VERIFY, after=Stage.REBOOT)
        with self._lock:
            return self._system.drivers.services(names)

    def driver_packages(self) -> tuple[ops.DriverPackage, ...]:
        """See ``GuestOperations``."""
        self._enter(Stage.VERIFY, after=Stage.REBOOT)
        with self._lock:
            return self._system.drivers.packages()

    def pending_reboots(self) -> tuple[ops.PendingReboot, ...]:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.drivers.pending()

    def certificates(self, *, store: str) -> tuple[ops.Certificate, ...]:
        """See ``GuestOperations``."""
        _check_store(store)
        with self._lock:
            found = [one for one in self._system.kept.certificates if one.store == store]
        return tuple(sorted(found, key=lambda one: one.thumbprint))

    def add_certificate(self, *, path: str, store: str) -> ops.Certificate:
        """See ``GuestOperations``."""
        _check_store(store)
        data = self._system.files.existing(path).read_bytes()
        try:
            certificate = read_certificate(data, store)
        except (ValueError, TypeError) as error:
            raise OperationRefused("command-failed", f"{path} is no certificate: {error}") from error
        with self._lock:
            if certificate not in self._system.kept.certificates:
                self._system.kept.certificates.append(certificate)
                self._system.disk.save()
        return certificate

    def set_test_signing(self, *, enabled: bool) -> None:
        """See ``GuestOperations``."""
        with self._lock:
            if enabled and self._system.kept.secure_boot:
                raise OperationRefused(
                    "command-failed", "bcdedit.exe ended with 1: the value is protected by Secure Boot policy"
                )
            self._system.kept.test_signing = enabled
            self._system.disk.save()

    def install_package(self, *, inf: str) -> ops.JobStarted:
        """See ``GuestOperations``."""
        self._enter(Stage.INSTALL)
        self._system.files.existing(inf)
        new = ("/add-driver", inf, "/install")
        return self._start("pnputil.exe", ("-i", "-a", inf) if self._system.edition.old else new)

    def uninstall_package(self, *, published: str) -> ops.JobStarted:
        """See ``GuestOperations``."""
        if not re.fullmatch(r"oem\d+\.inf", published, re.IGNORECASE):
            raise OperationRefused("bad-parameter", "published must be oemN.inf")
        new = ("/delete-driver", published, "/uninstall", "/force")
        return self._start("pnputil.exe", ("-f", "-d", published) if self._system.edition.old else new)

    # -- network

    def network_adapters(self) -> tuple[ops.NetworkAdapter, ...]:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.network.adapters(self._system.life.machine)

    def set_network_setting(self, *, mac: str, keyword: str, value: str) -> None:
        """See ``GuestOperations``."""
        with self._lock:
            self._system.network_setting(mac, keyword, value)

    # -- storage

    def disks(self) -> tuple[ops.Disk, ...]:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.storage.disks()

    def volumes(self) -> tuple[ops.Volume, ...]:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.storage.volumes()

    def write_pattern(self, *, target: int, seed: int, blocks: int, block_size: int) -> ops.Pattern:
        """See ``GuestOperations``."""
        return self._system.storage.write_pattern(target, seed, blocks, block_size)

    def read_pattern(self, *, target: int, blocks: int, block_size: int) -> ops.Pattern:
        """See ``GuestOperations``."""
        return self._system.storage.read_pattern(target, blocks, block_size)

    def cd_files(self, *, label: str) -> tuple[ops.CdFile, ...]:
        """See ``GuestOperations``."""
        return self._system.storage.cd_files(label)

    def copy_from_cd(self, *, label: str, name: str, path: str) -> ops.FileFacts:
        """See ``GuestOperations``."""
        self._enter(Stage.DELIVER)
        self._system.storage.copy_from_cd(self._system.files, label, name, path)
        return self._system.files.facts(path)

    # -- event log and dumps

    def event_mark(self) -> ops.EventMark:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.events.mark()

    def events_since(self, *, record: int, limit: int) -> tuple[ops.Event, ...]:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.events.since(record, limit)

    def stop_events(self, *, record: int) -> ops.StopEvents:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.events.stops(record)

    def dump_files(self) -> tuple[ops.DumpFile, ...]:
        """See ``GuestOperations``."""
        # asked for before a test and after it (CrashWatch), and by nobody before
        begun = self._system.setup.faults.stage >= Stage.SCENARIO
        self._enter(Stage.TEARDOWN if begun else Stage.SCENARIO)
        return self._system.files.dumps()

    # -- files

    def file_facts(self, *, path: str) -> ops.FileFacts:
        """See ``GuestOperations``."""
        return self._system.files.facts(path)

    def read_file(self, *, path: str, offset: int, length: int) -> ops.FileContent:
        """See ``GuestOperations``."""
        return self._system.files.read(path, offset, length)

    def write_file(self, *, path: str, content: str) -> ops.FileFacts:
        """See ``GuestOperations``."""
        self._enter(Stage.DELIVER)
        return self._system.files.write(path, content)

    def remove_file(self, *, path: str) -> None:
        """See ``GuestOperations``."""
        self._system.files.remove(path)

    def expand_zip(self, *, path: str, folder: str) -> None:
        """See ``GuestOperations``."""
        self._enter(Stage.DELIVER)
        self._system.files.expand(path, folder)

    def pull_file(self, *, url: str, path: str, sha256: str) -> ops.FileFacts:
        """See ``GuestOperations``."""
        self._enter(Stage.DELIVER)
        facts = pull(self._system.files, url, path, sha256, corrupts=self._network_corrupts())
        self._count(facts.size)
        return facts

    def push_file(self, *, path: str, url: str) -> ops.FileFacts:
        """See ``GuestOperations``."""
        facts = push(self._system.files, path, url, corrupts=self._network_corrupts())
        self._count(facts.size)
        return facts

    # -- xenstore

    def xenstore_read(self, *, path: str) -> ops.XenstoreValue:
        """See ``GuestOperations``."""
        return self._system.xeniface.read(self._system.life, path)

    def xenstore_write(self, *, path: str, value: str) -> ops.XenstoreValue:
        """See ``GuestOperations``."""
        with self._lock:
            self._system.driver_fails(DriverName.XENIFACE)
        return self._system.xeniface.write(self._system.life, path, value)

    def xenstore_watch(self, *, path: str, seconds: int) -> ops.XenstoreEvent:
        """See ``GuestOperations``."""
        return self._system.xeniface.watch(self._system.life, path, seconds)

    # -- jobs

    def start_tool(self, *, path: str, arguments: tuple[str, ...]) -> ops.JobStarted:
        """See ``GuestOperations``."""
        return self._start(path, arguments)

    def job_status(self, *, job: str) -> ops.JobStatus:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.jobs.status(job)

    def stop_job(self, *, job: str) -> ops.JobStatus:
        """See ``GuestOperations``."""
        with self._lock:
            return self._system.jobs.stop(job)

    # -- its end

    def restart(self) -> None:
        """See ``GuestOperations``."""
        with self._lock:
            self._system.stop_by_itself(StopReason.REBOOT)

    def stop(self) -> None:
        """See ``GuestOperations``."""
        with self._lock:
            self._system.stop_by_itself(StopReason.POWEROFF)

    # -- inner parts

    def _enter(self, stage: Stage, *, after: Stage = Stage.BOOT) -> None:
        """A stage begins with this, if that one has been reached."""
        faults = self._system.setup.faults
        if faults.stage >= after:
            faults.enter(stage)

    @property
    def _lock(self) -> threading.RLock:
        return self._system.life.lock

    def _start(self, path: str, arguments: tuple[str, ...]) -> ops.JobStarted:
        with self._lock:
            return self._system.jobs.start(self._system.life, path, arguments)

    def _network_corrupts(self) -> bool:
        with self._lock:
            way = self._system.network.way_out(self._system.life.machine)
        return way is not None and way[1] and FaultKind.CORRUPT_PAYLOAD in self._system.setup.faults

    def _count(self, size: int) -> None:
        with self._lock:
            self._system.network.count(self._system.life.machine, size)


def _check_store(store: str) -> None:
    if store not in _STORES:
        raise OperationRefused(
            "bad-parameter", f"there is no store '{store}' here; Root and TrustedPublisher are"
        )
