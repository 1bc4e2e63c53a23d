"""Whatever hosts, guests and builds say, the page and junit.xml have no more in them than our templates do.

Every text of results.json is replaced, and every line of evidence: what the parsers then find must be what
they find with harmless words in the same places.
"""

from __future__ import annotations

import html.parser
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from results_examples import write_run

from harness.model import Arch, Area, DriverName, FailureKind, GuestKind, Outcome
from harness.report.html import html_page
from harness.report.junit import junit_xml
from harness.report.write import bundle
from harness.results import RunEnd, load_results
from harness.results.recorder import RESULTS

PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script src=//evil.example/x.js></script>",
    '" onload="alert(1)',
    "' onmouseover='alert(1)",
    "x onfocus=alert(1) autofocus tabindex=0",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//evil.example/x",
    "{{ 7*7 }}{% raw %}${7*7}#{7*7}",
    "</title></style></pre></textarea><img src=x onerror=alert(1)>",
    "<!-- --><![CDATA[ ]]> --> <?php ?>",
    "&lt;b&gt;&#60;b&#62;&quot;",
    "<a href=javascript:alert(1)>click</a>",
    "url(//evil.example/x.png);}*{background:red",
    "\x00\x08\x1b[31m\x9b\x7f",
    "\u202egnp.exe\u2066",
    "\ud800\ufffe\uffff\U0001f600",
    "\r\n\u2028\u2029\x85",
    "<" * 500,
)
# what has one of a few values, and is checked by whoever reads it: none of it comes from outside
_CLOSED = {
    one.value for kind in (Arch, Area, DriverName, FailureKind, GuestKind, Outcome, RunEnd) for one in kind
} | {"higher", "lower", "passed", "failed", "not judged"}
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def changed(value: Any, say: Callable[[str], str], key: str = "") -> Any:
    if isinstance(value, str):
        harmless = value in _CLOSED or _TIMES.fullmatch(value) or key in {"evidence", "id_of_run", ""}
        return value if harmless else say(value)
    if isinstance(value, list):
        return [changed(one, say, key) for one in value]
    if isinstance(value, dict):
        return {
            (say(name) if key in {"params", "environment"} else name): changed(one, say, name)
            for name, one in value.items()
        }
    return value


def run_that_says(folder: Path, payload: str) -> Path:
    """A run whose every text ends in the payload, and whose evidence has nothing else."""
    # a text with a zero is no text, and is not shown
    in_files = payload.encode("utf-8", "replace").decode().replace("\0", "\\0")
    run = write_run(folder, hostile=in_files)
    fields = json.loads((run / RESULTS).read_text())
    (run / RESULTS).write_text(json.dumps(changed(fields, lambda text: text + payload)))
    named = run / "evidence" / "write_under_load"
    (named / "xl-list-l.json").write_text(in_files)
    return run


class Found(html.parser.HTMLParser):
    """What a browser would make of a page: its elements with the names of their attributes, its links."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Counter[tuple[str, ...]] = Counter()
        self.values: dict[str, set[str]] = {}
        self.others: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[(tag, *(name for name, _ in attrs))] += 1
        for name, value in attrs:
            self.values.setdefault(name, set()).add(value or "")

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_that_says(tmp_path_factory.mktemp("harmless"), " word")


_LINK = re.compile(r"#[a-z-]+(-\d+)?|evidence/[A-Za-z0-9._/%-]+|(results\.json|junit\.xml|events\.jsonl)")


def page_is_ours(page: Found, like: Found) -> None:
    assert page.elements == like.elements
    assert page.others == like.others == []
    assert page.values["class"] <= like.values["class"]
    assert all(re.fullmatch(r"flex:\d+", style) for style in page.values["style"])
    icon, *links = sorted(page.values["href"], key=lambda link: not link.startswith("data:image/svg"))
    assert icon.startswith("data:image/svg+xml,%3Csvg")
    assert [link for link in links if not _LINK.fullmatch(link)] == []
    assert all(source.startswith("data:image/png;base64,") for source in page.values["src"])
    assert "script" not in {tag for tag, *_ in page.elements}
    assert not [name for name in page.values if name.startswith("on")]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_page_has_no_element_attribute_or_link_that_the_template_has_not(
    tmp_path: Path, harmless: Path, payload: str
) -> None:
    page = html_page(run_that_says(tmp_path, payload))
    page_is_ours(Found(page), Found(html_page(harmless)))
    assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|49(?=\{%)", page), "a template language was run"


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payload=st.text(
        st.one_of(st.sampled_from("<>\"'&=/:;{}%#!-[]()\\\0\r\n \t`"), st.characters()), max_size=30
    )
)
def test_no_text_whatever_is_more_than_text(
    tmp_path_factory: pytest.TempPathFactory, harmless: Path, payload: str
) -> None:
    run = run_that_says(tmp_path_factory.mktemp("any"), f"x{payload}x")
    page_is_ours(Found(html_page(run)), Found(html_page(harmless)))
    shapes = [shape(ET.fromstring(junit_xml(load_results(one)))) for one in (run, harmless)]
    assert shapes[0] == shapes[1]


def shape(root: ET.Element) -> Counter[tuple[str, ...]]:
    return Counter((element.tag, *element.attrib) for element in root.iter())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_junit_has_no_element_or_attribute_of_others_and_is_xml(
    tmp_path: Path, harmless: Path, payload: str
) -> None:
    text = junit_xml(load_results(run_that_says(tmp_path, payload)))
    assert shape(ET.fromstring(text)) == shape(ET.fromstring(junit_xml(load_results(harmless))))
    text.encode("utf-8")
    forbidden = re.findall(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    assert forbidden == [], "XML 1.0 has no such characters"


def test_the_page_forbids_scripts_network_forms_and_another_base(harmless: Path) -> None:
    page = html_page(harmless)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules == {
        "default-src": ["'none'"],
        "style-src": ["'unsafe-inline'"],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    # a policy in the page counts from where it stands
    assert page.index("Content-Security-Policy") < page.index("<title>") < page.index("<style>")


def test_a_name_of_evidence_that_leads_elsewhere_is_no_link_and_is_not_read(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    secret = tmp_path / "secret.txt"
    secret.write_text("not for this page")
    (run / "evidence" / "link.txt").symlink_to(secret)
    fields = json.loads((run / RESULTS).read_text())
    failed = next(test for test in fields["tests"] if test["outcome"] == "failed")
    failed["evidence"] = [
        "../secret.txt",
        str(secret),
        "evidence/link.txt",
        "//evil.example/x",
        "javascript:alert(1)",
        "data:text/html,x",
    ]
    (run / RESULTS).write_text(json.dumps(fields))
    page = html_page(run)
    assert "not for this page" not in page
    assert [link for link in Found(page).values["href"] if "evil" in link or link.startswith("java")] == []
    assert not any("secret" in link for link in Found(page).values["href"])


def test_a_bundle_takes_no_links_along_and_lands_beside_its_run(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    run = write_run(reports)
    (run / "evidence" / "passwd").symlink_to("/etc/passwd")
    (run / "evidence" / "etc").symlink_to("/etc")
    fields = json.loads((run / RESULTS).read_text())
    fields["run"]["id"] = "../../elsewhere"
    (run / RESULTS).write_text(json.dumps(fields))
    path = bundle(run)
    assert path.parent == reports
    names = zipfile.ZipFile(path).namelist()
    assert not [name for name in names if "passwd" in name or "/etc/" in name]
    assert not [name for name in names if ".." in Path(name).parts or name.startswith("/")]
