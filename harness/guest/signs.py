"""Does a guest that answers no more still do anything? Judged by what only the guest can have changed.

Processor time is no sign: a guest that hangs in its kernel uses all it can get.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import CommandFailed, OutputNotUnderstood
from harness.guest.stopscreen import is_stop_screen
from harness.host.domain import DomainSpec
from harness.host.host import Host
from harness.host.toolstack.protocol import NoSuchDomain

__all__ = ["Life", "Traces", "difference", "look", "shows_a_stop", "sign_of_a_boot", "sign_of_life"]

_CONNECTED = "4"  # XenbusState (xen/include/public/io/xenbus.h)
# What the guest itself writes (facts/pv-drivers.md 2.2); data/pvhck is where tests write from both sides.
_GUESTS_OWN = re.compile(r"(attr|data(?!/pvhck)|drivers|feature)/|device/\w+/\d+/")
# QEMU draws the blinking cursor of a text screen by itself (hw/display/vga.c); VGA's text mode has 400 lines.
_TEXT_SCREEN = re.compile(rb"P6\s+\d+\s+400\s")


@dataclass(frozen=True)
class Traces:
    """What a guest shows to its host at one time: empty where that could not be seen.

    ``console`` is the size of its log, ``screen`` a digest of the picture, ``store`` the guest's own
    nodes of xenstore by their paths below its folder.
    """

    console: str
    screen: str
    store: Mapping[str, str]


@dataclass(frozen=True)
class Life:
    """What a guest did while it was looked at: it ``answers``, or left a ``trace``, in words, or neither."""

    answers: bool = False
    trace: str = ""


def sign_of_life(
    host: Host, domain: DomainSpec, deadline: Deadline, *, answers: Callable[[], bool] = lambda: False
) -> Life:
    """Look until the guest does something; neither answer nor trace when it did nothing until the deadline.

    ``answers`` asks the guest itself: one whose network was away for a moment is not silent.

    Raises:
        NoSuchDomain: the domain is gone meanwhile.
    """
    before = look(host, domain)

    def probe() -> Done[Life] | NotYet:
        if answers():
            return Done(Life(answers=True))
        trace = difference(before, look(host, domain))
        return Done(Life(trace=trace)) if trace else NotYet("nothing moves")

    try:
        return wait_until(probe, subject=f"{domain.name} shows life", deadline=deadline)
    except WaitTimedOut:
        return Life()


def sign_of_a_boot(host: Host, domain: DomainSpec) -> str:
    """What only a guest that has booted with its drivers shows in xenstore, in words; empty for nothing.

    Raises:
        NoSuchDomain: there is no such domain.
    """
    folder = f"{_folder(host, domain)}/device/vif"
    for number in host.xenstore.children(folder):
        if host.xenstore.find(f"{folder}/{number}/state") == _CONNECTED:
            return f"its vif {number} is connected"
    return ""


def shows_a_stop(host: Host, domain: DomainSpec) -> bool:
    """Whether its screen says that it crashed; False as well where there is no picture."""
    try:
        return is_stop_screen(host.toolstack.screen_dump(domain.name))
    except (CommandFailed, OutputNotUnderstood):
        return False


def look(host: Host, domain: DomainSpec) -> Traces:
    """Take the guest's traces now."""
    folder = _folder(host, domain)
    nodes = host.xenstore.tree(folder)
    own = {path.removeprefix(f"{folder}/"): value for path, value in nodes.items()}
    return Traces(
        console=_console_size(host, domain.console_log),
        screen=_screen_digest(host, domain.name),
        store={path: value for path, value in own.items() if _GUESTS_OWN.match(path)},
    )


def difference(before: Traces, now: Traces) -> str:
    """What the guest has done between two looks, in words; empty for nothing. Pure."""
    if before.console and now.console and before.console != now.console:
        return "its console goes on"
    if before.screen and now.screen and before.screen != now.screen:
        return "its screen changes"
    changed = sorted(path for path, _ in set(before.store.items()) ^ set(now.store.items()))
    return f"it changes {changed[0]} in xenstore" if changed else ""


def _folder(host: Host, domain: DomainSpec) -> str:
    found = host.toolstack.find(domain.name)
    if found is None:
        raise NoSuchDomain(f"host {host.name}: there is no domain {domain.name}")
    return f"/local/domain/{found.domid}"


def _console_size(host: Host, path: str) -> str:
    result = host.shell.run(["stat", "-c", "%s", path], repeatable=True) if path else None
    return result.stdout.strip() if result is not None and result.ok else ""


def _screen_digest(host: Host, name: str) -> str:
    try:
        picture = host.toolstack.screen_dump(name)
    except (CommandFailed, OutputNotUnderstood):
        return ""  # this toolstack or device model has no screen dump
    return "" if _TEXT_SCREEN.match(picture) else hashlib.sha256(picture).hexdigest()
