"""What the tests of harness.guest share: a guest behind an endpoint, and a channel to it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from harness.deadline import Deadline
from harness.guest.channel import WinRmChannel
from harness.guest.winrm import Endpoint
from harness.lab import WinRmTransport
from harness.operations import (
    OPERATIONS,
    BootId,
    FileContent,
    FileFacts,
    JobStarted,
    OperationRefused,
    XenstoreValue,
)
from harness.winrmd import (
    AgentRunner,
    Credentials,
    FaultSwitches,
    ServerCertificate,
    WinRmServer,
    WinRmSettings,
)

ADDRESS = "127.0.6.1"
USER, PASSWORD = "Administrator", "p:ass wörd"
CERTIFICATE = ServerCertificate.make("WIN1")
ODD = "\"quoted\" 'text' $x $(id) `n \\ äöü 日本 \U0001f600 <&>]]>\r\n\t"


class SmallGuest:
    """A little of GuestOperations; counts what it is asked."""

    def __init__(self) -> None:
        self.boot = "boot-1"
        self.asked: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.busy = threading.Event()

    def boot_id(self):
        self.asked.append("boot_id")
        return BootId(self.boot)

    def read_file(self, *, path, offset, length):
        self.asked.append("read_file")
        return FileContent(path, length, "A" * length)

    def write_file(self, *, path, content):
        self.asked.append("write_file")
        return FileFacts(path, len(content), "0" * 64)

    def xenstore_write(self, *, path, value):
        self.asked.append("xenstore_write")
        return XenstoreValue(path, value, ())

    def file_facts(self, *, path):
        self.asked.append("file_facts")
        raise OperationRefused("not-found", f"no {path}")

    def install_package(self, *, inf):
        self.asked.append("install_package")
        return JobStarted("job-1")

    def memory(self):
        """Takes as long as the test says."""
        self.asked.append("memory")
        self.busy.set()
        self.may_go_on.wait(30)
        return {"total_kib": 3, "free_kib": 2, "physical_kib": 1}


@contextlib.contextmanager
def endpoint_of(
    guest: object,
    transport: WinRmTransport = WinRmTransport.HTTP_BASIC,
    *,
    settings: WinRmSettings | None = None,
    runner: object = None,
    port: int = 0,
    certificate: ServerCertificate = CERTIFICATE,
) -> Iterator[tuple[WinRmServer, Endpoint]]:
    """An endpoint and how it is reached. Its switches are ``server.faults``."""
    faults = FaultSwitches()
    server = WinRmServer(
        ADDRESS,
        port,
        credentials=Credentials(USER, PASSWORD),
        runner=runner or AgentRunner(guest, shell_version="5.1.17763.316", faults=faults),
        certificate=certificate if transport.value.startswith("https") else None,
        settings=settings,
        faults=faults,
    )
    server.start()
    try:
        yield server, Endpoint(ADDRESS, server.port, transport, USER, PASSWORD, server.fingerprint)
    finally:
        server.stop()


@contextlib.contextmanager
def channel_to(
    guest: object, transport: WinRmTransport = WinRmTransport.HTTP_BASIC, *, announce_s: float = 20, **more
) -> Iterator[tuple[WinRmChannel, WinRmServer, list[str]]]:
    """A channel, its server, and the warnings it gives."""
    with endpoint_of(guest, transport, **more) as (server, endpoint):
        warnings: list[str] = []
        channel = WinRmChannel(endpoint, warn=warnings.append, announce_s=announce_s)
        try:
            yield channel, server, warnings
        finally:
            channel.close()


def ask(channel: WinRmChannel, name: str, *, seconds: float = 20, **params):
    """One operation's plain result."""
    return channel.call(OPERATIONS[name], params, Deadline.after(seconds))
