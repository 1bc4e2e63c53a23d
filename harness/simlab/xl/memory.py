"""xl mem-set, mem-max, vcpu-set."""

from __future__ import annotations

import re

from harness.simlab.commands.options import Options
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.table import LibxlFailure, XlCommand, find_domain, libxl_error

__all__ = ["COMMANDS"]

_SIZE = re.compile(r"(?P<number>\d+)(?P<unit>[bkmgt]?)", re.IGNORECASE)
_KIB = {"k": 1, "m": 1 << 10, "": 1 << 10, "g": 1 << 20, "t": 1 << 30}  # a bare number is MiB in the code


def _read_kib(word: str) -> int:
    match = _SIZE.fullmatch(word)
    if match is None:
        raise CommandError(f"invalid memory size: {word}\n")
    unit = match["unit"].lower()
    return int(match["number"]) // 1024 if unit == "b" else int(match["number"]) * _KIB[unit]


def _mem_set(process: Process, options: Options) -> int:
    word, size = options.words[:2]
    domain = find_domain(process, word)
    kib = _read_kib(size)
    if kib > domain.maxmem:
        text = "memory_dynamic_max must be less than or equal to memory_static_max\n"
        raise LibxlFailure(
            libxl_error("libxl_mem.c:278:libxl_set_memory_target", text, domain.domid)
            + f"cannot set domid {domain.domid} dynamic max memory to : {size}\n"
        )
    with process.host.hypervisor.lock:
        domain.limit = kib
    process.host.store.write(f"{domain.root}/memory/target", str(max(kib - domain.videoram, 0)))
    return 0


def _mem_max(process: Process, options: Options) -> int:
    word, size = options.words[:2]
    domain = find_domain(process, word)
    kib = _read_kib(size)
    if kib < domain.memory:
        text = "memory_static_max must be greater than or or equal to memory_dynamic_max"
        raise CommandError(
            libxl_error("libxl_mem.c:46:libxl_domain_setmaxmem", text, domain.domid)
            + f"cannot set domid {domain.domid} static max memory to : {size}\n"
        )
    process.host.store.write(f"{domain.root}/memory/static-max", str(kib))
    return 0


def _vcpu_set(process: Process, options: Options) -> int:
    word, count = options.words[:2]
    domain = find_domain(process, word)
    if not count.isdigit():
        raise CommandError("Error: Invalid argument.\n")
    most = domain.config.vcpus
    if not 1 <= int(count) <= most:
        text = f"Requested {count} VCPUs, however maxcpus is {most}!:"
        raise LibxlFailure(
            libxl_error("libxl_sched.c:128:libxl_set_vcpuonline", text, domain.domid)
            + f"libxl_set_vcpuonline failed domid={domain.domid} max_vcpus={count}, rc: -6\n"
        )
    process.host.lifecycle.set_online(domain, int(count))
    return 0


_SIZES = "<MemMB['b'[bytes]|'k'[KB]|'m'[MB]|'g'[GB]|'t'[TB]]>"

COMMANDS: dict[str, XlCommand] = {
    "mem-max": XlCommand(
        _mem_max, 2, f"<Domain> {_SIZES}", "Set the maximum amount reservation for a domain"
    ),
    "mem-set": XlCommand(_mem_set, 2, f"<Domain> {_SIZES}", "Set the current memory usage for a domain"),
    "vcpu-set": XlCommand(
        _vcpu_set,
        2,
        "[option] <Domain> <vCPUs>",
        "Set the number of active VCPUs allowed for the domain",
        "i",
    ),
}
