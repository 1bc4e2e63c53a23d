"""The section of a new template, and how it comes into a hosts.ini."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.image.register import section_of
from harness.lab import load_lab
from harness.lab.addition import append_section
from harness.lab.load import parse_lab

_HOST = "[host xen1]\naddress = 192.0.2.1\n"
_SECTION = (
    "[template t]\nguest = windows\nimage = templates/t.qcow2\nos = Microsoft Windows 10 Pro\narch = x64\n"
    f"firmware = uefi\nmemory = 4096\nvcpus = 2\ndisk = 65536\nuser = pvhck\nsecret = env:T\n"
    f"certificate = sha256:{'ab' * 32}\nhosts = xen1\n"
)


def test_a_section_is_read_back_as_the_same_template(tmp_path: Path) -> None:
    template = parse_lab(f"{_HOST}\n{_SECTION}", tmp_path / "hosts.ini").templates["t"]
    assert section_of(template) == _SECTION


def test_a_section_is_added_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "hosts.ini"
    path.write_text(f"# ours\n{_HOST}")
    path.chmod(0o640)
    append_section(path, _SECTION)
    assert path.read_text() == f"# ours\n{_HOST}\n{_SECTION}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert set(load_lab(path).templates) == {"t"}


def test_a_section_that_would_spoil_the_file_is_not_added(tmp_path: Path) -> None:
    path = tmp_path / "hosts.ini"
    path.write_text(_HOST)
    with pytest.raises(ConfigurationError):
        append_section(path, _SECTION.replace("xen1", "xen2"))
    assert path.read_text() == _HOST
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_windows_behind_a_link_stays_what_it_is_but_for_the_section(tmp_path: Path) -> None:
    path, link = tmp_path / "ours.ini", tmp_path / "hosts.ini"
    old = b"\xef\xbb\xbf# ours\r\n[host xen1]\r\naddress = 192.0.2.1\r\n\r\n"
    path.write_bytes(old)
    link.symlink_to(path)
    append_section(link, _SECTION)
    assert link.is_symlink()
    assert path.read_bytes() == old + b"\r\n" + _SECTION.replace("\n", "\r\n").encode()
    assert set(load_lab(link).templates) == {"t"}
