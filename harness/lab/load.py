"""``hosts.ini`` to a frozen ``Lab``: everything that is wrong with the file is said at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from harness.lab.findings import Finding, LabFileError, nearest
from harness.lab.ini import IniSection, read_ini
from harness.lab.keys import (
    DOMAIN_KEYS_OF_OURS,
    HOST_KEYS,
    NAME,
    TEMPLATE_KEYS,
    XL_PREFIX,
    HostKeys,
    TemplateKeys,
)
from harness.lab.readers import HASHED_FILE, Unfit, matching
from harness.lab.sections import SectionReader
from harness.lab.spec import GuestTemplate, HostKind, HostSpec, Lab, Tool, ToolName
from harness.model import Arch, GuestKind, ToolstackName, XenVersion

__all__ = ["load_lab", "parse_lab"]

T = TypeVar("T")

_SECTIONS = ("host NAME", "template NAME", "tools")
_XL_VALUE = matching(r".{1,1000}", "a value as xl.cfg(5) has it, on one line")

# xl is usable from 4.1 on, xend and with it xm went with 4.5 (facts/pv-drivers.md 8.1).
_FIRST_XL = XenVersion(4, 1)
_FIRST_WITHOUT_XM = XenVersion(4, 5)


def load_lab(path: Path) -> Lab:
    """Read a ``hosts.ini``.

    Raises:
        LabFileError: the file cannot be read, or with every mistake that is in it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabFileError(
            [Finding(path, 0, "", "", str(error.strerror or error), "a readable file")]
        ) from error
    except UnicodeDecodeError as error:
        found = f"a byte that is no UTF-8 at offset {error.start}"
        raise LabFileError([Finding(path, 0, "", "", found, "text in UTF-8")]) from None
    return parse_lab(text, path)


def parse_lab(text: str, source: Path) -> Lab:
    """The same from text; ``source`` is named in errors and relative paths start at its folder.

    Raises:
        LabFileError: with every mistake that is in the text.
    """
    return _LabBuilder(source).build(text)


