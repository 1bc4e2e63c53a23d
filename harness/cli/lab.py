"""``pvhck doctor`` and ``pvhck lab ...``: the hosts of a lab, and the real Xen we can nest."""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from harness.cli import add, adopt, evidence, reserve
from harness.cli.asking import agreed
from harness.cli.exits import EXIT_BROKEN
from harness.cli.opened import OpenedLab, host_named, lasting_host, open_host, opened_lab
from harness.cli.run import demo
from harness.doctor import (
    Check,
    State,
    check_booted,
    check_host,
    check_template,
    check_tools,
    exit_code,
    render,
    worst,
)
from harness.errors import ConfigurationError, HarnessError
from harness.host.area import sweep
from harness.host.host import Host
from harness.host.lease import FOLDER, lease_holder
from harness.host.rights import find_script, programs, sudoers
from harness.host.sshlogin import Credentials, compare_command, fetch_host_key, fingerprint, trust
from harness.host.status import host_status, status_lines
from harness.lab import GuestTemplate, HostKind, HostSpec, Lab, load_lab, resolve_secret
from harness.lab.match import cannot_carry
from harness.xenlab import lab as xenlab
from harness.xenlab.recipe import RELEASES

__all__ = ["add_commands"]

_BOOT_S = 600  # of a clone, before the host's time factor


def add_commands(commands: Any, lab_options: argparse.ArgumentParser) -> None:
    """Add the commands of this module."""
    doctor = commands.add_parser(
        "doctor", parents=[lab_options], help="what hosts and templates lack, and the command that mends it"
    )
    doctor.add_argument("host", nargs="?", help="only this host")
    doctor.add_argument("--no-boot", action="store_true", help="do not boot a clone of each template")
    doctor.set_defaults(command=_doctor)

    lab = commands.add_parser("lab", help="look after hosts; make a nested one").add_subparsers(
        required=True, metavar="COMMAND"
    )
    status = lab.add_parser("status", parents=[lab_options], help="what runs have on the hosts")
    status.add_argument("host", nargs="?", help="only this host")
    status.set_defaults(command=_status)
    record = lab.add_parser("trust", parents=[lab_options], help="show a host's key and record it")
    record.add_argument("host")
    record.add_argument("--yes", action="store_true", help="record it without asking")
    record.set_defaults(command=_trust)
    clean = lab.add_parser("sweep", parents=[lab_options], help="remove what dead runs left on the hosts")
    clean.add_argument("host", nargs="?", help="only this host")
    clean.set_defaults(command=_sweep)
    allow = lab.add_parser(
        "rights", parents=[lab_options], help="print the sudo rules that a host's user needs"
    )
    allow.add_argument("host")
    allow.add_argument(
        "--domain", metavar="NAME", action="append", default=[], help="one that is to be adopted, too"
    )
    allow.set_defaults(command=_rights)
    reserve.add_commands(lab, lab_options)
    evidence.add_commands(lab, lab_options)
    add.add_commands(lab, lab_options)
    adopt.add_commands(lab, lab_options)
    _add_xen_commands(lab)


def _add_xen_commands(lab: Any) -> None:
    xen = lab.add_parser("xen", help="a real Xen host, nested in QEMU").add_subparsers(
        required=True, metavar="COMMAND"
    )
    for name, command, text in (
        ("build", _xen_build, "make it; once, some minutes"),
        ("up", _xen_up, "start it, and say how to use it"),
        ("down", _xen_down, "end it"),
        ("status", _xen_status, "whether it is built and runs"),
        ("demo", _xen_demo, "run the smoke profile on it, with a synthetic build"),
        ("ssh", _xen_ssh, "a shell in its dom0, or a command there"),
    ):
        parser = xen.add_parser(name, help=text)
        if name == "ssh":
            parser.add_argument("words", nargs=argparse.REMAINDER)
        elif name != "down":
            parser.add_argument(
                "--xen", choices=RELEASES, default=xenlab.DEFAULT_XEN, help="which version of Xen"
            )
        parser.set_defaults(command=command)


def _doctor(arguments: argparse.Namespace) -> int:
    console = Console()
    ended = 0
    with opened_lab(arguments.hosts) as opened:
        lab, name = opened.lab, arguments.host
        for spec in lab.hosts.values() if name is None else [host_named(lab, name)]:
            with open_host(spec) as host:
                ended |= exit_code(render(_all_checks(host, opened, arguments, console), console))
    return ended


