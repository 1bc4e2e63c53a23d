"""The tables that xl and xm print, read. Pure functions; recorded output is in tests/fixtures/xen-4.17.

Formats: tools/xl/xl_info.c, xl_nic.c, xl_block.c (Xen 4.17); tools/python/xen/xm/main.py (3.4.0-rc3,
stable-4.0), which has the same columns with other blanks, and no header where there is nothing to list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from harness.errors import OutputNotUnderstood
from harness.host.toolstack.protocol import (
    BlockDevice,
    Description,
    DomainInfo,
    HostInfo,
    NetworkDevice,
    VcpuInfo,
)
from harness.host.toolstack.sxp import Sxp, children, parse_sxp, value
from harness.model import XenVersion

__all__ = [
    "parse_block_list",
    "parse_info",
    "parse_json_description",
    "parse_list",
    "parse_network_list",
    "parse_sxp_description",
    "parse_uptime",
    "parse_vcpu_list",
]

_MOST_DIGITS = 18
_NO_NUMBER = re.compile(r"\d{1000}")  # Python refuses to read some thousands of digits

# The name is padded to 40 but may be longer and may hold blanks: read from the right.
_DOMAIN = re.compile(
    r"(?P<name>.+?)\s+(?P<id>\d+)\s+(?P<mem>\d+)\s+(?P<vcpus>\d+)\s+"
    r"(?P<state>[r-][b-][p-][s-][a-zS-][d-])\s+(?P<cpu>\d+\.\d+)"
)
_MANAGED = re.compile(r".+?\s+\d+\s+\d+\s+\d+\.\d+")
_VCPU = re.compile(
    r"(?P<name>.+?)\s+(?P<id>\d+)\s+(?P<vcpu>\d+)\s+(?P<cpu>\d+|-)\s+(?P<state>[r-][b-][p-])\s+\d+\.\d+\s+.*"
)
_BLOCK = re.compile(
    r"(?P<vdev>\d+)\s+(?P<be>\d+)\s+(?P<handle>-?\d+)\s+(?P<state>-?\d+)\s+(?P<evtch>-?\d+)\s+"
    r"(?P<ref>-?\d+)\s+(?P<path>/\S+)"
)
_NIC = re.compile(
    r"(?P<idx>\d+)\s+(?P<be>\d+)\s+(?P<mac>[0-9a-fA-F:]{17})\s+(?P<handle>-?\d+)\s+(?P<state>-?\d+)\s+"
    r"(?P<evtch>-?\d+)\s+(?P<tx>-?\d+)\s*/\s*(?P<rx>-?\d+)\s+(?P<path>/\S+)"
)
_UPTIME = re.compile(
    r"(?P<name>.+?)\s+(?P<id>\d+)\s+(?:(?P<days>\d+) days?,\s+)?(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)"
)


def parse_list(text: str) -> tuple[DomainInfo, ...]:
    """``list``, in its order. Letters of the state: r b p s, the reason, d.

    Domains that xend manages and that do not run have neither number nor state: they are left out.
    """
    found = []
    lines = [line for line in text.splitlines() if not _MANAGED.fullmatch(line.strip())]
    for match in _rows("\n".join(lines), _DOMAIN, "list", header="Name "):
        state = match["state"]
        found.append(
            DomainInfo(
                name=match["name"],
                domid=int(match["id"]),
                memory_mib=int(match["mem"]),
                vcpus=int(match["vcpus"]),
                running=state[0] == "r",
                blocked=state[1] == "b",
                paused=state[2] == "p",
                shutdown=state[3] == "s",
                dying=state[5] == "d",
                reason=state[4].strip("-"),
                cpu_s=float(match["cpu"]),
            )
        )
    return tuple(found)


def parse_vcpu_list(text: str) -> tuple[VcpuInfo, ...]:
    """``vcpu-list``; a processor that is off line shows ``-`` for its CPU."""
    return tuple(
        VcpuInfo(
            domain=match["name"],
            vcpu=int(match["vcpu"]),
            cpu=None if match["cpu"] == "-" else int(match["cpu"]),
            state=match["state"],
        )
        for match in _rows(text, _VCPU, "vcpu-list", header="Name ")
    )


def parse_block_list(text: str) -> tuple[BlockDevice, ...]:
    """``block-list``; a domain that does not exist gives the header and exit code 0 as well."""
    return tuple(
        BlockDevice(int(match["vdev"]), int(match["be"]), int(match["state"]), match["path"])
        for match in _rows(text, _BLOCK, "block-list", header="Vdev ")
    )


def parse_network_list(text: str) -> tuple[NetworkDevice, ...]:
    """``network-list``; ring references show -1 while there is no front end or it has queues."""
    return tuple(
        NetworkDevice(
            int(match["idx"]), int(match["be"]), match["mac"].lower(), int(match["state"]), match["path"]
        )
        for match in _rows(text, _NIC, "network-list", header="Idx ")
    )


def parse_uptime(text: str, name: str) -> int:
    """Seconds from ``uptime NAME``."""
    for match in _rows(text, _UPTIME, "uptime", header="Name "):
        if match["name"] == name:
            days = int(match["days"] or 0)
            return ((days * 24 + int(match["h"])) * 60 + int(match["m"])) * 60 + int(match["s"])
    raise OutputNotUnderstood(f"uptime does not name {name}", text=text)


def parse_info(text: str) -> HostInfo:
    """``info``: lines ``key : value``; memory is in MiB."""
    details = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            details[key.strip()] = value.strip()
    try:
        return HostInfo(
            version=XenVersion(int(details["xen_major"]), int(details["xen_minor"])),
            version_text=f"{details['xen_major']}.{details['xen_minor']}{details.get('xen_extra', '')}",
            total_mib=int(details["total_memory"]),
            free_mib=int(details["free_memory"]) - int(details.get("outstanding_claims", 0)),
            cpus=int(details["nr_cpus"]),
            hvm="hvm-" in details.get("xen_caps", ""),
            command_line=details.get("xen_commandline", ""),
            details=details,
        )
    except (KeyError, ValueError) as error:
        raise OutputNotUnderstood(f"info: {error!r}", text=text) from error


def parse_json_description(text: str, name: str) -> Description:
    """``xl list -l NAME`` of Xen 4.2 and later: JSON."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OutputNotUnderstood(
            f"xl list -l {name} is not JSON: {error}",
            text=text,
            mend="xl.conf may say output_format=sxp: set it to json",
        ) from error
    if entries == []:  # exit code 0; seen on 4.17 after its QEMU was killed: model-gone-list-l.txt
        raise OutputNotUnderstood(
            f"xl list -l {name} is empty, as where a domain's device model does not answer",
            text=text,
            mend="see whether its QEMU still runs (ps -e -o args | grep xen-domid); without it, destroy it",
        )
    for entry in entries if isinstance(entries, list) else [entries]:
        config = _object(_object(entry).get("config"))
        if _object(config.get("c_info")).get("name") == name:
            return _described(name, config, text)
    raise OutputNotUnderstood(f"xl list -l does not describe {name}", text=text)


