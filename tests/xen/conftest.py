"""A nested real Xen host for the whole session, and guests on it. Needs ``--pv-real-xen``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from harness.guest.guest import Guest, Login
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import RunArea
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.lab import GuestTemplate, HostSpec, Lab, load_lab, resolve_secret
from harness.xenlab import RunningLab, XenLab

_BOOT_S = 300


@pytest.fixture(scope="session")
def xen_lab(request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    """The lab, freshly started or reset."""
    if not request.config.getoption("--pv-real-xen"):
        pytest.skip("needs the nested real Xen: --pv-real-xen")
    with XenLab(request.config.getoption("--pv-xen")).session(progress=print) as lab:
        yield lab


@pytest.fixture(scope="session")
def described(xen_lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The lab as its own hosts.ini describes it."""
    return load_lab(xen_lab.write_hosts_ini(tmp_path_factory.mktemp("xen") / "hosts.ini"))


@pytest.fixture(scope="session")
def spec(described: Lab) -> HostSpec:
    """The host's section."""
    return described.hosts["nested"]


@pytest.fixture(scope="module")
def xen_host(spec: HostSpec) -> Iterator[Host]:
    """The host, by SSH."""
    with Host(spec, Credentials(lambda ref: resolve_secret(ref).reveal())) as host:
        yield host


@pytest.fixture(scope="module")
def area(xen_host: Host) -> Iterator[RunArea]:
    """A folder of this module's own on the host."""
    with RunArea(xen_host.shell, f"xen{time.time_ns() % 10**9}") as area:
        yield area


@pytest.fixture(scope="module")
def boot(
    xen_host: Host,
    area: RunArea,
    described: Lab,
    note_real_xen: Callable[[Callable[[], str], Callable[[], None]], None],
) -> Iterator[Callable[[str], Guest]]:
    """Clones a template, boots it, waits until it answers; all are taken away at the end."""
    made: list[Guest] = []

    def recover() -> None:
        """A guest that triple-faulted is made anew by xl, from the same disk."""
        for guest in made:
            guest.disconnect(polite=False)
            guest.wait_ready(guest.deadline(_BOOT_S))

    def start(name: str) -> Guest:
        template = described.templates[name]
        guest = make_guest(xen_host, area, template, len(made), _login(template), report=print)
        made.append(guest)
        guest.start()
        guest.wait_ready(guest.deadline(_BOOT_S))
        return guest

    note_real_xen(lambda: xen_host.shell.run(["xl", "dmesg"]).stdout, recover)
    yield start
    for guest in made:
        remove_guest(guest, area)


def _login(template: GuestTemplate) -> Login:
    assert template.secret is not None
    return Login(template.user, resolve_secret(template.secret).reveal())
