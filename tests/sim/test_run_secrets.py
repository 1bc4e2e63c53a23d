"""Nothing that a run leaves, says or asks for holds a secret it used, in no form.

The host is simulated in the test's process and outlives the run; it is reached by password, its guests by one
of hosts.ini. Both passwords have everything that somebody has to quote.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import paramiko
import pytest
from cli_lab import KeptLab, Said, kept_lab, pvhck
from secret_forms import forms

from harness.host.rights import right_of
from harness.model import Arch
from harness.package.synthetic import make_build
from harness.simlab.ssh import server

HOST_PASSWORD = "Höst 'pw\" $(id) %PATH% <&> \\ `x` +/=;#"
GUEST_PASSWORD = "Gäst \"pw' ${x} %TEMP% <&>]]> \\\\ `y ~^!@{}|"
# Basic's code page is nobody's promise (RFC 7617): requests takes Latin-1
ASCII_PASSWORD = GUEST_PASSWORD.replace("ä", "ae")

# What says both in every form to everybody who writes for a run.
SCENARIOS = """
import json
import shlex
import logging
import os
import sys
from pathlib import Path

import pytest

FORMS = json.loads(Path(os.environ["PLANTED"]).read_text()) if "PLANTED" in os.environ else {}
ALL = " | ".join(FORMS.values())


def plant(guest):
    host = guest.host
    for name in ("xl", "qemu-dm"):
        host.shell.put(ALL.encode(), f"/var/log/xen/{name}-{guest.name}.log")
    domid = host.toolstack.find(guest.name).domid
    for number, form in enumerate(FORMS.values()):
        host.xenstore.write(f"/local/domain/{domid}/data/said-{number}", form.replace("\\0", ""))


def test_failing(guest):
    if FORMS:
        plant(guest)
    print(ALL)
    print(ALL, file=sys.stderr)
    logging.getLogger("paramiko").warning("%s", ALL)
    raise AssertionError(f"the guest said: {ALL}")


def test_breaking(guest):
    from harness.errors import CommandFailed
    guest.host.shell.check(["ls", "/nowhere"])
