"""Whose fault a guest's silence is: what it still does, what it does not, and whether it ever answered."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import pytest
from fake_host import RECORDED_XL, Answer, make_guest, make_host, recorded

from harness.deadline import Deadline, WaitTimedOut
from harness.errors import (
    ChannelError,
    GuestAuthFailed,
    GuestCrashed,
    GuestError,
    GuestHung,
    GuestUnreachable,
    InfrastructureError,
)
from harness.guest.guest import Guest, GuestState
from harness.guest.signs import Traces, difference, look, sign_of_life

_PICTURE = b"P6\n2 2\n255\n" + bytes(12)
_TEXT_SCREEN = b"P6\n720 400\n255\n"
_DUMP = "get /srv/pvhck/win1.ppm"
_TREE = '/local/domain/2/device/vif/0/state = "{}"\n/local/domain/2/memory/target = "{}"\n'


def at_rest(**changes: Answer) -> dict[str, Answer]:
    """A host whose guest win1 does nothing; ``changes`` by the words store, console, dump."""
    places = {"store": "xenstore-ls -f /local/domain/2", "console": "stat -c %s", "dump": _DUMP}
    return {
        **RECORDED_XL,
        "xl qemu-monitor-command win1": "",
        "rm -f": "",
        "xenstore-ls -f /local/domain/2": _TREE.format("1", "262144"),
        "xenstore-list": (1, "", "couldn't list\n"),
        "stat -c %s": "100\n",
        _DUMP: _PICTURE,
        **{places[word]: answer for word, answer in changes.items()},
    }


def moving(text: str) -> Answer:
    """A command whose answer is another one each time."""
    numbers = itertools.count(1)

    def answer(_: Sequence[str]) -> tuple[int, str, str]:
        return 0, text.format(next(numbers), 262144), ""

    return answer


def guest_on(answers: dict[str, Answer], *, answered: bool = True) -> Guest:
    guest: Any = make_guest(make_host(answers, time_factor=0.1), {})
    guest._answered = answered
    guest._look = _nobody
    made: Guest = guest
    return made


def _nobody() -> str:
    raise GuestUnreachable("nobody answers")


def silent(guest: Guest, error: ChannelError | None = None) -> Exception:
    return guest.explain(error or GuestUnreachable("no answer"))


def test_a_guest_at_which_nothing_moves_hangs() -> None:
    assert type(silent(guest_on(at_rest()))) is GuestHung


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"store": moving(_TREE)}, "device/vif/0/state in xenstore"),
        ({"console": moving("{}\n")}, "its console goes on"),
    ],
    ids=["xenstore", "console"],
)
def test_a_guest_that_still_does_something_has_lost_its_network(
    changes: dict[str, Answer], words: str
) -> None:
    found = silent(guest_on(at_rest(**changes)))

    assert type(found) is GuestError
    assert words in str(found)
    assert "lost its network" in str(found)


def test_a_guest_that_answers_again_at_once_lost_the_connection_and_is_not_watched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = guest_on(at_rest())
    looks = itertools.count()

    def look_at_it() -> str:
        if next(looks) == 0:
            raise GuestUnreachable("not yet")
        return "boot-1"

    monkeypatch.setattr(guest, "_look", look_at_it)
    found = silent(guest, GuestUnreachable("reset by peer"))

    assert type(found) is GuestError
    assert "lost the connection and answers again" in str(found)
    assert "reset by peer" in str(found)


def test_a_guest_whose_domain_crashes_a_moment_after_its_network_is_no_hang() -> None:
    code, text, _ = recorded("xl-list")
    looks = itertools.count()

    def list_domains(_: Sequence[str]) -> tuple[int, str, str]:
        state = "--psc-" if next(looks) > 1 else "-b----"
        return code, re.sub(r"(?m)(^win1 .*) -b----", rf"\1 {state}", text), ""

    guest = guest_on({**at_rest(), "xl list": list_domains})

    assert type(silent(guest)) is GuestCrashed


def test_processor_time_alone_is_no_life() -> None:
    code, text, _ = recorded("xl-list")
    seconds = itertools.count(100)

    def list_domains(_: Sequence[str]) -> tuple[int, str, str]:
        return code, re.sub(r"(?m)(^win1 .*) [\d.]+$", rf"\1 {next(seconds)}.0", text), ""

    guest = guest_on({**at_rest(), "xl list": list_domains})

    assert type(silent(guest)) is GuestHung
    domain = guest.host.toolstack.find("win1")
    assert domain is not None
    assert domain.cpu_s > 100, "the test is of no use when it does not go on"


def test_what_dom0_writes_is_no_life_of_the_guest() -> None:
    targets = moving('/local/domain/2/memory/target = "{}"\n')
    tests = moving('/local/domain/2/data/pvhck/watched-0 = "change {}"\n')

    for store in (targets, tests):
        assert type(silent(guest_on(at_rest(store=store)))) is GuestHung


def test_a_cursor_that_qemu_draws_is_no_life() -> None:
    host = make_host(at_rest(dump=_TEXT_SCREEN))

    assert look(host, make_guest(host, {}).domain).screen == ""


def test_another_picture_is_life() -> None:
    still = Traces("", "one", {})

    assert difference(still, Traces("", "two", {})) == "its screen changes"
    assert not difference(still, Traces("", "", {})), "a picture that could not be taken says nothing"


def test_a_host_without_screen_dumps_is_looked_at_all_the_same() -> None:
    answers = at_rest(store=moving(_TREE))
    answers["xl qemu-monitor-command win1"] = (1, "", "unknown command\n")
    guest = guest_on(answers)

    assert "device/vif/0/state" in sign_of_life(guest.host, guest.domain, Deadline.after(5)).trace


def test_a_guest_that_never_answered_in_this_run_is_the_labs_fault() -> None:
    found = silent(guest_on(at_rest(), answered=False))

    assert isinstance(found, InfrastructureError)
    assert "never answered" in str(found)


def test_a_refused_login_is_the_labs_fault() -> None:
    found = silent(guest_on(at_rest()), GuestAuthFailed("refuses user", mend="check `user`"))

    assert isinstance(found, InfrastructureError)
    assert "check `user`" in str(found)


# -- waiting for it


def waits(guest: Guest, monkeypatch: pytest.MonkeyPatch, look: str | Exception, *, old: str = "") -> None:
    def answer() -> str:
        if isinstance(look, Exception):
            raise look
        return look

    monkeypatch.setattr(guest, "_look", answer)
    guest.wait_ready(Deadline.after(0), old_boot=old)


def test_a_guest_that_answered_before_and_does_not_come_back_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GuestHung, match=r"does not come back: .*connection refused"):
        waits(guest_on(at_rest()), monkeypatch, GuestUnreachable("connection refused"), old="boot 1")


def test_one_that_has_booted_without_its_network_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = at_rest()
    answers["xenstore-list /local/domain/2/device/vif"] = "0\n"
    answers["xenstore-read /local/domain/2/device/vif/0/state"] = "4\n"

    with pytest.raises(GuestError, match="lost its network: its vif 0 is connected") as error:
        waits(guest_on(answers), monkeypatch, GuestUnreachable("no answer"), old="boot 1")
    assert not isinstance(error.value, GuestHung)


def test_one_that_answers_and_has_not_rebooted_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GuestError, match="did not reboot") as error:
        waits(guest_on(at_rest()), monkeypatch, "boot 1", old="boot 1")
    assert not isinstance(error.value, GuestHung)


def test_one_whose_domain_is_gone_has_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text, _ = recorded("xl-list")
    others = "".join(line for line in text.splitlines(keepends=True) if "win1" not in line)

    with pytest.raises(GuestCrashed, match="gone from its host"):
        waits(
            guest_on({**at_rest(), "xl list": (code, others, "")}),
            monkeypatch,
            GuestUnreachable("no answer"),
            old="boot 1",
        )


def test_a_first_boot_that_does_not_end_is_not_blamed_on_the_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WaitTimedOut, match="answers by WinRM"):
        waits(guest_on(at_rest(), answered=False), monkeypatch, GuestUnreachable("no answer"))


def test_a_guest_keeps_its_drivers_over_a_stop_and_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = guest_on({**at_rest(), "xl destroy win1": ""})
    guest.state = GuestState.VERIFIED
    monkeypatch.setattr(guest.host.toolstack, "destroy", lambda name: None)

    guest.kill()
    off = guest.state
    waits(guest, monkeypatch, "boot 2", old="boot 1")

    assert (off, guest.state) == (GuestState.OFF, GuestState.VERIFIED)


def test_a_broken_guest_stays_broken_whatever_is_done_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = guest_on(at_rest())
    guest.break_()
    monkeypatch.setattr(guest.host.toolstack, "destroy", lambda name: None)

    guest.kill()
    waits(guest, monkeypatch, "boot 2", old="boot 1")

    assert guest.state is GuestState.BROKEN
