"""xl destroy, shutdown, reboot, pause, unpause."""

from __future__ import annotations

from harness.model import XenVersion
from harness.simlab.commands.options import Options
from harness.simlab.host.domain import Domain
from harness.simlab.machine import StopReason
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.table import XlCommand, exit_minus_one, find_domain, libxl_error, no_model

__all__ = ["COMMANDS", "request_stop"]

_ACPI_SINCE = XenVersion(4, 2)
_NO_PARAVIRT, _TIMED_OUT, _FAILED = -10, -9, -3
# as it was recorded in xen-4.17, model-gone-destroy.txt
_EXITED = libxl_error("libxl_aoutils.c:646:libxl__kill_xs_path", "Device Model already exited")
_CODES = {StopReason.POWEROFF: 0, StopReason.REBOOT: 1, StopReason.SUSPEND: 2, StopReason.CRASH: 3}


def _destroy(process: Process, options: Options) -> int:
    word = options.words[0]
    if word in {"0", "Domain-0"}:
        raise CommandError("Not destroying domain 0; use -f to force.\n")
    domain = find_domain(process, word)
    if domain.shutdown in {StopReason.POWEROFF, StopReason.REBOOT} and domain.paused:
        # measured (facts/nested-xen.md): it is going down by itself
        raise CommandError(f"{_EXITED}destroy failed (rc={_FAILED})\n", exit_minus_one(process))
    if domain.model_gone:
        process.err(_EXITED)
    process.host.lifecycle.destroy(domain)
    return 0


def _pause(process: Process, options: Options) -> int:
    process.host.lifecycle.pause(find_domain(process, options.words[0]))
    return 0


def _unpause(process: Process, options: Options) -> int:
    domain = find_domain(process, options.words[0])
    if domain.shutdown is not None:
        # recorded: stand-in-4.17/legacy-all-unpause-crashed.txt, exit code 0
        place = "libxl_domain.c:688:domain_unpause_done"
        process.err(libxl_error(place, "Unpausing domain: Invalid argument", domain.domid))
        return 0
    process.host.lifecycle.unpause(domain)
    if domain.model_gone:  # recorded: xen-4.17/model-gone-unpause.txt
        place = "libxl_dom_suspend.c:615:dm_resume_done"
        process.err(no_model(domain))
        process.err(libxl_error(place, "Failed to resume device model: rc=-3", domain.domid))
    return 0


def _shutdown(process: Process, options: Options) -> int:
    return _stop(process, options, "shutdown")


def _reboot(process: Process, options: Options) -> int:
    return _stop(process, options, "reboot")


def _stop(process: Process, options: Options, verb: str) -> int:
    everything = options.has("-a", "--all")
    if not options.words and not everything:
        raise CommandError("You must specify -a or a domain id.\n\n")
    fallback = options.has("-F")
    if fallback and process.host.version < _ACPI_SINCE:
        process.err("option `F' not supported.\n")  # it says so, and goes on
        fallback = False
    hypervisor = process.host.hypervisor
    domains = list(hypervisor.domains()) if everything else [find_domain(process, options.words[0])]
    for domain in domains:
        _request(process, domain, verb, fallback=fallback)
    if options.has("-w", "--wait"):
        process.err(f"Waiting for {len(domains)} domains\n")
        process.on_kill(hypervisor.wake)
        for domain in domains:
            _await_stop(process, domain, death=list(process.args).count("-w") > 1)
    return 0


def _request(process: Process, domain: Domain, verb: str, *, fallback: bool) -> None:
    if process.host.version >= XenVersion(4, 3):
        process.err(f"{'Rebooting' if verb == 'reboot' else 'Shutting down'} domain {domain.domid}\n")
    if domain.callback:
        if not request_stop(process, domain, "poweroff" if verb == "shutdown" else "reboot"):
            place, text = "libxl_domain.c:854:pvcontrol_cb", "guest didn't acknowledge control request: -9"
            raise CommandError(libxl_error(place, text) + f"{verb} failed (rc={_TIMED_OUT})\n")
        return
    if process.host.version < _ACPI_SINCE:
        text = "HVM domain without PV drivers: graceful shutdown not possible, use destroy"
        words = libxl_error("libxl.c:552:libxl_domain_shutdown", text)
        raise CommandError(f"{words}{verb} failed (rc={_FAILED})\n", exit_minus_one(process))
    event, external = ("power", "shutdown") if verb == "shutdown" else ("reset", "reboot")
    if not fallback:
        raise CommandError(
            f"PV control interface not available: external graceful {external} not possible.\n"
            f'Use "-F" to fallback to ACPI {event} event.\n'
            f"{verb} failed (rc={_NO_PARAVIRT})\n",
            exit_minus_one(process),
        )
    button = f"{event} button"
    process.err(f"PV control interface not available: sending ACPI {button} event.\n")
    if verb == "reboot":
        # recorded: stand-in-4.17/nopv-reboot-F.txt
        place = "libxl_domain.c:2207:libxl_send_trigger"
        words = libxl_error(place, "Send trigger 'reset' failed: Function not implemented", domain.domid)
        raise CommandError(f"{words}{verb} failed (rc={_FAILED})\n", exit_minus_one(process))
    if domain.guest is not None and domain.started:
        domain.guest.press_power()


def request_stop(process: Process, domain: Domain, request: str) -> bool:
    """Write ``control/shutdown`` and wait until the guest empties it; False if it never does.

    libxl before 4.13 does not wait (Xen b183e180bc).
    """
    host, node = process.host, f"{domain.root}/control/shutdown"
    watch = host.store.watch(node)
    process.on_kill(lambda: host.store.unwatch(watch))
    try:
        host.store.write(node, request)
        if host.version < XenVersion(4, 13):
            return True
        # a node that is gone, with its domain, counts as emptied
        limit = host.pace.of(host.pace.acknowledge_limit)
        return watch.until(lambda: host.store.get(node) == "", limit)
    finally:
        host.store.unwatch(watch)


def _await_stop(process: Process, domain: Domain, *, death: bool) -> None:
    hypervisor = process.host.hypervisor

    def stopped() -> bool:
        return domain.gone or domain.shutdown is not None or process.killed.is_set()

    hypervisor.wait(stopped)
    if domain.shutdown is not None:
        code = _CODES[domain.shutdown]
        process.err(f"Domain {domain.domid} has been shut down, reason code {code}\n")
        if not death:
            return
        process.err(f"Domain {domain.domid} continue waiting for death\n")
        hypervisor.wait(lambda: domain.gone or process.killed.is_set())
    process.err(f"Domain {domain.domid} has been destroyed\n")


COMMANDS: dict[str, XlCommand] = {
    "destroy": XlCommand(_destroy, 1, "[options] <Domain>", "Terminate a domain immediately", short="f"),
    "pause": XlCommand(_pause, 1, "<Domain>", "Pause execution of a domain"),
    "reboot": XlCommand(
        _reboot, 0, "[options] <-a|Domain>", "Issue a reboot signal to a domain", "awF", ("all", "wait")
    ),
    "shutdown": XlCommand(
        _shutdown, 0, "[options] <-a|Domain>", "Issue a shutdown signal to a domain", "awF", ("all", "wait")
    ),
    "unpause": XlCommand(_unpause, 1, "<Domain>", "Unpause a paused domain"),
}