"""


@dataclass
class Watched:
    """The lab, and every command line that its host was given."""

    lab: KeptLab
    password: str
    commands: list[bytes] = field(default_factory=list)

    def run(self, folder: Path, *words: str | Path, env: dict[str, str]) -> Said:
        env = {"PVHCK_GUEST": self.password} | env
        return pvhck(folder, *words, env=env)


@contextlib.contextmanager
def watched_lab(folder: Path, transport: str, password: str) -> Iterator[Watched]:
    asked = server._Rules.check_channel_exec_request
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(kept_lab(folder, template=f"transport = {transport}\n"))
        found = Watched(lab, password)

        def note(rules: server._Rules, channel: paramiko.Channel, command: bytes) -> bool:
            found.commands.append(command)
            return asked(rules, channel, command)

        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(server._Rules, "check_channel_exec_request", note)
        lab.sim.passwords = {"win": password}
        running = lab.sim._running["far"].server
        running.access = replace(running.access, password=HOST_PASSWORD)
        secret = folder / "host-password"
        secret.touch(mode=0o600)
        secret.write_text(HOST_PASSWORD)
        lab.section |= {"key": None, "password": f"file:{secret}"}
        lab.template |= {"secret": "env:PVHCK_GUEST", "transport": transport}
        yield found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched_lab(tmp_path_factory.mktemp("lab"), "https-ntlm", GUEST_PASSWORD) as found:
        yield found


def forget_planted(watched: Watched) -> None:
    """What the host itself says of secrets is no doing of the next run."""
    for path in watched.lab.model.files.real("/var/log/xen").glob("*.log"):
        path.unlink()
    watched.commands.clear()


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build") / "new", version="9.1.0.2", arches=[Arch.X64])


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "scenarios"
    (folder / "power").mkdir(parents=True)
    (folder / "power" / "test_own.py").write_text(SCENARIOS)
    return folder


def leaks(texts: dict[str, bytes], guest: str = GUEST_PASSWORD) -> list[str]:
    """Which secret stands in what, and how."""
    found = []
    for user, secret in (("root", HOST_PASSWORD), ("Administrator", guest)):
        for form, written in forms(secret, user).items():
            for name, content in texts.items():
                if written.encode(errors="surrogatepass") in content:
                    found.append(f"{user}'s password as {form} in {name}")
        for name, content in texts.items():
            if secret.encode("utf-16-le") in content or secret.encode("utf-16-be") in content:
                found.append(f"{user}'s password in UTF-16 in {name}")
    return found


def files_below(*folders: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def planted(folder: Path, guest: str) -> Path:
    path = folder / "planted.json"
    every = {
        f"{user}, {name}": form
        for user, secret in (("root", HOST_PASSWORD), ("Administrator", guest))
        for name, form in forms(secret, user).items()
    }
    path.write_text(json.dumps(every))
    return path


@pytest.mark.parametrize("slots", ["1", "2"])
def test_what_host_and_guest_say_of_secrets_is_in_no_artifact(
    tmp_path: Path, scenarios: Path, build: Path, slots: str
) -> None:
    # of the four pairs of these two: Basic without workers, NTLM with them
    transport, password = ("https-basic", ASCII_PASSWORD) if slots == "1" else ("https-ntlm", GUEST_PASSWORD)
    home = tmp_path / "home"
    words = ("run", "-j", slots, "--build", build, "--scenarios", scenarios)
    with watched_lab(tmp_path, transport, password) as watched:
        env = {"PLANTED": str(planted(tmp_path, password))}
        said = watched.run(home, *words, "--hosts", watched.lab.hosts_ini(), env=env)
    assert said.code == 1, said.all
    reports = files_below(home / "reports")
    assert {"index.html", "junit.xml", "results.json", "events.jsonl", "xl.txt", "xenstore.txt"} <= {
        Path(name).name for name in reports
    }
    assert b"the guest said: ***" in reports[str(next((home / "reports").glob("2*/results.json")))]
    assert not leaks(files_below(home), password), "with out, err and what temporary files there are"


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({}, 1),
        ({"template": {"secret": "env:PVHCK_OTHER"}}, 3),
        ({"template": {"secret": "env:PVHCK_OTHER", "transport": "https-basic"}}, 3),
        ({"template": {"image": "templates/none.img"}}, 3),
        ({"host": {"clone": "copy", "bridge": "nobr"}}, 3),
    ],
    ids=["as it should be", "login refused", "Basic refused", "no image", "no bridge"],
)
def test_no_command_file_or_message_of_a_run_has_a_secret(
    tmp_path: Path, watched: Watched, scenarios: Path, keys: dict[str, dict[str, str]], code: int
) -> None:
    forget_planted(watched)
    other = GUEST_PASSWORD + "!"
    hosts = watched.lab.hosts_ini(**keys)
    said = watched.run(
        tmp_path / "home", "run", "--hosts", hosts, "--scenarios", scenarios, env={"PVHCK_OTHER": other}
    )
    assert said.code == code, said.all
    assert watched.commands
    texts = files_below(tmp_path / "home", watched.lab.model.files.real("/"))
    assert any("/var/lib/pvhck/" in name for name in texts)
    assert leaks(texts | {"command lines": b"\n".join(watched.commands)}) == []
    words = [shlex.split(command.decode()) for command in watched.commands]
    storage = watched.lab.spec.storage
    unknown = [argv for argv in words if right_of(argv, storage) is None and argv != ["ls", "/nowhere"]]
    assert unknown == [], "not in harness/host/rights.py"


@pytest.mark.parametrize(
    "words",
    [
        ("doctor", "far"),
        ("lab", "status"),
        ("lab", "reserve", "far", "--for", "60"),
        ("lab", "release", "far"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_no_other_command_says_a_secret(tmp_path: Path, watched: Watched, words: Sequence[str]) -> None:
    home = tmp_path / "home"
    watched.run(home, *words, "--hosts", watched.lab.hosts_ini(), env={})
    assert (home / "out").read_text()
    assert leaks(files_below(home)) == []
