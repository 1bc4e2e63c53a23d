"""The table of commands is what the code runs, no more and no less, and the sudo rules are that table."""

from __future__ import annotations

import ast
import fnmatch
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.host.rights import RIGHTS, Right, find_script, needs_root, programs, renew, right_of, sudoers

STORAGE = "/srv/pv"
HARNESS = Path(harness.__file__).parent
# what other things than commands on hosts look like ["word", ...] passed to run, check, stream or hold
LAYERS = ("cli", "doctor", "evidence", "guest", "host", "install", "session", "workload")
RUNS = {"run", "check", "stream", "hold", "program_socket"}


def commands_in_code() -> Iterator[tuple[str, list[str | None]]]:
    """Where a command is given as a list, and its words; None for one that does not stand there."""
    for layer in LAYERS:
        for path in sorted((HARNESS / layer).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                is_run = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                if is_run and node.func.attr in RUNS and node.args and isinstance(node.args[0], ast.List):
                    words = node.args[0].elts
                    if any(isinstance(word, ast.Starred) for word in words):
                        continue  # the contract suites look at what these come to
                    if words and isinstance(words[0], ast.Constant):
                        yield f"{path.name}:{node.lineno}", [_word(word) for word in words]


def _word(node: ast.expr) -> str | None:
    return str(node.value) if isinstance(node, ast.Constant) else None


def could_be(right: Right, argv: list[str | None]) -> bool:
    open_end = right.words[-1] == "..." or None in argv
    pairs = zip(right.words, argv, strict=False)
    fits = all(
        word is None or pattern in {word, "?", "...", "#"} or "*" in pattern for pattern, word in pairs
    )
    return fits and (open_end or len(argv) == len(right.words))


def test_every_command_that_stands_in_the_code_is_in_the_table() -> None:
    found = dict(commands_in_code())
    assert len(found) > 50, "the code is not read as it should be"
    unknown = [
        f"{where}: {argv}"
        for where, argv in found.items()
        if not any(could_be(right, argv) for right in RIGHTS)
    ]
    assert unknown == []


def words_in_code() -> set[str]:
    found = set()
    for layer in LAYERS:
        for path in sorted((HARNESS / layer).rglob("*.py")):
            if path.name != "rights.py":
                tree = ast.parse(path.read_text(encoding="utf-8"))
                texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
                found |= {word for text in texts if isinstance(text, str) for word in text.split()}
    return found


def test_nothing_is_in_the_table_that_the_code_never_says() -> None:
    known = words_in_code()
    unused = [
        f"{right}: {word}"
        for right in RIGHTS
        for word in right.words
        if word not in {"...", "?", "#", "pvhck-*"} and "/*" not in word and word not in known
        if word not in {"xenctx", "xen-lsevtchn", "lsevtchn"}  # found by a pattern
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("line", "root"),
    [
        ("xl create /srv/pv/runs/r/pvhck-r-1.cfg", True),
        ("xl list -l pvhck-r-1", True),
        ("xl destroy pvhck-r-1", True),
        ("xenstore-write -- /a -1", True),
        ("tail -c 500 /var/log/xen/xl-a.log", True),
        ("tail -c 500 /var/log/../../etc/shadow", False),
        ("tail -c 500 /srv/pv/runs/r/pvhck-r-1.console", True),
        ("cat /srv/pv/runs/r/pvhck-r-1.ppm", True),
        ("cat /srv/pv/runs/../../../etc/shadow", False),
        ("cat /var/lib/pvhck/lease.json", False),
        ("/usr/lib/xen-4.17/bin/xenctx -C 7", True),
        ("flock -n /var/lib/pvhck/lease true", False),
        ("sh -c id", False),
        ("xl debug-keys q", False),
        ("reboot", False),
    ],
)
def test_root_runs_what_needs_it_and_nothing_else(line: str, *, root: bool) -> None:
    assert needs_root(shlex.split(line), STORAGE) is root


def allowed(line: str) -> bool:
    """As sudo decides it: of the rules that fit a command and its arguments, the last one counts."""
    text = sudoers("tester", {name: f"/usr/sbin/{name}" for name in programs()}, STORAGE)
    rules = text.partition("PVHCK_TESTER = ")[2].partition("\ntester")[0].replace("\\\n", "").split(",")
    answer = False
    program, _, arguments = f"/usr/sbin/{line}".partition(" ")
    for rule in (rule.strip() for rule in rules):
        path, _, pattern = re.sub(r"\\(.)", r"\1", rule.removeprefix("!")).partition(" ")
        fits = pattern == '""' if not arguments else fnmatch.fnmatchcase(arguments, pattern)
        if path == program and fits:
            answer = not rule.startswith("!")
    return answer


@pytest.mark.parametrize("right", [right for right in RIGHTS if right.root], ids=str)
def test_the_rules_let_everything_through_that_root_runs(right) -> None:
    example = {"...": "some words", "?": "word", "#": "17", "pvhck-*": "pvhck-r-1"}
    words = [
        example.get(word, word.replace("STORAGE", STORAGE).replace("/*", "/a/b.c")) for word in right.words
    ]
    assert allowed(" ".join(words))
    if right.words[-1] == "...":
        assert allowed(" ".join(words[:-1]))


@pytest.mark.parametrize(
    "line",
    [
        "xl destroy Domain-0",
        "xl destroy other-vm",
        "xl shutdown -F other-vm",
        "xl debug-keys q",
        "xl",
        "tail -c 5 /etc/shadow",
        "tail -c 5 /var/log/xen/../../../etc/shadow",
        "tail -c 5 /var/log/xen/a.log /etc/shadow",
        "cat /etc/shadow",
        "cat /srv/pv/runs/../../../etc/shadow",
        "cat /srv/pv/runs/a /etc/shadow",
        "kill 1 2",
        "kill -9 1",
        "losetup -d /dev/loop1 /dev/loop2",
        "losetup /dev/loop1 /etc/shadow",
        "dmesg -C",
        "ip link set eth0 down",
        "sh -c id",
        "flock /x sh",
    ],
)
def test_the_rules_refuse_what_is_none_of_ours(line: str) -> None:
    assert not allowed(line)


def test_a_command_without_arguments_in_its_rule_takes_none() -> None:
    # a rule that is a path alone would let any arguments through
    text = sudoers("tester", {name: f"/usr/sbin/{name}" for name in programs()}, STORAGE)
    rules = [line.strip(" \\,") for line in text.splitlines() if line.startswith("    ")]
    assert [rule for rule in rules if " " not in rule] == []


@pytest.mark.parametrize("user", ["ALL", "a b", "x ALL=(ALL) ALL", "%wheel", "#0", "a\nb", ""])
def test_a_user_whose_name_would_be_more_than_a_name_gets_no_rules(user: str) -> None:
    with pytest.raises(ValueError, match="name"):
        sudoers(user, {"xl": "/usr/sbin/xl"}, STORAGE)


@pytest.mark.parametrize("odd", ["/srv/a,b", "/srv/a:b", "/srv/a=b", "/srv/a\\b"])
def test_signs_that_sudoers_gives_a_meaning_are_escaped_in_paths(odd: str) -> None:
    text = sudoers("tester", {"cat": "/bin/cat"}, odd)
    assert f"/bin/cat {odd.translate({ord(sign): chr(92) + sign for sign in ',:=' + chr(92)})}/runs/*" in text


def test_a_domain_to_be_adopted_is_let_through_when_it_is_named_and_no_other() -> None:
    text = sudoers("tester", {"xl": "/usr/sbin/xl"}, STORAGE, ["win7-a"])
    assert "/usr/sbin/xl destroy win7-a," in text
    assert "/usr/sbin/xl destroy pvhck-*," in text
    assert "destroy *" not in text
    assert text.count("/usr/sbin/xl info,") == 1
    with pytest.raises(ValueError, match="no name"):
        sudoers("tester", {"xl": "/usr/sbin/xl"}, STORAGE, ["*"])


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    page = (HARNESS.parent / "docs" / "security.md").read_text(encoding="utf-8")
    assert page.count("<!-- rights:") == 2
    assert renew(page) == page, "run: python -m harness.host.rights docs/security.md"


def test_programs_are_looked_for_where_sudo_looks() -> None:
    argv = find_script("xl", "cat")
    assert argv[:2] == ("sh", "-c")
    assert argv[-2:] == ("xl", "cat")
    assert right_of(argv, STORAGE) is not None
