"""What a run was asked for, read and checked before anything is touched."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigurationError
from harness.lab import Lab, Profile, lab_warnings, load_lab, load_profile
from harness.lab.match import pairs
from harness.model import GuestKind
from harness.package import DriverBuild, load_build, make_build, version_numbers
from harness.session.options import SYNTHETIC, RunOptions
from harness.session.placement import Placement, Selection, placements
from harness.workload.tools import check_tool

__all__ = ["RunRequest", "open_request"]

# The synthetic builds' versions have no meaning beyond their order.
_SYNTHETIC_VERSIONS = ("9.1.0.1", "9.1.0.2")


@dataclass(frozen=True)
class RunRequest:
    """What a run is made of. ``build`` is None when the template's own drivers are judged."""

    options: RunOptions
    lab: Lab
    profile: Profile
    build: DriverBuild | None
    older_build: DriverBuild | None = None  # to upgrade from

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Where tests run in this lab."""
        if self.options.adoption is not None:
            (host,), (template,) = self.options.hosts, self.options.templates
            return (Placement(template, {}, (host,)),)
        chosen = Selection(self.options.hosts, self.options.templates)
        return placements(self.lab, self.profile.axes, chosen)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What hosts.ini and the build give reason to say, though tests can run."""
        found = self.build.warnings if self.build is not None else ()
        adoption = self.options.adoption
        adopted = [f"{adoption.domain} is an adopted domain: it is not ours"] if adoption is not None else []
        return (*lab_warnings(self.lab), *adopted, *(str(finding) for finding in found))


@contextlib.contextmanager
def open_request(options: RunOptions) -> Iterator[RunRequest]:
    """Read everything the options name. What is unpacked for it is gone afterwards.

    Raises:
        ConfigurationError: hosts.ini, profile, build or a name in the options cannot be used.
    """
    lab = load_lab(options.hosts_file)
    profile = load_profile(options.profile)
    with contextlib.ExitStack() as stack:
        build, older = _builds(options, stack)
        if build is not None and older is not None:
            _check_older(older, build)
        request = RunRequest(options, lab, profile, build, older)
        pairs(lab, hosts=options.hosts, templates=options.templates)  # names that it does not know
        if not request.placements:
            raise ConfigurationError(
                f"{options.hosts_file} has no template", mend="add a [template NAME] section"
            )
        _check_tools(request)
        yield request


def _check_tools(request: RunRequest) -> None:
    """The programs that Windows guests will be given are those that were meant: said now, not in an hour."""
    templates = [request.lab.templates[place.template] for place in request.placements]
    arches = {template.arch for template in templates if template.guest is GuestKind.WINDOWS}
    for tool in request.lab.tools:
        if tool.arch in arches:
            check_tool(tool)


def _builds(
    options: RunOptions, stack: contextlib.ExitStack
) -> tuple[DriverBuild | None, DriverBuild | None]:
    """The build under test and the one to upgrade from; a synthetic build has an older one of its own."""
    older = None
    if options.upgrade_from is not None:
        older = stack.enter_context(load_build(Path(options.upgrade_from)))
    if options.build is None:
        return None, older
    if options.build != SYNTHETIC:
        return stack.enter_context(load_build(Path(options.build))), older
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pvhck-build-")))
    made = [load_build(make_build(folder / version, version=version)) for version in _SYNTHETIC_VERSIONS]
    return made[-1], older or made[0]


def _check_older(older: DriverBuild, build: DriverBuild) -> None:
    """Windows keeps the newer driver: an upgrade the other way round would be none."""
    by_place = {(package.name, package.arch): package.version for package in older.packages}
    for package in build.packages:
        version = by_place.get((package.name, package.arch), "")
        old, new = version_numbers(version), version_numbers(package.version)
        if old is not None and new is not None and old >= new:
            raise ConfigurationError(
                f"driver build {older.path} is to be upgraded from, but its {package.name} {package.arch} is "
                f"{version}, and that of {build.path} {package.version}",
                mend="name an older build by --upgrade-from",
            )
