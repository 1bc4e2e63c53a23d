"""What another version of real Xen said is read as 4.17's is.

The recordings were made by the contract suite itself, on nested Xen:
``make test-xen XEN=4.20 XEN_TESTS="tests/contract -m 'not slow' --pv-record FOLDER"``.
Of each kind of command the longest answer was kept, and the longest that is a failure.
"""

from __future__ import annotations

import json

import pytest
from fake_host import FIXTURES, recorded

from harness.host.devicemodel import served_by
from harness.host.toolstack.tables import (
    parse_block_list,
    parse_info,
    parse_json_description,
    parse_list,
    parse_network_list,
    parse_uptime,
    parse_vcpu_list,
)
from harness.host.xenstore import parse_tree

_VERSIONS = ("4.14", "4.20")


@pytest.fixture(params=_VERSIONS)
def folder(request: pytest.FixtureRequest) -> str:
    return f"xen-{request.param}"


def _said(folder: str, name: str) -> tuple[list[str], str]:
    """Words of the command, and its stdout."""
    path = FIXTURES / folder / f"{name}.txt"
    return path.read_text().splitlines()[0].split(), recorded(name, folder)[1]


def test_the_version_is_that_of_its_folder(folder: str) -> None:
    info = parse_info(_said(folder, "xl-info")[1])
    assert f"xen-{info.version}" == folder
    assert info.total_mib > info.free_mib > 0


def test_each_table_of_xl_is_read_whole(folder: str) -> None:
    for name, parse in (
        ("xl-list", parse_list),
        ("xl-vcpu-list", parse_vcpu_list),
        ("xl-block-list", parse_block_list),
        ("xl-network-list", parse_network_list),
    ):
        text = _said(folder, name)[1]
        rows = parse(text)
        assert len(rows) == len(text.splitlines()) - 1 > 0, name
    assert parse_list(_said(folder, "xl-list")[1])[0].name == "Domain-0"


def test_the_description_of_a_domain_has_its_disks_and_memory(folder: str) -> None:
    text = _said(folder, "xl-list-l")[1]
    names = [entry["config"]["c_info"]["name"] for entry in json.loads(text)]
    assert len(names) > 1
    for name in names[1:]:
        found = parse_json_description(text, name)
        assert found.name == name
        assert found.max_memory_mib > 0
        assert found.disks


def test_xenstore_is_read_whole_and_device_models_are_known_by_their_words(folder: str) -> None:
    text = _said(folder, "xenstore-ls-f")[1]
    tree = parse_tree(text)
    assert len(tree) == len(text.splitlines())
    models = [line for line in _said(folder, "ps-e-o-o")[1].splitlines() if "-xen-domid" in line]
    assert models
    assert all(len(served_by(line)) == 1 for line in models)


def test_uptime_is_in_seconds(folder: str) -> None:
    words, text = _said(folder, "xl-uptime")
    assert parse_uptime(text, words[-1]) >= 0
