"""What changes something: files, transfers, jobs, patterns for real, Windows by what it is told."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import io
import json
import shlex
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pwsh_process import AgentProcess
from pwsh_state import EMPTY, GOOD, ODD_TEXT
from pwsh_windows import Windows

from harness import wire
from harness.guest.calls import decode_result
from harness.guest.transfer import FileServer
from harness.operations import OPERATIONS, FileFacts

_DEADLINE_S = 30


@pytest.fixture(scope="module", params=["server2019"])
def windows(request: pytest.FixtureRequest, make_windows: Any) -> Windows:
    made: Windows = make_windows(request.param)
    made.put(EMPTY)
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[FileServer]:
    with FileServer("127.0.0.1") as running:
        yield running


def _result(kept: AgentProcess, op: str, **params: Any) -> Any:
    answer = kept.ask(op, **params)
    assert isinstance(answer, wire.Answer), answer
    return decode_result(OPERATIONS[op], answer.result)


def _refusal(kept: AgentProcess, op: str, **params: Any) -> wire.Refusal:
    answer = kept.ask(op, **params)
    assert isinstance(answer, wire.Refusal), answer
    return answer


def _facts(path: Path) -> FileFacts:
    data = path.read_bytes()
    return FileFacts(str(path), len(data), hashlib.sha256(data).hexdigest())


# -- files


@pytest.mark.parametrize("name", ["plain", "dé [a]* $x `n 'q' \" 日本"])
@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5])
def test_a_file_is_written_hashed_read_and_removed(
    kept: AgentProcess, tmp_path: Path, name: str, data: bytes
) -> None:
    path = tmp_path / "new" / "folder" / name
    written = _result(kept, "write_file", path=str(path), content=base64.b64encode(data).decode())
    assert path.read_bytes() == data
    assert written == _facts(path) == _result(kept, "file_facts", path=str(path))
    read = _result(kept, "read_file", path=str(path), offset=1, length=2)
    assert (base64.b64decode(read.content), read.size) == (data[1:3], len(data))
    _result(kept, "remove_file", path=str(path.parent))
    assert not path.parent.exists()
    _result(kept, "remove_file", path=str(path.parent))


def test_reading_past_the_end_gives_nothing_and_a_missing_file_is_not_found(
    kept: AgentProcess, tmp_path: Path
) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"abc")
    assert _result(kept, "read_file", path=str(path), offset=10, length=5).content == ""
    for op, more in (("file_facts", {}), ("read_file", {"offset": 0, "length": 1})):
        assert _refusal(kept, op, path=str(tmp_path / "none"), **more).kind == "not-found"
        assert _refusal(kept, op, path=str(tmp_path / "no" / "folder"), **more).kind == "not-found"


def test_a_file_is_pulled_by_http_and_pushed_back(
    kept: AgentProcess, server: FileServer, tmp_path: Path
) -> None:
    source, target, back = tmp_path / "source", tmp_path / "in" / "target", tmp_path / "back"
    source.write_bytes(b"driver build" * 100_000)
    with server.offer(source) as url:
        pulled = _result(kept, "pull_file", url=url, path=str(target), sha256=_facts(source).sha256)
    assert pulled == _facts(target)
    assert target.read_bytes() == source.read_bytes()
    with server.accept(back) as url:
        pushed = _result(kept, "push_file", path=str(target), url=url)
    assert pushed == _facts(target)
    assert back.read_bytes() == source.read_bytes()


def test_a_pull_with_another_hash_fails_and_leaves_what_was_there(
    kept: AgentProcess, server: FileServer, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"spoilt")
    target.write_bytes(b"before")
    with server.offer(source) as url:
        refusal = _refusal(kept, "pull_file", url=url, path=str(target), sha256="0" * 64)
    assert refusal.kind == "command-failed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]
    assert target.read_bytes() == b"before"


def test_a_pull_of_what_is_not_offered_fails(kept: AgentProcess, server: FileServer, tmp_path: Path) -> None:
    with server.offer(tmp_path / "x") as url:
        gone = url.replace("/x", "x/y")
    assert (
        _refusal(kept, "pull_file", url=gone, path=str(tmp_path / "t"), sha256="0" * 64).kind
        == "command-failed"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_zip_is_unpacked_into_a_new_folder(kept: AgentProcess, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xenbus/x64/xenbus.inf", "inf")
        archive.writestr("ä.txt", "text")
    (tmp_path / "build.zip").write_bytes(packed.getvalue())
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "old").write_text("old")
    _result(kept, "expand_zip", path=str(tmp_path / "build.zip"), folder=str(folder))
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "xenbus/x64/xenbus.inf",
        "ä.txt",
    ]


def test_files_of_a_cd_are_listed_and_copied(kept: AgentProcess, windows: Windows, tmp_path: Path) -> None:
    cd = tmp_path / "cd"
    (cd / "sub").mkdir(parents=True)
    (cd / "build.zip").write_bytes(b"zip")
    (cd / "sub" / "b.inf").write_bytes(b"infs")
    rows = {
        "DeviceID": str(cd),
        "VolumeName": "PVHCK",
        "FileSystem": "CDFS",
        "Size": 1,
        "FreeSpace": 0,
        "DriveType": 5,
    }
    windows.put(EMPTY)
    state = json.loads((windows.folder / "state.json").read_text())
    state["cim"]["root/cimv2"]["Win32_LogicalDisk"] = [rows]
    (windows.folder / "state.json").write_text(json.dumps(state))
    files = _result(kept, "cd_files", label="PVHCK")
    assert [(file.path, file.size) for file in files] == [("build.zip", 3), ("sub/b.inf", 4)]
    target = tmp_path / "to" / "b.inf"
    assert _result(kept, "copy_from_cd", label="PVHCK", name="sub/b.inf", path=str(target)) == _facts(target)
    assert _refusal(kept, "copy_from_cd", label="PVHCK", name="none", path=str(target)).kind == "not-found"


def test_dump_files_are_those_the_registry_and_the_defaults_name(
    kept: AgentProcess, windows: Windows
) -> None:
    windows.put(EMPTY)
    assert _result(kept, "dump_files") == ()
    folder = windows.folder / "Windows"
    (folder / "Minidump").mkdir(parents=True)
    for path in (folder / "MEMORY.DMP", folder / "Minidump" / "1.dmp", folder / "Minidump" / "note.txt"):
        path.write_bytes(b"PAGEDU64")
    found = _result(kept, "dump_files")
    assert [(dump.path, dump.size) for dump in found] == [
        (str(folder / "MEMORY.DMP"), 8),
        (str(folder / "Minidump" / "1.dmp"), 8),
    ]
    modified = dt.datetime.fromtimestamp((folder / "MEMORY.DMP").stat().st_mtime, dt.UTC)
    assert found[0].modified_utc[:19] == modified.isoformat()[:19]
    assert found[0].modified_utc.endswith("Z")


# -- patterns


def _pattern(seed: int, blocks: int, size: int) -> bytes:
    def block(number: int) -> bytes:
        return (hashlib.sha256(f"{seed}:{number}".encode()).digest() * (size // 32 + 1))[:size]

    return b"".join(block(number) for number in range(blocks))


@pytest.mark.parametrize(("blocks", "size"), [(1, 512), (7, 4096), (3, 1536)])
def test_a_pattern_is_the_documented_one_and_reads_back(
    kept: AgentProcess, windows: Windows, blocks: int, size: int
) -> None:
    windows.put(GOOD)
    disk = windows.folder / "disks" / "1"  # target 6 is disk 1 there
    disk.write_bytes(bytes(64 * 1024))
    wanted = _pattern(42, blocks, size)
    written = _result(kept, "write_pattern", target=6, seed=42, blocks=blocks, block_size=size)
    assert disk.read_bytes() == wanted + bytes(64 * 1024 - len(wanted))
    assert (written.sha256, written.blocks, written.block_size) == (
        hashlib.sha256(wanted).hexdigest(),
        blocks,
        size,
    )
    assert _result(kept, "read_pattern", target=6, blocks=blocks, block_size=size) == written
    disk.write_bytes(disk.read_bytes()[:-1] + b"!")
    assert _result(kept, "read_pattern", target=6, blocks=blocks, block_size=size) == written
    disk.write_bytes(b"!" + disk.read_bytes()[1:])
    assert _result(kept, "read_pattern", target=6, blocks=blocks, block_size=size).sha256 != written.sha256


@pytest.mark.parametrize(("blocks", "size"), [(0, 512), (1, 100), (1, 513)])
def test_a_pattern_that_no_disk_can_take_is_a_bad_parameter(
    kept: AgentProcess, windows: Windows, blocks: int, size: int
) -> None:
    windows.put(GOOD)
    assert _refusal(kept, "read_pattern", target=6, blocks=blocks, block_size=size).kind == "bad-parameter"


# -- jobs


def _ended(kept: AgentProcess, job: str) -> Any:
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        status = _result(kept, "job_status", job=job)
        if status.state != "running":
            return status
    raise AssertionError(f"job {job} still runs: {status}")


def test_a_job_runs_detached_and_leaves_output_and_exit_code(
    kept: AgentProcess, windows: Windows, tmp_path: Path
) -> None:
    windows.put(EMPTY)
    arguments = [
        "-c",
        'printf "%s|" "$@"; echo "fehlgeschlagen ä" >&2; exit 42',
        "x",
        "a b",
        'q"q',
        "",
        "c:\\p\\",
        ODD_TEXT,
    ]
    started = _result(kept, "start_tool", path="/bin/sh", arguments=arguments)
    status = _ended(kept, started.job)
    assert (status.state, status.exit_code) == ("ended", 42)
    assert status.stdout == "|".join(arguments[3:]) + "|"
    assert status.stderr == "fehlgeschlagen ä\n"


def test_output_is_cut_to_its_end_and_read_in_whatever_code_page(
    kept: AgentProcess, windows: Windows
) -> None:
    windows.put(EMPTY)
    script = "head -c 70000 /dev/zero | tr '\\0' x; echo end; printf '\\374' >&2"
    status = _ended(kept, _result(kept, "start_tool", path="/bin/sh", arguments=["-c", script]).job)
    assert len(status.stdout) == 65536
    assert status.stdout.endswith("xxend\n")
    assert len(status.stderr) == 1


def test_a_job_can_be_stopped_with_all_it_started(kept: AgentProcess, windows: Windows) -> None:
    windows.put(EMPTY)
    started = _result(kept, "start_tool", path="/bin/sh", arguments=["-c", "echo begun; exec sleep 300"])
    deadline = time.monotonic() + _DEADLINE_S
    while "begun" not in (status := _result(kept, "job_status", job=started.job)).stdout:
        assert time.monotonic() < deadline
        assert status.state == "running"
        assert status.exit_code is None
    stopped = _result(kept, "stop_job", job=started.job)
    assert (stopped.state, stopped.exit_code, stopped.stdout) == ("ended", 1, "begun\n")
    assert _result(kept, "stop_job", job=started.job) == stopped
    assert any(call.startswith("taskkill.exe /T /F /PID ") for call in windows.calls)


def test_a_job_that_is_still_dying_when_taskkill_has_ended_counts_as_stopped(
    kept: AgentProcess, windows: Windows
) -> None:
    windows.put(EMPTY)
    late = windows.folder / "late"
    late.touch()
    started = _result(kept, "start_tool", path="/bin/sh", arguments=["-c", "exec sleep 300"])
    stopped = kept.ask("stop_job", job=started.job)
    late.unlink()
    assert isinstance(stopped, wire.Answer), stopped
    assert stopped.result["state"] == "ended"


def test_a_job_whose_process_is_gone_without_exit_code_is_lost(kept: AgentProcess, windows: Windows) -> None:
    windows.put(EMPTY)
    folder = windows.folder / "ProgramData" / "pvhck" / "jobs" / ("a" * 32)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "process").write_text(
        "1 2020-01-01T00:00:00.0000000Z"
    )  # the number lives, another time of birth
    (folder / "stdout").write_text("half")
    status = _result(kept, "job_status", job="a" * 32)
    assert (status.state, status.exit_code, status.stdout) == ("lost", None, "half")


@pytest.mark.parametrize("job", ["", "..", "../" + "a" * 32, "b" * 32])
def test_a_job_that_was_never_started_is_not_found(kept: AgentProcess, job: str) -> None:
    for op in ("job_status", "stop_job"):
        assert _refusal(kept, op, job=job).kind == "not-found"


def test_a_program_that_is_not_there_is_said_at_once_or_by_the_job(
    kept: AgentProcess, windows: Windows, tmp_path: Path
) -> None:
    windows.put(EMPTY)
    assert _refusal(kept, "start_tool", path=str(tmp_path / "none.exe"), arguments=[]).kind == "not-found"
    status = _ended(kept, _result(kept, "start_tool", path="no-such-program.exe", arguments=[]).job)
    assert (status.state, status.exit_code) == ("ended", 9009)
    assert "no-such-program.exe" in status.stderr


def _commanded(windows: Windows, program: str) -> list[list[str]]:
    return [shlex.split(call)[1:] for call in windows.calls if call.startswith(program)]


@dataclass(frozen=True)
class _Words:
    version: str
    install: list[str]
    uninstall: list[str]


@pytest.mark.parametrize(
    "words",
    [
        _Words(
            "10.0.14393",
            ["/add-driver", "INF", "/install"],
            ["/delete-driver", "oem3.inf", "/uninstall", "/force"],
        ),
        _Words("10.0.10586", ["-i", "-a", "INF"], ["-f", "-d", "oem3.inf"]),
        _Words("6.1.7601", ["-i", "-a", "INF"], ["-f", "-d", "oem3.inf"]),
    ],
    ids=lambda words: words.version,
)
def test_packages_are_installed_as_a_job_with_the_words_pnputil_knows_there(
    kept: AgentProcess, windows: Windows, tmp_path: Path, words: _Words
) -> None:
    inf = tmp_path / "xenbus.inf"
    inf.write_text("")
    windows.put(
        dataclasses.replace(EMPTY, system=dataclasses.replace(EMPTY.system, os_version=words.version))
    )
    jobs = [
        _result(kept, op, **params).job
        for op, params in (
            ("install_package", {"inf": str(inf)}),
            ("uninstall_package", {"published": "oem3.inf"}),
        )
    ]
    for status in (_ended(kept, job) for job in jobs):
        assert (status.state, status.exit_code) == ("ended", 3)
        assert status.stdout == "Treiberpaket wurde hinzugefügt\n"
    install = [str(inf) if word == "INF" else word for word in words.install]
    assert sorted(_commanded(windows, "pnputil.exe")) == sorted([install, words.uninstall])


def test_a_package_that_is_not_there_is_not_installed(
    kept: AgentProcess, windows: Windows, tmp_path: Path
) -> None:
    windows.put(EMPTY)
    assert _refusal(kept, "install_package", inf=str(tmp_path / "none.inf")).kind == "not-found"
    assert _refusal(kept, "uninstall_package", published="xenbus.inf").kind == "bad-parameter"
    assert windows.calls == []


# -- what Windows is told


@pytest.mark.parametrize(("enabled", "word"), [(True, "on"), (False, "off")])
def test_test_signing_is_set_by_bcdedit(
    kept: AgentProcess, windows: Windows, *, enabled: bool, word: str
) -> None:
    windows.put(EMPTY)
    assert _result(kept, "set_test_signing", enabled=enabled) is None
    assert _commanded(windows, "bcdedit.exe") == [["/set", "{current}", "testsigning", word]]


@pytest.mark.parametrize(("op", "switch"), [("restart", "/r"), ("stop", "/s")])
def test_the_guest_ends_by_shutdown_after_the_answer(
    kept: AgentProcess, windows: Windows, op: str, switch: str
) -> None:
    windows.put(EMPTY)
    assert _result(kept, op) is None
    assert _commanded(windows, "shutdown.exe") == [[switch, "/f", "/t", "1", "/d", "p:0:0"]]


def test_xenstore_is_written_read_back_and_refused(kept: AgentProcess, windows: Windows) -> None:
    windows.put(GOOD)
    written = _result(kept, "xenstore_write", path="data/value", value=ODD_TEXT)
    assert written.value == ODD_TEXT
    assert windows.log == [{"xenstore": "data/value", "value": ODD_TEXT}, {"session": "ended"}]
    assert _refusal(kept, "xenstore_write", path="data/secret", value="x").kind == "access-denied"


def test_a_certificate_file_goes_into_the_store(kept: AgentProcess, windows: Windows, tmp_path: Path) -> None:
    windows.put(EMPTY)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Xen Test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "xen.cer"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    added = _result(kept, "add_certificate", path=str(path), store="TrustedPublisher")
    thumbprint = certificate.fingerprint(hashes.SHA1()).hex().upper()
    assert (added.store, added.thumbprint, added.subject) == ("TrustedPublisher", thumbprint, "CN=Xen Test")
    assert windows.log == [{"added": thumbprint}]
    assert _refusal(kept, "add_certificate", path=str(path), store="My").kind == "bad-parameter"
