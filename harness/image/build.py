"""A Windows template from its medium: set up in a domain of a host, tried, and registered.

A setup is two domains. The first has the medium in a CD drive and boots it; Windows PE copies Windows to
the disk and restarts, and there the first domain ends: the UEFI of Xen forgets its boot entries and tries
CDs first, so it would begin anew. The second one has the disk and the setup CD, and goes on to the end.

Whatever happens, nothing of it stays on the host but a template that passed its gate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.doctor.check import Check
from harness.errors import ConfigurationError, InfrastructureError, ProvisioningFailed, ToolMissing
from harness.guest.guest import Login, mac_for
from harness.host.area import RunArea, domain_name, remove_leftovers, sweep
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.host import Host
from harness.host.lease import HostLease, holder_now
from harness.host.space import space_of
from harness.host.toolstack.protocol import DomainInfo
from harness.image.follow import Follower
from harness.image.gate import Gate, pass_gate
from harness.image.plan import Plan, write_setup_iso
from harness.image.register import Registered, check_free, place, template_of
from harness.image.stages import Said, Stage
from harness.lab import Firmware, GuestTemplate
from harness.model import ToolstackName

__all__ = ["Reporter", "build_image"]

_UPLOAD_S = 3600
_EXPECTED_S = 2 * 3600  # for whoever waits for the host
_NUMBER = 1  # of the domain that is set up
_MIB = 1 << 20
_LARGEST_BY_SUDO = 1 << 30  # bytes
_WINDOWS_MIB = 16 * 1024  # what a fresh Windows, its page file and a clone come to: our figure


@dataclass(frozen=True)
class Reporter:
    """Who is told: of stages as they begin, and of everything else in words."""

    stage: Callable[[Said], None]
    say: Callable[[str], None]


def build_image(
    host: Host,
    plan: Plan,
    *,
    run_id: str,
    folder: Path,
    reporter: Reporter,
    hosts_file: Path | None = None,
    patience: float = 1.0,
) -> Registered:
    """Build, try and register a template.

    ``folder`` of this machine takes pictures and transcripts; ``hosts_file`` is the one that the section
    will be added to, None for none.

    Raises:
        ConfigurationError: this host cannot, or the name is taken; nothing was made.
        SetupFailed: Windows was not set up.
        GateFailed: it was, and is no template.
        InfrastructureError: the host is at fault.
    """
    check_host(host, plan)
    check_free(host, plan.request.template, hosts_file)
    lease = HostLease(host.shell, holder_now(run_id, expected_s=_EXPECTED_S, reason="image build"))
    with lease:
        sweep(host.shell, host.toolstack, reporter.say)
        with RunArea(host.shell, run_id) as area:
            building = _Building(host, plan, area, lease, folder, reporter, patience)
            try:
                return building.run()
            finally:
                remove_leftovers(host.shell, host.toolstack, run_id)


def check_host(host: Host, plan: Plan) -> None:
    """Refuse a host that cannot carry the setup.

    Raises:
        ConfigurationError: too small, or its toolstack knows no UEFI.
        ToolMissing: it has no qemu-img.
    """
    request, spec = plan.request, host.spec
    if request.firmware is Firmware.UEFI and host.toolstack.name is ToolstackName.XM:
        raise ConfigurationError(
            f"host {host.name} is driven by xm, and xend boots no UEFI guests",
            mend="--firmware bios, or another host",
        )
    if request.memory > spec.memory_mib or request.vcpus > spec.vcpus:
        raise ConfigurationError(
            f"{request.os.title} gets {request.memory} MiB and {request.vcpus} vCPUs, "
            f"host {host.name} gives {spec.memory_mib} MiB and {spec.vcpus}",
            mend="raise memory and vcpus of the host in hosts.ini, or --vcpus 1",
        )
    if spec.sudo and plan.medium.size > _LARGEST_BY_SUDO:
        raise ConfigurationError(
            f"host {host.name} is used by sudo: files go there through this machine's memory, and "
            f"{request.iso.name} has {plan.medium.size // _MIB} MiB",
            mend="build on a host where root may log in",
        )
    if host.shell.run(["qemu-img", "--version"], repeatable=True).not_found:
        raise ToolMissing(f"host {host.name} has no qemu-img", mend="apt-get install qemu-utils")
    free = space_of(host.shell, spec.storage).free_mib
    needed = plan.medium.size // _MIB + _WINDOWS_MIB
    if free < needed:
        raise ConfigurationError(
            f"host {host.name} has {free} MiB free in {spec.storage}, a setup takes up to {needed}",
            mend="make room there",
        )


@dataclass
class _Building:
    """One build: everything lies in the run's area, under its domain's name."""

    _host: Host
    _plan: Plan
    _area: RunArea
    _lease: HostLease
    _folder: Path
    _reporter: Reporter
    _patience: float

    def __post_init__(self) -> None:
        self._name = domain_name(self._area.run_id, _NUMBER)
        self._disk = self._area.path(f"{self._name}.qcow2")
        self._medium = self._area.path(f"{self._name}.medium.iso")
        self._setup_cd = self._area.path(f"{self._name}.setup.iso")

    def run(self) -> Registered:
        self._bring()
        printed = self._set_up()
        # the password is on the setup CD, and a clone needs the room
        self._host.shell.check(["rm", "-f", self._medium, self._setup_cd])
        template = template_of(self._plan, self._host, printed)
        checks = self._try_out(template)
        return place(self._plan, self._host, template, checks, self._disk)

    # -- what the host needs

    def _bring(self) -> None:
        shell, request = self._host.shell, self._plan.request
        self._reporter.say(
            f"{request.iso.name} ({self._plan.medium.size // _MIB} MiB) goes to {self._host.name}"
        )
        shell.put(self._plan.medium.path, self._medium, timeout_s=_UPLOAD_S)
        if request.firmware is Firmware.UEFI:
            self._patch_medium()
        with tempfile.TemporaryDirectory(prefix="pvhck-setup-") as scratch:
            iso = Path(scratch) / "setup.iso"
            write_setup_iso(self._plan, iso)
            # private before there is anything in it
            shell.check(["sh", "-c", 'umask 077; : >"$1"', "sh", self._setup_cd])
            shell.put(iso, self._setup_cd)
        made = shell.run(["qemu-img", "create", "-q", "-f", "qcow2", self._disk, f"{request.disk}M"])
        if not made.ok:
            raise ProvisioningFailed(
                f"host {self._host.name}: no disk for Windows: {made.describe()}",
                mend=f"df -h {self._host.spec.storage}",
            )

    def _patch_medium(self) -> None:
        """One sector of the copy: its catalogue leads to the loader that asks nobody."""
        patch = self._plan.medium.no_prompt
        assert patch is not None, "make_plan has refused it"
        sector = self._area.path(f"{self._name}.sector")
        self._host.shell.put(self._plan.medium.no_prompt_sector, sector)
        self._host.shell.check(
            ["dd", f"if={sector}", f"of={self._medium}", "bs=2048", f"seek={patch.sector}", "conv=notrunc"]
        )
        self._host.shell.check(["rm", "-f", sector])

    # -- two domains

    def _set_up(self) -> str:
        """Set Windows up; gives what prepare.ps1 printed."""
        follower = Follower(
            host=self._host,
            domain=self._name,
            console_log=self._area.path(f"{self._name}.console"),
            folder=self._folder,
            report=self._reporter.stage,
            patience=self._patience,
            check_ours=self._check_ours,
        )
        self._copy(follower)
        self._host.toolstack.create(self._domain(first=False))
        follower.until(lambda domain: domain is None)
        if follower.stage is not Stage.DONE:
            raise follower.fail("the guest is gone from its host before it was done")
        return follower.heard.section

    def _copy(self, follower: Follower) -> None:
        """The first domain, until Windows PE restarts."""

        def restarted(domain: DomainInfo | None) -> bool:
            if domain is None:
                raise follower.fail(
                    "Windows Setup ended by itself", "is the medium whole, and for this architecture?"
                )
            return domain.shutdown

        self._host.toolstack.create(self._domain(first=True))
        follower.until(restarted)
        if follower.stage is None:
            raise follower.fail(
                "the medium started, and restarted before it read the answer file",
                "a picture of the screen says more",
            )
        self._host.toolstack.destroy(self._name)
        follower.saw(Said(Stage.COPIED))

    def _domain(self, *, first: bool) -> DomainSpec:
        request = self._plan.request
        medium = (DiskSpec(self._medium, "hdc", cdrom=True),) if first else ()
        return DomainSpec(
            name=self._name,
            memory_mib=request.memory,
            vcpus=request.vcpus,
            disks=(
                DiskSpec(self._disk, "hda", "qcow2"),
                *medium,
                DiskSpec(self._setup_cd, "hdd", cdrom=True),
            ),
            nics=(NicSpec(mac_for(self._area.run_id, _NUMBER), self._host.spec.bridge),),
            firmware=request.firmware,
            console_log=self._area.path(f"{self._name}.console"),
            boot="dc" if first else "c",
            on_reboot="preserve" if first else "restart",
        )

    # -- the template

    def _try_out(self, template: GuestTemplate) -> tuple[Check, ...]:
        login = Login(template.user, self._plan.answers.password.reveal())
        gate = Gate(self._host, self._area, login, self._folder, self._reporter.say, self._patience)
        return pass_gate(gate, replace(template, image=self._disk))

    def _check_ours(self) -> None:
        if self._lease.lost:
            raise InfrastructureError(f"host {self._host.name} is ours no longer: {self._lease.lost}")
