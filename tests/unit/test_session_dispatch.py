"""Which test goes where: no test is lost or run twice, exclusive ones are alone, bad hosts lose theirs."""

from __future__ import annotations

import heapq
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Outcome
from harness.session.dispatch import Assignment, Dispatcher, Task
from harness.session.slots import Slot

HOSTS = ("a", "b", "c")
PASSED, FAILED, BROKEN = Outcome.PASSED, Outcome.FAILED, Outcome.BROKEN


def task(name: str, hosts: tuple[str, ...] = ("a",), **changes: object) -> Task:
    return replace(Task(f"{name}[win]", name, "win", hosts), **changes)  # type: ignore[arg-type]


def slots(*hosts: str) -> list[Slot]:
    return [Slot(number, host) for number, host in enumerate(hosts, start=1)]


def names(*assignments: Assignment | None) -> list[str]:
    return [one.task.name if one else "-" for one in assignments]


class Lab:
    """Slots that take what the dispatcher gives them, in simulated time."""

    def __init__(self, dispatcher: Dispatcher, places: list[Slot], outcomes: dict[tuple[str, str], Outcome]):
        self.dispatcher, self.places, self.outcomes = dispatcher, places, outcomes
        self.ran: list[tuple[str, str, int, float, float]] = []  # test, host, attempt, from, to
        self.stranded: list[str] = []
        self.now = 0.0

    def run(self, fresh_s: float = 0.0) -> None:
        busy: list[tuple[float, Slot, Assignment]] = []
        held: dict[Slot, str] = {}
        while not self.dispatcher.done:
            self.stranded += [one.id for one in self.dispatcher.take_stranded()]
            for slot in self.places:
                given_ = self.dispatcher.next(slot)
                if given_ is not None:
                    cost = 0.0 if held.get(slot) == given_.task.template else fresh_s
                    held[slot] = "" if given_.task.dirties else given_.task.template
                    end = self.now + cost + given_.task.expected_s
                    heapq.heappush(busy, (end, slot, given_))
                    self.ran.append((given_.task.id, slot.host, given_.attempt, self.now, end))
            if not busy:
                assert self.dispatcher.done, "nothing runs, and something is left"
                return
            self.now, slot, ended = heapq.heappop(busy)
            self.dispatcher.finished(slot, self.outcomes.get((ended.task.id, slot.host), PASSED))


tasks = st.lists(
    st.builds(
        Task,
        id=st.integers(0, 10**6).map(lambda number: f"test_{number}[x]"),
        name=st.sampled_from(["one", "two", "three"]),
        template=st.sampled_from(["win10", "win7"]),
        hosts=st.lists(st.sampled_from([*HOSTS, "not-leased"]), min_size=1, unique=True).map(tuple),
        exclusive=st.booleans(),
        dirties=st.booleans(),
        expected_s=st.floats(0, 600),
    ),
    max_size=25,
    unique_by=lambda one: one.id,
)
places = st.lists(st.sampled_from(HOSTS), min_size=1, max_size=8)
fates = st.dictionaries(
    st.tuples(st.integers(0, 24), st.sampled_from(HOSTS)), st.sampled_from([PASSED, FAILED, BROKEN])
)


@given(tasks, places, fates, st.floats(0, 300))
def test_every_test_runs_where_it_can_once_or_is_given_up(
    found: list[Task], where: list[str], fate: dict[tuple[int, str], Outcome], fresh_s: float
) -> None:
    by_id = {one.id: one for one in found}
    outcomes = {(found[at].id, host): outcome for (at, host), outcome in fate.items() if at < len(found)}
    lab = Lab(Dispatcher(found, slots(*where), fresh_s=fresh_s), slots(*where), outcomes)
    lab.run()
    first = [name for name, _, attempt, _, _ in lab.ran if attempt == 1]
    assert sorted(first + lab.stranded) == sorted(by_id)
    second = [name for name, _, attempt, _, _ in lab.ran if attempt == 2]
    assert len(second) == len(set(second))
    for name, host, attempt, begin, end in lab.ran:
        assert host in by_id[name].hosts
        earlier = [at for other, at, number, _, _ in lab.ran if other == name and number < attempt]
        assert all(outcomes[name, at] is BROKEN for at in earlier)
        if by_id[name].exclusive and end > begin:
            beside = [
                other
                for other, at, _, since, until in lab.ran
                if at == host and other != name and since < end and until > begin
            ]
            assert not beside, f"{name} was not alone"


def test_the_longest_goes_first_and_what_dirties_the_guest_last() -> None:
    found = [
        task("short", expected_s=1),
        task("dirty", dirties=True, expected_s=9),
        task("long", expected_s=5),
    ]
    lab = Lab(Dispatcher(found, slots("a"), fresh_s=0), slots("a"), {})
    lab.run()
    assert [name for name, *_ in lab.ran] == ["long[win]", "short[win]", "dirty[win]"]


def test_a_slot_stays_with_the_template_whose_guest_it_has() -> None:
    found = [task(f"{name}{number}", template=name) for number in range(3) for name in ("x", "y")]
    lab = Lab(Dispatcher(found, slots("a"), fresh_s=0), slots("a"), {})
    lab.run()
    order = [by.partition("[")[0][0] for by, *_ in lab.ran]
    assert order in (["x"] * 3 + ["y"] * 3, ["y"] * 3 + ["x"] * 3)


