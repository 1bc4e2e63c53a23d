"""Lives of domains: made, stopped by their guests, made again, taken away, saved."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.model import XenVersion
from harness.simlab.host.backends import serve_frontends
from harness.simlab.host.domain import Domain, HostMachine
from harness.simlab.host.layout import BACKENDS, DomainFacts, domain_nodes
from harness.simlab.host.vdev import parse_vdev
from harness.simlab.host.xend_layout import XEND_LOG, xend_domain_nodes
from harness.simlab.machine import SimulatedGuest, StopReason
from harness.simlab.xl.config import DomainConfig

if TYPE_CHECKING:
    from harness.simlab.host.simhost import SimHost

__all__ = ["Lifecycle", "SavedDomain"]

_REASON_CODES = {
    StopReason.POWEROFF: 0,
    StopReason.REBOOT: 1,
    StopReason.SUSPEND: 2,
    StopReason.CRASH: 3,
}  # sched.h
_ACTION_KEYS = {
    StopReason.POWEROFF: ("on_poweroff", "destroy"),
    StopReason.REBOOT: ("on_reboot", "restart"),
    StopReason.CRASH: ("on_crash", "destroy"),
}  # xl.cfg(5)
_MINIMUM_RESTART_S = 60  # XendConstants.py
_LOST_KIB = 64 * 1024  # of a domain, where the switch ``leaks`` has memory stay
_FUDGE_KIB = 1024  # libxl_internal.h: a domain that starts ballooned has its target a MiB lower


@dataclass(frozen=True)
class SavedDomain:
    """What a save file stands for. The guest's memory is the guest itself: it is restored once."""

    config: DomainConfig
    guest: SimulatedGuest | None
    memory: int
    limit: int
    target: int
    callback: bool
    unplugged_disks: bool
    unplugged_nics: bool
    started: bool


