"""``pvhck lab add HOST``: asks for what hosts.ini has to say of a host, looks, and writes its section."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.cli.asking import agreed, ask_for, somebody_is_there
from harness.cli.opened import open_host
from harness.doctor import State, check_host, render
from harness.errors import ConfigurationError
from harness.host.sshlogin import Credentials, compare_command, fetch_host_key, fingerprint, known_key, trust
from harness.host.survey import Survey, survey
from harness.lab import HostKind, HostSpec, resolve_secret
from harness.lab.addition import (
    host_section,
    host_spec,
    read_hosts_file,
    replace_hosts_file,
    with_host,
)
from harness.lab.keys import HOST_KEYS, NAME, HostKeys, Key
from harness.lab.readers import Unfit

__all__ = ["add_commands"]

_KEYS = [key for key in HOST_KEYS if (not key.only or HostKind.SSH in key.only) and key is not HostKeys.KIND]
_TO_REACH_IT: tuple[Key[Any], ...] = (HostKeys.ADDRESS, HostKeys.PORT, HostKeys.USER, HostKeys.KEY)
_LEAST_MIB = 512
_NOWHERE = {"address": "192.0.2.1"}  # holds the place of what is still to be asked for (RFC 5737)


def add_commands(lab: Any, lab_options: argparse.ArgumentParser) -> None:
    """Add the command of this module to ``pvhck lab``."""
    add = lab.add_parser(
        "add",
        parents=[lab_options],
        help="ask for what a new host's section has to say, look at the host, write the section",
    )
    add.add_argument("host")
    add.add_argument(
        "--yes", action="store_true", help="ask nothing: what is not given is found out or left out"
    )
    for key in _KEYS:
        switch = {"nargs": "?", "const": "yes"} if key.reader.allowed == "yes | no" else {}
        add.add_argument(
            f"--{key.name.replace('_', '-')}",
            dest=f"key_{key.name}",
            metavar="VALUE",
            help=key.meaning.replace("%", "%%"),
            **switch,
        )
    add.set_defaults(command=_add)


def _add(arguments: argparse.Namespace) -> int:
    given = {key.name: value for key in _KEYS if (value := getattr(arguments, f"key_{key.name}")) is not None}
    asks = somebody_is_there() and not arguments.yes
    addition = _Addition(arguments.host, arguments.hosts.absolute(), given, yes=arguments.yes, asks=asks)
    addition.check_file()
    addition.ask_how_to_reach_it()
    return 0 if addition.trusts() and addition.look() and addition.write() else 1


@dataclass
class _Addition:
    """A host that is not in the file yet. ``values`` are its keys as they will stand there."""

    name: str
    file: Path
    values: dict[str, str]
    yes: bool
    asks: bool
    _given: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._given = frozenset(self.values)

    def check_file(self) -> None:
        """Before anybody is asked anything: the file, the name and what was given are in order."""
        try:
            NAME.parse(self.name, self.file.parent)
        except Unfit:
            raise ConfigurationError(f"{self.name!r} is no name for a host", mend=NAME.allowed) from None
        with_host(read_hosts_file(self.file), self.name, _NOWHERE | self.values, self.file)
        if not self.asks and "address" not in self.values:
            raise ConfigurationError("nobody is there to be asked for the address", mend="--address A")

    def ask_how_to_reach_it(self) -> None:
        """Address, user, key or password, sudo: what was not given."""
        for key in _TO_REACH_IT:
            self._ask(key)
        if "key" not in self.values:
            self._ask(HostKeys.PASSWORD)
        if self.values.get("user", HostKeys.USER.default) != "root":
            self._ask(HostKeys.SUDO, "yes")

    def trusts(self) -> bool:
        """Whether the host's key is known, or is looked at and recorded now."""
        spec = self._spec()
        key = fetch_host_key(spec, Credentials(lambda ref: resolve_secret(ref).reveal()))
        print(f"\nhost {spec.name} ({spec.address}:{spec.port}) shows\n    {fingerprint(key)}")
        known = known_key(spec, key)
        if known:
            print("which is recorded already")
            return True
        print(f"Compare it there: {compare_command(key)}")
        if not self._agreed("Record it?"):
            return False
        print(f"recorded in {trust(spec, key)}")
        return True

    def look(self) -> bool:
        """Find out what was not given, then look at the host as doctor does; whether it may be written."""
        self._ask(HostKeys.STORAGE)
        with open_host(self._spec()) as host:
            found = survey(host.shell)
        print(f"\n{found}")
        for key, default in _offers(found):
            self._offer(key, default)
        print()
        with open_host(self._spec()) as host:
            state = render(check_host(host), Console())
        if state is not State.FAIL:
            return True
        if self.yes:
            raise ConfigurationError(
                f"host {self.name} is not ready: nothing is written", mend="mend what fails above, then again"
            )
        return self._agreed("Something fails. Write the section all the same?")

    def write(self) -> bool:
        """Show the section, and put it into the file."""
        print(f"\n{host_section(self.name, self.values)}")
        if not self._agreed(f"Write it into {self.file}?"):
            return False
        # read once more: somebody may have changed it while we asked
        replace_hosts_file(
            self.file, with_host(read_hosts_file(self.file), self.name, self.values, self.file)
        )
        print(f"written; next: pvhck doctor {self.name}")
        return True

    # -- inner parts

    def _spec(self) -> HostSpec:
        return host_spec(self.name, self.values, self.file)

    def _agreed(self, question: str) -> bool:
        return self.yes or agreed(question, mend="say --yes")

    def _ask(self, key: Key[Any], default: str = "") -> None:
        """What was given is not asked for; an answer that is the default is left out of the section."""
        if key.name in self._given or not self.asks:
            return
        usual = "" if key.required or key.default is None else f"{key.default}"
        usual = {"True": "yes", "False": "no"}.get(usual, usual)
        answer = ask_for(key, default or usual, self.file.parent)
        while key.required and not answer:
            answer = ask_for(key, "", self.file.parent)
        if answer and answer != usual:
            self.values[key.name] = answer

    def _offer(self, key: Key[Any], found: str) -> None:
        """What was found out stands in the section, or what is said instead."""
        if key.name in self._given or not found:
            return
        self.values[key.name] = ask_for(key, found, self.file.parent) if self.asks else found


def _offers(found: Survey) -> list[tuple[Key[Any], str]]:
    """Keys that the host itself has an answer to."""
    usual = HostKeys.BRIDGE.default
    bridge = usual if usual in found.bridges else next(iter(found.bridges), "")
    return [
        (HostKeys.XEN, str(found.info.version)),
        (HostKeys.BRIDGE, bridge),
        (HostKeys.MEMORY, _whole_gib(found.info.free_mib)),
        (HostKeys.VCPUS, str(found.info.cpus)),
    ]


def _whole_gib(mib: int) -> str:
    """What is free, rounded down so that other things have some room."""
    if mib >= 2 * 1024:
        return f"{mib // 1024}g"
    return f"{mib // 256 * 256}m" if mib >= _LEAST_MIB else ""
