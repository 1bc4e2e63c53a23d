"""SSH to the lab's dom0, with the key and the host key made at build time."""

from __future__ import annotations

from pathlib import Path

from harness.xenlab.shell import run

__all__ = ["ssh_argv", "ssh_run", "write_known_hosts"]


def write_known_hosts(path: Path, *, host_key: Path, port: int) -> None:
    """The one line that lets a client check dom0's key on this port."""
    kind, key = host_key.read_text().split()[:2]
    path.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")


def ssh_argv(*, port: int, key_file: Path, known_hosts: Path, command: tuple[str, ...] = ()) -> list[str]:
    """The command line of OpenSSH's client."""
    options = {
        "IdentitiesOnly": "yes",
        "PasswordAuthentication": "no",  # never a prompt
        "UserKnownHostsFile": f'"{known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
        "ConnectTimeout": "10",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return ["ssh", "-F", "none", "-i", str(key_file), "-p", str(port), *words, "root@127.0.0.1", *command]


def ssh_run(*, port: int, key_file: Path, known_hosts: Path, script: str, limit_s: float) -> str:
    """Run a shell script on dom0 and give its output.

    Raises:
        CommandFailed, CommandTimedOut: as ``harness.xenlab.shell.run``.
    """
    argv = ssh_argv(port=port, key_file=key_file, known_hosts=known_hosts, command=(script,))
    return run(argv, limit_s=limit_s)
