"""Dumps of a guest that is back: which are brought, how, and what is said of those that are not."""

from __future__ import annotations

import base64
import hashlib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dump_makers import a_memory_dump, a_minidump
from fake_host import RECORDED_XL, make_guest, make_host

from harness.deadline import Deadline
from harness.errors import AnswerTimedOut, GuestUnreachable, OperationFailed
from harness.evidence import Fetched, Notes, WantedDumps, fetch_dumps
from harness.evidence.courier import MOST_BY_CHANNEL, Courier
from harness.model import GuestKind
from harness.operations import DumpFile

MEMORY, MINI = r"C:\Windows\MEMORY.DMP", r"C:\Windows\Minidump\112626-5000-01.dmp"
WHEN = "2026-11-26T10:30:20.1234567Z"
FILES = {MEMORY: a_memory_dump(), MINI: a_minidump()}
ALL = WantedDumps(before=frozenset())


def listing(files: dict[str, bytes]) -> list[dict[str, object]]:
    return [{"path": path, "size": len(data), "modified_utc": WHEN} for path, data in files.items()]


def answers(files: dict[str, bytes], **others: Any) -> dict[str, Any]:
    """A guest with these files, which cannot send by HTTP."""

    def part(path: str, offset: int, length: int) -> dict[str, object]:
        data = files[path][offset : offset + length]
        return {"path": path, "size": len(files[path]), "content": base64.b64encode(data).decode()}

    def facts(path: str) -> dict[str, object]:
        return {"path": path, "size": len(files[path]), "sha256": hashlib.sha256(files[path]).hexdigest()}

    return {"dump_files": listing(files), "read_file": part, "file_facts": facts, **others}


def sends(files: dict[str, bytes], change: Callable[[bytes], bytes] = bytes) -> Callable[..., object]:
    """``push_file`` of a guest that reaches us."""

    def push(path: str, url: str) -> dict[str, object]:
        request = urllib.request.Request(url, data=change(files[path]), method="PUT")
        with urllib.request.urlopen(request, timeout=10):
            return {"path": path, "size": len(files[path]), "sha256": hashlib.sha256(files[path]).hexdigest()}

    return push


class Place:
    """A guest and a folder for its dumps."""

    def __init__(self, folder: Path, given: dict[str, Any], *, controller: str = "") -> None:
        self.folder = folder / "evidence"
        self.guest = make_guest(
            make_host(RECORDED_XL, time_factor=0.01, controller=controller), given, guest=GuestKind.WINDOWS
        )
        self.notes = Notes(self.folder, lambda text: text.replace("geheim", "***"))

    def fetch(self, wanted: WantedDumps = ALL) -> Fetched:
        return fetch_dumps(self.guest, self.folder, wanted, Deadline.after(30), self.notes)

    @property
    def said(self) -> str:
        path = self.folder / "notes.txt"
        return path.read_text() if path.exists() else ""

    @property
    def told(self) -> str:
        return (self.folder / "crash.txt").read_text()


def test_a_minidump_comes_whole_and_of_memory_the_header(tmp_path: Path) -> None:
    there = Place(tmp_path, answers(FILES))

    fetched = there.fetch()

    assert fetched.files == ("minidump-1.dmp", "memory-header.dmp", "crash.txt")
    assert fetched.crash is not None
    assert fetched.crash.signature == "0xD1 in xenvif.sys"
    assert (there.folder / "minidump-1.dmp").read_bytes() == FILES[MINI]
    assert (there.folder / "memory-header.dmp").read_bytes() == FILES[MEMORY][:8192]
    assert there.said == ""


def test_what_was_found_is_told_with_place_size_and_hash(tmp_path: Path) -> None:
    there = Place(tmp_path, answers(FILES))
    there.fetch()

    assert f"minidump-1.dmp: {MINI} of {WHEN}" in there.told
    assert f"32768 bytes, SHA-256 {hashlib.sha256(FILES[MINI]).hexdigest()}" in there.told
    assert "0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL in xenvif.sys" in there.told
    assert "at xenvif.sys + 0x1a3f" in there.told
    assert "triage, x64, Windows build 19045, time of the guest 2026-11-26 10:30:15 UTC" in there.told
    assert "8192 bytes, the first of 32768: `--full-dumps` brings it whole" in there.told


