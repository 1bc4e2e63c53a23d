"""A guest that was there before us and stays when we are gone: nothing takes it away, all we do is noted."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from harness.deadline import Deadline
from harness.errors import ConfigurationError, OperationFailed
from harness.guest.calls import operations_over
from harness.guest.channel import GuestChannel
from harness.guest.guest import Guest, GuestState, Login
from harness.host.adopted import target_mib
from harness.host.area import run_of
from harness.host.domain import DomainSpec, NicSpec
from harness.host.host import Host
from harness.lab import GuestTemplate
from harness.model import Change, ToolstackName
from harness.operations import GuestOperations, JobStarted, Operation

__all__ = ["AdoptedGuest", "adopt"]

_START_S = 300
# Of Windows (jobs.ps1, workload.tools) and of the stand-in; of the other's a guest knows nothing.
_FOLDERS = ("C:\\ProgramData\\pvhck", "/var/lib/pvhck")
_JOBS = ("C:\\ProgramData\\pvhck\\jobs\\", "/var/lib/pvhck/jobs/")
# the parameter of each operation that says what it makes in the guest
_MAKES = {"write_file": "path", "pull_file": "path", "copy_from_cd": "path", "expand_zip": "folder"}


class AdoptedGuest(Guest):
    """Somebody else's domain. ``allowed`` are the changes its owner has named.

    ``config`` is the file of the host that its toolstack makes the domain from, for tests that shut it down.
    """

    def __init__(
        self,
        host: Host,
        template: GuestTemplate,
        domain: DomainSpec,
        login: Login,
        *,
        allowed: Collection[Change] = (),
        config: str = "",
        **others: Any,
    ) -> None:
        super().__init__(host, template, domain, login, **others)
        self._allowed = frozenset(allowed)
        self._config = config
        self._made: list[str] = []  # files and folders that were not there before
        self._jobs: list[str] = []

    @property
    def may_be_dumped(self) -> bool:
        """Whether a hang may be ended by an NMI."""
        return Change.DUMP in self._allowed

    @property
    def operations(self) -> GuestOperations:
        """Typed operations; what they make in the guest is noted before they make it."""
        return operations_over(_Noting(self, self.explained()), time_factor=self.host.spec.time_factor)

    def kill(self) -> None:
        """Take its power away, where its owner has allowed that.

        Raises:
            ConfigurationError: nobody has.
        """
        if Change.POWER not in self._allowed:
            raise ConfigurationError(f"{self.name} is adopted: it is not destroyed", mend="--allow power")
        super().kill()

    def start(self, *, paused: bool = False) -> None:
        """Make the domain again from its owner's file.

        Raises:
            ConfigurationError: nobody has named it, or this toolstack takes none.
        """
        program = self.host.toolstack.name
        if not self._config or program is ToolstackName.LIBVIRT:
            raise ConfigurationError(
                f"{self.name} is adopted: how to start it is not known", mend="--config FILE"
            )
        words = [program.value, "create", *(["-p"] if paused else []), self._config]
        self.host.shell.check(words, timeout_s=_START_S)
        if self.state is not GuestState.BROKEN:
            self.state = GuestState.BOOTED

    def running_jobs(self) -> tuple[str, ...]:
        """Programs of ours that still run in it; each is stopped."""
        left = tuple(job for job in self._jobs if self._runs(job))
        for job in left:
            self.operations.stop_job(job=job)
        return left

    def _runs(self, job: str) -> bool:
        try:
            return self.operations.job_status(job=job).state == "running"
        except OperationFailed:  # nobody knows it any more
            return False

    def look_around(self) -> None:
        """Note which of our folders are not there yet: those go as a whole."""
        for folder in _FOLDERS:
            self.note_made(folder)

    def clean(self) -> tuple[str, ...]:
        """Remove all that we have made in it; gives what is still there."""
        jobs = (f"{folder}{job}" for folder in _JOBS for job in self._jobs)
        made = [*jobs, *reversed(self._made)]
        for path in made:
            self.operations.remove_file(path=path)
        left = tuple(path for path in made if self.is_there(path))
        self._made, self._jobs = list(left), []
        return left

    def note_made(self, path: str) -> None:
        """Something is about to be made; what is there already stays when we are gone."""
        if path not in self._made and not self.is_there(path):
            self._made.append(path)

    def note_job(self, job: str) -> None:
        """A program of ours was started."""
        self._jobs.append(job)

    def is_there(self, path: str) -> bool:
        """Whether there is a file or folder."""
        try:
            operations_over(self.explained(), time_factor=self.host.spec.time_factor).file_facts(path=path)
        except OperationFailed as error:
            return error.kind != "not-found"  # a folder has no facts, and is there
        return True


class _Noting:
    """``GuestChannel`` that notes what operations make."""

    def __init__(self, guest: AdoptedGuest, channel: GuestChannel) -> None:
        self._guest = guest
        self._channel = channel
        self.log = channel.log

    def call(self, operation: Operation, params: dict[str, Any], deadline: Deadline) -> Any:
        if operation.name in _MAKES:
            self._guest.note_made(params[_MAKES[operation.name]])
        result = self._channel.call(operation, params, deadline)
        if operation.result is JobStarted:
            self._guest.note_job(result["job"])
        return result

    def close(self) -> None:
        self._channel.close()


def adopt(
    host: Host,
    name: str,
    template: GuestTemplate,
    login: Login,
    *,
    allowed: Collection[Change] = (),
    config: str = "",
    **others: Any,
) -> AdoptedGuest:
    """A running domain as a guest; nothing is asked of the guest in it yet.

    Raises:
        ConfigurationError: there is none that could be adopted.
    """
    domain = host.toolstack.find(name)
    if domain is None or domain.domid == 0:
        there = ", ".join(one.name for one in host.toolstack.domains() if one.domid != 0) or "none"
        raise ConfigurationError(
            f"host {host.name}: there is no domain {name}", mend=f"running there: {there}"
        )
    if run_of(name) is not None:
        raise ConfigurationError(f"host {host.name}: {name} is a guest of a run, and goes with it")
    if domain.paused or domain.shutdown:
        raise ConfigurationError(f"host {host.name}: {name} does not run: it is paused or has stopped")
    nics = host.toolstack.nics(name)
    if not nics:
        raise ConfigurationError(f"host {host.name}: {name} has no network interface")
    spec = DomainSpec(
        name=name,
        memory_mib=target_mib(host.toolstack, host.xenstore, domain.domid),
        vcpus=domain.vcpus,
        disks=(),
        nics=tuple(NicSpec(nic.mac, host.spec.bridge) for nic in nics),
        max_memory_mib=host.toolstack.config(name).max_memory_mib,
    )
    return AdoptedGuest(host, template, spec, login, allowed=allowed, config=config, **others)
