"""xl save and restore (recorded: xen-4.17/save.txt, err-save-nopv.txt, restore.txt)."""

from __future__ import annotations

from dataclasses import replace

from harness.simlab.commands.options import Options
from harness.simlab.host.domain import Domain
from harness.simlab.machine import StopReason
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.create import build_domain
from harness.simlab.xl.life import request_stop
from harness.simlab.xl.table import XlCommand, find_domain, libxl_error

__all__ = ["COMMANDS", "read_token", "suspend", "write_core", "write_saved"]

_MAGIC = "Xen saved domain, xl format\n \0 \r"  # xl_vmcontrol.c; what follows is ours
_FRAMES = 1044480
_STEPS = 20
_ELF = b"\x7fELF\x02\x01\x01"


def _save(process: Process, options: Options) -> int:
    if options.flags:
        # a save that leaves the domain running would need its guest twice
        raise CommandError(f"xl save: not played by the simulated host: {' '.join(options.flags)}\n")
    domain, path = find_domain(process, options.words[0]), options.words[1]
    process.err(f"Saving to {path} new xl format (info 0x3/0x0/1565)\n")
    process.err(f"xc: info: Saving domain {domain.domid}, type x86 HVM\n")
    if not suspend(process, domain):
        place = "libxl_dom_suspend.c:377:suspend_common_wait_guest_timeout"
        words = libxl_error(place, "guest did not suspend, timed out", domain.domid)
        raise CommandError(f"{words}Failed to save domain, resuming domain\n")  # a guess at the words
    if domain.gone or not domain.suspended:
        raise CommandError(libxl_error("libxl_dom_save.c:95:save", "the domain has stopped", domain.domid))
    try:
        write_saved(process, domain, path, _MAGIC)
    except OSError as error:
        process.host.lifecycle.resume(domain)
        # a guess at the words
        words = f"xc: error: Failed to write page data to stream: {error.strerror}\n"
        raise CommandError(words + "Failed to save domain, resuming domain\n") from error
    for step in range(1, _STEPS + 1):
        done = _FRAMES * step // _STEPS
        process.err(f"xc: progress: Frames: {done}/{_FRAMES} {100 * step // _STEPS:4}%\n")
    process.err("xc: progress: End of stream: 0/0    0%\n")
    return 0


def write_saved(process: Process, domain: Domain, path: str, magic: str) -> None:
    """Write the file of a suspended domain, and end its life.

    Raises:
        OSError: there is no room.
    """
    token = process.host.random_bytes(16).hex()
    process.host.files.check_room(path)
    real = process.host.files.real(path)
    real.write_bytes(f"{magic}{token}\n".encode())
    with real.open("r+b") as file:
        file.truncate(domain.memory * 1024)
    process.host.lifecycle.save(domain, token)


def write_core(process: Process, domain: Domain, path: str) -> None:
    """Write a dump of a domain's memory: its size is right, and it starts as one.

    Raises:
        OSError: there is no room.
    """
    process.host.files.check_room(path)
    with process.host.files.real(path).open("wb") as file:
        file.write(_ELF)
        file.truncate(domain.memory * 1024 + 8192)


def read_token(process: Process, path: str, magic: str) -> str | None:
    """What a file of ours stands for; None for a file that is none, or is not there.

    One of ours can be restored once: its guest goes on, there is no second one.
    """
    real = process.host.files.real(path)
    if not real.is_file():
        return None
    with real.open("rb") as file:
        head = file.read(256)
    raw = magic.encode()
    return (
        head.removeprefix(raw).partition(b"\n")[0].decode("ascii", "replace")
        if head.startswith(raw)
        else None
    )


def suspend(process: Process, domain: Domain) -> bool:
    """Stop a domain to be saved; False if its guest was asked and did not do it.

    With PV drivers the guest is asked; without, it is just stopped (facts/pv-drivers.md 2.5).
    """
    if domain.callback and domain.runs:
        agreed = request_stop(process, domain, "suspend")
        limit = process.host.pace.of(process.host.pace.acknowledge_limit)
        hypervisor = process.host.hypervisor
        if not agreed or not hypervisor.wait(
            lambda: domain.shutdown is StopReason.SUSPEND or domain.gone, limit
        ):
            process.host.store.write(f"{domain.root}/control/shutdown", "")
            return False
    if domain.shutdown in {None, StopReason.SUSPEND} and not domain.gone:
        process.host.lifecycle.suspend(domain)
    return True


def _restore(process: Process, options: Options) -> int:
    path = options.words[-1]
    real = process.host.files.real(path)
    if not real.is_file():
        raise CommandError("Can't open restore file: No such file or directory\n")
    token = read_token(process, path, _MAGIC)
    saved = process.host.lifecycle.saved(token) if token is not None else None
    if token is None or saved is None:
        raise CommandError("File has wrong magic number - corrupt or for a different tool?\n")
    process.err(
        f"Loading new save file {path} (new xl fmt info 0x3/0x0/1565)\n"
        " Savefile contains xl domain config in JSON format\nParsing config from <saved>\n"
        "xc: info: Found x86 HVM domain from Xen 4.17\nxc: info: Restoring domain\n"
    )
    needed = replace(saved.config, memory=saved.memory // 1024)
    domain = build_domain(process, needed, lambda domid: process.host.lifecycle.restore(token, domid))
    process.err(
        "xc: info: Restore successful\nxc: info: XenStore: mfn 0xfeffc, dom 0, evt 1\n"
        "xc: info: Console: mfn 0xfefff, dom 0, evt 2\n"
    )
    process.host.lifecycle.wake(domain, paused=options.has("-p"))
    return 0


COMMANDS: dict[str, XlCommand] = {
    "restore": XlCommand(
        _restore,
        1,
        "[options] [<ConfigFile>] <CheckpointFile>",
        "Restore a domain from a saved state",
        "FcepdV",
    ),
    "save": XlCommand(
        _save,
        2,
        "[options] <Domain> <CheckpointFile> [<ConfigFile>]",
        "Save a domain state to restore later",
        "cpD",
    ),
}
