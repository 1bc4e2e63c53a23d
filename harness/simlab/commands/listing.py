"""Commands that look at files: names, kinds, sizes."""

from __future__ import annotations

import fnmatch
import posixpath
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.simlab.commands.options import read_options
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["COMMANDS"]


def _ls(process: Process) -> int:
    options = read_options(process, "1aAdhlrtSR", ["color="])
    rc = 0
    for path in options.words or (".",):
        real = process.host.files.real(path)
        if not real.exists():
            process.err(f"ls: cannot access '{path}': No such file or directory\n")
            rc = 2
            continue
        if real.is_dir() and not options.has("-d"):
            entries = sorted(real.iterdir(), key=lambda entry: entry.name)
            hidden = options.has("-a", "-A")
            rows = [(entry.name, entry) for entry in entries if hidden or not entry.name.startswith(".")]
        else:
            rows = [(path, real)]
        process.out("".join(_row(name, entry, long=options.has("-l")) for name, entry in rows))
    return rc


def _row(name: str, real: Path, *, long: bool) -> str:
    if not long:
        return f"{name}\n"
    facts = real.stat()
    when = time.strftime("%b %d %H:%M", time.localtime(facts.st_mtime))
    return f"{stat.filemode(facts.st_mode)} 1 root root {facts.st_size:>10} {when} {name}\n"


@dataclass(frozen=True)
class _Search:
    kind: str = ""
    pattern: str = ""
    depths: tuple[int, int] = (0, 1 << 30)
    delete: bool = False
    older_s: float = 0.0  # than which a file must be
    places: tuple[str, ...] = field(default_factory=tuple)


def _find(process: Process) -> int:
    search = _read_search(process)
    files, rc = process.host.files, 0
    for place in search.places or (".",):
        if not files.exists(place):
            process.err(f"find: '{place}': No such file or directory\n")
            rc = 1
            continue
        found = [path for path, depth in _walk(process, place, 0) if _matches(process, search, path, depth)]
        if not search.delete:
            process.out("".join(f"{path}\n" for path in found))
            continue
        for path in reversed(found):
            files.remove_tree(path) if files.real(path).is_dir() else files.remove(path)
    return rc


def _read_search(process: Process) -> _Search:
    words = list(process.args)
    places = []
    while words and not words[0].startswith("-"):
        places.append(words.pop(0))
    known: dict[str, str] = {}
    delete = False
    while words:
        test = words.pop(0)
        if test in {"-delete", "-print", "-xdev"}:
            delete |= test == "-delete"
        elif test in {"-type", "-name", "-maxdepth", "-mindepth", "-mmin"} and words:
            known[test] = words.pop(0)
        else:
            raise CommandError(f"find: unknown predicate '{test}'\n")
    depths = (int(known.get("-mindepth", "0")), int(known.get("-maxdepth", str(1 << 30))))
    older = known.get("-mmin", "+0")
    if not older.startswith("+"):
        raise CommandError(f"find: not played: -mmin {older}\n")
    kind, pattern, older_s = known.get("-type", ""), known.get("-name", ""), 60 * float(older)
    return _Search(kind, pattern, depths, delete, older_s, tuple(places))


def _walk(process: Process, path: str, depth: int) -> Iterator[tuple[str, int]]:
    yield path, depth
    real = process.host.files.real(path)
    if real.is_dir():
        for name in sorted(entry.name for entry in real.iterdir()):
            yield from _walk(process, posixpath.join(path, name), depth + 1)


def _matches(process: Process, search: _Search, path: str, depth: int) -> bool:
    real = process.host.files.real(path)
    kind = "d" if real.is_dir() else "f"
    return (
        search.depths[0] <= depth <= search.depths[1]
        and search.kind in {"", kind}
        and time.time() - real.stat().st_mtime >= search.older_s
        and (not search.pattern or fnmatch.fnmatchcase(posixpath.basename(path), search.pattern))
    )


def _stat(process: Process) -> int:
    options = read_options(process, "c:fLt", ["format=", "printf="])
    layout = options.values.get("-c", options.values.get("--format", ""))
    if not layout:
        raise CommandError("stat: only -c FORMAT is played\n")
    rc = 0
    for path in options.words:
        real = process.host.files.real(path)
        if not real.exists():
            process.err(f"stat: cannot statx '{path}': No such file or directory\n")
            rc = 1
            continue
        process.out(_filled(layout, path, real) + "\n")
    return rc


def _filled(layout: str, path: str, real: Path) -> str:
    facts = real.stat()
    kind = "directory" if real.is_dir() else "regular empty file" if not facts.st_size else "regular file"
    fields = {
        "%s": str(facts.st_size),
        "%b": str(facts.st_blocks),
        "%B": "512",
        "%n": path,
        "%Y": str(int(facts.st_mtime)),
        "%a": f"{stat.S_IMODE(facts.st_mode):o}",
        "%F": kind,
        "%U": "root",
        "%G": "root",
        "%u": "0",
        "%g": "0",
    }
    for mark, value in fields.items():
        layout = layout.replace(mark, value)
    return layout


def _test(process: Process) -> int:
    words = list(process.args)
    if process.argv[0] == "[" and (not words or words.pop() != "]"):
        raise CommandError("sh: 1: [: missing ]\n", 2)
    return 0 if _holds(process, words) else 1


def _holds(process: Process, words: Sequence[str]) -> bool:
    match list(words):
        case []:
            return False
        case ["!", *rest]:
            return not _holds(process, rest)
        case [word]:
            return word != ""
        case [test, word] if test in _WORD_TESTS:
            return _WORD_TESTS[test](word)
        case [test, path] if test in _FILE_TESTS:
            return _FILE_TESTS[test](process.host.files.real(path))
        case [left, test, right] if test in _COMPARISONS:
            return _COMPARISONS[test](left, right)
    raise CommandError(f"sh: 1: test: not played: {' '.join(words)}\n", 2)


_WORD_TESTS: dict[str, Callable[[str], bool]] = {"-n": bool, "-z": lambda word: not word}
_FILE_TESTS: dict[str, Callable[[Path], bool]] = {
    "-e": Path.exists,
    "-r": Path.exists,
    "-w": Path.exists,
    "-x": Path.exists,
    "-f": Path.is_file,
    "-d": Path.is_dir,
    "-s": lambda real: real.exists() and real.stat().st_size > 0,
}
_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda left, right: left == right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "-eq": lambda left, right: int(left) == int(right),
    "-ne": lambda left, right: int(left) != int(right),
    "-lt": lambda left, right: int(left) < int(right),
    "-le": lambda left, right: int(left) <= int(right),
    "-gt": lambda left, right: int(left) > int(right),
    "-ge": lambda left, right: int(left) >= int(right),
}


def _cmp(process: Process) -> int:
    first, second = read_options(process, "s", rc=2).words
    contents = []
    for path in (first, second):
        real = process.host.files.real(path)
        if not real.is_file():
            raise CommandError(f"cmp: {path}: No such file or directory\n", 2)
        contents.append(real.read_bytes())
    if contents[0] == contents[1]:
        return 0
    if "-s" not in process.args:
        at = next(
            (at for at, (left, right) in enumerate(zip(*contents, strict=False)) if left != right),
            min(len(content) for content in contents),
        )
        line = contents[0][:at].count(b"\n") + 1
        process.out(f"{first} {second} differ: byte {at + 1}, line {line}\n")
    return 1


COMMANDS: dict[str, Command] = {
    "[": _test,
    "cmp": _cmp,
    "find": _find,
    "ls": _ls,
    "stat": _stat,
    "test": _test,
}
