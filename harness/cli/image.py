"""``pvhck image ...``: Windows templates from their media."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from harness.cli.opened import OpenedLab, host_named, open_host, opened_lab
from harness.errors import ConfigurationError, GuestError
from harness.image import (
    OSES,
    STAGES,
    Registered,
    Reporter,
    Request,
    Said,
    Stage,
    build_image,
    default_reference,
    kept_password,
    make_plan,
    os_named,
)
from harness.image.iso import read_medium
from harness.lab import Firmware, HostKind, HostSpec, SecretRef, resolve_secret
from harness.lab.addition import append_section
from harness.lab.keys import NAME
from harness.lab.readers import FACTOR, MEMORY, SECRET, Reader, Unfit
from harness.model import Arch

__all__ = ["add_commands"]

_FAILED = 1  # as of `pvhck run`: the guest is at fault, not the lab


def add_commands(commands: Any, lab_options: argparse.ArgumentParser) -> None:
    """Add the commands of this module."""
    image = commands.add_parser("image", help="make Windows templates").add_subparsers(
        required=True, metavar="COMMAND"
    )
    build = image.add_parser(
        "build", parents=[lab_options], help="install Windows unattended, try it, register it as a template"
    )
    build.add_argument("--iso", metavar="FILE", type=Path, required=True, help="Microsoft's medium")
    build.add_argument("--os", choices=tuple(OSES), required=True)
    build.add_argument("--arch", choices=[arch.value for arch in Arch], default=Arch.X64.value)
    build.add_argument("--firmware", choices=[one.value for one in Firmware], help="default: what there is")
    build.add_argument("--host", metavar="NAME", help="where to build (default: the only one of the lab)")
    build.add_argument("--name", metavar="NAME", help="of the template (default: OS-ARCH-FIRMWARE)")
    build.add_argument(
        "--edition", default="", help="number, name or edition of the medium: see `pvhck image editions`"
    )
    build.add_argument("--user", default="pvhck", help="the account that is made (default: pvhck)")
    build.add_argument(
        "--secret",
        metavar="REF",
        help="where its password lies; file:PATH is made where it is missing "
        "(default: a file below ~/.local/share/pvhck/secrets)",
    )
    build.add_argument("--product-key", metavar="REF", help="where a product key lies, as for --secret")
    build.add_argument(
        "--update", metavar="FILE", type=Path, action="append", default=[],
        help="an .msu or .exe that is installed first; Windows 7 needs four",
    )  # fmt: skip
    build.add_argument("--memory", metavar="SIZE", default="", help="of the template, such as 4g")
    build.add_argument("--disk", metavar="SIZE", default="", help="of the template, such as 64g")
    build.add_argument("--vcpus", type=int, choices=range(1, 65), metavar="N", default=2)
    build.add_argument("--no-test-signing", action="store_true", help="leave test signing off")
    build.add_argument("--patience", metavar="N", default="1", help="stretch the time limit of every stage")
    build.add_argument("--section", metavar="FILE", type=Path, help="write the section for hosts.ini there")
    build.add_argument("--register", action="store_true", help="add the section to hosts.ini itself")
    build.add_argument("--output", metavar="FOLDER", type=Path, default=Path("reports"))
    build.set_defaults(command=_build)
    editions = image.add_parser("editions", help="what is on a medium")
    editions.add_argument("--iso", metavar="FILE", type=Path, required=True)
    editions.set_defaults(command=_editions)


def _editions(arguments: argparse.Namespace) -> int:
    print(*read_medium(arguments.iso).images, sep="\n")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    request = _request(arguments)
    run_id = f"image-{secrets.token_hex(3)}"
    try:
        with opened_lab(arguments.hosts) as opened, kept_password(request.secret) as password:
            plan = make_plan(request, password)
            with open_host(_host(opened, arguments.host)) as host, _reporter() as reporter:
                reporter.say(f"{plan.image} for template {request.template} on {host.name}")
                done = build_image(
                    host,
                    plan,
                    run_id=run_id,
                    folder=arguments.output / run_id,
                    reporter=reporter,
                    hosts_file=arguments.hosts if arguments.register else None,
                    patience=_value("--patience", FACTOR, arguments.patience),
                )
            simulated = host.spec.kind is HostKind.SIMULATED
    except GuestError as error:
        sys.stderr.write(f"pvhck: {error}\n")
        return _FAILED
    _hand_over(done, arguments, simulated=simulated)
    return 0


def _hand_over(done: Registered, arguments: argparse.Namespace, *, simulated: bool) -> None:
    """Show the section, and write it where it was asked for."""
    print(f"{done.image}, with {done.metadata_file}; its section for hosts.ini:\n\n{done.section}")
    if simulated:
        print("The host was simulated: nothing of this was a Windows, and the image is gone with the host.")
    if arguments.section is not None:
        arguments.section.write_text(done.section, encoding="utf-8")
        print(f"written to {arguments.section}")
    if arguments.register:
        append_section(arguments.hosts, done.section)
        print(f"added to {arguments.hosts}")


def _request(arguments: argparse.Namespace) -> Request:
    os = os_named(arguments.os)
    firmware = Firmware(arguments.firmware) if arguments.firmware else os.firmwares[0]
    template = _value("--name", NAME, arguments.name or f"{os.name}-{arguments.arch}-{firmware}")
    key = _reference("--product-key", arguments.product_key)
    return Request(
        iso=arguments.iso,
        os=os,
        arch=Arch(arguments.arch),
        firmware=firmware,
        template=template,
        user=arguments.user,
        secret=_reference("--secret", arguments.secret) or default_reference(template),
        edition=arguments.edition,
        product_key=resolve_secret(key).reveal() if key is not None else "",
        updates=tuple(arguments.update),
        memory_mib=_value("--memory", MEMORY, arguments.memory) if arguments.memory else 0,
        disk_mib=_value("--disk", MEMORY, arguments.disk) if arguments.disk else 0,
        vcpus=arguments.vcpus,
        test_signing=not arguments.no_test_signing,
    )


def _host(opened: OpenedLab, name: str | None) -> HostSpec:
    hosts = opened.lab.hosts
    if name is None and len(hosts) != 1:
        raise ConfigurationError(
            f"{opened.lab.source} has {len(hosts)} hosts", mend=f"--host {' or '.join(hosts)}"
        )
    return host_named(opened.lab, name or next(iter(hosts)))


def _reference(option: str, text: str | None) -> SecretRef | None:
    if text is None:
        return None
    try:
        return SECRET.parse(text, Path.cwd())
    except Unfit:
        # the text itself is not shown: it may be the secret
        raise ConfigurationError(
            f"{option} does not say where the secret lies", mend=SECRET.allowed
        ) from None


def _value(option: str, reader: Reader[Any], text: str) -> Any:
    try:
        return reader.parse(text, Path.cwd())
    except Unfit:
        raise ConfigurationError(f"{option} {text!r}", mend=reader.allowed) from None


@contextmanager
def _reporter() -> Iterator[Reporter]:
    """Lines as they come, and on a terminal a bar of stages below them."""
    console = Console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("the medium goes to the host", total=len(Stage))

        def stage(said: Said) -> None:
            title = STAGES[said.stage].title + (f": {said.more}" if said.more else "")
            console.print(f"stage {said.stage:<13} {escape(title)}", soft_wrap=True)
            progress.update(task, description=escape(title), completed=list(Stage).index(said.stage) + 1)

        def say(text: str) -> None:
            console.print(escape(text), soft_wrap=True)

        yield Reporter(stage, say)
