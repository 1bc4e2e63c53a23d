"""A host, from its SSH server to its bridge. Every command only looks, but for one probe file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from harness.doctor.check import Check, State, failed
from harness.doctor.control import check_control
from harness.doctor.storage import check_storage
from harness.errors import ConfigurationError, HarnessError, InfrastructureError
from harness.host.host import Host
from harness.host.toolstack.choose import choose_toolstack
from harness.host.toolstack.protocol import HostInfo
from harness.lab import CloneMethod, HostSpec
from harness.model import CommandResult, ToolstackName

__all__ = ["check_host"]

# as root finds them: an ordinary user's PATH often lacks sbin
_LIST_MISSING = (
    "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; "
    'for tool in "$@"; do command -v "$tool" >/dev/null 2>&1 || echo "$tool"; done'
)

# Why a tool is needed, and where Debian and the Red Hat family have it.
_TOOLS = {
    "flock": ("runs keep their guests apart by it", "apt-get install util-linux, yum install util-linux"),
    "losetup": ("what runs leave behind is found by it", "apt-get install mount, yum install util-linux"),
    "sha256sum": ("files are compared by it", "apt-get install coreutils, yum install coreutils"),
    "find": ("what runs leave behind is found by it", "apt-get install findutils, yum install findutils"),
    "xenstore-read": ("xenstore", "apt-get install xenstore-utils, yum install xen-runtime"),
    "xenstore-write": ("xenstore", "apt-get install xenstore-utils, yum install xen-runtime"),
    "xenstore-list": ("xenstore", "apt-get install xenstore-utils, yum install xen-runtime"),
    "xenstore-ls": ("xenstore", "apt-get install xenstore-utils, yum install xen-runtime"),
    "xenstore-watch": ("xenstore", "apt-get install xenstore-utils, yum install xen-runtime"),
    "qemu-img": ("clones are overlays made by it", "apt-get install qemu-utils, yum install qemu-img"),
    "iperf3": ("the peer of network tests", "apt-get install iperf3, yum install iperf3"),
}
# The hypervisor shows what a guest writes to port 0xE9 at debug level (facts/pv-drivers.md 7).
_LOUD_ENOUGH = ("all", "debug")


def check_host(host: Host) -> Iterator[Check]:
    """Everything about one host, in the order in which one thing needs the other."""
    name = host.name
    try:
        host.shell.run(["true"], repeatable=True)
    except HarnessError as error:
        yield failed(name, "SSH", error)
        yield Check(name, "everything else", State.SKIPPED, "there is no SSH connection")
        return
    yield Check(name, "SSH", State.OK, f"{host.spec.user}@{host.spec.address}:{host.spec.port} lets us in")
    root = _check_root(host)
    yield root
    if root.state is State.FAIL:
        yield Check(name, "everything else", State.SKIPPED, "nothing can be run as root")
        return
    steps = (_check_xen, check_control, check_storage, _check_bridge, _check_tools)
    for step in steps:
        try:
            yield from step(host)
        except InfrastructureError as error:
            yield failed(name, step.__name__.removeprefix("_").removeprefix("check_"), error)


def _check_root(host: Host) -> Check:
    spec = host.spec
    if spec.sudo:
        return _check_sudo(host)
    result = host.shell.run(["id", "-u"], repeatable=True)
    if result.ok and result.stdout.strip() == "0":
        return Check(host.name, "root", State.OK, f"as {spec.user}")
    found = f"{spec.user} is not root (uid {result.stdout.strip() or '?'})"
    return Check(host.name, "root", State.FAIL, found, "set sudo = yes, or user = root, in its section")


# One of each sort, with what we would say: whether the rules are those of this version.
_BY_SUDO = (
    ("xenstore-ls", "-f", "/local"),
    ("dmesg",),
    ("tail", "-c", "1", "/var/log/xen/xl.log"),
    ("losetup", "-a"),
    ("kill", "1"),
)


def _check_sudo(host: Host) -> Check:
    spec = host.spec
    toolstack = "xm" if spec.toolstack is ToolstackName.XM else "xl"
    for argv in ((toolstack, "list"), *_BY_SUDO):
        result = host.shell.run(["sudo", "-n", "-l", *argv], repeatable=True)
        if not result.ok and not _is_missing(result):
            return Check(
                host.name,
                "root",
                State.FAIL,
                f"sudo does not let {spec.user} run {shlex.join(argv)}: {_last_words(result)}",
                f"pvhck lab rights {host.name} prints the rules, for /etc/sudoers.d/pvhck",
            )
    return Check(host.name, "root", State.OK, f"{spec.user} may run by sudo what needs root")


def _is_missing(result: CommandResult) -> bool:
    """A program that is not there is the toolstack's check, or the tools'."""
    return not result.not_found and "command not found" in result.stderr


# -- Xen and its toolstack


def _check_xen(host: Host) -> Iterator[Check]:
    try:
        chosen = choose_toolstack(host.shell)
    except (InfrastructureError, ConfigurationError) as error:
        yield failed(host.name, "toolstack", error)
        return
    chosen.toolstack.close()
    info = chosen.info
    found = f"{chosen.toolstack.name}, Xen {info.version}: {chosen.why}"
    yield Check(host.name, "toolstack", State.OK, found)
    yield _check_version(host, info)
    yield _check_hvm(host, info)
    yield _check_loglvl(host, info)
    yield _check_memory(host, info)
    yield _check_processors(host, info)


def _check_version(host: Host, info: HostInfo) -> Check:
    said = host.spec.xen
    if said is not None and said != info.version:
        return Check(
            host.name,
            "Xen version",
            State.FAIL,
            f"{info.version_text}, but hosts.ini says {said}: plans would be wrong",
            f"set xen = {info.version} in its section",
        )
    return Check(host.name, "Xen version", State.OK, info.version_text)


def _check_hvm(host: Host, info: HostInfo) -> Check:
    if info.hvm:
        return Check(host.name, "HVM", State.OK, "Xen can run Windows guests")
    return Check(
        host.name,
        "HVM",
        State.FAIL,
        "xen_caps of `xl info` names no hvm: no Windows guest can run",
        "switch VT-x or AMD-V on in the firmware's setup",
    )


def _check_loglvl(host: Host, info: HostInfo) -> Check:
    words = dict(word.partition("=")[::2] for word in info.command_line.split())
    level = words.get("guest_loglvl", "")
    if level.partition("/")[0] in _LOUD_ENOUGH:
        return Check(host.name, "guest_loglvl", State.OK, level)
    return Check(
        host.name,
        "guest_loglvl",
        State.WARN,
        f"{level or 'not set'}: a guest's bugcheck text does not reach `xl dmesg`",
        "add guest_loglvl=all to GRUB_CMDLINE_XEN_DEFAULT in /etc/default/grub; update-grub; reboot",
    )


def _check_memory(host: Host, info: HostInfo) -> Check:
    wanted = host.spec.memory_mib
    found = f"{info.free_mib} of {info.total_mib} MiB free, runs may use {wanted}"
    if info.free_mib >= wanted:
        return Check(host.name, "memory", State.OK, found)
    return Check(
        host.name,
        "memory",
        State.WARN if info.total_mib > wanted else State.FAIL,
        found,
        "stop other guests, give dom0 less (dom0_mem=2G,max:2G on Xen's command line), or set a lower memory",
    )


def _check_processors(host: Host, info: HostInfo) -> Check:
    found = f"{info.cpus} there, runs may use {host.spec.vcpus}"
    if host.spec.vcpus <= info.cpus:
        return Check(host.name, "processors", State.OK, found)
    return Check(
        host.name,
        "processors",
        State.WARN,
        f"{found}: guests would wait for each other",
        f"set vcpus = {info.cpus} in its section",
    )


# -- the rest


def _check_bridge(host: Host) -> Iterator[Check]:
    bridge = host.spec.bridge
    device = f"/sys/class/net/{bridge}"
    there = host.shell.run(["ls", "-d", device, f"{device}/bridge"], repeatable=True).stdout.split()
    if device not in there:
        yield Check(
            host.name,
            "bridge",
            State.FAIL,
            f"there is no {bridge}",
            f"ip link add name {bridge} type bridge; ip link set {bridge} up; "
            "to keep it: docs/set-up-a-host.md, The guests' network",
        )
    elif f"{device}/bridge" not in there:
        # Open vSwitch bridges look like this
        yield Check(
            host.name,
            "bridge",
            State.WARN,
            f"{bridge} is no bridge of Linux itself",
            "for Open vSwitch nothing; else name another one as bridge in its section",
        )
    else:
        yield Check(host.name, "bridge", State.OK, bridge)


def _check_tools(host: Host) -> Iterator[Check]:
    command = ["sh", "-c", _LIST_MISSING, "sh", *_TOOLS]
    missing = host.shell.check(command, repeatable=True).split()
    for tool in missing:
        why, mend = _TOOLS[tool]
        state, found = _weight(host.spec, tool)
        yield Check(host.name, tool, state, f"{found}: {why}", mend)
    if not missing:
        yield Check(host.name, "tools", State.OK, ", ".join(_TOOLS))


def _weight(spec: HostSpec, tool: str) -> tuple[State, str]:
    if tool == "iperf3" and spec.iperf_peer:
        return State.SKIPPED, f"not there, {spec.iperf_peer} is the peer"
    if tool == "iperf3":
        return State.WARN, "not there, network tests will be broken"
    if tool == "qemu-img" and spec.clone is not CloneMethod.OVERLAY:
        return State.WARN, "not there, each clone is a full copy"
    return State.FAIL, "not there"


def _last_words(result: CommandResult) -> str:
    return (result.stderr.strip() or result.stdout.strip() or f"exit code {result.rc}").splitlines()[-1]
