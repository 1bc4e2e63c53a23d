"""On a real host: clones of small and large templates, a restored guest against one that boots."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

from benchmarks.compare import Comparison, turns
from harness.guest.guest import Login
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import RunArea
from harness.host.clone import Overlay
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.lab import GuestTemplate, load_lab, resolve_secret
from harness.xenlab.lab import XenLab

__all__ = ["clones", "nested_xen", "restore_against_boot"]

_TIMES = 3
_BOOT_S = 300


def nested_xen() -> list[Comparison]:
    """Both, on the nested lab."""
    with tempfile.TemporaryDirectory() as folder, XenLab().session(progress=print) as running:
        lab = load_lab(running.write_hosts_ini(Path(folder) / "hosts.ini"))
        (spec,) = lab.hosts.values()
        with (
            Host(spec, Credentials(lambda ref: resolve_secret(ref).reveal())) as host,
            RunArea(host.shell, f"bench-{secrets.token_hex(3)}") as area,
        ):
            template = lab.templates["standin-all"]
            return [*clones(host, area), *restore_against_boot(host, area, template)]


def clones(host: Host, area: RunArea) -> list[Comparison]:
    """An overlay does not care how large its template is."""
    images = {size: area.path(f"pvhck-{size}.img") for size in (1, 20)}
    target = area.path("pvhck-clone.img")
    for size, path in images.items():
        host.shell.check(["truncate", "-s", f"{size}G", path])

    def clone(size: int) -> None:
        Overlay(host.shell).clone(images[size], target)

    small, large = turns(_TIMES, lambda: clone(1), lambda: clone(20))
    host.shell.check(["rm", "-f", target, *images.values()])
    return [Comparison("clone of a 20 GiB template", large, "clone of a 1 GiB template", small, at_most=2)]


def restore_against_boot(host: Host, area: RunArea, template: GuestTemplate) -> list[Comparison]:
    """From the command to a guest that answers."""
    assert template.secret is not None
    login = Login(template.user, resolve_secret(template.secret).reveal())
    guest = make_guest(host, area, template, 1, login, report=print)
    path = area.path(f"{guest.name}.save")
    try:

        def boot() -> None:
            guest.start()
            guest.wait_ready(guest.deadline(_BOOT_S))

        (boot_s,) = turns(1, boot)
        guest.save(path)
        (restore_s,) = turns(1, lambda: guest.restore(path, guest.deadline(_BOOT_S)))
    finally:
        remove_guest(guest, area)
    return [Comparison("ready guest by restore", restore_s, "ready guest by cold boot", boot_s, at_most=1)]
