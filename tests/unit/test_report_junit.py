"""junit.xml: what a CI server would show wrongly."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from results_examples import HOSTILE, write_run

from harness.model import GuestKind, Outcome
from harness.report.junit import junit_xml
from harness.results import RunEnd, RunResults, load_results


def example(reports: Path, **changes: object) -> tuple[RunResults, ET.Element]:
    results = load_results(write_run(reports, **changes))
    return results, ET.fromstring(junit_xml(results))


def case(root: ET.Element, name: str) -> ET.Element:
    return next(one for one in root.iter("testcase") if name in one.attrib["name"])


@pytest.mark.parametrize(
    ("name", "element", "kind"),
    [
        ("test_write_under_load", "failure", "crash"),
        ("test_shutdown_under_load", "failure", "hang"),
        ("test_payload_integrity", "failure", "assertion"),
        ("test_upgrade_from_release", "error", "broken"),
        ("test_udp_loss", "skipped", "skipped"),
        ("test_balloon_below_floor", "skipped", "expected"),
    ],
)
def test_each_outcome_has_its_element_with_the_reason(
    tmp_path: Path, name: str, element: str, kind: str
) -> None:
    results, root = example(tmp_path)
    found = case(root, name).find(element)
    assert found is not None
    reason = next(test.reason for test in results.tests if name in test.id)
    assert (found.get("type"), found.get("message"), found.text) == (kind, reason, reason)


def test_a_pass_is_a_pass_also_when_the_lab_broke_its_first_attempt(tmp_path: Path) -> None:
    _, root = example(tmp_path)
    again = case(root, "test_watch_sees_changes")
    assert [child.tag for child in again] == ["system-out"]
    assert "attempt 1 on xen-a: broken: host xen-a: SSH connection lost" in (
        again.findtext("system-out") or ""
    )


def test_counts_of_suites_and_file_agree_with_the_results(tmp_path: Path) -> None:
    results, root = example(tmp_path)
    counts = results.verdict.counts
    said = [int(root.attrib[name]) for name in ("tests", "failures", "errors", "skipped")]
    skips = counts[Outcome.SKIPPED] + counts[Outcome.EXPECTED]
    assert said == [len(results.tests), counts[Outcome.FAILED], counts[Outcome.BROKEN], skips]
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
    assert [suite.attrib["name"] for suite in root] == [
        "install",
        "network",
        "storage",
        "balloon",
        "power",
        "interface",
    ]


@pytest.mark.parametrize("kind", list(GuestKind))
def test_the_kind_of_guest_stands_beside_every_test_and_in_every_suite(
    tmp_path: Path, kind: GuestKind
) -> None:
    _, root = example(tmp_path, kind=kind)
    for one in root.iter("testcase"):
        assert one.attrib["classname"].endswith(f"({kind})")
        assert f"guest: {kind} " in (one.findtext("system-out") or "")
    assert {one.attrib["value"] for one in root.iter("property") if one.attrib["name"] == "guest kind"} == {
        kind.value
    }


def test_suites_name_host_and_build_and_that_a_build_is_synthetic(tmp_path: Path) -> None:
    _, root = example(tmp_path)
    found = {
        one.attrib["name"]: one.attrib["value"] for one in root.findall("testsuite[1]/properties/property")
    }
    assert found["hosts"] == "xen-a (xl, Xen 4.17), xen-b (xl, Xen 4.4)"
    assert found["driver build"] == "synthetic, 9.1.2031.0"
    assert found["package xenbus x64"] == f"9.1.2031.0 sha256 {'1' * 64}"


def test_hostile_text_stays_text_and_characters_xml_forbids_are_written_out(tmp_path: Path) -> None:
    _, root = example(tmp_path, hostile=HOSTILE)
    text = case(root, "test_write_under_load").findtext("failure") or ""
    assert text.startswith("<script>alert('x')</script> \"quoted\" & ünïcödé")
    assert "\\x1b[31m" in text
    assert "\\x202egnp.exe" in text


@pytest.mark.parametrize("end", [RunEnd.INTERRUPTED, None])
def test_a_run_that_did_not_come_to_its_end_is_not_green(tmp_path: Path, end: RunEnd | None) -> None:
    _, root = example(tmp_path, failing=False, end=end)
    assert root.attrib["errors"] == "1"
    assert case(root, "came to its end").find("error") is not None


def test_no_element_or_attribute_is_outside_what_junit_readers_share(tmp_path: Path) -> None:
    _, root = example(tmp_path)
    counts = {"name", "tests", "failures", "errors", "skipped", "time"}
    allowed = {
        "testsuites": counts,
        "testsuite": counts | {"timestamp"},
        "properties": set(),
        "property": {"name", "value"},
        "testcase": {"classname", "name", "time"},
        "failure": {"type", "message"},
        "error": {"type", "message"},
        "skipped": {"type", "message"},
        "system-out": set(),
    }
    for element in root.iter():
        assert set(element.attrib) <= allowed[element.tag]
