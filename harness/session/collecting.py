"""Which tests a run has, and where: pytest's collection, narrowed down to what the profile asks for."""

from __future__ import annotations

import pytest

from harness.session.request import RunRequest
from harness.session.selection import Planned, in_order, is_scenario, plan, wanted
from harness.session.state import planned_key

__all__ = ["Collection"]


class Collection:
    """A plugin; its methods are pytest's hooks. The same request gives the same tests in the same order."""

    def __init__(self, request: RunRequest) -> None:
        self.request = request
        self._planned: list[Planned] = []

    @property
    def planned(self) -> tuple[Planned, ...]:
        """Every test of the profile at its placement, in the order they run; known after collection."""
        return tuple(self._planned)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test that needs a host runs at every placement."""
        if "placement" in metafunc.fixturenames:
            places = self.request.placements
            metafunc.parametrize("placement", places, ids=[place.id for place in places], indirect=True)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Only what the profile asks for; what cannot run is skipped before anything is provisioned."""
        chosen = [item for item in items if is_scenario(item) and wanted(item, self.request.profile)]
        taken = set(chosen)
        left = [item for item in items if item not in taken]
        if left:
            config.hook.pytest_deselected(items=left)
        for item in in_order(chosen):
            planned = plan(item, self.request.lab, self.request.build, self.request.options.adoption)
            self._planned.append(planned)
            item.stash[planned_key] = planned
            if planned.reasons:
                item.add_marker(pytest.mark.skip(reason="; ".join(planned.reasons)))
        items[:] = [planned.item for planned in self._planned]
