"""How results are said to people: the one sentence, numbers, names. Pure, for page, terminal and JUnit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from harness.model import FailureKind, GuestKind, Outcome
from harness.results import (
    DriverBuildFacts,
    GuestFacts,
    Overall,
    RunEnd,
    RunResults,
    SheetVerdict,
    TestFacts,
    TestResult,
)

__all__ = [
    "GLYPHS",
    "KIND_MEANINGS",
    "Answer",
    "Tone",
    "alike",
    "answer",
    "build_name",
    "crashed_alike",
    "duration",
    "figure",
    "guest_kinds",
    "guest_name",
    "label_of",
    "many",
    "one_line",
    "percent",
    "plain_text",
    "run_seconds",
    "size",
    "time_of",
    "unreal_kinds",
]

GLYPHS = {
    Outcome.PASSED: "✓",
    Outcome.FAILED: "✗",
    Outcome.BROKEN: "!",
    Outcome.SKIPPED: "\N{EN DASH}",
    Outcome.EXPECTED: "≈",
}

KIND_MEANINGS = {
    GuestKind.SIMULATED: "Simulated guests: a model answered, no Windows and no Xen took part.",
    GuestKind.STAND_IN: "Stand-in guests: Linux took the place of Windows, no Windows driver took part.",
}


class Tone(StrEnum):
    """The colour of an answer."""

    GOOD = "good"
    BAD = "bad"
    BROKEN = "broken"
    NEUTRAL = "neutral"


@dataclass(frozen=True)
class Answer:
    """The run in a colour and a sentence, and one line more."""

    tone: Tone
    sentence: str
    detail: str


def answer(results: RunResults) -> Answer:
    """What the run says, with the kind of guests it says it of."""
    tone, sentence = _sentence(results)
    where = guest_kinds(results)
    names = [kind.value.capitalize() if kind is GuestKind.WINDOWS else kind.value for kind in where]
    on = f" on {_and(f'{name} guests' for name in names)}" if names else ""
    return Answer(tone, f"{sentence}{on}.", _detail(results))


def _sentence(results: RunResults) -> tuple[Tone, str]:
    counts, total = results.verdict.counts, len(results.tests)
    failed, broken = counts[Outcome.FAILED], counts[Outcome.BROKEN]
    ran = total - counts[Outcome.SKIPPED]
    match results.verdict.overall:
        case Overall.INTERRUPTED:
            planned = total + len(results.run.not_run)
            tone = Tone.BAD if failed else Tone.BROKEN
            return tone, f"{_ended(results.run.end)} with {total} of {many(planned, 'test')} done"
        case Overall.FAILED:
            return Tone.BAD, f"{failed} of {many(ran, 'test')} failed"
        case Overall.BROKEN:
            return Tone.BROKEN, f"The lab broke {broken} of {many(ran, 'test')}; none failed"
        case Overall.NOTHING_RAN:
            return Tone.NEUTRAL, "Nothing ran"
        case Overall.PASSED:
            passed = counts[Outcome.PASSED]
            what = f"All {passed} tests passed" if passed == ran > 1 else f"{many(passed, 'test')} passed"
            return Tone.GOOD, what


def _ended(end: RunEnd) -> str:
    match end:
        case RunEnd.RUNNING:
            return "Still running"
        case RunEnd.KILLED:
            return "Killed"
        case RunEnd.INTERRUPTED | RunEnd.FINISHED:
            return "Interrupted"


def _detail(results: RunResults) -> str:
    """The rest of the counts, the failures by kind, the drivers at fault."""
    counts, said = results.verdict.counts, []
    kinds = [f"{results.verdict.kinds[kind]} {kind}" for kind in FailureKind if results.verdict.kinds[kind]]
    if kinds:
        said.append(f"failed: {', '.join(kinds)}")
    shown = {Outcome.PASSED, Outcome.BROKEN, Outcome.EXPECTED, Outcome.SKIPPED}
    words = {Outcome.EXPECTED: "failed as expected"}
    said += [f"{counts[one]} {words.get(one, one.value)}" for one in Outcome if one in shown and counts[one]]
    if results.run.not_run:
        said.append(f"{len(results.run.not_run)} not run")
    bad = [sheet.name.upper() for sheet in results.verdict.drivers if sheet.verdict is SheetVerdict.FAILED]
    if bad:
        said.append(f"drivers named by failures: {', '.join(bad)}")
    return " · ".join(said)


def guest_name(guest: GuestFacts) -> str:
    """A guest in few words: what it really is, and whether it was somebody else's."""
    adopted = f", adopted {guest.adopted}" if guest.adopted else ""
    return f"{guest.template} ({guest.kind}{adopted})"


