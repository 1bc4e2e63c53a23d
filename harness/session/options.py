"""The plugin's options, typed. None of them given: the plugin does nothing."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.lab import SecretRef
from harness.lab.readers import SECRET, Unfit
from harness.model import Change

__all__ = ["SYNTHETIC", "Adoption", "Keep", "RunOptions", "add_options", "minutes", "read_options"]

SYNTHETIC = "synthetic"  # the build that is made on the spot


class Keep(StrEnum):
    """Whether guests stay on their hosts after the run."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


@dataclass(frozen=True)
class Adoption:
    """A domain that tests run on as it is, and what its owner allows. ``secret`` None: the template's."""

    domain: str
    allowed: frozenset[Change]
    config: str  # of the host: what its toolstack makes it from, empty if not named
    user: str
    secret: SecretRef | None


@dataclass(frozen=True)
class RunOptions:
    """What a run was asked for. ``max_time_s`` None: no limit."""

    hosts_file: Path
    profile: str
    build: str | None  # a path, or ``SYNTHETIC``
    upgrade_from: str | None  # a path
    hosts: tuple[str, ...]
    templates: tuple[str, ...]
    keep: Keep
    max_time_s: float | None
    wait_s: float
    seed: int
    reports: Path
    argv: tuple[str, ...]
    full_dumps: bool = False  # MEMORY.DMP whole, not its header only
    core_dumps: bool = False  # of guests that hang, by the toolstack
    adoption: Adoption | None = None


def add_options(parser: pytest.Parser) -> None:
    """Add the options to pytest's."""
    group = parser.getgroup("pvhck", "Xen Windows PV drivers")
    group.addoption("--pv-hosts", metavar="FILE", help="hosts.ini of the lab; without it no scenario runs")
    group.addoption("--pv-profile", metavar="NAME", default="smoke", help="profile name or file")
    group.addoption("--pv-build", metavar="PATH", help="driver build: folder, tar, zip, or synthetic")
    group.addoption("--pv-upgrade-from", metavar="PATH", help="older driver build, for upgrades")
    group.addoption("--pv-host", metavar="NAME", action="append", default=[], help="only this host")
    group.addoption("--pv-template", metavar="NAME", action="append", default=[], help="only this template")
    group.addoption(
        "--pv-adopt", metavar="DOMAIN", help="run on this domain of the one host, without a clone"
    )
    group.addoption("--pv-allow", choices=[change.value for change in Change], action="append", default=[])
    group.addoption("--pv-adopt-config", metavar="FILE", default="", help="of the host: what starts it again")
    group.addoption("--pv-adopt-user", metavar="NAME", default="", help="instead of the template's")
    group.addoption("--pv-adopt-secret", metavar="REF", help="instead of the template's")
    group.addoption("--pv-keep", choices=[keep.value for keep in Keep], default=Keep.NEVER.value)
    group.addoption("--pv-full-dumps", action="store_true", help="bring MEMORY.DMP whole after a crash")
    group.addoption("--pv-core-dumps", action="store_true", help="a core dump of each guest that hangs")
    group.addoption("--pv-max-time", metavar="M", type=minutes, help="minutes after which no test begins")
    group.addoption("--pv-wait", metavar="M", type=minutes, default=0, help="minutes to wait for busy hosts")
    group.addoption(
        "--pv-seed", metavar="N", type=int, default=1, help="seed of patterns and simulated guests"
    )
    group.addoption("--pv-reports", metavar="DIR", default="reports", help="where the run's folder is made")


def minutes(text: str) -> float:
    """Minutes as an option has them: a number, not negative.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes")
    return number


def read_options(config: pytest.Config) -> RunOptions | None:
    """The options of this run, None when no lab is asked for."""
    hosts = config.getoption("--pv-hosts")
    if hosts is None:
        return None
    build, older = config.getoption("--pv-build"), config.getoption("--pv-upgrade-from")
    for path in (build, older):
        if path not in {None, SYNTHETIC} and not Path(path).exists():
            raise ConfigurationError(
                f"driver build {path} does not exist",
                mend=f"name a folder, a tar or a zip file, or the word {SYNTHETIC}",
            )
    limit = config.getoption("--pv-max-time")
    return RunOptions(
        hosts_file=Path(hosts),
        profile=config.getoption("--pv-profile"),
        build=build,
        upgrade_from=older,
        hosts=tuple(config.getoption("--pv-host")),
        templates=tuple(config.getoption("--pv-template")),
        keep=Keep(config.getoption("--pv-keep")),
        max_time_s=limit * 60 if limit is not None else None,
        wait_s=config.getoption("--pv-wait") * 60,
        seed=config.getoption("--pv-seed"),
        reports=Path(config.getoption("--pv-reports")),
        argv=tuple(str(word) for word in config.invocation_params.args),
        full_dumps=config.getoption("--pv-full-dumps"),
        core_dumps=config.getoption("--pv-core-dumps"),
        adoption=_adoption(config),
    )


def _adoption(config: pytest.Config) -> Adoption | None:
    domain = config.getoption("--pv-adopt")
    if domain is None:
        return None
    if len(config.getoption("--pv-host")) != 1 or len(config.getoption("--pv-template")) != 1:
        raise ConfigurationError("an adopted domain has one host and one template")
    allowed = frozenset(Change(word) for word in config.getoption("--pv-allow"))
    file = config.getoption("--pv-adopt-config")
    if Change.POWER in allowed and not file:
        raise ConfigurationError(
            f"{domain} could be shut down, and not be started again: its configuration is not known",
            mend="name the file of the host that it is made from: --config FILE",
        )
    return Adoption(domain, allowed, file, config.getoption("--pv-adopt-user"), _secret(config))


def _secret(config: pytest.Config) -> SecretRef | None:
    reference = config.getoption("--pv-adopt-secret")
    if reference is None:
        return None
    try:
        return SECRET.parse(reference, Path.cwd())
    except Unfit:
        # the text itself is not shown: it may be the password
        found = "--secret does not say where the password lies"
        raise ConfigurationError(found, mend=SECRET.allowed) from None
