"""``pvhck lab evidence``: what a host knows of itself and of a domain, on demand."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from harness.cli.exits import EXIT_BROKEN
from harness.cli.opened import lasting_host
from harness.errors import ConfigurationError
from harness.evidence import NOTES, Scene, collect
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.lab import Redactor, SecretRef, load_lab, resolve_secret

__all__ = ["add_commands"]


def add_commands(lab: Any, lab_options: argparse.ArgumentParser) -> None:
    """Add the command of this module to ``pvhck lab``."""
    gather = lab.add_parser(
        "evidence", parents=[lab_options], help="gather what a host knows of itself, and of a domain"
    )
    gather.add_argument("host")
    gather.add_argument("domain", nargs="?", default="", help="any domain there, not only one of a run")
    gather.add_argument("--into", metavar="FOLDER", type=Path, required=True, help="a new or empty folder")
    gather.set_defaults(command=_evidence)


def _evidence(arguments: argparse.Namespace) -> int:
    """Nothing is changed there, and the guest itself is not asked: nobody has its password here."""
    spec = lasting_host(load_lab(arguments.hosts), arguments.host)
    folder: Path = arguments.into
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is not empty", mend="name a new folder")
    redactor = Redactor()

    def reveal(ref: SecretRef) -> str:
        secret = resolve_secret(ref)
        redactor.add(secret)
        return secret.reveal()

    with Host(spec, Credentials(reveal)) as host:
        files = collect(Scene(host, named=arguments.domain), folder, redact=redactor.clean)
    for name in sorted(files):
        print(f"{folder / name}")
    with contextlib.suppress(FileNotFoundError):
        print(f"what is missing, and why: {folder / NOTES}\n{(folder / NOTES).read_text()}", end="")
    return 0 if set(files) - {NOTES} else EXIT_BROKEN