@pytest.mark.parametrize(
    "path",
    [
        r"C:\Windows\Minidump\..\..\..\etc\cron.d\x.dmp",
        "../../../../tmp/x.dmp",
        "/etc/passwd",
        "a\nb\x00.dmp",
        "",
    ],
)
def test_a_dump_s_name_in_the_guest_decides_nothing_here(tmp_path: Path, path: str) -> None:
    place = Place(tmp_path, answers({path: a_minidump()}))
    found = place.fetch()
    own = {"minidump-1.dmp", "memory-header.dmp", "memory.dmp", "crash.txt", "notes.txt"}
    assert set(found.files) <= own
    assert {one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*") if one.is_file()} <= {
        f"evidence/{name}" for name in own
    }


def test_what_a_dump_says_is_told_without_secrets(tmp_path: Path) -> None:
    place = Place(tmp_path, answers({r"C:\geheim\a.dmp": a_minidump()}))
    place.fetch()
    assert r"C:\***\a.dmp" in place.told


def test_memory_comes_whole_when_it_is_asked_for(tmp_path: Path) -> None:
    there = Place(tmp_path, answers(FILES))

    fetched = there.fetch(WantedDumps(whole=True, before=frozenset()))

    assert "memory.dmp" in fetched.files
    assert (there.folder / "memory.dmp").read_bytes() == FILES[MEMORY]


def test_a_guest_that_reaches_us_sends_by_http(tmp_path: Path) -> None:
    given = answers(FILES, push_file=sends(FILES), file_facts=AssertionError("not needed"))
    there = Place(tmp_path, given, controller="127.0.0.1")

    assert "minidump-1.dmp" in there.fetch().files
    assert (there.folder / "minidump-1.dmp").read_bytes() == FILES[MINI]


def test_one_that_cannot_reach_us_is_read_through_its_channel(tmp_path: Path) -> None:
    refused = OperationFailed("push_file", "command-failed", "Unable to connect")
    there = Place(tmp_path, answers(FILES, push_file=refused), controller="127.0.0.1")

    assert "minidump-1.dmp" in there.fetch().files
    assert there.said == ""


def test_a_dump_that_arrives_changed_is_not_kept_and_the_rest_is(tmp_path: Path) -> None:
    changed = sends(FILES, lambda data: b"x" + data[1:])
    there = Place(tmp_path, answers(FILES, push_file=changed), controller="127.0.0.1")

    fetched = there.fetch()

    assert "minidump-1.dmp" not in fetched.files
    assert not (there.folder / "minidump-1.dmp").exists()
    assert "arrived with SHA-256" in there.said
    assert fetched.crash is not None
    assert fetched.crash.signature == "0xD1", "the header of MEMORY.DMP says so much"


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path: Path) -> None:
    facts = {"path": MINI, "size": len(FILES[MINI]), "sha256": "0" * 64}
    there = Place(tmp_path, answers(FILES, file_facts=facts))

    assert "minidump-1.dmp" not in there.fetch().files
    assert "changed while it was read" in there.said


def test_a_guest_that_lies_about_a_size_is_not_read_for_ever(tmp_path: Path) -> None:
    facts = {"path": MINI, "size": MOST_BY_CHANNEL, "sha256": "0" * 64}
    there = Place(tmp_path, answers(FILES, file_facts=facts))

    assert "minidump-1.dmp" not in there.fetch().files
    assert "ended at 32768 bytes" in there.said


def test_memory_is_too_much_for_the_channel_and_says_what_would_help(tmp_path: Path) -> None:
    listed = [{"path": MEMORY, "size": MOST_BY_CHANNEL + 1, "modified_utc": WHEN}]
    there = Place(tmp_path, answers(FILES, dump_files=listed))

    fetched = there.fetch(WantedDumps(whole=True, before=frozenset()))

    assert "memory.dmp" not in fetched.files
    assert "set controller in [host xen1]" in there.said


def test_dumps_from_before_are_left_alone(tmp_path: Path) -> None:
    there = Place(tmp_path, answers(FILES))

    fetched = there.fetch(WantedDumps(before=frozenset({(MEMORY, WHEN), (MINI, WHEN)})))

    assert fetched == Fetched()
    assert "there is no new one in win1" in there.said


