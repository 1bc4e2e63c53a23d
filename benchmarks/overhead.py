"""What the harness itself costs: per test of an empty run, and to plan very many."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.compare import Comparison, turns

__all__ = ["overhead", "planning"]

_FEW, _MANY = 10, 210
_TESTS, _TEMPLATES, _HOSTS = 50, 10, 20  # 10,000 combinations
_TURNS = 3

_PVHCK = (sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())")
_PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", "-c", "/dev/null")


def overhead() -> list[Comparison]:
    """An empty scenario on a leased simulated host against an empty test of plain pytest, each per test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hosts = _write_lab(folder, hosts=1, templates=1)
        works = []
        for count in (_FEW, _MANY):
            ours = _write_tests(folder / f"ours-{count}" / "scenarios" / "power", count, "host")
            plain = _write_tests(folder / f"plain-{count}", count, "")
            run = ("run", "--hosts", hosts, "--scenarios", ours.parent, "--reports", folder / "reports")
            works += [(*_PVHCK, *run), (*_PYTEST, plain)]
        few, plain_few, many, plain_many = turns(_TURNS, *(_command(words) for words in works))
    number = _MANY - _FEW
    return [
        Comparison(
            what="an empty scenario, leak check and record included",
            ours_s=(many - few) / number,
            other="an empty test of plain pytest",
            other_s=(plain_many - plain_few) / number,
            at_most=None,
            note=f"start: {few:.2g} s against {plain_few:.2g} s",
        )
    ]


def planning() -> list[Comparison]:
    """``pvhck plan`` of 10,000 combinations against pytest collecting as many parametrized tests."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hosts = _write_lab(folder, hosts=_HOSTS, templates=_TEMPLATES)
        profile = folder / "wide.toml"
        profile.write_text('description = "every host"\naxes = ["host"]\n')
        ours = _write_tests(folder / "scenarios" / "power", _TESTS, "guest")
        plain = folder / "plain" / "test_wide.py"
        plain.parent.mkdir()
        plain.write_text(
            "import pytest\n"
            f"@pytest.mark.parametrize('place', range({_TEMPLATES * _HOSTS}))\n"
            f"@pytest.mark.parametrize('number', range({_TESTS}))\n"
            "def test_nothing(place, number): pass\n"
        )
        plan = (*_PVHCK, "plan", "--hosts", hosts, "--scenarios", ours.parent, "--profile", profile)
        collect = (*_PYTEST, "--collect-only", plain)
        planned, collected = turns(_TURNS, _command(plan), _command(collect))
    return [
        Comparison(
            what=f"pvhck plan of {_TESTS * _TEMPLATES * _HOSTS:,} combinations",
            ours_s=planned,
            other="pytest collecting as many",
            other_s=collected,
            at_most=None,
        )
    ]


def _command(words: tuple[object, ...]) -> Callable[[], object]:
    def work() -> None:
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)

    return work


def _write_tests(folder: Path, count: int, fixture: str) -> Path:
    folder.mkdir(parents=True)
    tests = "".join(f"def test_nothing_{number}({fixture}): pass\n" for number in range(count))
    (folder / "test_nothing.py").write_text(tests)
    return folder


def _write_lab(folder: Path, *, hosts: int, templates: int) -> Path:
    sections = [f"[host h{number}]\nkind = simulated\nxen = 4.17\n" for number in range(hosts)]
    sections += [
        f"[template t{number}]\nguest = simulated\nos = Windows 10\narch = x64\nmemory = 1g\n"
        for number in range(templates)
    ]
    path = folder / "hosts.ini"
    path.write_text("\n".join(sections))
    return path
