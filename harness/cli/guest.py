"""``pvhck guest ...``: one running guest, outside of any run."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.cli.opened import OpenedLab, lasting_host, open_host
from harness.errors import ConfigurationError
from harness.guest.channel import WinRmChannel
from harness.guest.guest import Login
from harness.guest.probe import address_channel, domain_channel, probe
from harness.lab import GuestTemplate, Lab, Redactor, Secret, WinRmTransport, load_lab, resolve_secret
from harness.lab.findings import nearest
from harness.lab.readers import CERTIFICATE, SECRET, Unfit

__all__ = ["add_commands"]


def add_commands(commands: Any, lab_options: argparse.ArgumentParser) -> None:
    """Add the commands of this module."""
    guest = commands.add_parser("guest", help="look at one running guest").add_subparsers(
        required=True, metavar="COMMAND"
    )
    look = guest.add_parser(
        "probe",
        parents=[lab_options],
        help="run every read-only operation, and write what Windows' commands gave, redacted",
    )
    look.add_argument("host", nargs="?", help="a host of hosts.ini")
    look.add_argument("domain", nargs="?", help="a running domain there")
    look.add_argument("--template", metavar="NAME", help="the template whose section describes the domain")
    look.add_argument("--address", metavar="A", help="a Windows with WinRM, without any host")
    look.add_argument("--user", default="Administrator")
    look.add_argument("--secret", metavar="REF", help="where its password lies: env:NAME, file:PATH, ...")
    look.add_argument(
        "--transport",
        choices=[transport.value for transport in WinRmTransport],
        default=WinRmTransport.HTTPS_NTLM.value,
    )
    look.add_argument(
        "--fingerprint",
        type=_fingerprint,
        default="first-use",
        help="SHA-256 of its certificate (default: first use)",
    )
    look.add_argument("--legacy-tls", action="store_true", help="allow TLS 1.0, for a stock Windows 7")
    look.add_argument("--output", metavar="FILE", type=Path, default=Path("probe.json"))
    look.set_defaults(command=_probe)


def _probe(arguments: argparse.Namespace) -> int:
    redactor = Redactor()
    with _channel(arguments, redactor) as (channel, user, time_factor):
        transcript = probe(channel, user=user, redact=redactor.clean, report=print, time_factor=time_factor)
        channel.close()
    transcript.write(arguments.output)
    print(f"written to {arguments.output}; taken out: {', '.join(transcript.redacted) or 'nothing'}")
    return 0


@contextlib.contextmanager
def _channel(arguments: argparse.Namespace, redactor: Redactor) -> Iterator[tuple[WinRmChannel, str, float]]:
    """The channel, its user, and the time factor of the way there."""
    if arguments.address is not None:
        secret = _secret(arguments.secret)
        redactor.add(secret)
        yield (
            address_channel(
                arguments.address,
                Login(arguments.user, secret.reveal()),
                transport=WinRmTransport(arguments.transport),
                fingerprint=arguments.fingerprint,
                legacy_tls=arguments.legacy_tls,
            ),
            arguments.user,
            1.0,
        )
        return
    if arguments.host is None or arguments.domain is None:
        raise ConfigurationError("nothing to probe", mend="name HOST and DOMAIN, or --address A")
    lab = load_lab(arguments.hosts)
    spec = lasting_host(lab, arguments.host)
    template = _template(lab, arguments.template)
    login = OpenedLab(lab).login(template)
    redactor.add(Secret(login.password))
    with open_host(spec) as host:
        guest, channel = domain_channel(host, arguments.domain, template, login)
        try:
            yield channel, login.user, host.spec.time_factor
        finally:
            guest.disconnect()


def _fingerprint(text: str) -> str:
    try:
        return CERTIFICATE.parse(text, Path.cwd()).fingerprint
    except Unfit:
        raise argparse.ArgumentTypeError(CERTIFICATE.allowed) from None


def _secret(reference: str | None) -> Secret:
    try:
        return resolve_secret(SECRET.parse(reference or "", Path.cwd()))
    except Unfit:
        # the text itself is not shown: it may be the password
        raise ConfigurationError(
            "--secret does not say where the password lies", mend=SECRET.allowed
        ) from None


def _template(lab: Lab, name: str | None) -> GuestTemplate:
    known = ", ".join(lab.templates)
    if name is None:
        raise ConfigurationError(
            "login and address of the domain stand in a template's section", mend=f"--template {known}"
        )
    if name not in lab.templates:
        raise ConfigurationError(
            f"no template {name!r} in {lab.source}", mend=f"{nearest(name, lab.templates)}known: {known}"
        )
    return lab.templates[name]
