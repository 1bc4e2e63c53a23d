"""xm destroy, shutdown, reboot, pause, unpause, save, restore, trigger, dump-core (xend/XendDomain.py)."""

from __future__ import annotations

from dataclasses import replace

from harness.simlab.commands.options import Options
from harness.simlab.host.domain import Domain
from harness.simlab.machine import StopReason
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.saving import read_token, suspend, write_core, write_saved
from harness.simlab.xm.table import XmCommand, find_domain, xend_error

__all__ = ["COMMANDS"]

_MAGIC = "LinuxGuestRecord"  # xend/XendCheckpoint.py; what follows is ours
_REASONS = {"poweroff": StopReason.POWEROFF, "reboot": StopReason.REBOOT}
_NOT_THERE = {"reset", "init"}  # as recorded of Xen 4.17 for reset; for the others a guess


def _destroy(process: Process, options: Options) -> int:
    process.host.lifecycle.destroy(find_domain(options.words[0], process))
    return 0


def _shutdown(process: Process, options: Options) -> int:
    return _ask(process, options, "reboot" if options.has("-R", "--reboot") else "poweroff")


def _reboot(process: Process, options: Options) -> int:
    return _ask(process, options, "reboot")


def _ask(process: Process, options: Options, request: str) -> int:
    domain = find_domain(options.words[0], process)
    if domain.shutdown is not None:
        raise xend_error(process, "Domain cannot be shutdown")
    process.host.store.write(f"{domain.root}/control/shutdown", request)
    if not domain.callback:
        # the second edge: nobody is there to obey, so the power goes (XendDomainInfo.py, shutdown)
        if domain.guest is not None:
            domain.guest.cut()
        process.host.lifecycle.stopped(domain, _REASONS[request])
    if options.has("-w", "--wait"):
        process.on_kill(process.host.hypervisor.wake)
        process.host.hypervisor.wait(lambda: domain.gone or process.killed.is_set())
        process.err(f"Domain {domain.name} terminated\nAll domains terminated\n")
    return 0


def _pause(process: Process, options: Options) -> int:
    domain = find_domain(options.words[0], process)
    if not domain.paused:  # xend leaves alone what it believes to be paused
        process.host.lifecycle.pause(domain)
    return 0


def _unpause(process: Process, options: Options) -> int:
    domain = find_domain(options.words[0], process)
    if domain.shutdown is not None:
        raise xend_error(process, f"Domain '{options.words[0]}' is not started")
    process.host.lifecycle.unpause(domain)
    return 0


def _save(process: Process, options: Options) -> int:
    domain, path = find_domain(options.words[0], process), options.words[1]
    if not domain.runs:
        raise xend_error(process, "Domain is not running")
    if not suspend(process, domain):
        raise xend_error(process, f"Timeout waiting for domain {domain.domid} to suspend")
    try:
        write_saved(process, domain, path, _MAGIC)
    except OSError as error:
        process.host.lifecycle.resume(domain)
        raise xend_error(process, f"can't write guest state file {path}: {error.strerror}") from error
    return 0


def _restore(process: Process, options: Options) -> int:
    path = options.words[0]
    host = process.host
    if not host.files.real(path).is_file():
        raise CommandError(f"Error: xm restore: Unable to read file {path}\n")
    token = read_token(process, path, _MAGIC)
    saved = host.lifecycle.saved(token) if token is not None else None
    if token is None or saved is None:
        raise xend_error(process, "not a valid guest state file: found ''")
    with host.hypervisor.lock:
        needed = replace(saved.config, memory=saved.memory // 1024)
        if needed.memory * 1024 > host.hypervisor.free_kib or host.hypervisor.find(needed.name) is not None:
            raise xend_error(process, "Restore failed")
        domain = host.lifecycle.restore(token, host.hypervisor.new_domid())
    host.lifecycle.wake(domain, paused=options.has("-p", "--paused"))
    return 0


def _trigger(process: Process, options: Options) -> int:
    domain, name = find_domain(options.words[0], process), options.words[1]
    _check_started(process, domain)
    if name not in {"nmi", "reset", "init", "s3resume", "power"}:
        raise xend_error(process, f"Invalid trigger: {name}")
    if name in _NOT_THERE:
        raise xend_error(process, "(38, 'Function not implemented')")
    if domain.guest is not None and domain.started:
        if name == "nmi":
            domain.guest.nmi()
        elif name == "power":
            domain.guest.press_power()
    return 0


def _check_started(process: Process, domain: Domain) -> None:
    if domain.shutdown is not None:
        raise xend_error(process, f"Domain '{domain.name}' is not started")


def _sysrq(process: Process, options: Options) -> int:
    domain, letter = find_domain(options.words[0], process), options.words[1]
    process.host.store.write(f"{domain.root}/control/sysrq", letter[0])
    return 0


def _dump_core(process: Process, options: Options) -> int:
    domain, path = find_domain(options.words[0], process), options.words[1]
    process.out(f"Dumping core of domain: {options.words[0]} ...\n")
    try:
        write_core(process, domain, path)
    except OSError as error:
        raise xend_error(process, f"Failed to dump core: {error.strerror}") from error
    return 0


COMMANDS: dict[str, XmCommand] = {
    "destroy": XmCommand(_destroy, 1, 1),
    "dump-core": XmCommand(_dump_core, 1, 2, "LCR", ("live", "crash", "reset")),
    "pause": XmCommand(_pause, 1, 1),
    "reboot": XmCommand(_reboot, 1, 1, "aw", ("all", "wait")),
    "restore": XmCommand(_restore, 1, 1, "p", ("paused",)),
    "save": XmCommand(_save, 2, 2, "c", ("checkpoint",)),
    "shutdown": XmCommand(_shutdown, 1, 1, "awHR", ("all", "wait", "halt", "reboot")),
    "sysrq": XmCommand(_sysrq, 2, 2),
    "trigger": XmCommand(_trigger, 2, 3),
    "unpause": XmCommand(_unpause, 1, 1),
}
