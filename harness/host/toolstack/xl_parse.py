"""What xl prints, read. Pure functions; recorded output is in tests/fixtures/xen-4.17.

Formats: tools/xl/xl_info.c, xl_nic.c, xl_block.c (Xen 4.17).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import OutputNotUnderstood
from harness.host.toolstack.protocol import BlockDevice, DomainInfo, HostInfo, NetworkDevice, VcpuInfo
from harness.model import XenVersion

__all__ = [
    "parse_block_list",
    "parse_config",
    "parse_info",
    "parse_list",
    "parse_network_list",
    "parse_uptime",
    "parse_vcpu_list",
]

# The name is padded to 40 but may be longer and may hold blanks: read from the right.
_DOMAIN = re.compile(
    r"(?P<name>.+?)\s+(?P<id>\d+)\s+(?P<mem>\d+)\s+(?P<vcpus>\d+)\s+"
    r"(?P<state>[r-][b-][p-][s-][a-zS-][d-])\s+(?P<cpu>\d+\.\d+)"
)
_VCPU = re.compile(
    r"(?P<name>.+?)\s+(?P<id>\d+)\s+(?P<vcpu>\d+)\s+(?P<cpu>\d+|-)\s+(?P<state>[r-][b-][p-])\s+\d+\.\d+\s+.*"
)
_BLOCK = re.compile(
    r"(?P<vdev>\d+)\s+(?P<be>\d+)\s+(?P<handle>-?\d+)\s+(?P<state>-?\d+)\s+(?P<evtch>-?\d+)\s+"
    r"(?P<ref>-?\d+)\s+(?P<path>/\S+)"
)
_NIC = re.compile(
    r"(?P<idx>\d+)\s+(?P<be>\d+)\s+(?P<mac>[0-9a-fA-F:]{17})\s+(?P<handle>-?\d+)\s+(?P<state>-?\d+)\s+"
    r"(?P<evtch>-?\d+)\s+(?P<tx>-?\d+)/\s*(?P<rx>-?\d+)\s+(?P<path>/\S+)"
)
_UPTIME = re.compile(
    r"(?P<name>.+?)\s+(?P<id>\d+)\s+(?:(?P<days>\d+) days?,\s+)?(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)"
)


def parse_list(text: str) -> tuple[DomainInfo, ...]:
    """``xl list``, in its order. Letters of the state: r b p s, the reason, d."""
    found = []
    for match in _rows(text, _DOMAIN, "xl list", header="Name "):
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
    """``xl vcpu-list``; a processor that is off line shows ``-`` for its CPU."""
    return tuple(
        VcpuInfo(
            domain=match["name"],
            vcpu=int(match["vcpu"]),
            cpu=None if match["cpu"] == "-" else int(match["cpu"]),
            state=match["state"],
        )
        for match in _rows(text, _VCPU, "xl vcpu-list", header="Name ")
    )


def parse_block_list(text: str) -> tuple[BlockDevice, ...]:
    """``xl block-list``; a domain that does not exist gives the header and exit code 0 as well."""
    return tuple(
        BlockDevice(int(match["vdev"]), int(match["be"]), int(match["state"]), match["path"])
        for match in _rows(text, _BLOCK, "xl block-list", header="Vdev ")
    )


def parse_network_list(text: str) -> tuple[NetworkDevice, ...]:
    """``xl network-list``; ring references show -1 while there is no front end or it has queues."""
    return tuple(
        NetworkDevice(
            int(match["idx"]), int(match["be"]), match["mac"].lower(), int(match["state"]), match["path"]
        )
        for match in _rows(text, _NIC, "xl network-list", header="Idx ")
    )


def parse_uptime(text: str, name: str) -> int:
    """Seconds from ``xl uptime NAME``."""
    for match in _rows(text, _UPTIME, "xl uptime", header="Name "):
        if match["name"] == name:
            days = int(match["days"] or 0)
            return ((days * 24 + int(match["h"])) * 60 + int(match["m"])) * 60 + int(match["s"])
    raise OutputNotUnderstood(f"xl uptime does not name {name}", text=text)


def parse_info(text: str) -> HostInfo:
    """``xl info``: lines ``key : value``; memory is in MiB."""
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
        raise OutputNotUnderstood(f"xl info: {error!r}", text=text) from error


def parse_config(text: str, name: str) -> Mapping[str, Any]:
    """``xl list -l NAME``: the domain's description as JSON (Xen 4.2 and later)."""
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise OutputNotUnderstood(
            f"xl list -l {name} is not JSON: {error}",
            text=text,
            mend="xl.conf may say output_format=sxp: set it to json",
        ) from error
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, dict) and entry.get("config", {}).get("c_info", {}).get("name") == name:
            config: Mapping[str, Any] = entry["config"]
            return config
    raise OutputNotUnderstood(f"xl list -l does not describe {name}", text=text)


def _rows(text: str, pattern: re.Pattern[str], command: str, *, header: str) -> Iterator[re.Match[str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    # the header is always there: nothing at all is no empty list
    if not lines or not lines[0].startswith(header):
        raise OutputNotUnderstood(f"{command}: no header line", text=text)
    for line in lines[1:]:
        match = pattern.fullmatch(line.strip())
        if match is None:
            raise OutputNotUnderstood(f"{command}: a line cannot be read", text=line)
        yield match
