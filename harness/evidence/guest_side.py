"""What a guest tells of itself, if it still answers; and what went over its channel, which is known here."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Iterable
from typing import Any

from harness.deadline import Deadline
from harness.evidence.collector import Collector, Put, Scene, Side
from harness.model import GuestKind

__all__ = ["CHANNEL_COLLECTOR", "GUEST_COLLECTORS"]

_EVENTS = 400
_SETUP_LOG = r"C:\Windows\INF\setupapi.dev.log"
_SETUP_BYTES = 256 << 10


def _exchanges(scene: Scene, _deadline: Deadline, put: Put) -> None:
    put("channel.jsonl", scene.the_guest.log.lines())


def _events(scene: Scene, deadline: Deadline, put: Put) -> None:
    newest = scene.ask("event_mark", deadline)["record"]
    events = scene.ask("events_since", deadline, record=max(0, newest - _EVENTS), limit=_EVENTS)
    put("guest-events.jsonl", "".join(f"{json.dumps(event)}\n" for event in events))


def _dumps(scene: Scene, deadline: Deadline, put: Put) -> None:
    put("guest-dumps.json", _json(scene.ask("dump_files", deadline)))


def _devices(scene: Scene, deadline: Deadline, put: Put) -> None:
    put("guest-devices.json", _json(scene.ask("pnp_devices", deadline, prefix="")))


def _setup_log(scene: Scene, deadline: Deadline, put: Put) -> None:
    if scene.the_guest.kind is GuestKind.STAND_IN:
        return  # Linux has none
    size = scene.ask("read_file", deadline, path=_SETUP_LOG, offset=0, length=2)["size"]
    start = max(0, size - _SETUP_BYTES)
    start -= start % 2  # a character of UTF-16 stays whole
    part = scene.ask("read_file", deadline, path=_SETUP_LOG, offset=start, length=_SETUP_BYTES + 2)
    text = _decoded(base64.b64decode(part["content"]), whole=start == 0)
    put("setupapi.txt", text)


def _decoded(data: bytes, *, whole: bool) -> str:
    # ANSI on some systems, UTF-16 or UTF-8 on others: zeros between the letters tell
    wide = data.startswith(codecs.BOM_UTF16_LE) or data[1:200:2].count(0) > len(data[1:200:2]) / 2
    text = data.decode("utf-16-le" if wide else "utf-8", errors="replace").lstrip("\ufeff")
    if whole:
        return text
    return "[pvhck: the end of a longer file]\n" + text.partition("\n")[2]


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


CHANNEL_COLLECTOR = Collector("channel", Side.HERE, _exchanges)

GUEST_COLLECTORS: Iterable[Collector] = (
    Collector("guest event log", Side.GUEST, _events),
    Collector("guest dump files", Side.GUEST, _dumps),
    Collector("guest devices", Side.GUEST, _devices, limit_s=60),
    Collector("setupapi.dev.log", Side.GUEST, _setup_log),
)
