"""Bad input on the command line: a short error that names the thing and the mend, and the right exit code."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cli_lab import PVHCK, KeptLab, begin, kept_lab, pvhck
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.model import Arch, DriverName
from harness.package.synthetic import Defect, make_build
from harness.results import load_results
from harness.results.recorder import EVENTS, RESULTS

SIMULATED = """\
[host sim]
kind = simulated
xen = 4.17

[template win]
guest = simulated
os = Windows 10 (simulated)
arch = x64
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    with kept_lab(tmp_path_factory.mktemp("kept")) as kept:
        yield kept


@pytest.fixture
def simulated(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.ini"
    path.write_text(SIMULATED)
    return path


# -- hosts.ini, profile, names


def test_pvhck_as_people_call_it_says_what_is_wrong_in_a_hosts_ini_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "hosts.ini").write_text("[host a]\naddres = a.example\nport = 99999\n\n[templte t]\n")
    ended = subprocess.run(
        [PVHCK, "plan"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 2
    assert "hosts.ini: 4 mistakes" in ended.stderr
    assert "hosts.ini:2: [host a] addres: found a key nobody knows; allowed: did you mean 'address'?" in (
        ended.stderr
    )
    assert (
        "hosts.ini:3: [host a] port: found '99999'; allowed: a whole number from 1 to 65535" in ended.stderr
    )
    assert "hosts.ini:5: [templte t]" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [("plan",), ("run",), ("doctor",), ("lab", "status")])
def test_a_hosts_ini_that_is_not_there_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    pvhck(tmp_path, *command, "--hosts", "gone.ini").demand(2, "gone.ini", "a readable file")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--profile", "smoek"), ("no profile 'smoek'", "did you mean 'smoke'?")),
        (("--profile", "./mine.toml"), ("mine.toml", "a readable TOML file")),
        (("--host", "sin"), ("no host 'sin' in", "did you mean 'sim'?")),
        (("--template", "wim"), ("no template 'wim' in", "did you mean 'win'?")),
        (("-k", "power and ("), ("Wrong expression passed to '-k'", "power and (")),
        (("--scenarios", "elsewhere"), ("there are no scenarios in elsewhere", "--scenarios DIR")),
        (("--max-time", "-1"), ("--max-time", "'-1'", "minutes")),
        (("--max-time", "nan"), ("--max-time", "'nan'", "minutes")),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("-") else "",
)
def test_a_name_or_value_that_cannot_be_is_refused_before_anything_is_touched(
    tmp_path: Path, simulated: Path, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    pvhck(tmp_path, "run", "--hosts", simulated, *words).demand(2, *said)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "COMMAND"),
        (("rnu",), "invalid choice: 'rnu'"),
        (("run", "--frobnicate"), "unrecognized arguments: --frobnicate"),
        (("run", "--max-time", "soon"), "--max-time"),
        (("run", "--keep", "sometimes"), "invalid choice: 'sometimes'"),
        (("lab", "swep"), "invalid choice: 'swep'"),
        (("lab", "trust"), "required: host"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_unknown_command_or_option_is_named(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    pvhck(tmp_path, *words).demand(2, "usage: pvhck", said)


@pytest.mark.parametrize("command", ["run", "plan", "list"])
def test_an_expression_that_matches_nothing_is_said_and_nothing_ran(
    tmp_path: Path, simulated: Path, command: str
) -> None:
    pvhck(tmp_path, command, "--hosts", simulated, "-k", "xenblk").demand(
        4, "no scenario of profile smoke matches -k 'xenblk'", "pvhck list"
    )


def test_no_time_at_all_skips_every_test_and_says_why(tmp_path: Path, simulated: Path) -> None:
    ended = pvhck(tmp_path, "run", "--hosts", simulated, "-k", "test_drivers", "--max-time", "0")
    ended.demand(4, "the time of --max-time was over", "Nothing ran")
    results = load_results(tmp_path / "reports" / "latest")
    assert {test.outcome.value for test in results.tests} == {"skipped"}


# -- hosts that cannot be used


def test_what_keeps_us_out_of_a_host_is_named_with_its_mend(tmp_path: Path, lab: KeptLab) -> None:
    other, public = _new_key(tmp_path / "other")
    (tmp_path / "nonsense").write_text("no key at all\n")
    (tmp_path / "changed").write_text(f"[127.0.0.1]:{lab.spec.port} {public}\n")
    cases: list[tuple[Mapping[str, str | None], int, tuple[str, ...]]] = [
        ({"key": "gone"}, 2, ("key file", "gone does not exist", "ssh-keygen -t ed25519")),
        ({"key": f"{tmp_path}/nonsense"}, 2, ("nonsense cannot be used", "unencrypted private key")),
        ({"key": str(other)}, 3, ("does not accept key", "try: ssh -p")),
        ({"key": None, "password": "env:WRONG"}, 3, ("does not accept password", "try: ssh -p")),
        ({"key": None, "password": "env:UNSET"}, 2, ("secret env:UNSET: not set", "export UNSET=")),
        ({"known_hosts": f"{tmp_path}/changed"}, 3, ("its key has changed", "pvhck lab trust far")),
        ({"known_hosts": f"{tmp_path}/none"}, 3, ("its key is not in", "pvhck lab trust far")),
        ({"port": "1"}, 3, ("no SSH connection to 127.0.0.1:1", "is it up")),
    ]
    for number, (keys, code, words) in enumerate(cases):
        hosts = lab.hosts_ini(host=keys)
        ended = pvhck(tmp_path / str(number), "lab", "sweep", "--hosts", hosts, env={"WRONG": "hunter2"})
        ended.demand(code, "host far", *words) if "UNSET" not in str(keys) else ended.demand(code, *words)
        assert "hunter2" not in ended.all
        assert "asking again" not in ended.all, "there was no connection that could have been lost"


def test_the_doctor_says_the_same_and_ends_with_a_failure(tmp_path: Path, lab: KeptLab) -> None:
    hosts = lab.hosts_ini(host={"known_hosts": f"{tmp_path}/none"})
    pvhck(tmp_path, "doctor", "--hosts", hosts).demand(
        1, "SSH its key is not in", "-> look at it and record it: pvhck lab trust far"
    )


def test_the_status_of_a_host_that_cannot_be_looked_at_is_no_success(tmp_path: Path, lab: KeptLab) -> None:
    pvhck(tmp_path, "lab", "status", "--hosts", lab.hosts_ini(host={"port": "1"})).demand(
        3, "far (127.0.0.1): no SSH connection to 127.0.0.1:1", "-> is it up"
    )


def test_a_host_that_is_down_does_not_keep_the_others_from_being_swept(tmp_path: Path, lab: KeptLab) -> None:
    left = lab.model.files.real(f"{lab.spec.storage}/runs/dead-1/pvhck-dead-1-1.img")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    down = "[host down]\naddress = 127.0.0.1\nport = 1\n"
    hosts = lab.hosts_ini()
    hosts.write_text(down + hosts.read_text())
    pvhck(tmp_path, "lab", "sweep", "--hosts", hosts).demand(
        3, "host down: no SSH connection", "far: removing file", "1 dead run(s) swept"
    )
    assert lab.lying == ()


def test_a_key_is_recorded_only_when_somebody_has_agreed(tmp_path: Path, lab: KeptLab) -> None:
    known = tmp_path / "known_hosts"
    hosts = lab.hosts_ini(host={"known_hosts": str(known)})
    pvhck(tmp_path, "lab", "trust", "far", "--hosts", hosts).demand(2, "SHA256:", "say --yes")
    assert not known.exists()
    pvhck(tmp_path, "lab", "trust", "far", "--hosts", hosts, "--yes").demand(0, f"recorded in {known}")
    pvhck(tmp_path, "lab", "sweep", "--hosts", hosts).demand(0)


def test_a_template_without_its_image_breaks_the_run_and_the_report_says_the_mend(
    tmp_path: Path, lab: KeptLab
) -> None:
    hosts = lab.hosts_ini(template={"image": "gone.qcow2"})
    pvhck(tmp_path / "doctor", "doctor", "--hosts", hosts).demand(
        1, "image there is no /var/lib/pvhck/gone.qcow2", "-> copy it there: scp"
    )
    ended = pvhck(tmp_path, "run", "--hosts", hosts, "-k", "test_xenbus_works")
    ended.demand(3, "cannot clone /var/lib/pvhck/gone.qcow2", "is the image there, and is there room? df -h")
    results = load_results(tmp_path / "reports" / "latest")
    assert [(test.outcome.value, len(test.attempts)) for test in results.tests] == [("broken", 2)]
    assert lab.lying == ()


# -- driver builds


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        (Defect.NO_INF, ("no xenbus.inf in", "build or copy this package again")),
        (Defect.WRONG_ARCH, ("is an image for x86 in a package for x64", "of the right architecture")),
        (Defect.TAMPERED, ("xenbus.sys: xenbus.cat does not list it", "inf2cat")),
        (Defect.VERSION_MISMATCH, ("xenbus.sys: is version 0.0.0.1, xenbus.inf says 9.1.0.2",)),
        (Defect.NO_CATALOG, ("xenbus.cat: the catalog is not there", "inf2cat")),
    ],
)
def test_a_build_that_is_wrong_is_refused_with_the_file_and_the_mend(
    tmp_path: Path, simulated: Path, defect: Defect, words: tuple[str, ...]
) -> None:
    _build(tmp_path / "build", defect)
    pvhck(tmp_path, "run", "--hosts", simulated, "--build", "build").demand(
        2, "driver build build", "xenbus x64", *words
    )
    _nothing_kept(tmp_path)


