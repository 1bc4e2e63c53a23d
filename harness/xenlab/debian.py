"""Debian packages: the mirror this machine itself uses, versions, sources, and trees made of packages."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigurationError, InfrastructureError, OutputNotUnderstood, ToolMissing
from harness.xenlab.recipe import BUILD_PACKAGES
from harness.xenlab.shell import run

__all__ = [
    "Repository",
    "Suite",
    "candidate_versions",
    "ensure_build_packages",
    "install_into",
    "make_minbase",
    "missing_build_packages",
    "parse_repositories",
    "parse_versions",
    "repositories_of",
    "shrink",
]

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_FIELDS = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
_NO_STARTS = "#!/bin/sh\nexit 101\n"  # policy-rc.d: nothing may be started in the tree
_candidates: dict[tuple[str, str], str] = {}  # by release and package; asking apt takes a second each time
_LISTS_GOOD_S = 24 * 3600
_WAIT_FOR_OTHERS = ("-o", "DPkg::Lock::Timeout=600")  # another apt may be at work on this machine
_APT_IN_TREE = (
    "apt-get", "-qq", "-y", "--no-install-recommends",
    "-o", "Dpkg::Options::=--force-confold",
)  # fmt: skip
# Documentation, translations and package lists: half of a small tree.
_NOT_NEEDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/cache/debconf",
)


@dataclass(frozen=True)
class Repository:
    """One line of apt's sources that serves a release of Debian."""

    uri: str
    suite: str
    component: str

    def line(self, kind: str) -> str:
        """As in sources.list; ``kind`` is ``deb`` or ``deb-src``."""
        return f"{kind} [signed-by={_KEYRING}] {self.uri} {self.suite} {self.component}\n"


def parse_repositories(text: str) -> tuple[Repository, ...]:
    """From the output of ``apt-get indextargets`` with our fields; other distributions are left out.

    Raises:
        OutputNotUnderstood: a line has other fields.
    """
    found = []
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != _FIELDS.count("|") + 1:
            raise OutputNotUnderstood("apt-get indextargets: a line cannot be read", text=line)
        uri, suite, component, origin = fields
        if origin == "Debian" and component == "main":
            found.append(Repository(uri, suite, component))
    return tuple(dict.fromkeys(found))


def repositories_of(release: str, known: tuple[Repository, ...]) -> tuple[Repository, ...]:
    """Where a release is to be had, on the mirrors that serve the releases a machine knows."""
    own = tuple(repository for repository in known if repository.suite.split("-")[0] == release)
    if own:
        return own
    other = known[0].suite.split("-")[0] if known else ""
    return tuple(
        Repository(repository.uri, repository.suite.replace(other, release, 1), repository.component)
        for repository in known
        if repository.suite.split("-")[0] == other
    )


@dataclass(frozen=True)
class Suite:
    """One release as apt on this machine sees it; ``folder`` is for package lists of one that it does not."""

    release: str
    folder: Path

    def repositories(self) -> tuple[Repository, ...]:
        """Where the release is to be had.

        Raises:
            ConfigurationError: this machine's apt knows no repository of Debian.
        """
        found = repositories_of(self.release, _known())
        if not any(repository.suite == self.release for repository in found):
            raise ConfigurationError(
                "apt on this machine has no package lists of Debian, which the Xen lab is made of",
                mend=f"add Debian {self.release} main to apt's sources and run: apt-get update",
            )
        return found

    def policy(self, packages: Iterable[str]) -> str:
        """What apt knows of these packages; the lists of another release than the machine's are ours."""
        if any(repository.suite == self.release for repository in _known()):
            return run(["apt-cache", "policy", *packages])
        options = self._own_lists("deb")
        status = ("-o", "Dir::State::status=/dev/null")  # else what is installed here would count
        return run(["apt-cache", *options, *status, "policy", *packages])

    def _own_lists(self, kind: str) -> tuple[str, ...]:
        """Options that make apt use our lists, which are new enough then."""
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        sources = self.folder / "sources.list"
        options = (
            "-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null",
            "-o", f"Dir::State::lists={self.folder / 'lists'}", "-o", f"Dir::Cache={self.folder / 'cache'}",
            "-o", "APT::Sandbox::User=root",
        )  # fmt: skip
        text = "".join(repository.line(kind) for repository in self.repositories())
        stamp = self.folder / "updated"
        if (
            not stamp.exists()
            or time.time() - stamp.stat().st_mtime > _LISTS_GOOD_S
            or sources.read_text() != text
        ):
            sources.write_text(text)
            run(["apt-get", "-qq", *options, "update"])
            stamp.touch()
        return options

    def fetch_source(self, package: str, folder: Path) -> Path:
        """The original source archive of a source package, checked by apt, in ``folder``."""
        lists = Suite(self.release, folder / "apt")
        apt = ("apt-get", "-qq", *lists._own_lists("deb-src"))
        run([*apt, "source", "--download-only", "--only-source", package], cwd=folder)
        return next(folder.glob(f"{package}_*.orig.tar.*"))


