"""How fast this machine's time stamp counter runs: a nested guest without PV drivers cannot find out itself.

Its kernel measures the counter against emulated timers, and under TCG one reading of those takes so long that
the measurement fails; then every look at the clock is a trip to the hypervisor. The counter itself is this
machine's own, in QEMU (TCG's rdtsc) as in Xen (``tsc_mode="native"``): the frequency is told to the kernel.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import OutputNotUnderstood
from harness.xenlab.shell import run

__all__ = ["cpu_model", "tsc_khz"]

_PROGRAM = r"""
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
int main(void) {
    double began = now();
    unsigned long long first = __rdtsc();
    while (now() - began < 0.5) { }
    unsigned long long last = __rdtsc();
    printf("%.0f\n", (last - first) / (now() - began) / 1000);
    return 0;
}
"""


def tsc_khz(scratch: Path) -> int:
    """The counter's frequency in kHz, measured by a small program that is compiled in ``scratch``."""
    program = scratch / "tsc"
    run(["gcc", "-O1", "-x", "c", "-", "-o", program], stdin=_PROGRAM)
    said = run([program])
    program.unlink()
    try:
        return int(said)
    except ValueError as error:
        raise OutputNotUnderstood("the counter's frequency is no number", text=said) from error


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name: what was measured on another one does not hold here."""
    match = re.search(r"^model name\s*:\s*(.*)$", cpuinfo.read_text(), re.MULTILINE)
    return match[1] if match else ""