class Lifecycle:
    """Makes and ends the lives of one host's domains. Guests are called with no lock held."""

    def __init__(self, host: SimHost) -> None:
        self._host = host
        self._pids = itertools.count(1000)
        self._backends: dict[int, Callable[[], None]] = {}
        self._saved: dict[str, SavedDomain] = {}

    # -- beginnings

    def create(self, config: DomainConfig, domid: int) -> Domain:
        """A new domain, paused; all it needs has been looked for."""
        guest = self._host.guest_for(config)
        fudge = _FUDGE_KIB if config.maxmem > config.memory else 0
        # xend takes nothing off for the screen (XendDomainInfo.py, _storeDomDetails)
        video = 0 if self._host.xend else config.videoram
        fudge = 0 if self._host.xend else fudge
        target = (config.memory - video) * 1024 - fudge
        memory = config.memory * 1024 - fudge
        return self._build(Domain(config, domid, guest, memory, memory, config.vcpus), target)

    def unpause(self, domain: Domain) -> None:
        """Let a domain run; its guest starts to boot the first time."""
        with self._host.hypervisor.lock:
            if domain.shutdown is not None or domain.gone or not domain.paused:
                return
            domain.pauses -= 1
            if domain.pauses > 0:
                return
            first = not domain.started
            domain.started = True
        guest = domain.guest
        if guest is None:
            # what SeaBIOS says; nothing else will ever come
            _machine(domain).console("No bootable device.\r\n") if first else None
        elif first:
            guest.power_on(_machine(domain))
            self._host.accidents()
        else:
            guest.pause_changed()

    def pause(self, domain: Domain) -> None:
        """Stop a domain's processors."""
        with self._host.hypervisor.lock:
            # counted since 4.2 (xen/common/domain.c, domain_pause_by_systemcontroller)
            domain.pauses = domain.pauses + 1 if self._host.version >= XenVersion(4, 2) else 1
        if domain.guest is not None and domain.started:
            domain.guest.pause_changed()

    # -- ends

    def stopped(self, domain: Domain, reason: StopReason) -> None:
        """The guest has stopped its domain: what was configured happens after a while."""
        hypervisor = self._host.hypervisor
        with hypervisor.lock:
            if domain.gone or domain.shutdown is not None:
                return
            domain.shutdown = reason
            stays = reason is StopReason.SUSPEND or self._action(domain, reason).endswith("preserve")
            # recorded: --ps-- and --psr-, but ---sc- for one that is preserved
            domain.pauses += int(not stays)
            hypervisor.changed.notify_all()
        if reason is StopReason.SUSPEND:
            return  # whoever saves it is waiting for this
        action = self._action(domain, reason)
        code = _REASON_CODES[reason]
        self._log(domain, f"Domain {domain.domid} has shut down, reason code {code} {code:#x}")
        self._log(domain, f"Action for shutdown reason code {code} is {action}")
        if stays:
            self._log(domain, "Done. Exiting now")
            return
        pace = self._host.pace
        self._host.clock.after(pace.of(pace.linger), lambda: self._finish(domain, action))

    def destroy(self, domain: Domain) -> bool:
        """Take a domain away at once; False if somebody else was quicker."""
        if not self._take(domain):
            return False
        # seen on nested 4.17 while xl that made the domain still waits for its end (xl_vmcontrol.c)
        if not self._host.xend:
            self._log(domain, f"Domain {domain.domid} has been destroyed.")
        return True

    def lose_model(self, domain: Domain) -> None:
        """The device model dies: what the guest has by PV goes on, its emulated interfaces do not.

        Both were seen on nested 4.17 (tests/xen/test_xen_faults.py). Of its emulated disks and its next
        restart nothing is played.
        """
        self._host.strays.kill(self._model_pid(domain))
        with self._host.hypervisor.lock:
            domain.model_gone = True
        if domain.guest is not None and domain.started:
            domain.guest.devices_changed()

    def _take(self, domain: Domain) -> bool:
        if not self._end(domain):
            return False
        if domain.guest is not None:
            domain.guest.cut()
        return True

    def close(self) -> None:
        """Take all domains away, saved ones too."""
        for domain in self._host.hypervisor.domains():
            self.destroy(domain)
        for saved in self._saved.values():
            if saved.guest is not None:
                saved.guest.cut()
        self._saved.clear()

    # -- save and restore

    def suspend(self, domain: Domain) -> None:
        """Stop a domain for being saved; its guest has agreed or was not asked."""
        with self._host.hypervisor.lock:
            domain.suspended = True
        if domain.guest is not None and domain.started:
            domain.guest.pause_changed()

    def resume(self, domain: Domain) -> None:
        """Let a domain go on that could not be saved."""
        with self._host.hypervisor.lock:
            domain.suspended = False
            domain.shutdown = None
        if domain.guest is not None and domain.started:
            domain.guest.resume(_machine(domain))

    def set_online(self, domain: Domain, count: int) -> None:
        """Let a guest have this many of its processors, and write it where its drivers look."""
        with self._host.hypervisor.lock:
            domain.online = count
        for cpu in range(domain.config.vcpus):
            state = "online" if cpu < count else "offline"
            self._host.store.write(f"{domain.root}/cpu/{cpu}/availability", state)

    def save(self, domain: Domain, token: str) -> None:
        """Keep a suspended domain under the token that its save file holds, and end its life."""
        self._saved[token] = SavedDomain(
            config=domain.config,
            guest=domain.guest,
            memory=domain.memory,
            limit=domain.limit,
            target=int(self._host.store.get(f"{domain.root}/memory/target") or 0),
            callback=domain.callback,
            unplugged_disks=domain.unplugged_disks,
            unplugged_nics=domain.unplugged_nics,
            started=domain.started,
        )
        self._end(domain)

    def saved(self, token: str) -> SavedDomain | None:
        """What a save file stands for, None when it was restored already or is another lab's."""
        return self._saved.get(token)

    def restore(self, token: str, domid: int) -> Domain:
        """Bring a saved domain back, paused."""
        saved = self._saved.pop(token)
        domain = Domain(saved.config, domid, saved.guest, saved.memory, saved.limit, saved.config.vcpus)
        domain.callback = saved.callback
        domain.unplugged_disks, domain.unplugged_nics = saved.unplugged_disks, saved.unplugged_nics
        return self._build(domain, saved.target)

    def wake(self, domain: Domain, *, paused: bool) -> None:
        """Let a restored domain's guest go on, or wait as paused."""
        with self._host.hypervisor.lock:
            domain.pauses = int(paused)
            domain.started = True
        if domain.guest is not None:
            domain.guest.resume(_machine(domain))

    # -- inner parts

    def _build(self, domain: Domain, target: int) -> Domain:
        host, config = self._host, domain.config
        domain.machine = HostMachine(host, domain, host.seed_for(config))
        facts = DomainFacts(
            domid=domain.domid,
            name=config.name,
            uuid=config.uuid,
            static_max=domain.maxmem,
            target=target,
            videoram=domain.videoram,
            vcpus=config.vcpus,
            online=domain.online,
            firmware="ovmf" if config.text("bios") == "ovmf" else "seabios",
            model_pid=next(self._pids),
            start_time=time.time(),
            version=host.version,
        )
        host.hypervisor.add(domain)
        host.strays.begin(domain, facts.model_pid)
        nodes = xend_domain_nodes if host.xend else domain_nodes
        for path, value, permissions in nodes(facts):
            host.store.put(path, value, permissions)
        for disk in config.disks:
            vdev = parse_vdev(disk.vdev)
            if vdev is not None:
                host.plug.add_disk(domain, disk, vdev, at_boot=True)
        for index, nic in enumerate(config.nics):
            host.plug.add_nic(domain, nic, index, at_boot=True)
        self._backends[domain.domid] = serve_frontends(host.store, domain.domid)
        host.store.announce("@introduceDomain")
        host.files.write(_model_log(domain), "")
        if config.serial_file:
            # QEMU opens it with O_TRUNC (chardev/char-file.c, without append): each life begins it anew
            host.files.write(config.serial_file, "")
        self._log(
            domain, f"Waiting for domain {domain.name} (domid {domain.domid}) to die [pid {next(self._pids)}]"
        )
        return domain

    def _finish(self, domain: Domain, action: str) -> None:
        self._log(domain, f"Domain {domain.domid} needs to be cleaned up: destroying the domain")
        if not self._take(domain):
            return
        if not action.endswith("restart"):
            self._log(domain, "Done. Exiting now")
            return
        if self._host.xend and self._host.age_s(domain) < _MINIMUM_RESTART_S:
            self._log(domain, f"VM {domain.name} restarting too fast. Refusing to restart to avoid loops.")
            return
        self._log(domain, "Done. Rebooting now")
        config = domain.config
        again = Domain(
            config, self._host.hypervisor.new_domid(), domain.guest, domain.limit, domain.limit, config.vcpus
        )
        target = domain.limit - (0 if self._host.xend else domain.videoram)
        self.unpause(self._build(again, target))

    @staticmethod
    def _action(domain: Domain, reason: StopReason) -> str:
        key, default = _ACTION_KEYS[reason]
        return domain.config.text(key, default)

    def _end(self, domain: Domain) -> bool:
        host = self._host
        if not host.hypervisor.remove(domain):
            return False
        unserve = self._backends.pop(domain.domid, None)
        if unserve is not None:
            unserve()
        host.strays.end(self._model_pid(domain))
        self._leak(domain)
        for disk in () if host.strays.forgets("loop") else tuple(domain.disks.values()):
            host.loops.detach(disk.loop)
        for nic in tuple(domain.nics.values()):
            host.strays.unplugged(domain.domid, nic.index)
        for kind in () if host.strays.forgets("store") else host.store.children(BACKENDS):
            if host.store.exists(f"{BACKENDS}/{kind}/{domain.domid}"):
                host.store.remove(f"{BACKENDS}/{kind}/{domain.domid}")
        notes = () if host.xend else (f"/libxl/{domain.domid}",)
        for path in (domain.root, *notes, f"/vm/{domain.config.uuid}"):
            host.store.remove(path)
        host.store.announce("@releaseDomain")
        # a guess at all that QEMU has to say
        host.files.append(_model_log(domain), "xen-qemu-system-i386: terminating on signal 1 (xl)\n")
        return True

    def _model_pid(self, domain: Domain) -> int:
        return int(self._host.store.get(f"{domain.root}/image/device-model-pid") or 0)

    def _leak(self, domain: Domain) -> None:
        """What the switch ``leaks`` has stay that carries no name."""
        if self._host.strays.forgets("memory"):
            self._host.hypervisor.lose(_LOST_KIB)
        if self._host.strays.forgets("file"):
            self._host.files.write(f"/var/core/{domain.domid}.core", "")

    def _log(self, domain: Domain, line: str) -> None:
        log = XEND_LOG if self._host.xend else f"/var/log/xen/xl-{domain.name}.log"
        self._host.files.append(log, f"{line}\n")


def _model_log(domain: Domain) -> str:
    return f"/var/log/xen/qemu-dm-{domain.name}.log"


def _machine(domain: Domain) -> HostMachine:
    assert domain.machine is not None
    return domain.machine