def _known() -> tuple[Repository, ...]:
    return parse_repositories(run(["apt-get", "indextargets", "--format", _FIELDS, "Created-By: Packages"]))


def parse_versions(text: str) -> dict[str, str]:
    """Candidate by package, from the output of ``apt-cache policy``."""
    versions: dict[str, str] = {}
    package = ""
    for line in text.splitlines():
        if not line.startswith(" "):
            package = line.rstrip(":")
        elif line.strip().startswith("Candidate:"):
            versions[package] = line.split(":", 1)[1].strip()
    return versions


def candidate_versions(packages: Iterable[str], suite: Suite) -> dict[str, str]:
    """The version of each package that would be installed.

    Raises:
        ConfigurationError: one is not to be had.
    """
    wanted = tuple(packages)
    unknown = [name for name in wanted if (suite.release, name) not in _candidates]
    if unknown:
        for name, version in parse_versions(suite.policy(unknown)).items():
            _candidates[suite.release, name] = version
    missing = [name for name in wanted if _candidates.get((suite.release, name), "(none)") == "(none)"]
    if missing:
        raise ConfigurationError(
            f"apt on this machine does not know {', '.join(missing)} of Debian {suite.release}",
            mend=f"add Debian {suite.release} main and {suite.release}-security to apt's sources "
            "and run: apt-get update",
        )
    return {name: _candidates[suite.release, name] for name in wanted}


def missing_build_packages() -> tuple[str, ...]:
    """Packages the build needs that are not installed on this machine."""
    states = run(["dpkg-query", "-f=${Package} ${db:Status-Status}\n", "-W"])
    installed = {line.split()[0] for line in states.splitlines() if line.endswith(" installed")}
    return tuple(name for name in BUILD_PACKAGES if name not in installed)


def ensure_build_packages() -> None:
    """Install what the build needs on this machine, if anything is missing.

    Raises:
        ToolMissing: something is missing and we are not root.
    """
    missing = missing_build_packages()
    if os.geteuid() != 0:
        if missing:
            raise ToolMissing(
                f"the Xen lab needs packages that are not installed: {', '.join(missing)}",
                mend=f"sudo apt-get install {' '.join(missing)}",
            )
        return
    if missing or not run(["apt-get", "indextargets", "--format", _FIELDS]).strip():
        run(["apt-get", "-qq", "update"])
        _candidates.clear()
    if missing:
        run(
            ["apt-get", "-qq", "-y", "--no-install-recommends", *_WAIT_FOR_OTHERS, "install", *missing],
            environment={"DEBIAN_FRONTEND": "noninteractive"},
        )


def make_minbase(root: Path, suite: Suite) -> None:
    """A minimal system of a release in the empty folder ``root``, with apt pointed at our mirror."""
    sources = suite.repositories()
    main = next(repository for repository in sources if repository.suite == suite.release)
    run(["debootstrap", "--variant=minbase", f"--keyring={_KEYRING}", suite.release, root, main.uri])
    (root / "etc/apt/sources.list").write_text("".join(repository.line("deb") for repository in sources))
    (root / "etc/apt/apt.conf.d/90proxy").write_text(_proxy_settings())
    run(["chroot", root, "apt-get", "-qq", "update"])


def install_into(root: Path, packages: Iterable[str]) -> None:
    """Install packages into a tree, starting nothing.

    Raises:
        InfrastructureError: dpkg left its placeholder for start-stop-daemon behind.
    """
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text(_NO_STARTS)
    policy.chmod(0o755)
    run(
        ["chroot", root, *_APT_IN_TREE, "install", *packages],
        environment={"DEBIAN_FRONTEND": "noninteractive"},
    )
    policy.unlink()
    starter = root / "sbin/start-stop-daemon"
    if starter.read_bytes()[:4] != b"\x7fELF":  # facts/nested-xen.md, trap "debootstrap's minbase order"
        raise InfrastructureError(f"{starter} is not the real program: debootstrap was cut short")


def shrink(root: Path) -> None:
    """Take out of a tree what nobody reads there."""
    for name in _NOT_NEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "var/lib/apt/lists").mkdir(parents=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)


def _proxy_settings() -> str:
    dump = run(["apt-config", "dump"])
    return "".join(f"{line}\n" for line in dump.splitlines() if line.startswith("Acquire::http"))
