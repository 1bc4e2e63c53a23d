"""Our dispatcher as pytest-xdist wants a scheduler: tests are places in a collection, slots are workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdist.workermanage import WorkerController

from harness.errors import HarnessError
from harness.model import Outcome
from harness.session.dispatch import Assignment, Dispatcher
from harness.session.slots import Slot
from harness.session.worker import Signal

__all__ = ["SlotScheduling"]


class SlotScheduling:
    """``xdist.scheduler.protocol.Scheduling`` (pytest-xdist 3.8). A worker that is ready waits for no other.

    ``outcome`` says what came of an assignment that has ended, ``died`` hears of one whose worker did not
    live to its end, ``refill`` is called before tests are given out: it may take hosts or tests away.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        slot_of: Callable[[WorkerController], Slot],
        *,
        outcome: Callable[[Assignment], Outcome],
        died: Callable[[Assignment, Slot], None],
        refill: Callable[[], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._slot_of = slot_of
        self._outcome = outcome
        self._died = died
        self._refill = refill
        self._slots: dict[WorkerController, Slot] = {}
        self._places: dict[WorkerController, dict[str, int]] = {}

    @property
    def nodes(self) -> list[WorkerController]:
        """The workers that are there."""
        return list(self._slots)

    @property
    def collection_is_completed(self) -> bool:
        """Whether tests can be given out: from the first worker on that has collected them."""
        return bool(self._places)

    @property
    def tests_finished(self) -> bool:
        """Whether workers may end."""
        return self._dispatcher.done

    @property
    def has_pending(self) -> bool:
        """Whether something is left to run."""
        return not self._dispatcher.done

    def add_node(self, node: WorkerController) -> None:
        """A worker is there; it has collected nothing yet."""
        self._slots[node] = self._slot_of(node)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected."""
        self._places[node] = {test: place for place, test in enumerate(collection)}

    def schedule(self) -> None:
        """Give all idle workers something to do."""
        self._refill()
        for node in self._places:
            self._feed(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has ended a test, or obeyed a signal."""
        del duration
        slot = self._slots[node]
        assignment = self._dispatcher.running(slot)
        if assignment is None or self._places[node].get(assignment.task.id) != item_index:
            return
        self._dispatcher.finished(slot, self._outcome(assignment))
        self.schedule()

    def mark_test_pending(self, item: str) -> None:
        """For plugins that repeat crashed tests: we repeat ours ourselves."""
        raise NotImplementedError(item)

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """Nothing is ever taken back from a worker."""
        raise NotImplementedError(node, indices)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker is gone. What it ran is broken; None tells pytest-xdist to report nothing of its own.

        Raises:
            KeyError: it never was there.
        """
        slot = self._slots.pop(node)
        self._places.pop(node, None)
        lost = self._dispatcher.lost(slot)
        if lost is not None:
            self._died(lost, slot)
        self.schedule()
        return None

    def _feed(self, node: WorkerController) -> None:
        assignment = self._dispatcher.next(self._slots[node])
        if assignment is None:
            return
        places = self._places[node]
        if assignment.task.id not in places:
            raise HarnessError(f"worker {node.gateway.id} has not collected {assignment.task.id}")
        test, pause = places[assignment.task.id], places[Signal.PAUSE.test_id]
        again = [places[Signal.AGAIN.test_id]] * (assignment.attempt - 1)
        node.send_runtest_some([*again, test, pause])
