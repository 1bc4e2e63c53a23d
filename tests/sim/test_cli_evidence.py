"""``pvhck lab evidence``: what people take from a host by hand, without a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_lab import KeptLab, kept_lab, pvhck


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    with kept_lab(tmp_path_factory.mktemp("kept")) as kept:
        yield kept


def test_a_host_s_state_is_gathered_into_a_folder(tmp_path: Path, lab: KeptLab) -> None:
    said = pvhck(tmp_path, "lab", "evidence", "far", "--hosts", lab.hosts_ini(), "--into", "found")

    said.demand(0, "found/hypervisor.txt", "what is missing, and why: found/notes.txt", "has no lspci")
    assert (tmp_path / "found" / "state-info.txt").read_text().startswith("$ xl info -n")
    assert "Domain-0" in (tmp_path / "found" / "domains.txt").read_text()
    assert not (tmp_path / "found" / "xenstore.txt").exists(), "nobody asked for a domain"


def test_a_domain_that_is_not_there_is_said_beside_what_its_host_knows(tmp_path: Path, lab: KeptLab) -> None:
    said = pvhck(tmp_path, "lab", "evidence", "far", "win7", "--hosts", lab.hosts_ini(), "--into", "found")

    said.demand(0, "there is no domain win7", "found/domains.txt")


def test_a_folder_that_holds_something_is_not_written_into(tmp_path: Path, lab: KeptLab) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    said = pvhck(tmp_path, "lab", "evidence", "far", "--hosts", lab.hosts_ini(), "--into", ".")

    said.demand(2, ". is not empty", "name a new folder")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".txt"] == ["mine.txt"]


def test_a_host_that_does_not_answer_leaves_the_reason_and_ends_as_broken(
    tmp_path: Path, lab: KeptLab
) -> None:
    hosts = lab.hosts_ini(host={"port": "1"})
    said = pvhck(tmp_path, "lab", "evidence", "far", "--hosts", hosts, "--into", "found")

    said.demand(3, "no SSH connection to")
