"""Everything a run's folder gets for people and CI servers, made from its results alone."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ConfigurationError
from harness.report.html import html_page
from harness.report.junit import junit_xml
from harness.results import load_results
from harness.results.recorder import LATEST, unwritable, write_whole

__all__ = ["HTML", "JUNIT", "bundle", "find_run", "write_reports"]

HTML = "index.html"
JUNIT = "junit.xml"
_SUMS = "SHA256SUMS"


def write_reports(folder: Path) -> Path:
    """Write junit.xml and index.html into a run's folder; the page's path.

    Raises:
        NotARun: the folder holds no run.
        ReportsUnwritable: the disk is full.
    """
    write_whole(folder / JUNIT, junit_xml(load_results(folder)))
    write_whole(folder / HTML, html_page(folder))
    return folder / HTML


def find_run(reports: Path, run: str = LATEST) -> Path:
    """The folder of a run: by its id, by a path, or the latest.

    Raises:
        ConfigurationError: there is none.
    """
    for candidate in (reports / run, Path(run)):
        if candidate.is_dir():
            return candidate.resolve()
    beside = reports.iterdir() if reports.is_dir() else ()
    known = sorted(path.name for path in beside if path.is_dir() and not path.is_symlink())
    mend = f"runs there: {', '.join(known[-8:])}" if known else "nothing has been run yet"
    raise ConfigurationError(f"no run {run} in {reports}", mend=mend)


def bundle(folder: Path, target: Path | None = None) -> Path:
    """A zip of a run's folder with the SHA-256 of each file; beside the folder unless said otherwise.

    Raises:
        NotARun: the folder holds no run.
        ReportsUnwritable: the zip cannot be written.
    """
    # a run that came from elsewhere may call itself anything
    run_id = re.sub(r"[^A-Za-z0-9._-]+|^\.+", "_", load_results(folder).run.id) or "run"
    path = target or folder.resolve().parent / f"{run_id}.zip"
    passing = path.with_name(f".{path.name}.part")
    sums = []
    try:
        with zipfile.ZipFile(passing, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for file in _files(folder):
                name = str(file.relative_to(folder))
                archive.write(file, f"{run_id}/{name}")
                sums.append(f"{_sha256(file)}  {name}\n")
            archive.writestr(f"{run_id}/{_SUMS}", "".join(sums))
        passing.replace(path)
    except OSError as error:
        passing.unlink(missing_ok=True)
        raise unwritable(path, error) from error
    return path


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(where) / name
            if file.is_file() and not file.is_symlink():
                yield file


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
