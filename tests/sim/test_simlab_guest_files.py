"""Files of the simulated guest: on its drive, over HTTP, from CDs; and jobs."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from guest_machine import bench

from harness.guest.transfer import FileServer, make_iso, to_guest
from harness.operations import OperationRefused


def test_files_are_found_whatever_the_case_and_stay_over_a_reboot(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        content = base64.b64encode(b"hello").decode()
        facts = one.ops.write_file(path="C:\\Folder\\a.txt", content=content)
        assert (facts.size, facts.sha256) == (5, hashlib.sha256(b"hello").hexdigest())
        one.reboot()
        assert one.ops.file_facts(path="c:/folder/A.TXT").sha256 == facts.sha256
        part = one.ops.read_file(path="C:\\Folder\\a.txt", offset=1, length=99)
        assert (base64.b64decode(part.content), part.size) == (b"ello", 5)
        one.ops.remove_file(path="C:\\FOLDER")
        one.ops.remove_file(path="C:\\FOLDER")
        with pytest.raises(OperationRefused, match="not-found"):
            one.ops.file_facts(path="C:\\Folder\\a.txt")


@pytest.mark.parametrize(
    "path",
    [
        "C:\\..\\..\\etc\\passwd",
        "..\\..\\..\\..\\etc\\passwd",
        "C:/../../../../etc/passwd",
        "\\\\host\\share\\x",
    ],
)
def test_no_path_leads_out_of_the_guest(tmp_path: Path, path: str) -> None:
    with bench(tmp_path) as one:
        one.start()
        with pytest.raises(OperationRefused):
            one.ops.file_facts(path=path)


@pytest.mark.parametrize("path", ["C:\\a?b", "C:\\a\0b", 'C:\\"x"', "C:\\a:stream"])
def test_what_is_no_path_on_windows_is_refused(tmp_path: Path, path: str) -> None:
    with bench(tmp_path) as one:
        one.start()
        with pytest.raises(OperationRefused, match="command-failed"):
            one.ops.write_file(path=path, content="")


def test_a_file_is_pulled_and_pushed_by_real_http(tmp_path: Path) -> None:
    with bench(tmp_path) as one, FileServer("127.0.0.1") as server:
        one.start()
        source, back = tmp_path / "source.bin", tmp_path / "back.bin"
        source.write_bytes(bytes(range(256)) * 9000)
        before = one.ops.network_adapters()[0].statistics.received_bytes
        facts = to_guest(one.ops, server, source, "C:\\in\\source.bin")
        with server.accept(back) as url:
            assert one.ops.push_file(path="C:\\in\\source.bin", url=url) == facts
        assert back.read_bytes() == source.read_bytes()
        assert one.ops.network_adapters()[0].statistics.received_bytes > before


def test_a_pull_with_another_hash_leaves_nothing(tmp_path: Path) -> None:
    with bench(tmp_path) as one, FileServer("127.0.0.1") as server:
        one.start()
        source = tmp_path / "source.bin"
        source.write_bytes(b"x")
        with server.offer(source) as url, pytest.raises(OperationRefused, match="command-failed"):
            one.ops.pull_file(url=url, path="C:\\in\\x", sha256="0" * 64)
        assert list(one.system.files.real("C:\\in").iterdir()) == []
        with pytest.raises(OperationRefused, match="command-failed"):
            one.ops.pull_file(url=url, path="C:\\in\\x", sha256="0" * 64)


def test_the_fault_corrupt_payload_counts_only_on_the_pv_network(tmp_path: Path) -> None:
    with bench(tmp_path, "corrupt-payload") as one, FileServer("127.0.0.1") as server:
        source, back = tmp_path / "source.bin", tmp_path / "back.bin"
        source.write_bytes(b"payload" * 100)
        one.start()
        to_guest(one.ops, server, source, "C:\\x")
        one.install_all()
        with pytest.raises(OperationRefused, match="SHA-256"):
            to_guest(one.ops, server, source, "C:\\y")
        with server.accept(back) as url:
            one.ops.push_file(path="C:\\x", url=url)
        assert back.read_bytes() != source.read_bytes()
        assert back.stat().st_size == source.stat().st_size


def test_a_zip_is_unpacked_into_a_fresh_folder_and_not_out_of_it(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        for name, entry in (("good.zip", "a/b.txt"), ("bad.zip", "../out.txt")):
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                archive.writestr(entry, "x")
            one.system.files.put(f"C:\\{name}", (tmp_path / name).read_bytes())
        one.system.files.put("C:\\to\\old.txt", b"")
        one.ops.expand_zip(path="C:\\good.zip", folder="C:\\to")
        assert one.ops.file_facts(path="C:\\to\\a\\b.txt").size == 1
        with pytest.raises(OperationRefused, match="not-found"):
            one.ops.file_facts(path="C:\\to\\old.txt")
        with pytest.raises(OperationRefused, match="command-failed"):
            one.ops.expand_zip(path="C:\\bad.zip", folder="C:\\to")
        one.system.files.put("C:\\no.zip", b"no zip")
        with pytest.raises(OperationRefused, match="command-failed"):
            one.ops.expand_zip(path="C:\\no.zip", folder="C:\\to")


def test_an_inserted_cd_is_read_and_a_changed_one_too(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        with pytest.raises(OperationRefused, match="not-found"):
            one.ops.cd_files(label="PVHCK")
        for text in ("one", "other"):
            (tmp_path / "file").write_text(text)
            make_iso({"Long Name äöü.txt": tmp_path / "file"}, tmp_path / f"{text}.iso")
            one.disks[1] = replace(one.disks[1], file=tmp_path / f"{text}.iso")
            one.guest.devices_changed()
            assert [(file.path, file.size) for file in one.ops.cd_files(label="PVHCK")] == [
                ("Long Name äöü.txt", len(text))
            ]
            facts = one.ops.copy_from_cd(label="PVHCK", name="Long Name äöü.txt", path="C:\\cd\\x.txt")
            assert facts.sha256 == hashlib.sha256(text.encode()).hexdigest()
        assert [(volume.path, volume.file_system) for volume in one.ops.volumes()] == [
            ("C:", "NTFS"),
            ("D:", "CDFS"),
        ]
        with pytest.raises(OperationRefused, match="not-found"):
            one.ops.copy_from_cd(label="PVHCK", name="none", path="C:\\x")
        one.disks[1] = replace(one.disks[1], file=tmp_path / "gone.iso")
        with pytest.raises(OperationRefused, match="not-found"):
            one.ops.cd_files(label="PVHCK")


def test_a_tool_runs_as_a_job_and_its_output_is_there_at_its_end(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        ended = one.run(one.ops.start_tool(path="iperf3.exe", arguments=("--version",)).job)
        assert (ended.state, ended.exit_code) == ("ended", 0)
        assert "simulated" in ended.stdout


def test_an_unknown_program_ends_as_the_modules_wrapper_ends(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        ended = one.run(one.ops.start_tool(path="nothing.exe", arguments=()).job)
        assert (ended.state, ended.exit_code) == ("ended", 9009)
        assert "not recognized" in ended.stderr
        with pytest.raises(OperationRefused, match="not-found"):
            one.ops.start_tool(path="C:\\tools\\iperf3.exe", arguments=())
        with pytest.raises(OperationRefused, match="not-found"):
            one.ops.job_status(job="0" * 32)


def test_a_stopped_job_has_ended_and_one_of_an_earlier_boot_is_lost(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        arguments = ("-c", "x", "-t", "9999", "-J")
        job = one.ops.start_tool(path="iperf3", arguments=arguments).job
        assert one.ops.job_status(job=job).state == "running"
        stopped = one.ops.stop_job(job=job)
        assert (stopped.state, stopped.exit_code) == ("ended", 1)
        assert one.ops.stop_job(job=job) == stopped
        lost = one.ops.start_tool(path="iperf3", arguments=arguments).job
        one.reboot()
        assert one.ops.job_status(job=lost).state == "lost"
        assert one.ops.job_status(job=job) == stopped


def test_certificates_and_test_signing_are_kept(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.put_build()
        (published,) = one.ops.certificates(store="TrustedPublisher")
        assert published.subject.startswith("CN=pvhck synthetic test")
        one.ops.set_test_signing(enabled=True)
        assert not one.ops.security_facts().test_signing
        one.reboot()
        assert one.ops.security_facts().test_signing
        assert published in one.ops.certificates(store="TrustedPublisher")
        with pytest.raises(OperationRefused, match="bad-parameter"):
            one.ops.certificates(store="My")
        one.system.files.put("C:\\no.cer", b"no certificate")
        with pytest.raises(OperationRefused, match="command-failed"):
            one.ops.add_certificate(path="C:\\no.cer", store="Root")