def _all_checks(
    host: Host, opened: OpenedLab, arguments: argparse.Namespace, console: Console
) -> Iterator[Check]:
    of_host = []
    for check in check_host(host):
        of_host.append(check)
        yield check
    if worst(of_host) is State.FAIL:
        return
    holder = lease_holder(host.shell)
    if holder is not None:  # a clone of ours would get into its way
        mend = "ask again when it is free: pvhck lab status"
        yield Check(
            host.name, "lease", State.WARN, f"no clone is booted: the host is taken by {holder}", mend
        )
        return
    for template in opened.lab.templates.values():
        if not cannot_carry(host.spec, template):
            yield from _template_checks(host, template, opened, arguments, console)


def _template_checks(
    host: Host, template: GuestTemplate, opened: OpenedLab, arguments: argparse.Namespace, console: Console
) -> Iterator[Check]:
    checks = list(check_template(host, template))
    yield from checks
    yield from check_tools(template, opened.lab.tools)
    if arguments.no_boot or worst(checks) is State.FAIL:
        return
    yield from check_booted(
        host,
        template,
        opened.login(template),
        run_id=f"doctor-{secrets.token_hex(2)}",
        boot_s=_BOOT_S,
        report=console.print,
    )


def _status(arguments: argparse.Namespace) -> int:
    lab = load_lab(arguments.hosts)
    ended = 0
    for spec in _chosen(lab, arguments.host):
        with open_host(spec) as host:
            found = host_status(host)
        print(*status_lines(found), sep="\n")
        ended = ended if found.reachable else EXIT_BROKEN
    return ended


def _rights(arguments: argparse.Namespace) -> int:
    spec = lasting_host(load_lab(arguments.hosts), arguments.host)
    if spec.user == "root":
        raise ConfigurationError(
            f"host {spec.name}: root needs no rules", mend="name another user in its section"
        )
    with open_host(spec) as host:
        found = host.shell.check(find_script(*programs()), repeatable=True)
    places = dict(line.split(None, 1) for line in found.splitlines())
    try:
        rules = sudoers(spec.user, places, spec.storage, arguments.domain)
    except ValueError as error:
        raise ConfigurationError(f"host {spec.name}: {error}", mend="choose another name") from error
    print(rules, end="")
    sys.stderr.write(f"""\
# On {spec.name}, as root, with the above in /etc/sudoers.d/pvhck:
#   visudo -cf /etc/sudoers.d/pvhck && chmod 440 /etc/sudoers.d/pvhck
#   install -d -o {spec.user} {shlex.quote(spec.storage)} {FOLDER}
# and in its section of hosts.ini: sudo = yes
""")
    return 0


def _trust(arguments: argparse.Namespace) -> int:
    spec = lasting_host(load_lab(arguments.hosts), arguments.host)
    # with a jump host, that one has to let us in first
    key = fetch_host_key(spec, Credentials(lambda ref: resolve_secret(ref).reveal()))
    print(f"host {spec.name} ({spec.address}:{spec.port}) shows\n    {fingerprint(key)}")
    print(f"Compare it there: {compare_command(key)}")
    if not arguments.yes and not agreed("Record it?", mend="compare it, then say --yes"):
        return 1
    print(f"recorded in {trust(spec, key)}")
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    lab = load_lab(arguments.hosts)
    swept = 0
    failed: list[HarnessError] = []
    for spec in _chosen(lab, arguments.host):
        try:
            with open_host(spec) as host:
                swept += sweep(host.shell, host.toolstack, print)
        except HarnessError as error:
            failed.append(error)  # the others are swept all the same
    print(f"{swept} dead run(s) swept")
    for earlier in failed[:-1]:
        sys.stderr.write(f"pvhck: {earlier}\n")
    if failed:
        raise failed[-1]
    return 0


def _xen_build(arguments: argparse.Namespace) -> int:
    xenlab.lab_build(arguments.xen, print)
    return 0


def _xen_up(arguments: argparse.Namespace) -> int:
    xenlab.lab_up(arguments.xen, print)
    return 0


def _xen_down(_: argparse.Namespace) -> int:
    xenlab.lab_down(print)
    return 0


def _xen_status(arguments: argparse.Namespace) -> int:
    print(*xenlab.lab_status(arguments.xen), sep="\n")
    return 0


def _xen_demo(arguments: argparse.Namespace) -> int:
    return xenlab.lab_demo(arguments.xen, print, demo)


def _xen_ssh(arguments: argparse.Namespace) -> int:
    argv = xenlab.lab_ssh(*arguments.words)
    os.execvp(argv[0], argv)  # noqa: S606  # ssh takes this process's place and terminal


def _chosen(lab: Lab, name: str | None) -> tuple[HostSpec, ...]:
    """Hosts of kind ssh: simulated ones exist only while a run lasts."""
    if name is not None:
        return (lasting_host(lab, name),)
    chosen = tuple(spec for spec in lab.hosts.values() if spec.kind is HostKind.SSH)
    if not chosen:
        print(f"{lab.source} has simulated hosts only: they are made for each run and need no care")
    return chosen
