"""The page on driver builds lists each finding there is, with its severity, and what layouts are taken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_docs_of_the_guest import table

import harness.package
from harness.package import FindingKind, Severity
from harness.package.layout import _ARCH_FOLDERS, _MAX_DEPTH, _SISTERS
from harness.package.unpack import _SUFFIXES

_PAGE = (Path(__file__).parents[2] / "docs" / "bring-a-build.md").read_text(encoding="utf-8")
_SOURCE = "".join(path.read_text() for path in sorted(Path(harness.package.__file__).parent.glob("*.py")))
ROWS = table("bring-a-build.md", "findings")


def test_each_kind_of_finding_has_its_row() -> None:
    assert sorted(row[0].strip("`") for row in ROWS) == sorted(FindingKind)


@pytest.mark.parametrize("kind", FindingKind)
def test_no_kind_is_only_a_word(kind: FindingKind) -> None:
    assert f"FindingKind.{kind.name}," in _SOURCE, "nothing finds it"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_its_severity_is_the_one_in_the_code(row: list[str]) -> None:
    kind = FindingKind(row[0].strip("`")).name
    calls = re.findall(rf"(\w+)\(\s*FindingKind\.{kind},\s*(?:Severity\.(\w+))?", _SOURCE)
    found: set[str] = set()
    for function, severity in calls:
        # `report` is either, by the kind of file
        found |= (
            {word.value for word in Severity}
            if function == "report"
            else {(severity or function.lstrip("_")).lower()}
        )
    assert set(row[1].split(", ")) == found
    assert all(row[2:]), "what was found, and the mend"


def test_the_layouts_on_the_page_are_those_the_code_takes() -> None:
    for folder in _ARCH_FOLDERS:
        assert f"`{folder}`" in _PAGE
    for suffix in set(_SUFFIXES) - {".tgz", ".txz"}:
        assert f"`{suffix}`" in _PAGE
    assert _MAX_DEPTH == 6
    assert "up to six folders deep" in _PAGE
    for inf in _SISTERS:
        assert inf.removesuffix(".inf").upper() in _PAGE
