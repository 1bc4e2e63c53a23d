"""junit.xml from results.json: what CI servers read.

One suite per area. A failed test is a ``failure`` with its kind as type, a broken one an ``error``,
a skipped or expected one ``skipped``: with nothing beyond the elements and attributes that Jenkins,
GitLab and pytest's own file have in common (a testcase has no properties in the xunit2 schema, so
host and guest stand in its system-out). The class name carries the guest's kind, since that is
what a CI server shows beside each test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from harness.model import Area, Outcome
from harness.report.words import build_name, guest_kinds, one_line, plain_text
from harness.results import AttemptResult, RunEnd, RunResults, TestResult

__all__ = ["junit_xml"]


def junit_xml(results: RunResults) -> str:
    """The whole file as text."""
    root = ET.Element("testsuites", {"name": "pvhck"})
    for area in Area:
        tests = [test for test in results.tests if test.area is area]
        if tests:
            root.append(_suite(area.value, [_case(test) for test in tests], results))
    if results.run.end is not RunEnd.FINISHED:
        root.append(_suite("run", [_ended_early(results)], results))
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in root):.3f}")
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(name: str, cases: Sequence[ET.Element], results: RunResults) -> ET.Element:
    suite = ET.Element(
        "testsuite",
        {
            "name": name,
            "tests": str(len(cases)),
            "failures": str(_having(cases, "failure")),
            "errors": str(_having(cases, "error")),
            "skipped": str(_having(cases, "skipped")),
            "time": f"{sum(float(case.get('time', '0')) for case in cases):.3f}",
            "timestamp": results.run.started.removesuffix("Z"),
        },
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(results, name):
        ET.SubElement(properties, "property", {"name": key, "value": plain_text(value)})
    suite.extend(cases)
    return suite


def _properties(results: RunResults, suite: str) -> Iterable[tuple[str, str]]:
    run = results.run
    tests = [test for test in results.tests if test.area == suite]
    yield "run", run.id
    yield "profile", run.profile
    yield "guest kind", ", ".join(guest_kinds(results)) or "none"
    yield "hosts", ", ".join(sorted({_host(test) for test in tests if test.host})) or "none"
    yield "driver build", build_name(run.driver_build)
    for package in run.driver_build.packages if run.driver_build else ():
        arch = f" {package.arch}" if package.arch else ""
        yield f"package {package.name}{arch}", f"{package.version} sha256 {package.sha256}"
    yield "harness version", run.harness_version
    yield "end", run.end.value
    yield "not run", str(len(run.not_run))


def _case(test: TestResult) -> ET.Element:
    path, _, name = test.id.partition("::")
    classname = path.removesuffix(".py").replace("/", ".")
    kind = test.guest.kind.value if test.guest else "no guest"
    case = ET.Element(
        "testcase",
        {
            "classname": plain_text(f"{classname} ({kind})"),
            "name": plain_text(name),
            "time": f"{sum(attempt.duration_s for attempt in test.attempts):.3f}",
        },
    )
    element, kind_of = _ELEMENTS[test.outcome], test.kind.value if test.kind else test.outcome.value
    if element:
        attributes = {"type": kind_of, "message": one_line(test.reason)}
        ET.SubElement(case, element, attributes).text = plain_text(test.reason)
    ET.SubElement(case, "system-out").text = plain_text("\n".join(_lines(test)))
    return case


_ELEMENTS = {
    Outcome.PASSED: "",
    Outcome.FAILED: "failure",
    Outcome.BROKEN: "error",
    Outcome.SKIPPED: "skipped",
    Outcome.EXPECTED: "skipped",  # as pytest writes an xfail
}


def _lines(test: TestResult) -> Iterable[str]:
    guest = test.guest
    adopted = f", adopted domain {guest.adopted}" if guest and guest.adopted else ""
    yield (
        f"guest: {guest.kind} {guest.template} ({guest.os}, {guest.arch}){adopted}"
        if guest
        else "guest: none"
    )
    yield f"host: {_host(test)}" if test.host else "host: none"
    if test.drivers:
        yield f"drivers: {', '.join(test.drivers)}"
    for attempt in test.attempts:
        yield _attempt(attempt)
    for one in test.measurements:
        params = ", ".join(f"{key}={value}" for key, value in one.params.items())
        yield f"measured: {one.metric} {one.value:g} {one.unit}{' ' if params else ''}{params}"
    for path in test.evidence:
        yield f"evidence: {path}"


def _attempt(attempt: AttemptResult) -> str:
    kind = f", {attempt.kind}" if attempt.kind else ""
    where = f" on {attempt.host}" if attempt.host else ""
    reason = f": {one_line(attempt.reason)}" if attempt.reason else ""
    return f"attempt {attempt.number}{where}: {attempt.outcome}{kind}{reason}"


def _host(test: TestResult) -> str:
    nested = ", nested" if test.nested else ""
    return f"{test.host} ({test.toolstack}, Xen {test.xen_version}{nested})"


def _ended_early(results: RunResults) -> ET.Element:
    """A run that did not come to its end must not look green to a CI server."""
    case = ET.Element("testcase", {"classname": "run", "name": "came to its end", "time": "0"})
    said = f"the run is {results.run.end}; {len(results.run.not_run)} tests were not run"
    ET.SubElement(case, "error", {"type": results.run.end.value, "message": said}).text = said
    return case


def _having(cases: Iterable[ET.Element], element: str) -> int:
    return sum(case.find(element) is not None for case in cases)