class _LabBuilder:
    """What has been read so far of one file."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._findings: list[Finding] = []
        self._hosts: dict[str, HostSpec] = {}
        self._templates: dict[str, GuestTemplate] = {}
        self._tools: tuple[Tool, ...] = ()
        self._template_readers: dict[str, SectionReader] = {}

    def build(self, text: str) -> Lab:
        content = read_ini(text)
        for problem in content.problems:
            self._findings.append(Finding(self._source, problem.line, "", "", problem.found, problem.allowed))
        first_lines: dict[str, int] = {}
        for section in content.sections:
            first = first_lines.setdefault(section.name, section.line)
            if first == section.line:
                self._read(section)
            else:
                self._complain(
                    section, f"a second such section, the first is on line {first}", "each section once"
                )
        if not content.problems and not any(name.split()[0] == "host" for name in first_lines):
            self._findings.append(
                Finding(self._source, 0, "", "", "no host", "at least one section [host NAME]")
            )
        for name, reader in self._template_readers.items():
            self._check_hosts_of(self._templates[name], reader)
        if self._findings:
            raise LabFileError(self._findings)
        return Lab(self._source, self._hosts, self._templates, self._tools)

    def _complain(self, section: IniSection, found: str, allowed: str) -> None:
        self._findings.append(Finding(self._source, section.line, section.name, "", found, allowed))

    def _read(self, section: IniSection) -> None:
        readers: Mapping[str, Callable[[str, SectionReader], None]] = {
            "host": self._read_host,
            "template": self._read_template,
        }
        word, _, name = section.name.partition(" ")
        reader = SectionReader(self._source, section, self._findings)
        if section.name == "tools":
            self._tools = _read_tools(reader)
        elif word in readers and self._is_name(section, name):
            readers[word](name, reader)
        elif word not in readers:
            hint = nearest(word, ("host", "template", "tools"))
            self._complain(section, "a section nobody knows", f"{hint}[{'], ['.join(_SECTIONS)}]")

    def _is_name(self, section: IniSection, name: str) -> bool:
        try:
            NAME.parse(name, self._source.parent)
        except Unfit:
            self._complain(section, f"{name!r} as the name" if name else "no name", NAME.allowed)
            return False
        return True

    def _read_host(self, name: str, reader: SectionReader) -> None:
        host = _host(name, reader)
        reader.refuse_unknown(reader.others(HOST_KEYS), (key.name for key in HOST_KEYS))
        _check_version(host, reader)
        self._hosts[name] = host

    def _read_template(self, name: str, reader: SectionReader) -> None:
        template = replace(_template(name, reader), extra=_extra_keys(reader))
        known = (*(key.name for key in TEMPLATE_KEYS), f"{XL_PREFIX}KEY")
        strangers = (key for key in reader.others(TEMPLATE_KEYS) if not key.name.startswith(XL_PREFIX))
        reader.refuse_unknown(strangers, known)
        self._templates[name] = template
        self._template_readers[name] = reader

    def _check_hosts_of(self, template: GuestTemplate, reader: SectionReader) -> None:
        line, key = reader.line_of(TemplateKeys.HOSTS), TemplateKeys.HOSTS.name
        for name in template.hosts:
            host = self._hosts.get(name)
            if host is None:
                known = ", ".join(self._hosts) or "none"
                reader.complain(
                    line, key, f"host {name!r}", f"{nearest(name, self._hosts)}hosts of this file: {known}"
                )
            elif (host.kind is HostKind.SIMULATED) != (template.guest is GuestKind.SIMULATED):
                allowed = "simulated guests on simulated hosts, other guests on hosts of kind ssh"
                reader.complain(
                    line, key, f"host {name!r} of kind {host.kind} for a {template.guest} guest", allowed
                )


def _host(name: str, reader: SectionReader) -> HostSpec:
    keys = HostKeys
    kind = reader.take(keys.KIND, HostKind.SSH)

    return HostSpec(
        name=name,
        kind=kind,
        address=reader.take(keys.ADDRESS, kind),
        port=reader.take(keys.PORT, kind),
        user=reader.take(keys.USER, kind),
        key_file=reader.take(keys.KEY, kind),
        password=reader.take(keys.PASSWORD, kind),
        known_hosts=reader.take(keys.KNOWN_HOSTS, kind),
        sudo=reader.take(keys.SUDO, kind),
        jump=reader.take(keys.JUMP, kind),
        toolstack=reader.take(keys.TOOLSTACK, kind),
        storage=reader.take(keys.STORAGE, kind),
        clone=reader.take(keys.CLONE, kind),
        snapshot_percent=reader.take(keys.SNAPSHOT, kind),
        bridge=reader.take(keys.BRIDGE, kind),
        memory_mib=reader.take(keys.MEMORY, kind),
        vcpus=reader.take(keys.VCPUS, kind),
        disk_mib=reader.take(keys.DISK, kind),
        time_factor=reader.take(keys.TIME_FACTOR, kind),
        legacy_ssh=reader.take(keys.LEGACY_SSH, kind),
        controller=reader.take(keys.CONTROLLER, kind),
        iperf_peer=reader.take(keys.IPERF_PEER, kind),
        layers_mib=reader.take(keys.LAYERS, kind),
        max_guests=reader.take(keys.MAX_GUESTS, kind),
        xen=reader.take(keys.XEN, kind),
        faults=reader.take(keys.FAULTS, kind),
    )


def _check_version(host: HostSpec, reader: SectionReader) -> None:
    """No Xen can be driven by a toolstack it never had."""
    if host.xen is None or host.toolstack is None:
        return
    fits = host.xen < _FIRST_WITHOUT_XM if host.toolstack is ToolstackName.XM else host.xen >= _FIRST_XL
    if not fits:
        reader.complain(
            reader.line_of(HostKeys.XEN),
            HostKeys.XEN.name,
            f"Xen {host.xen} with toolstack {host.toolstack}",
            f"xm before {_FIRST_WITHOUT_XM}, xl and libvirt from {_FIRST_XL} on",
        )


def _template(name: str, reader: SectionReader) -> GuestTemplate:
    keys = TemplateKeys
    guest = reader.take(keys.GUEST, GuestKind.WINDOWS)
    address, fixed_address = reader.take(keys.ADDRESS, guest)
    return GuestTemplate(
        name=name,
        guest=guest,
        image=reader.take(keys.IMAGE, guest) or f"{name}.qcow2",
        os=reader.take(keys.OS, guest),
        arch=reader.take(keys.ARCH, guest),
        firmware=reader.take(keys.FIRMWARE, guest),
        memory_mib=reader.take(keys.MEMORY, guest),
        vcpus=reader.take(keys.VCPUS, guest),
        disk_mib=reader.take(keys.DISK, guest),
        nic=reader.take(keys.NIC, guest),
        user=reader.take(keys.USER, guest),
        secret=reader.take(keys.SECRET, guest),
        transport=reader.take(keys.TRANSPORT, guest),
        certificate=reader.take(keys.CERTIFICATE, guest),
        legacy_tls=reader.take(keys.LEGACY_TLS, guest),
        address=address,
        fixed_address=fixed_address,
        hosts=reader.take(keys.HOSTS, guest),
        faults=reader.take(keys.FAULTS, guest),
    )


def _extra_keys(reader: SectionReader) -> dict[str, str]:
    """The ``xl.KEY`` lines of a template, without the prefix."""
    extra = {}
    for entry in reader.others(TEMPLATE_KEYS):
        name = entry.name.removeprefix(XL_PREFIX)
        if name == entry.name:
            continue
        if name in DOMAIN_KEYS_OF_OURS:
            reader.complain(
                entry.line, entry.name, "a key the harness sets itself", "other keys of xl.cfg(5)"
            )
        elif not name.isidentifier() or not name.isascii():
            reader.complain(
                entry.line, entry.name, f"{name!r} behind {XL_PREFIX}", "the name of a key of xl.cfg(5)"
            )
        else:
            value = reader.parse(entry, _XL_VALUE)
            if value is not None:
                extra[name] = value
    return extra


def _read_tools(reader: SectionReader) -> tuple[Tool, ...]:
    """``TOOL.ARCH = PATH sha256:HEX``."""
    known = {f"{tool}.{arch}": (tool, arch) for tool in ToolName for arch in Arch}
    entries = reader.others(())
    reader.refuse_unknown((entry for entry in entries if entry.name not in known), known)
    tools = []
    for entry in entries:
        if entry.name in known and (file := reader.parse(entry, HASHED_FILE)) is not None:
            tool, arch = known[entry.name]
            tools.append(Tool(tool, arch, file.path, file.sha256))
    return tuple(tools)
