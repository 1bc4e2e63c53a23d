"""Runs in which a switch comes on at a stage: one scenario, on many templates or on a host and its spare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fault_runs import RunSpec

__all__ = ["StageSpec"]

# What a test does that uses all of a guest for a moment. A restart that nobody asked for is seen by the boot.
_SCENARIO = """\
from harness.scenario import drivers

@drivers("xenbus")
def test_work(guest):
    boot = guest.boot_id
    for turn in range(12):
        key = f"C:\\\\\\\\pvhck-{turn}.txt"
        guest.operations.write_file(path=key, content="cHZoY2s=")
        assert guest.operations.file_facts(path=key).size == 5
        guest.operations.remove_file(path=key)
        assert guest.host.toolstack.find(guest.name) is not None
        assert guest.host.xenstore.find(f"{guest.store}/name") == guest.name
        assert guest.operations.boot_id().boot_id == boot, "it has restarted by itself"
"""


@dataclass(frozen=True)
class StageSpec(RunSpec):
    """One run of the scenario. ``switches`` are of guests, one for each template; ``host`` is a host's."""

    select: str = ""
    switches: tuple[str, ...] = ()
    profile: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def write(self, folder: Path, builds: Sequence[Path]) -> list[str]:
        """See ``RunSpec.write``."""
        words = super().write(folder, builds)
        scenario = folder / "scenarios" / "power" / "test_work.py"
        scenario.parent.mkdir(parents=True)
        scenario.write_text(_SCENARIO)
        at = words.index("-k")
        return [*words[:at], *words[at + 2 :], "--scenarios", "scenarios"]

    def _host(self, number: int) -> str:
        # a guest of a layer is installed without being told of it, and a second one takes its time
        return super()._host(number) + "layers = none\n"

    def _template(self) -> str:
        keys = {"guest": "simulated", "os": "Windows 10 (simulated)", "arch": "x64", "memory": "512m"}
        sections = []
        for number, switch in enumerate(self.switches or ("",)):
            lines = [f"[template win{number}]", *(f"{key} = {value}" for key, value in keys.items())]
            sections.append("\n".join([*lines, *([f"faults = {switch}"] if switch else []), ""]))
        return "\n".join(sections)
