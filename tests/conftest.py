"""On nested Xen: what the emulated processor spoils is told from what our code or Xen does.

Under TCG a guest now and then restarts by itself, by a triple fault that is none of its own
(facts/nested-xen.md). A test that one fell into fails with words of its own; `make test-xen` runs
such a test once more, and no other: pytest-rerunfailures, shown as R and in the summary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings

from harness.guest.crash import triple_faults

# A machine that others use may take its time; what takes this long for one small example has no end.
settings.register_profile("pvhck", deadline=5000)
settings.load_profile("pvhck")


@dataclass
class RealXen:
    """How the real host is asked, and its guests brought back; ``seen`` are triple faults so far."""

    dmesg: Callable[[], str]
    recover: Callable[[], None]
    seen: Counter[str] = field(default_factory=Counter)

    def new_triple_faults(self) -> Counter[str]:
        """Those that came since this was asked last."""
        now = triple_faults(self.dmesg())
        new, self.seen = now - self.seen, now
        return new


real_xen_key = pytest.StashKey[RealXen]()


class TripleFault(Exception):
    """The emulated processor triple-faulted during this test: the lab's fault."""


@pytest.fixture(scope="session")
def note_real_xen(request: pytest.FixtureRequest) -> Callable[[Callable[[], str], Callable[[], None]], None]:
    """Called by the fixtures that make a real host: how to ask it and how to bring its guests back."""

    def note(dmesg: Callable[[], str], recover: Callable[[], None]) -> None:
        watched = RealXen(dmesg, recover)
        watched.new_triple_faults()
        request.config.stash[real_xen_key] = watched

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    watched = item.config.stash.get(real_xen_key, None)
    if watched is not None:
        watched.new_triple_faults()  # those of tests that passed all the same
    return (yield from _told(watched))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _told(item.config.stash.get(real_xen_key, None)))


def _told(watched: RealXen | None) -> Generator[None, object, object]:
    try:
        return (yield)
    except Exception as error:
        if watched is None or not watched.new_triple_faults():
            raise
        watched.recover()
        raise TripleFault("the emulated processor triple-faulted during this test") from error