def test_an_upgrade_from_a_build_that_is_no_older_is_refused(tmp_path: Path, simulated: Path) -> None:
    make_build(tmp_path / "new", version="9.1.0.3")
    make_build(tmp_path / "old", version="9.1.0.10")
    pvhck(tmp_path, "run", "--hosts", simulated, "--build", "new", "--upgrade-from", "old").demand(
        2, "xenbus x86 is 9.1.0.10", "that of new 9.1.0.3", "name an older build"
    )
    _nothing_kept(tmp_path)


def test_what_is_no_build_at_all_is_refused_and_nothing_of_it_is_kept(
    tmp_path: Path, simulated: Path
) -> None:
    build = _build(tmp_path / "build")
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as tar:
        tar.add(build, "build")
    whole = (tmp_path / "whole.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as evil:
        evil.writestr("../../evil", "x")
    (tmp_path / "empty").mkdir()
    for path, words in (
        ("gone", ("driver build gone does not exist", "name a folder")),
        ("empty", ("no driver package in it", "NAME/x86 and NAME/x64")),
        ("cut.tar.gz", ("cut.tar.gz cannot be unpacked", "build the archive again")),
        ("evil.zip", ("'../../evil' would leave its folder", "build the archive again")),
        ("hosts.ini", ("is no folder, tar or zip file",)),
    ):
        pvhck(tmp_path, "run", "--hosts", simulated, "--build", path).demand(2, *words)
        _nothing_kept(tmp_path)


def test_a_tool_that_is_not_the_one_hosts_ini_means_is_refused_before_anything_is_touched(
    tmp_path: Path, lab: KeptLab
) -> None:
    (tmp_path / "iperf3.exe").write_bytes(b"MZ another one")
    tools = f"[tools]\niperf3.x64 = {tmp_path}/iperf3.exe sha256:{'0' * 64}\n"
    hosts = lab.hosts_ini(template={"guest": "windows"}, more=tools)
    pvhck(tmp_path, "run", "--hosts", hosts, "-k", "traffic").demand(
        2, "iperf3.x64:", "iperf3.exe has SHA-256", "hosts.ini says 000", "correct [tools]"
    )
    _nothing_kept(tmp_path)


# -- reports


@pytest.mark.parametrize("place", ["a-file", "/proc/pvhck"])
def test_reports_that_cannot_be_written_are_said_at_once(tmp_path: Path, simulated: Path, place: str) -> None:
    (tmp_path / "a-file").write_text("")
    pvhck(tmp_path, "run", "--hosts", simulated, "--reports", place).demand(
        2, "cannot make the run's folder", place, "choose another reports folder"
    )


def test_a_full_disk_ends_the_run_and_its_guests_with_it(tmp_path: Path, lab: KeptLab) -> None:
    # The kernel refuses what goes beyond this many bytes of a file, as a full disk would.
    room = 6000
    words = ("run", "-j", "1", "--hosts", lab.hosts_ini(), "-k", "power")
    with begin(tmp_path, *words, limit=room) as command:
        ended = command.end()
    ended.demand(3, "cannot write reports/", "events.jsonl", "choose another reports folder")
    assert lab.lying == ()
    assert (tmp_path / "reports" / "latest" / EVENTS).stat().st_size <= room


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("latest", ("no run latest in reports", "nothing has been run yet")),
        ("20260101-000000-0000", ("no run 20260101-000000-0000 in reports",)),
        ("empty", ("empty holds no run", "neither results.json nor events.jsonl")),
        ("damaged", ("results.json cannot be read",)),
        ("newer", ("results.json has schema 99",)),
        ("told-nothing", ("events.jsonl tells of no run",)),
    ],
)
def test_a_run_that_is_not_there_or_damaged_is_named(
    tmp_path: Path, run: str, words: tuple[str, ...]
) -> None:
    for name, file, text in (
        ("empty", "other.txt", ""),
        ("damaged", RESULTS, '{"schema": 1, "run": {'),
        ("newer", RESULTS, '{"schema": 99}'),
        ("told-nothing", EVENTS, '{"kind": "run-star'),
    ):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / file).write_text(text)
    reports = "runs" if (tmp_path / "runs" / run).exists() else "reports"
    pvhck(tmp_path, "report", run, "--reports", reports).demand(2, *words)


