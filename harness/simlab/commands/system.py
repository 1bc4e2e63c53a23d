"""Commands about the host itself, and those that run others."""

from __future__ import annotations

import fcntl
import posixpath
import re
import threading
import time

from harness.simlab.commands.options import read_options
from harness.simlab.faults import FaultKind
from harness.simlab.host.hypervisor import DOM0_VCPUS
from harness.simlab.shell.process import Command, CommandError, Process
from harness.simlab.shell.runner import Shell

__all__ = ["COMMANDS", "run_command"]

_RELEASE = "6.1.0-50-amd64"  # of the dom0 the samples were recorded on
_UNAME = {
    "-s": "Linux",
    "-n": "",
    "-r": _RELEASE,
    "-v": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)",
    "-m": "x86_64",
    "-o": "GNU/Linux",
}
_TIMED_OUT = 124
_LOCKED = 1
_NOT_FOUND = 127


def run_command(process: Process, words: tuple[str, ...]) -> int:
    """Run another program in the place of this one."""
    command = process.session.commands.get(posixpath.basename(words[0]))
    if command is None:
        raise CommandError(f"{process.argv[0]}: {words[0]}: command not found\n", _NOT_FOUND)
    return process.child(words).run(command)


def _sh(process: Process) -> int:
    close = getattr(process.stdin, "close", None)
    if close is not None:
        process.on_kill(close)  # it may be waiting for a line
    words = list(process.args)
    while words and words[0].startswith("-") and words[0] != "-c":
        words.pop(0)
    match words:
        case ["-c", script, *rest]:
            name = rest[0] if rest else "sh"
            return Shell(process, name, tuple(rest[1:])).run(script)
        case [path, *rest]:
            if not process.host.files.real(path).is_file():
                raise CommandError(f"sh: 0: cannot open {path}: No such file\n", 2)
            return Shell(process, path, tuple(rest)).run(process.host.files.read(path))
    script = process.read_all().decode("utf-8", "surrogateescape")
    return Shell(process).run(script)


def _sudo(process: Process) -> int:
    options = read_options(process, "+nSHElu:")
    if options.has("-l"):  # everything is allowed here, as to root
        process.out(" ".join(options.words) + "\n")
        return 0
    return run_command(process, options.words) if options.words else 0


def _env(process: Process) -> int:
    words = list(process.args)
    while words and "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        process.environment[name] = value
    if words:
        return run_command(process, tuple(words))
    process.out("".join(f"{name}={value}\n" for name, value in sorted(process.environment.items())))
    return 0


def _wrapped(process: Process) -> int:
    """Programs that change how another runs, in ways that do not matter here."""
    words = list(process.args)
    while words and words[0].startswith("-"):
        words.pop(0)
    return run_command(process, tuple(words))


def _timeout(process: Process) -> int:
    options = read_options(process, "+k:s:v", ["kill-after=", "signal=", "foreground", "preserve-status"])
    seconds, *words = options.words
    runner = process.child(("timeout",))
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        runner.kill()

    timer = threading.Timer(_seconds(seconds), expire)
    timer.daemon = True
    timer.start()
    try:
        rc = runner.run(lambda inner: run_command(inner, tuple(words)))
    finally:
        timer.cancel()
    return _TIMED_OUT if expired.is_set() else rc


