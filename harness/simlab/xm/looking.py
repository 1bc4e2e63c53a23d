"""xm list, info, dmesg, uptime, vcpu-list, and --long as s-expressions (xm/main.py, xend/XendConfig.py)."""

from __future__ import annotations

from collections.abc import Iterator

from harness.simlab.commands.options import Options
from harness.simlab.host.domain import Domain
from harness.simlab.host.hypervisor import DOM0_KIB, DOM0_VCPUS
from harness.simlab.machine import StopReason
from harness.simlab.shell.process import Process
from harness.simlab.xm.sxp import Form, show
from harness.simlab.xm.table import XmCommand, find_domain

__all__ = ["COMMANDS"]

_MANY = 1000


def _list(process: Process, options: Options) -> int:
    domains = _chosen(process, options)
    if options.has("-l", "--long"):
        for domain in domains:
            process.out(show(_dom0_form() if domain is None else _form(domain)) + "\n")
        return 0
    process.out(f"{'Name':<40} {'ID':>5} {'Mem':>5} {'VCPUs':>5} {'State':>10} {'Time(s)':>9}\n")
    dom0_cpu = process.host.hypervisor.pass_cpu_time()
    for domain in domains:
        if domain is None:
            name, domid, memory, vcpus, state = "Domain-0", 0, DOM0_KIB, DOM0_VCPUS, "r-----"
        else:
            name, domid, memory = domain.name, domain.domid, domain.memory
            vcpus, state = domain.online, _state(domain)
        cpu_s = dom0_cpu if domain is None else domain.cpu_s
        process.out(f"{name:<40} {domid:>5} {memory // 1024:5} {vcpus:5} {state:>10} {cpu_s:8.1f}\n")
    return 0


def _chosen(process: Process, options: Options) -> list[Domain | None]:
    """The domains named, or all; None is dom0."""
    if not options.words:
        return [None, *process.host.hypervisor.domains()]
    return [None if word in {"0", "Domain-0"} else find_domain(word, process) for word in options.words]


def _state(domain: Domain) -> str:
    """Running, blocked, paused, shut down, crashed, dying; a crashed one is not shut down (xc_domain.c)."""
    crashed = domain.shutdown is StopReason.CRASH
    flags = (
        False,
        domain.runs,
        domain.paused,
        domain.shutdown is not None and not crashed,
        crashed,
        False,
    )
    return "".join(letter if flag else "-" for letter, flag in zip("rbpscd", flags, strict=True))


