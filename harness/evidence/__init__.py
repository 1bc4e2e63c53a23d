"""What is taken from host and guest when a test failed or broke: one list of collectors."""

from harness.evidence.collect import COLLECTORS, collect
from harness.evidence.collector import Collector, Scene, Side
from harness.evidence.core import dump_core
from harness.evidence.dumps import Fetched, WantedDumps, fetch_dumps
from harness.evidence.hang import provoke_dump
from harness.evidence.host_side import store_of
from harness.evidence.notes import NOTES, Notes

__all__ = [
    "COLLECTORS",
    "NOTES",
    "Collector",
    "Fetched",
    "Notes",
    "Scene",
    "Side",
    "WantedDumps",
    "collect",
    "dump_core",
    "fetch_dumps",
    "provoke_dump",
    "store_of",
]