def _seconds(word: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", word)
    if match is None:
        raise CommandError(f"invalid time interval '{word}'\n")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _sleep(process: Process) -> int:
    pace = process.host.pace
    for word in process.args:
        process.killed.wait(pace.of(_seconds(word) * pace.tool_second))
    return 0


def _date(process: Process) -> int:
    layout = next((word[1:] for word in process.args if word.startswith("+")), "%a %b %e %H:%M:%S UTC %Y")
    now = time.time()
    layout = layout.replace("%s", str(int(now))).replace("%N", f"{int(now % 1 * 1e9):09d}")
    process.out(time.strftime(layout, time.gmtime(now)) + "\n")
    return 0


def _uname(process: Process) -> int:
    flags = read_options(process, "asnrvmo").flags or {"-s"}
    facts = _UNAME | {"-n": process.host.name}
    process.out(" ".join(facts[flag] for flag in facts if flag in flags or "-a" in flags) + "\n")
    return 0


def _hostname(process: Process) -> int:
    process.out(f"{process.host.name}\n")
    return 0


def _id(process: Process) -> int:
    words = {"-u": "0", "-g": "0", "-un": "root", "-gn": "root"}
    process.out(words.get("".join(process.args), "uid=0(root) gid=0(root) groups=0(root)") + "\n")
    return 0


def _whoami(process: Process) -> int:
    process.out("root\n")
    return 0


def _nproc(process: Process) -> int:
    process.out(f"{DOM0_VCPUS}\n")
    return 0


def _uptime(process: Process) -> int:
    minutes = int(time.time() - process.host.hypervisor.booted_at) // 60
    now = time.strftime("%H:%M:%S", time.gmtime())
    process.out(f" {now} up {minutes} min,  1 user,  load average: 0.00, 0.00, 0.00\n")
    return 0


def _dmesg(process: Process) -> int:
    """Dom0's own log. The Oops is put together from Linux's arch/x86/mm/fault.c: nobody has recorded one."""
    host = process.host
    lines = [f"[    0.000000] Linux version {_UNAME['-r']} ({host.name}, simulated)"]
    lines.append("[    1.000000] xen:balloon: Initialising balloon driver")
    if FaultKind.HOST_OOPS in host.faults and host.hypervisor.had_domains:
        lines += [
            "[   42.000000] BUG: unable to handle page fault for address: ffffc90000010000",
            "[   42.000001] Oops: 0000 [#1] SMP NOPTI",
            "[   42.000002] RIP: e030:xenvif_tx_build_gops+0x1a/0x400 [xen_netback]",
        ]
    process.out("\n".join([*lines, ""]))
    return 0


def _ps(process: Process) -> int:
    options = read_options(process, "aAeflo:p:wx")
    rows = [(1, "/sbin/init"), (400, "/usr/sbin/oxenstored"), (410, "/usr/sbin/xenconsoled --log=all")]
    rows += process.host.strays.processes()
    rows += [(other.pid, " ".join(other.argv)) for other in process.session.table.items()]
    if "-p" in options.values:  # of one process alone: with the layout of args=
        asked = [words for pid, words in rows if str(pid) == options.values["-p"]]
        process.out("".join(f"{words}\n" for words in asked))
        return 0 if asked else 1
    if "-o" in options.values:  # only the layout of pid= and args= is played
        process.out("".join(f"{pid:7} {words}\n" for pid, words in rows))
        return 0
    process.out("    PID TTY          TIME CMD\n")
    process.out("".join(f"{pid:7} ?        00:00:00 {words}\n" for pid, words in rows))
    return 0


def _kill(process: Process) -> int:
    rc = 0
    for word in process.args:
        if word.startswith("-"):
            continue
        victim = process.session.table.find(int(word)) if word.isdigit() else None
        if victim is None and word.isdigit() and process.host.strays.kill(int(word)):
            continue
        if victim is None:
            process.err("sh: 1: kill: No such process\n")
            rc = 1
        elif "-0" not in process.args:
            victim.kill()
    return rc


def _which(process: Process) -> int:
    known = [name for name in process.args if posixpath.basename(name) in process.session.commands]
    process.out("".join(f"/usr/sbin/{name}\n" for name in known))
    return 0 if len(known) == len(process.args) else 1


def _flock(process: Process) -> int:
    """util-linux flock: the lock is the kernel's, here as there, and goes when its holder ends."""
    options = read_options(process, "+nxsouw:c:", ["nonblock", "exclusive", "shared", "timeout="], rc=64)
    path, *words = options.words
    if words[:1] == ["-c"]:
        words = ["sh", *words]
    real = process.host.files.real(path)
    if not real.parent.is_dir():
        raise CommandError(f"flock: cannot open lock file {path}: No such file or directory\n", 66)
    mode = fcntl.LOCK_SH if options.has("-s", "--shared") else fcntl.LOCK_EX
    limit = 0.0 if options.has("-n", "--nonblock") else float(options.values.get("-w", "inf"))
    end = time.monotonic() + limit
    with real.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, mode | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end or process.killed.wait(0.01):
                    return _LOCKED
        return run_command(process, tuple(words))


def _true(process: Process) -> int:
    del process
    return 0


def _false(process: Process) -> int:
    del process
    return 1


COMMANDS: dict[str, Command] = {
    "bash": _sh,
    "date": _date,
    "dmesg": _dmesg,
    "env": _env,
    "false": _false,
    "flock": _flock,
    "hostname": _hostname,
    "id": _id,
    "ionice": _wrapped,
    "kill": _kill,
    "nice": _wrapped,
    "nohup": _wrapped,
    "nproc": _nproc,
    "ps": _ps,
    "setsid": _wrapped,
    "sh": _sh,
    "sleep": _sleep,
    "sudo": _sudo,
    "sync": _true,
    "timeout": _timeout,
    "true": _true,
    "uname": _uname,
    "uptime": _uptime,
    "which": _which,
    "whoami": _whoami,
}
