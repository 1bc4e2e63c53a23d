"""A template that passed its gate becomes known: its place on the host, its metadata, its section."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import harness
from harness.doctor.check import Check
from harness.errors import ConfigurationError, GuestError, InfrastructureError
from harness.host.host import Host
from harness.image.plan import Plan
from harness.lab import GuestTemplate, HostKind, load_lab
from harness.lab.findings import LabFileError
from harness.lab.load import parse_lab
from harness.model import GuestKind

__all__ = [
    "HashedFile",
    "Registered",
    "check_free",
    "hashed",
    "image_path",
    "metadata_of",
    "place",
    "section_of",
    "template_of",
]

_SCHEMA = 1
_HASH_S = 3600
_BESIDE = ".json"  # behind the image's name: what it is made from
_LAB = "[host somewhere]\naddress = 192.0.2.1\n"  # a section of a template stands in no file alone


@dataclass(frozen=True)
class HashedFile:
    """A file of a host; ``size`` in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Registered:
    """A template that is there. ``image`` and ``metadata_file`` are paths on its host."""

    template: GuestTemplate
    image: str
    metadata_file: str
    metadata: Mapping[str, Any]
    section: str


def image_path(host: Host, template: str) -> str:
    """Where a template's image lies on a host."""
    return str(PurePosixPath(host.spec.storage) / "templates" / f"{template}.qcow2")


def check_free(host: Host, template: str, hosts_file: Path | None) -> None:
    """Refuse a name that is taken, before anything is built.

    Raises:
        ConfigurationError: by an image on the host, or by a section of the file to append to.
    """
    path = image_path(host, template)
    for taken in (path, path + _BESIDE):
        if host.shell.run(["test", "-e", taken], repeatable=True).ok:
            raise ConfigurationError(
                f"host {host.name}: there is a {taken} already", mend="another --name, or remove it first"
            )
    if hosts_file is not None and template in load_lab(hosts_file).templates:
        raise ConfigurationError(f"{hosts_file} has a template {template} already", mend="another --name")


def template_of(plan: Plan, host: Host, printed: str) -> GuestTemplate:
    """The template as prepare.ps1 printed it in the guest, with what only we know.

    Raises:
        GuestError: it printed no section, or that of another Windows than was asked for.
    """
    request = plan.request
    try:
        templates = parse_lab(f"{_LAB}\n{printed}", Path("the section that prepare.ps1 printed")).templates
    except LabFileError as error:
        raise GuestError(f"{request.template}: {error.found}") from error
    found = templates.get(request.template)
    if found is None:
        raise GuestError(f"{request.template}: prepare.ps1 printed no section of that name")
    if (found.arch, found.firmware) != (request.arch, request.firmware):
        raise GuestError(
            f"{request.template}: {found.arch} with firmware {found.firmware} was installed, "
            f"not {request.arch} with {request.firmware}"
        )
    simulated = host.spec.kind is HostKind.SIMULATED
    return replace(
        found,
        guest=GuestKind.SIMULATED if simulated else GuestKind.WINDOWS,
        image=f"templates/{request.template}.qcow2",
        memory_mib=request.memory,
        vcpus=request.vcpus,
        disk_mib=request.disk,
        secret=request.secret,
        hosts=(host.name,),
    )


def section_of(template: GuestTemplate) -> str:
    """The section for hosts.ini; the same template comes out of it again."""
    simulated = template.guest is GuestKind.SIMULATED
    keys = {
        "guest": template.guest.value,
        "image": template.image,
        "os": template.os,
        "arch": template.arch.value,
        "firmware": template.firmware.value,
        "memory": str(template.memory_mib),
        "vcpus": str(template.vcpus),
        "disk": str(template.disk_mib),
        "user": template.user,
        # each run of the simulated lab makes passwords and certificates of its own
        "secret": None if simulated else str(template.secret),
        "certificate": None if simulated else f"sha256:{template.certificate.fingerprint}",
        "legacy_tls": "yes" if template.legacy_tls else None,
        "hosts": ", ".join(template.hosts),
    }
    lines = [f"{key} = {value}\n" for key, value in keys.items() if value is not None]
    return f"[template {template.name}]\n{''.join(lines)}"


def metadata_of(
    plan: Plan, host: Host, template: GuestTemplate, checks: tuple[Check, ...], disk: HashedFile
) -> dict[str, Any]:
    """All that is known of how a template came to be; no secret in it."""
    request, image = plan.request, plan.image
    return {
        "schema": _SCHEMA,
        "template": template.name,
        "guest": template.guest.value,
        "os": request.os.name,
        "os_name": template.os,
        "edition": image.edition,
        "image_name": image.name,
        "image_index": image.index,
        "build": image.build,
        "arch": request.arch.value,
        "firmware": request.firmware.value,
        "iso": {"name": request.iso.name, "sha256": plan.iso_sha256, "size": plan.medium.size},
        "updates": [path.name for path in plan.updates],
        "test_signing": request.test_signing,
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "pvhck": harness.__version__,
        "host": host.name,
        "xen": host.info.version_text,
        "toolstack": host.toolstack.name.value,
        "image": {"sha256": disk.sha256, "size": disk.size},
        "user": template.user,
        "secret": str(request.secret),
        "certificate": f"sha256:{template.certificate.fingerprint}",
        "gate": [{"name": one.name, "state": one.state.value, "found": one.found} for one in checks],
    }


def hashed(host: Host, path: str) -> HashedFile:
    """A file of a host with its SHA-256."""
    digest = host.shell.check(["sha256sum", path], repeatable=True, timeout_s=_HASH_S)
    size = host.shell.check(["stat", "-c", "%s", path], repeatable=True)
    return HashedFile(path, digest.removeprefix("\\").split()[0], int(size))


def place(
    plan: Plan, host: Host, template: GuestTemplate, checks: tuple[Check, ...], disk: str
) -> Registered:
    """Move a disk to where templates lie, with its metadata beside it: both or neither.

    Raises:
        InfrastructureError: the host could not do it.
    """
    image = image_path(host, template.name)
    metadata = metadata_of(plan, host, template, checks, hashed(host, disk))
    host.shell.check(["mkdir", "-p", str(PurePosixPath(image).parent)])
    beside = image + _BESIDE
    try:
        host.shell.put(f"{json.dumps(metadata, indent=2)}\n".encode(), beside)
        # nobody is to write to what guests are clones of
        host.shell.check(["chmod", "0444", disk])
        host.shell.check(["mv", "-n", disk, image])
    except InfrastructureError:
        with contextlib.suppress(InfrastructureError):
            host.shell.run(["rm", "-f", beside])
        raise
    return Registered(template, image, beside, metadata, section_of(template))
