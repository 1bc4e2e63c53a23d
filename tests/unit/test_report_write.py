"""The files of a run's folder, the bundle, finding a run."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from results_examples import BUILD, HOSTILE, write_run

from harness.errors import ConfigurationError
from harness.model import GuestKind
from harness.report import bundle, find_run, report_run, write_reports
from harness.report.html import html_page
from harness.results import NotARun, ReportsUnwritable


def test_reports_of_a_killed_run_are_made_from_its_events(tmp_path: Path) -> None:
    folder = write_run(tmp_path, end=None)
    page = write_reports(folder)
    assert "Killed with 28 of 28 tests done" in page.read_text()
    assert (folder / "junit.xml").is_file()
    assert not (folder / "results.json").exists(), "a report reads results and writes none"


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    assert html_page(folder) == html_page(folder)


def test_the_page_asks_nothing_of_any_network(tmp_path: Path) -> None:
    text = html_page(write_run(tmp_path))
    assert "default-src 'none'" in text
    assert "<script" not in text
    for word in ("http://", "https://", "@import", "url("):
        assert word not in text.replace('xmlns="http://www.w3.org/2000/svg"', ""), word


def test_hostile_text_of_guests_names_and_files_stays_text(tmp_path: Path) -> None:
    text = html_page(write_run(tmp_path, hostile=HOSTILE))
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert "{{ 7*7 }}" in text, "a template in a guest's text is not run"


@pytest.mark.parametrize("kind", [GuestKind.SIMULATED, GuestKind.STAND_IN])
def test_a_banner_says_that_guests_were_not_windows(tmp_path: Path, kind: GuestKind) -> None:
    assert f'class="banner" role="note" data-kind="{kind}"' in html_page(write_run(tmp_path, kind=kind))


def test_windows_guests_and_a_real_build_have_no_banner(tmp_path: Path) -> None:
    text = html_page(write_run(tmp_path, kind=GuestKind.WINDOWS, build=BUILD))
    assert 'class="banner"' not in text
    assert "synthetic" not in text.partition("</style>")[2]


def test_measurements_show_the_difference_to_the_last_run(tmp_path: Path) -> None:
    write_run(tmp_path, "run-0", started="2026-01-30T22:00:00Z", level=80.0)
    text = html_page(write_run(tmp_path, "run-1", level=100.0))
    assert "+25.0 %" in text
    assert "80 MB/s in run-0, 2026-01-30T22:00:00Z" in text
    assert "not judged: simulated guest: its speed means nothing" in text


def test_a_first_measurement_says_so(tmp_path: Path) -> None:
    assert "first of its series" in html_page(write_run(tmp_path))


def test_a_bundle_holds_every_file_with_its_hash(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    write_reports(folder)
    (folder / "outside").symlink_to("/etc/hostname")
    path = bundle(folder)
    assert path == tmp_path / "run-1.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        sums = archive.read("run-1/SHA256SUMS").decode().splitlines()
        for line in sums:
            digest, _, name = line.partition("  ")
            assert hashlib.sha256(archive.read(f"run-1/{name}")).hexdigest() == digest
        names = {line.partition("  ")[2] for line in sums}
    assert {"results.json", "events.jsonl", "index.html", "junit.xml"} <= names
    assert "evidence/write_under_load/memory.dmp" in names
    assert "outside" not in names, "a link could carry out what is not of this run"


def test_a_bundle_that_cannot_be_written_names_its_path_and_leaves_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    with pytest.raises(ReportsUnwritable, match=r"nowhere/run\.zip"):
        bundle(folder, tmp_path / "nowhere" / "run.zip")


def test_a_page_that_cannot_be_written_names_its_path(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "index.html").mkdir()
    with pytest.raises(ReportsUnwritable, match=r"index\.html"):
        write_reports(folder)
    assert not list(folder.glob(".*.part"))


def test_a_run_is_found_by_id_by_path_and_as_the_latest(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    assert find_run(tmp_path, "run-1") == find_run(tmp_path) == find_run(Path("x"), str(folder)) == folder


def test_a_run_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    write_run(tmp_path)
    with pytest.raises(ConfigurationError, match=r"no run run-9 in .*run-1"):
        find_run(tmp_path, "run-9")
    with pytest.raises(ConfigurationError, match="nothing has been run yet"):
        find_run(tmp_path / "none")


def test_a_folder_without_a_run_gets_no_reports(tmp_path: Path) -> None:
    with pytest.raises(NotARun):
        write_reports(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_report_command_writes_prints_and_bundles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path)
    report_run(tmp_path, make_bundle=True)
    printed = capsys.readouterr().out
    assert f"Report: {folder / 'index.html'}" in printed
    assert f"Bundle: {tmp_path / 'run-1.zip'}" in printed
