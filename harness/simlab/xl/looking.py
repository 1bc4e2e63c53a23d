"""xl list, info, dmesg, uptime, vcpu-list, domid, domname (formats: xl_info.c, xl_vcpu.c)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from harness.model import XenVersion
from harness.simlab.commands.options import Options
from harness.simlab.host.domain import Domain
from harness.simlab.host.hypervisor import DOM0_KIB, DOM0_VCPUS
from harness.simlab.machine import StopReason
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.describe import describe
from harness.simlab.xl.describe_sxp import describe_sxp
from harness.simlab.xl.table import XlCommand, find_domain, no_model

__all__ = ["COMMANDS"]

_CODES = {StopReason.POWEROFF: 0, StopReason.REBOOT: 1, StopReason.SUSPEND: 2, StopReason.CRASH: 3}
_DOM0_UUID = "00000000-0000-0000-0000-000000000000"
_JSON = XenVersion(4, 2)
_EXTRA = {XenVersion(4, 17): ".5"}


def _list(process: Process, options: Options) -> int:
    domains = _chosen(process, options)
    if options.has("-l", "--long"):
        show = describe if process.host.version >= _JSON else describe_sxp
        # recorded on 4.17 (model-gone-list-l.txt); that other versions do the same is a guess
        for domain in domains:
            if domain is not None and domain.model_gone:
                process.err(no_model(domain))
        process.out(show(process.host, [one for one in domains if one is None or not one.model_gone]))
        return 0
    verbose = options.has("-v", "--verbose")
    dom0_cpu = process.host.hypervisor.pass_cpu_time()
    header = "Name                                        ID   Mem VCPUs\tState\tTime(s)"
    lines = [header + ("   UUID                            Reason-Code\tSecurity Label" if verbose else "")]
    for domain in domains:
        if domain is None:
            row = _row("Domain-0", 0, DOM0_KIB, DOM0_VCPUS, "r-----", dom0_cpu)
            tail = f" {_DOM0_UUID} {'-':>8} {'-':>16}"
        else:
            row = _row(domain.name, domain.domid, domain.memory, domain.online, _state(domain), domain.cpu_s)
            code = "-" if domain.shutdown is None else f"{_CODES[domain.shutdown]:x}"
            tail = f" {domain.config.uuid} {code:>8} {'-':>16}"
        lines.append(row + (tail if verbose else ""))
    process.out("\n".join(lines) + "\n")
    return 0


def _chosen(process: Process, options: Options) -> list[Domain | None]:
    """The domains named, or all; None is dom0."""
    if not options.words:
        return [None, *process.host.hypervisor.domains()]
    return [None if word in {"0", "Domain-0"} else find_domain(process, word) for word in options.words]


def _row(name: str, domid: int, memory: int, vcpus: int, state: str, cpu_s: float) -> str:  # noqa: PLR0917  # a row
    return f"{name:<40} {domid:5} {memory // 1024:5} {vcpus:5}     {state}  {cpu_s:8.1f}"


def _state(domain: Domain) -> str:
    blocked = "b" if domain.runs else "-"
    paused = "p" if domain.paused else "-"
    stopped = "s" if domain.shutdown is not None else "-"
    reason = domain.shutdown.value if domain.shutdown is not None else "-"
    return f"-{blocked}{paused}{stopped}{reason}-"


def _info(process: Process, options: Options) -> int:
    host = process.host
    hypervisor, version = host.hypervisor, host.version
    free = hypervisor.free_kib // 1024
    total = hypervisor.total_kib // 1024
    extra = _EXTRA.get(version, ".0")
    lines = {
        "host": host.name,
        "release": "6.1.0-50-amd64",
        "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)",
        "machine": "x86_64",
        "nr_cpus": str(host.spec.vcpus),
        "max_cpu_id": str(host.spec.vcpus - 1),
        "nr_nodes": "1",
        "cores_per_socket": str(host.spec.vcpus),
        "threads_per_core": "1",
        "cpu_mhz": "2445.429",
        "hw_caps": "178bf3fd:80002001:20100800:00000007:00000000:00000000:00000000:00000000",
        "virt_caps": "pv hvm hap shadow gnttab-v1 gnttab-v2",
        "total_memory": str(total),
        "free_memory": str(free),
        "sharing_freed_memory": "0",
        "sharing_used_memory": "0",
        "outstanding_claims": "0",
        "free_cpus": "0",
    }
    xen = {
        "xen_major": str(version.major),
        "xen_minor": str(version.minor),
        "xen_extra": extra,
        "xen_version": f"{version}{extra}",
        "xen_caps": "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ",
        "xen_scheduler": "credit2",
        "xen_pagesize": "4096",
        "platform_params": "virt_start=0xffff800000000000",
        "xen_changeset": "",
        "xen_commandline": "console=com1 com1=115200,8n1 dom0_mem=1536M,max:1536M dom0_max_vcpus=2 "
        "loglvl=warning guest_loglvl=all cpuidle=no noreboot ",
        "cc_compiler": "x86_64-linux-gnu-gcc (Debian 12.2.0-14+deb12u1) 12.2.0",
        "cc_compile_by": "pkg-xen-devel",
        "cc_compile_domain": "lists.alioth.debian.org",
        "cc_compile_date": "Sat Nov 29 13:52:25 UTC 2025",
        "build_id": "39a640e6f1412319235087391df9f1c5e13ae920",
        "xend_config_format": "4",
    }
    topology = "".join(_topology(host.spec.vcpus, total, free)) if options.has("-n", "--numa") else ""
    process.out(_pairs(lines) + topology + _pairs(xen))
    return 0


def _pairs(pairs: dict[str, str]) -> str:
    return "".join(f"{key:<23}: {value}\n" for key, value in pairs.items())


def _topology(cpus: int, total: int, free: int) -> Iterator[str]:
    """Recorded: xen-4.17/xl-info-n.txt."""
    yield "cpu_topology           :\ncpu:    core    socket     node\n"
    for cpu in range(cpus):
        yield f"{cpu:3}:    {cpu:4}     {0:4}     {0:4}\n"
    yield "device topology        :\ndevice           node\nNo device topology data available\n"
    yield "numa_info              :\nnode:    memsize    memfree    distances\n"
    yield f"{0:4}:    {total:6}     {free:6}      10\n"


def _dmesg(process: Process, options: Options) -> int:
    process.out(process.host.hypervisor.read_log(clear=options.has("-c")))
    return 0


def _uptime(process: Process, options: Options) -> int:
    # looked for before the first line is written: xen-4.14/xl-uptime-fails.txt
    chosen = tuple(_chosen(process, options))
    process.out("Name                                ID Uptime\n")
    for domain in chosen:
        started = process.host.hypervisor.booted_at if domain is None else domain.made_at
        name, domid = ("Domain-0", 0) if domain is None else (domain.name, domain.domid)
        process.out(f"{name:<32} {domid:5} {_clock(int(time.time() - started))}\n")
    return 0


def _clock(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    shown = f"{rest // 3600:2}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} days, {shown}" if days else shown


def _vcpu_list(process: Process, options: Options) -> int:
    process.out("Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n")
    dom0_cpu = process.host.hypervisor.pass_cpu_time()
    for domain in _chosen(process, options):
        if domain is None:
            rows = [("Domain-0", 0, cpu, "r--", dom0_cpu / DOM0_VCPUS) for cpu in range(DOM0_VCPUS)]
        else:
            rows = [
                (domain.name, domain.domid, cpu, _vcpu_state(domain, cpu), domain.cpu_s / domain.online)
                for cpu in range(domain.config.vcpus)
            ]
        for name, domid, vcpu, state, cpu_s in rows:
            place = "-" if state == "--p" else str(vcpu % max(process.host.spec.vcpus, 1))
            process.out(f"{name:<32} {domid:5} {vcpu:5} {place:>4}   {state} {cpu_s:9.1f}  all / all\n")
    return 0


def _vcpu_state(domain: Domain, cpu: int) -> str:
    return "-b-" if domain.runs and cpu < domain.online else "--p"


def _domid(process: Process, options: Options) -> int:
    domain = process.host.hypervisor.find(options.words[0])
    if domain is None or options.words[0].isdigit():
        name = options.words[0]
        raise CommandError(f"Can't get domid of domain name '{name}', maybe this domain does not exist.\n")
    process.out(f"{domain.domid}\n")
    return 0


def _domname(process: Process, options: Options) -> int:
    word = options.words[0]
    if not word.isdigit():
        raise CommandError("invalid domain id.\n\n")
    domain = process.host.hypervisor.find(word)
    if domain is None and word != "0":
        raise CommandError(
            f"Can't get domain name of domain id '{word}', maybe this domain does not exist.\n"
        )
    process.out(f"{domain.name if domain else 'Domain-0'}\n")
    return 0


COMMANDS: dict[str, XlCommand] = {
    "dmesg": XlCommand(_dmesg, 0, "[-c]", "Read and/or clear dmesg buffer", "c"),
    "domid": XlCommand(_domid, 1, "<DomainName>", "Convert a domain name to domain id"),
    "domname": XlCommand(_domname, 1, "<DomainId>", "Convert a domain id to domain name"),
    "info": XlCommand(_info, 0, "-n", "Get information about Xen host", "n", ("numa",)),
    "list": XlCommand(
        _list,
        0,
        "[options] [Domain]",
        "List information about all/some domains",
        "lv",
        ("long", "verbose"),
    ),
    "uptime": XlCommand(_uptime, 0, "[-s] [Domain]", "Print uptime for all/some domains", "s"),
    "vcpu-list": XlCommand(_vcpu_list, 0, "[Domain, ...]", "List the VCPUs for all/some domains"),
}
