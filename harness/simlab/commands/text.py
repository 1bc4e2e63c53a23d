"""Commands that print and pick lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from harness.simlab.commands.options import read_options
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["COMMANDS"]

_FORMAT = re.compile(r"%(?:[-\d.]*[sdi]|%)|\\[ntr\\]")
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\\\": "\\"}


def _echo(process: Process) -> int:
    words = list(process.args)
    newline = "\n"
    while words and words[0] == "-n":
        words.pop(0)
        newline = ""
    process.out(" ".join(words) + newline)
    return 0


def _printf(process: Process) -> int:
    layout, *values = process.args
    waiting = iter(values)

    def fill(match: re.Match[str]) -> str:
        mark = match[0]
        if mark in _ESCAPES:
            return _ESCAPES[mark]
        if mark == "%%":
            return "%"
        value = next(waiting, "")
        return mark % (value if mark.endswith("s") else int(value or 0))

    process.out(_FORMAT.sub(fill, layout))
    while values and "%" in layout and (rest := list(waiting)):
        waiting = iter(rest)
        process.out(_FORMAT.sub(fill, layout))
    return 0


def _texts(process: Process, paths: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Names and contents; what is missing is said and left out."""
    for path in paths or ("-",):
        if path == "-":
            yield "", process.read_all().decode("utf-8", "surrogateescape")
        elif process.host.files.real(path).is_file():
            yield path, process.host.files.real(path).read_text("utf-8", "surrogateescape")
        else:
            process.err(f"{process.argv[0]}: {path}: No such file or directory\n")


def _head(process: Process) -> int:
    return _part(process, lambda pieces, count: pieces[:count])


def _tail(process: Process) -> int:
    return _part(process, lambda pieces, count: pieces[-count:] if count else pieces[:0])


def _part(process: Process, pick: Callable[[Sequence[bytes], int], Sequence[bytes]]) -> int:
    """The first or last lines, or bytes with -c."""
    if process.args and re.fullmatch(r"-\d+", process.args[0]):
        count, by_bytes, paths = int(process.args[0][1:]), False, process.args[1:]
    else:
        options = read_options(process, "n:c:q", ["lines=", "bytes="])
        words = {name.strip("-")[0]: value for name, value in options.values.items()}
        by_bytes = bool({"c", "b"} & words.keys())
        given = words.get("c") or words.get("b") or words.get("n") or words.get("l") or "10"
        count, paths = int(given), options.words
    found = list(_texts(process, paths))
    for _, text in found:
        data = text.encode("utf-8", "surrogateescape")
        pieces = [bytes([byte]) for byte in data] if by_bytes else data.splitlines(keepends=True)
        process.stdout.write(b"".join(pick(pieces, count)))
    return 0 if len(found) >= len(paths) else 1


def _wc(process: Process) -> int:
    options = read_options(process, "lcw")
    for name, text in _texts(process, options.words):
        counts = {
            "-l": text.count("\n"),
            "-w": len(text.split()),
            "-c": len(text.encode("utf-8", "surrogateescape")),
        }
        chosen = [str(counts[flag]) for flag in counts if not options.flags or flag in options.flags]
        process.out(" ".join([*chosen, name]).rstrip() + "\n")
    return 0


def _grep(process: Process) -> int:
    options = read_options(process, "EFcivqnshow", ["extended-regexp"])
    pattern, *paths = options.words
    flags = re.IGNORECASE if options.has("-i") else 0
    expression = re.compile(re.escape(pattern) if options.has("-F") else pattern, flags)
    hits = 0
    for name, text in _texts(process, tuple(paths)):
        lines = [line for line in text.splitlines() if bool(expression.search(line)) is not options.has("-v")]
        hits += len(lines)
        label = f"{name}:" if len(paths) > 1 and not options.has("-h") else ""
        if options.has("-c"):
            process.out(f"{label}{len(lines)}\n")
        elif not options.has("-q"):
            process.out("".join(f"{label}{line}\n" for line in lines))
    return 0 if hits else 1


def _sort(process: Process) -> int:
    options = read_options(process, "nru")
    lines = [line for _, text in _texts(process, options.words) for line in text.splitlines()]
    if options.has("-u"):
        lines = list(set(lines))
    lines.sort(key=_number if options.has("-n") else str, reverse=options.has("-r"))
    process.out("".join(f"{line}\n" for line in lines))
    return 0


def _number(line: str) -> float:
    match = re.match(r"\s*-?\d+(\.\d+)?", line)
    return float(match[0]) if match else 0.0


def _cut(process: Process) -> int:
    options = read_options(process, "d:f:c:")
    field = options.values.get("-f", "")
    if not field.isdigit():
        raise CommandError("cut: only one field by -f is played\n")
    separator = options.values.get("-d", "\t")
    for _, text in _texts(process, options.words):
        for line in text.splitlines():
            fields = line.split(separator)
            process.out((fields[int(field) - 1] if int(field) <= len(fields) else "") + "\n")
    return 0


COMMANDS: dict[str, Command] = {
    "cut": _cut,
    "echo": _echo,
    "grep": _grep,
    "head": _head,
    "printf": _printf,
    "sort": _sort,
    "tail": _tail,
    "wc": _wc,
}