def test_nobody_makes_a_guest_for_work_that_ends_sooner_without() -> None:
    found = [task("first", expected_s=10), task("second", expected_s=10)]
    one, two = slots("a", "a")
    dispatcher = Dispatcher(found, [one, two], fresh_s=100)
    assert names(dispatcher.next(one), dispatcher.next(two)) == ["first", "-"]


def test_an_exclusive_test_begins_on_the_idle_host_and_nothing_beside_it() -> None:
    one, two = slots("a", "a")
    dispatcher = Dispatcher([task("shared"), task("alone", exclusive=True)], [one, two], fresh_s=0)
    assert names(dispatcher.next(one), dispatcher.next(two)) == ["alone", "-"]
    dispatcher.finished(one, PASSED)
    assert names(dispatcher.next(two)) == ["shared"]


def test_a_broken_test_runs_again_on_another_host_after_all_others() -> None:
    found = [task("wobbly", ("a", "b"), expected_s=9), task("other", ("a", "b"), expected_s=60)]
    one, two = slots("a", "b")
    dispatcher = Dispatcher(found, [one, two], fresh_s=0)
    assert names(dispatcher.next(one)) == ["other"]
    assert names(dispatcher.next(two)) == ["wobbly"]
    dispatcher.finished(two, BROKEN)
    assert names(dispatcher.next(two)) == ["-"], "another host is there"
    dispatcher.finished(one, PASSED)
    assert dispatcher.next(one) == Assignment(found[0], 2)


def test_a_broken_test_runs_again_on_the_same_host_if_there_is_no_other() -> None:
    (one,) = slots("a")
    dispatcher = Dispatcher([task("wobbly")], [one], fresh_s=0)
    dispatcher.next(one)
    dispatcher.finished(one, BROKEN)
    assert dispatcher.next(one) == Assignment(task("wobbly"), 2)
    dispatcher.finished(one, BROKEN)
    assert dispatcher.done


def test_two_different_tests_broken_in_a_row_take_the_host_out_and_the_others_move() -> None:
    one, two = slots("a", "b")
    found = [task("x", ("a", "b")), task("y", ("a", "b")), task("z", ("a", "b")), task("only-a")]
    dispatcher = Dispatcher(found, [one, two], fresh_s=0)
    for _ in range(2):
        dispatcher.next(one)
        dispatcher.finished(one, BROKEN)
    assert "a" in dispatcher.out
    assert dispatcher.next(one) is None
    stranded = {one.name for one in dispatcher.take_stranded()}
    assert stranded <= {"only-a"}
    left = []
    while (given_ := dispatcher.next(two)) is not None:
        left.append((given_.task.name, given_.attempt))
        dispatcher.finished(two, PASSED)
    assert dispatcher.done
    assert {name for name, _ in left} | {"only-a"} == {"x", "y", "z", "only-a"}


@pytest.mark.parametrize("between", [PASSED, FAILED])
def test_a_test_that_ran_in_between_keeps_the_host(between: Outcome) -> None:
    (one,) = slots("a")
    dispatcher = Dispatcher([task("x"), task("y"), task("z")], [one], fresh_s=0)
    for outcome in (BROKEN, between, BROKEN):
        assert dispatcher.next(one) is not None
        dispatcher.finished(one, outcome)
    assert dispatcher.out == {}


def test_one_scenario_that_is_broken_at_every_template_says_nothing_of_the_host() -> None:
    (one,) = slots("a")
    found = [replace(task("x", template=name), id=f"x[{name}]") for name in ("win7", "win10", "win11")]
    dispatcher = Dispatcher(found, [one], fresh_s=0)
    for _ in found:
        assert dispatcher.next(one) is not None
        dispatcher.finished(one, BROKEN)
    assert dispatcher.out == {}


def test_the_test_of_a_worker_that_died_runs_again() -> None:
    (one,) = slots("a")
    dispatcher = Dispatcher([task("x")], [one], fresh_s=0)
    dispatcher.next(one)
    assert dispatcher.lost(one) == Assignment(task("x"), 1)
    assert dispatcher.next(one) == Assignment(task("x"), 2)
    assert dispatcher.lost(slots("a")[0]) is not None
    assert dispatcher.done


def test_a_worker_that_dies_idle_takes_no_test_with_it() -> None:
    (one,) = slots("a")
    dispatcher = Dispatcher([task("x")], [one], fresh_s=0)
    assert dispatcher.lost(one) is None
    assert names(dispatcher.next(one)) == ["x"]


def test_when_the_time_is_over_what_has_not_begun_is_given_up() -> None:
    one, two = slots("a", "a")
    dispatcher = Dispatcher([task("x"), task("y")], [one, two], fresh_s=0)
    dispatcher.next(one)
    assert [left.name for left in dispatcher.take_pending()] == ["y"]
    assert not dispatcher.done
    dispatcher.finished(one, BROKEN)
    assert names(dispatcher.next(one)) == ["x"]