@pytest.mark.parametrize(
    ("since", "new"),
    [
        ("2026-11-26T10:00:00.0000000Z", "new"),
        ("2026-11-26T10:31:00.0000000Z", "old"),
        ("0f3b2c1a-linux-boot-id", "new"),
        ("", "new"),
    ],
)
def test_where_nobody_had_looked_the_time_of_the_boot_tells(since: str, new: str) -> None:
    assert WantedDumps(since=since).is_new(DumpFile(MINI, 1, WHEN)) is (new == "new")


def test_a_dump_that_is_still_being_written_is_waited_for(tmp_path: Path) -> None:
    looks = iter([[], listing({MINI: b"x"}), listing(FILES), listing(FILES), listing(FILES)])
    there = Place(tmp_path, answers(FILES, dump_files=lambda: next(looks)))

    fetched = there.fetch(WantedDumps(before=frozenset(), expected=True))

    assert fetched.crash is not None
    assert fetched.crash.module == "xenvif.sys"


def test_no_dump_is_waited_for_when_nothing_says_there_was_a_bugcheck(tmp_path: Path) -> None:
    there = Place(tmp_path, answers({}))

    assert there.fetch() == Fetched()
    assert there.guest._channel.asked == ["dump_files"]


def test_what_is_no_dump_is_kept_and_said_to_be_none(tmp_path: Path) -> None:
    there = Place(tmp_path, answers({MINI: bytes(5000)}))

    fetched = there.fetch()

    assert fetched.crash is None
    assert "no dump that can be read: 5000 zeros" in there.told


def test_too_many_and_too_large_ones_stay_in_the_guest_and_the_newest_come(tmp_path: Path) -> None:
    files = {rf"C:\Windows\Minidump\{n}.dmp": a_minidump(slide=n << 20) for n in range(6)}
    listed = [
        {"path": path, "size": len(data), "modified_utc": f"2026-11-26T10:30:{n:02}.0Z"}
        for n, (path, data) in enumerate(files.items())
    ]
    listed[5]["size"] = MOST_BY_CHANNEL + 1
    there = Place(tmp_path, answers(files, dump_files=listed))

    fetched = there.fetch()

    assert fetched.files == (*(f"minidump-{n}.dmp" for n in range(1, 5)), "crash.txt")
    assert (there.folder / "minidump-1.dmp").read_bytes() == files[r"C:\Windows\Minidump\4.dmp"]
    assert there.said.count("is left in the guest") == 2


def test_a_guest_that_goes_silent_in_the_middle_leaves_what_had_come(tmp_path: Path) -> None:
    parts = answers(FILES)["read_file"]

    def silent(path: str, offset: int, length: int) -> object:
        if path == MEMORY:
            raise AnswerTimedOut("no answer in 30 s")
        return parts(path=path, offset=offset, length=length)

    there = Place(tmp_path, answers(FILES, read_file=silent))

    fetched = there.fetch()

    assert fetched.files == ("minidump-1.dmp", "crash.txt")
    assert "dumps: AnswerTimedOut" in there.said


def test_a_guest_that_does_not_answer_at_all_is_the_caller_s_to_note(tmp_path: Path) -> None:
    there = Place(tmp_path, {"dump_files": GuestUnreachable("nobody is there")})

    with pytest.raises(GuestUnreachable):
        there.fetch()


def test_no_question_outlasts_the_time_there_is(tmp_path: Path) -> None:
    asked: list[float] = []

    class Slow:
        log = None

        def call(self, operation: object, params: object, deadline: Deadline) -> object:
            asked.append(deadline.seconds)
            return []

        def close(self) -> None:
            """Nothing to do."""

    there = Place(tmp_path, {})
    there.guest._channel = Slow()
    Courier(there.guest, Deadline.after(0.2)).operations.dump_files()

    assert asked[0] <= 0.2


def test_notes_are_added_to_those_that_are_there_and_hold_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "notes.txt").write_text("an older note\n")

    Notes(folder, lambda text: text.replace("geheim", "***")).add("the password\nis geheim")

    assert (folder / "notes.txt").read_text() == "an older note\nthe password is ***\n"


def test_an_answer_that_is_no_base64_is_a_line_of_the_notes(tmp_path: Path) -> None:
    def torn(path: str, offset: int, length: int) -> dict[str, object]:
        del offset, length
        return {"path": path, "size": len(FILES[MEMORY]), "content": "no base64!"}

    place = Place(tmp_path, answers({MEMORY: FILES[MEMORY]}, read_file=torn))
    assert place.fetch().crash is None
    assert "no base64" in (place.folder / "notes.txt").read_text()
