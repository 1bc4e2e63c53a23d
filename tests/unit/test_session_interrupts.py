"""The order in which Ctrl-C and SIGTERM are answered, without a run around it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from harness.session.interrupts import interruptible, loading, tidying

SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM


@pytest.fixture(autouse=True)
def _as_they_were() -> Iterator[None]:
    before = {number: signal.signal(number, signal.default_int_handler) for number in (SIGINT, SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_the_first_signal_ends_the_work(number: signal.Signals) -> None:
    with interruptible(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_the_second_is_told_and_the_third_ends_the_tidying_up(capfd: pytest.CaptureFixture[str]) -> None:
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(SIGINT)
        with tidying():
            signal.raise_signal(SIGTERM)
            assert capfd.readouterr().err.startswith("pvhck: tidying up; interrupt once more")
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(SIGINT)


def test_a_first_signal_while_it_is_tidied_up_comes_when_all_is_done() -> None:
    done: list[str] = []
    with interruptible(), pytest.raises(KeyboardInterrupt):
        _tidy_up(done)
    assert done == ["tidied up"]


def test_without_the_command_line_around_it_a_first_signal_waits_as_well() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        _tidy_up(done)
    assert done == ["tidied up"]


def test_an_error_of_the_tidying_up_is_not_hidden_by_a_signal() -> None:
    def fail() -> None:
        with tidying():
            signal.raise_signal(SIGINT)
            raise OSError("gone")

    with interruptible(), pytest.raises(OSError, match="gone"):
        fail()


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(SIGINT, signal.SIG_IGN)
    with interruptible(), tidying():
        signal.raise_signal(SIGINT)
        signal.raise_signal(SIGINT)
    with loading():
        signal.raise_signal(SIGINT)
    assert signal.getsignal(SIGINT) is signal.SIG_IGN


def test_handlers_are_as_they_were_afterwards() -> None:
    with loading(), interruptible(), tidying():
        pass
    assert [signal.getsignal(number) for number in (SIGINT, SIGTERM)] == [signal.default_int_handler] * 2


def test_in_the_middle_of_paramiko_a_signal_is_put_off_until_it_is_done() -> None:
    seen: list[str] = []
    code = "signal.raise_signal(signal.SIGINT)\nseen.append('done')\n"

    def work() -> None:
        # where a lock that was just acquired would be left held
        exec(code, {"__name__": "paramiko.channel", "signal": signal, "seen": seen})
        threading.Event().wait(20)

    with interruptible(), pytest.raises(KeyboardInterrupt):
        work()
    assert seen == ["done"]


def test_other_threads_tidy_up_without_signals() -> None:
    done = []

    def work() -> None:
        with tidying():
            done.append("tidied up")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["tidied up"]


def _tidy_up(done: list[str]) -> None:
    with tidying():
        signal.raise_signal(SIGINT)
        done.append("tidied up")
