"""What is taken from host and guest when a test failed or broke: one list of collectors."""

from harness.evidence.collect import COLLECTORS, collect
from harness.evidence.collector import Collector, Scene, Side
from harness.evidence.hang import provoke_dump
from harness.evidence.host_side import store_of

__all__ = ["COLLECTORS", "Collector", "Scene", "Side", "collect", "provoke_dump", "store_of"]
