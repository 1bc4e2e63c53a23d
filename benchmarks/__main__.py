"""``python -m benchmarks [--xen] [--only NAME]``: exit code 1 when a limit was missed."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from rich.console import Console

from benchmarks.channel import channel
from benchmarks.compare import Comparison, as_table
from benchmarks.nightly import guests, nightly
from benchmarks.overhead import overhead, planning
from benchmarks.transfer import transfer
from benchmarks.xen import nested_xen

_NARROWEST = 130  # where output goes to a file

Benchmark = Callable[[], list[Comparison]]

HERE: dict[str, Benchmark] = {
    "channel": channel,
    "transfer": transfer,
    "overhead": overhead,
    "planning": planning,
    "nightly": nightly,
    "guests": guests,
}
ON_XEN: dict[str, Benchmark] = {"nested-xen": nested_xen}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--xen", action="store_true", help="those on real Xen, nested in QEMU")
    parser.add_argument("--only", choices=sorted(HERE | ON_XEN), help="one of them")
    options = parser.parse_args()
    chosen = (
        {options.only: (HERE | ON_XEN)[options.only]} if options.only else ON_XEN if options.xen else HERE
    )
    # what it logs comes as an exception, too
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    console = Console()
    found: list[Comparison] = []
    for name, benchmark in chosen.items():
        console.print(f"{name} ...")
        found += benchmark()
    console.print(as_table(found))
    return 0 if all(one.good for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