def guest_kinds(results: RunResults) -> tuple[GuestKind, ...]:
    """The kinds of guests the tests had or, skipped, would have had."""
    seen = {test.guest.kind for test in results.tests if test.guest}
    return tuple(kind for kind in GuestKind if kind in seen)


def unreal_kinds(results: RunResults) -> tuple[GuestKind, ...]:
    """The kinds among them that are not Windows."""
    return tuple(kind for kind in guest_kinds(results) if kind is not GuestKind.WINDOWS)


def build_name(build: DriverBuildFacts | None) -> str:
    """The driver build in a few words."""
    if build is None:
        return "the drivers of the templates"
    versions = ", ".join(sorted({package.version for package in build.packages}))
    synthetic = ", synthetic" if build.synthetic and build.path != "synthetic" else ""
    return f"{build.path}{synthetic}{', ' + versions if versions else ''}"


def alike(results: RunResults) -> tuple[tuple[str, tuple[TestResult, ...]], ...]:
    """The tests that failed by a crash, by its signature: what happened most first."""
    found: dict[str, list[TestResult]] = {}
    for test in results.tests:
        if test.outcome is Outcome.FAILED and test.signature:
            found.setdefault(test.signature, []).append(test)
    return tuple(
        (name, tuple(found[name])) for name in sorted(found, key=lambda one: (-len(found[one]), one))
    )


def crashed_alike(signature: str, tests: Sequence[TestResult]) -> str:
    """``3 tests crashed alike: 0xD1 in xenvif.sys``."""
    return f"{many(len(tests), 'test')} crashed{' alike' if len(tests) > 1 else ''}: {signature}"


def label_of(test: TestFacts | TestResult) -> str:
    """The test without its file and its template: ``test_reboot`` or ``test_read[4 KiB]``."""
    name = test.id.rpartition("::")[2]
    base, bracket, inside = name.partition("[")
    if not bracket:
        return base
    template = test.guest.template if test.guest else ""
    parts = inside.removesuffix("]")
    if template and parts.endswith(template):
        parts = parts.removesuffix(template).rstrip("-")
    elif template and parts.startswith(template):
        parts = parts.removeprefix(template).lstrip("-")
    return f"{base}[{parts}]" if parts else base


def many(number: int, noun: str) -> str:
    """``1 test``, ``2 tests``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def figure(value: float) -> str:
    """A number with four significant digits, thousands set apart."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:  # noqa: PLR2004  # from here on digits behind the point say nothing
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(value: float | None) -> str:
    """A difference with its sign."""
    return "from zero" if value is None else f"{value:+.1f} %"


def duration(seconds: float) -> str:
    """``0.4 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004  # an hour
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def size(number: int) -> str:
    """Bytes, KiB or MiB."""
    if number < 1024:  # noqa: PLR2004  # a KiB
        return f"{number} bytes"
    kib = number / 1024
    return f"{kib:.0f} KiB" if kib < 1024 else f"{kib / 1024:.1f} MiB"  # noqa: PLR2004  # a MiB


def time_of(text: str) -> datetime | None:
    """A time of results.json."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def run_seconds(results: RunResults) -> float | None:
    """How long the run took, None if it did not say."""
    started, finished = time_of(results.run.started), time_of(results.run.finished)
    return (finished - started).total_seconds() if started and finished else None


def plain_text(text: str) -> str:
    """Text whose control characters are written out: safe for a terminal and for XML 1.0."""
    return "".join(char if _harmless(char) else f"\\x{ord(char):02x}" for char in text)


def one_line(text: str, most: int = 200) -> str:
    """Text on one line, cut to a length."""
    line = " ".join(plain_text(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _harmless(char: str) -> bool:
    code = ord(char)
    if char in "\t\n":
        return True
    # C0, DEL and C1 steer terminals; surrogates and U+FFFE, U+FFFF are no XML characters;
    # the bidirectional controls make text look like what it is not.
    steering = code < 0x20 or 0x7F <= code <= 0x9F or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069  # noqa: PLR2004  # Unicode code points
    return not steering and not 0xD800 <= code <= 0xDFFF and code not in {0xFFFE, 0xFFFF}  # noqa: PLR2004  # as above


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