def _described(name: str, config: dict[str, Any], text: str) -> Description:
    build = _object(config.get("b_info"))
    memory, vcpus, disks = build.get("max_memkb", 0), build.get("max_vcpus", 1), config.get("disks", [])
    names = [_object(disk).get("vdev") for disk in disks] if isinstance(disks, list) else [None]
    if type(memory) is not int or type(vcpus) is not int or not all(isinstance(one, str) for one in names):
        raise OutputNotUnderstood(f"xl list -l describes {name} in another way", text=text)
    return Description(name, memory // 1024, vcpus, tuple(map(str, names)), text)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def parse_sxp_description(text: str, name: str) -> Description:
    """``xm list --long NAME``, and ``xl list -l NAME`` of Xen 4.1: s-expressions with other words."""
    for domain in parse_sxp(text):
        if value(domain, "name") == name:
            return Description(
                name,
                max_memory_mib=_number(domain, "maxmem") or _number(domain, "max_memkb") // 1024,
                max_vcpus=_number(domain, "max_vcpus") or _number(domain, "vcpus"),
                disks=tuple(_vdevs(domain)),
                text=text,
            )
    raise OutputNotUnderstood(f"list --long does not describe {name}", text=text)


def _vdevs(domain: Sxp) -> Iterator[str]:
    for device in children(domain, "device"):
        for kind in ("vbd", "tap", "tap2"):
            for disk in children(device, kind):
                # xend: "hda:disk"; xl 4.1 calls it virtpath
                yield (value(disk, "dev") or value(disk, "virtpath")).partition(":")[0]


def _number(domain: Sxp, name: str) -> int:
    word = value(domain, name)
    return int(word) if word.isdecimal() and len(word) <= _MOST_DIGITS else 0


def _rows(text: str, pattern: re.Pattern[str], command: str, *, header: str) -> Iterator[re.Match[str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    # the header is always there: nothing at all is no empty list
    if not lines or not lines[0].startswith(header):
        raise OutputNotUnderstood(f"{command}: no header line", text=text)
    for line in lines[1:]:
        match = pattern.fullmatch(line.strip())
        if match is None or _NO_NUMBER.search(line):
            raise OutputNotUnderstood(f"{command}: a line cannot be read", text=line)
        yield match