def _dom0_form() -> Form:
    memory = str(DOM0_KIB // 1024)
    return ["domain", ["domid", "0"], ["name", "Domain-0"], ["maxmem", memory], ["memory", memory]]


def _form(domain: Domain) -> Form:
    config = domain.config
    form: list[Form] = [
        "domain",
        ["domid", str(domain.domid)],
        ["on_crash", config.text("on_crash", "restart")],
        ["uuid", config.uuid],
        ["bootloader_args", ""],
        ["vcpus", str(config.vcpus)],
        ["name", config.name],
        ["on_poweroff", config.text("on_poweroff", "destroy")],
        ["on_reboot", config.text("on_reboot", "restart")],
        ["maxmem", str(config.maxmem)],
        ["memory", str(domain.limit // 1024)],
        ["start_time", f"{domain.made_at:.2f}"],
        ["cpu_time", f"{domain.cpu_s:.9f}"],
        ["online_vcpus", str(domain.online)],
        ["image", _image(domain)],
        ["status", "2"],
        ["state", _state(domain)],
    ]
    form += [["device", device] for device in _devices(domain)]
    return form


def _image(domain: Domain) -> Form:
    config = domain.config
    known = ("acpi", "apic", "boot", "pae", "serial", "stdvga", "usb", "usbdevice", "viridian", "vnc")
    shown: list[Form] = [[key, config.text(key)] for key in known if key in config.keys]
    return ["hvm", ["kernel", ""], ["loader", "/usr/lib/xen/boot/hvmloader"], *shown]


def _devices(domain: Domain) -> Iterator[Form]:
    for index, nic in sorted(domain.nics.items()):
        words: list[Form] = ["vif", ["bridge", nic.config.bridge], ["mac", nic.config.mac]]
        yield [*words, ["script", "/etc/xen/scripts/vif-bridge"], ["backend", "0"], ["handle", str(index)]]
    for _, disk in sorted(domain.disks.items()):
        kind = "cdrom" if disk.config.cdrom else "disk"
        kind_of_backend = "tap" if disk.paths.kind == "tap" else "vbd"
        behind = "tap:qcow2" if disk.paths.kind == "tap" else "file"
        yield [
            kind_of_backend,
            ["protocol", "x86_32-abi"],
            ["uname", f"{behind}:{disk.config.path}" if disk.config.path else ""],
            ["dev", f"{disk.vdev.name}:{kind}"],
            ["mode", "r" if disk.config.read_only else "w"],
            ["backend", "0"],
        ]


def _info(process: Process, options: Options) -> int:
    del options
    host = process.host
    hypervisor, version = host.hypervisor, host.version
    lines = {
        "host": host.name,
        "release": "2.6.31.14",
        "version": "#1 SMP",
        "machine": "x86_64",
        "nr_cpus": str(host.spec.vcpus),
        "nr_nodes": "1",
        "cores_per_socket": str(host.spec.vcpus),
        "threads_per_core": "1",
        "cpu_mhz": "2445",
        "hw_caps": "178bf3fd:80002001:00000000:00000000:00000000:00000000:00000000:00000000",
        "virt_caps": "hvm",
        "total_memory": str(hypervisor.total_kib // 1024),
        "free_memory": str(hypervisor.free_kib // 1024),
        "node_to_cpu": f"node0:0-{host.spec.vcpus - 1}",
        "node_to_memory": f"node0:{hypervisor.free_kib // 1024}",
        "xen_major": str(version.major),
        "xen_minor": str(version.minor),
        "xen_extra": ".0",
        "xen_caps": "xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ",
        "xen_scheduler": "credit",
        "xen_pagesize": "4096",
        "platform_params": "virt_start=0xffff800000000000",
        "xen_changeset": "unavailable",
        "cc_compiler": "gcc version 4.4.5 (Debian 4.4.5-8) ",
        "cc_compile_by": "root",
        "cc_compile_domain": "example.org",
        "cc_compile_date": "Thu Apr 30 14:33:32 2009",
        "xend_config_format": "4",
    }
    process.out("".join(f"{key:<23}: {value}\n" for key, value in lines.items()))
    return 0


def _dmesg(process: Process, options: Options) -> int:
    process.out(process.host.hypervisor.read_log(clear=options.has("-c", "--clear")))
    return 0


def _uptime(process: Process, options: Options) -> int:
    process.out(f"{'Name':<33} {'ID':>4} Uptime \n")
    for domain in _chosen(process, options):
        name, domid = ("Domain-0", 0) if domain is None else (domain.name, domain.domid)
        seconds = _MANY if domain is None else process.host.age_s(domain)
        days, rest = divmod(seconds, 86400)
        shown = f"{rest // 3600:2}:{rest // 60 % 60:02}:{rest % 60:02}"
        whole = f"{days} day{'s' if days > 1 else ''}, {shown}" if days else shown
        process.out(f"{name:<32} {domid:>5} {whole}\n")
    return 0


def _vcpu_list(process: Process, options: Options) -> int:
    header = f"{'Name':<32} {'ID':>5} {'VCPU':>5} {'CPU':>5} {'State':>5} {'Time(s)':>9} CPU Affinity\n"
    process.out(header)
    for domain in _chosen(process, options):
        if domain is None:
            rows = [("Domain-0", 0, cpu, True, True) for cpu in range(DOM0_VCPUS)]
        else:
            vcpus = range(domain.config.vcpus)
            rows = [(domain.name, domain.domid, cpu, cpu < domain.online, domain.runs) for cpu in vcpus]
        for name, domid, vcpu, online, runs in rows:
            place, state = (str(vcpu), "-b-" if runs else "---") if online else ("-", "--p")
            process.out(f"{name:<32} {domid:5} {vcpu:5} {place:>5} {state:>5}  {1.0:8.1f} any cpu\n")
    return 0


COMMANDS: dict[str, XmCommand] = {
    "dmesg": XmCommand(_dmesg, 0, 0, "c", ("clear",)),
    "info": XmCommand(_info, 0, 0, "c", ("config",)),
    "list": XmCommand(_list, 0, _MANY, "lv", ("long", "vcpus", "label", "state=")),
    "uptime": XmCommand(_uptime, 0, _MANY, "s", ("short",)),
    "vcpu-list": XmCommand(_vcpu_list, 0, _MANY),
}
