"""``pvhck lab reserve``, ``release`` and ``maintenance``: who may use a host, said by a person."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from harness.cli.opened import lasting_host, open_host
from harness.errors import HarnessError
from harness.host.health import Health, health_of, note_health
from harness.host.lease import lease_holder, release, reserve
from harness.lab import HostSpec, Lab, load_lab
from harness.session.options import minutes

__all__ = ["add_commands"]

_MINUTE = 60


def add_commands(lab: Any, lab_options: argparse.ArgumentParser) -> None:
    """Add the commands of this module to ``pvhck lab``."""
    keep = lab.add_parser("reserve", parents=[lab_options], help="keep runs of others off hosts for a while")
    keep.add_argument("hosts_named", metavar="HOST", nargs="+")
    keep.add_argument(
        "--for", dest="minutes", metavar="M", type=minutes, default=480, help="minutes (default: 8 hours)"
    )
    keep.add_argument("--reason", default="", help="for whom it keeps waiting")
    keep.set_defaults(command=_reserve)
    free = lab.add_parser("release", parents=[lab_options], help="end a reservation")
    free.add_argument("hosts_named", metavar="HOST", nargs="+")
    free.add_argument("--force", action="store_true", help="one of somebody else, too")
    free.set_defaults(command=_release)
    mend = lab.add_parser("maintenance", parents=[lab_options], help="no runs of this machine on hosts")
    mend.add_argument("hosts_named", metavar="HOST", nargs="+")
    mend.add_argument("--reason", default="", help="shown to whoever asks for the host")
    mend.add_argument("--end", action="store_true", help="the host may be used again")
    mend.set_defaults(command=_maintenance)


def _reserve(arguments: argparse.Namespace) -> int:
    """All hosts or none, in the order of their names."""
    done: list[HostSpec] = []
    try:
        for spec in _named(load_lab(arguments.hosts), arguments):
            with open_host(spec) as host:
                holder = reserve(host.shell, arguments.minutes * _MINUTE, arguments.reason)
                done.append(spec)
                running = lease_holder(host.shell)
            print(f"{spec.name} is reserved for {holder}")
            if running is not None:
                print(f"  still on it: {running}")
    except HarnessError:
        for spec in done:
            with contextlib.suppress(HarnessError), open_host(spec) as host:
                release(host.shell)
                print(f"{spec.name} is given back: not all could be had")
        raise
    return 0


def _release(arguments: argparse.Namespace) -> int:
    for spec in _named(load_lab(arguments.hosts), arguments):
        with open_host(spec) as host:
            there = release(host.shell, force=arguments.force)
        print(f"{spec.name}: {f'no longer reserved for {there}' if there else 'it was not reserved'}")
    return 0


def _maintenance(arguments: argparse.Namespace) -> int:
    for spec in _named(load_lab(arguments.hosts), arguments):
        before = health_of(spec)
        if not arguments.end:
            note_health(spec, Health.MAINTENANCE, arguments.reason)
            print(f"{spec.name}: under maintenance until `pvhck lab maintenance {spec.name} --end`")
        elif before.health is Health.MAINTENANCE:
            note_health(spec, Health.UNKNOWN, "maintenance has ended")
            print(f"{spec.name}: may be used again")
        else:
            print(f"{spec.name}: was not under maintenance")
    return 0


def _named(lab: Lab, arguments: argparse.Namespace) -> list[HostSpec]:
    return sorted(
        (lasting_host(lab, name) for name in dict.fromkeys(arguments.hosts_named)),
        key=lambda spec: spec.name,
    )