# -- guest probe


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), ("nothing to probe", "name HOST and DOMAIN, or --address A")),
        (("sim",), ("nothing to probe",)),
        (("sim", "win1"), ("host sim is simulated",)),
        (("sim", "win1", "--template", "win"), ("host sim is simulated",)),
        (("sin", "win1", "--template", "win"), ("no host 'sin'", "did you mean 'sim'?")),
        (("--address", "127.0.0.1"), ("--secret does not say where the password lies", "env:NAME")),
        (("--address", "127.0.0.1", "--secret", "hunter2"), ("--secret does not say", "env:NAME")),
        (("--address", "127.0.0.1", "--secret", "env:UNSET"), ("env:UNSET: not set", "export UNSET=")),
        (
            ("--address", "127.0.0.1", "--secret", "env:PW", "--fingerprint", "ab:cd"),
            ("--fingerprint", "64 hexadecimal digits"),
        ),
        (("--address", "127.0.0.1", "--transport", "telnet"), ("invalid choice: 'telnet'",)),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_the_probe_refuses_what_it_cannot_use(
    tmp_path: Path, simulated: Path, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    ended = pvhck(tmp_path, "guest", "probe", *words, "--hosts", simulated, env={"PW": "hunter2"})
    ended.demand(2, *said)
    assert "hunter2" not in ended.all
    assert not (tmp_path / "probe.json").exists()


def test_the_probe_names_a_template_or_domain_that_is_not_there(tmp_path: Path, lab: KeptLab) -> None:
    hosts = lab.hosts_ini()
    pvhck(tmp_path, "guest", "probe", "far", "win1", "--hosts", hosts).demand(2, "--template win")
    pvhck(tmp_path, "guest", "probe", "far", "win1", "--template", "wim", "--hosts", hosts).demand(
        2, "no template 'wim'", "did you mean 'win'?"
    )
    pvhck(tmp_path, "guest", "probe", "far", "win1", "--template", "win", "--hosts", hosts).demand(
        2, "host far: there is no domain win1", "running there: none"
    )


def _new_key(path: Path) -> tuple[Path, str]:
    """A private key, and its public half as known_hosts has it."""
    key = Ed25519PrivateKey.generate()
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return path, public.decode()


def _build(folder: Path, defect: Defect | None = None) -> Path:
    return make_build(folder, version="9.1.0.2", arches=[Arch.X64], names=[DriverName.XENBUS], defect=defect)


def _nothing_kept(folder: Path) -> None:
    """No run was begun, nothing unpacked is left, and nothing was written outside."""
    assert not (folder / "reports").exists()
    assert list((folder / "tmp").iterdir()) == []
    assert not (folder.parent / "evil").exists()
