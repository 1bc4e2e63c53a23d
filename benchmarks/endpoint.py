"""A WinRM endpoint on loopback, with a guest behind it that costs next to nothing."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from harness.guest.winrm import Endpoint
from harness.lab import WinRmTransport
from harness.operations import BootId, FileFacts
from harness.winrmd import (
    AgentRunner,
    CommandRequest,
    Credentials,
    Dispatcher,
    ProcessRunner,
    Reply,
    ServerCertificate,
    TableRunner,
    WinRmServer,
    encoded_script,
)

__all__ = ["PASSWORD", "USER", "QuickGuest", "download", "serving"]

USER, PASSWORD = "Administrator", "no secret"
_APPEND = re.compile(r"append '(?P<path>[^']+)' '(?P<data>[^']+)'")


def download(url: str, path: Path) -> FileFacts:
    """Fetch a file by HTTP, hashing as it comes."""
    digest, size = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=60) as answer, path.open("wb") as file:
        while chunk := answer.read(1 << 20):
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
    return FileFacts(str(path), size, digest.hexdigest())


class QuickGuest:
    """The operations that the benchmarks ask for."""

    def boot_id(self) -> BootId:
        return BootId("boot")

    def pull_file(self, *, url: str, path: str, sha256: str) -> FileFacts:
        facts = download(url, Path(path))
        assert facts.sha256 == sha256
        return facts


@contextlib.contextmanager
def serving(transport: WinRmTransport) -> Iterator[tuple[WinRmServer, Endpoint]]:
    """The agent, ``hostname``, appending scripts, and /bin/sh for the rest."""
    runner = Dispatcher(
        _Appender(),
        AgentRunner(QuickGuest(), shell_version="5.1"),
        TableRunner({"hostname": Reply(b"WIN1\r\n")}),
        ProcessRunner(lambda request: ["/bin/sh", "-c", request.line]),
    )
    secure = transport.value.startswith("https")
    server = WinRmServer(
        "127.0.0.1",
        0,
        credentials=Credentials(USER, PASSWORD),
        runner=runner,
        certificate=ServerCertificate.make("WIN1") if secure else None,
    )
    server.start()
    try:
        yield server, Endpoint("127.0.0.1", server.port, transport, USER, PASSWORD, server.fingerprint)
    finally:
        server.stop()


class _Appender(TableRunner):
    """Plays the PowerShell that appends a piece to a file, without the start of a powershell.exe."""

    def __init__(self) -> None:
        super().__init__({}, otherwise=self._append)

    def accepts(self, request: CommandRequest) -> bool:
        return _APPEND.fullmatch(encoded_script(request) or "") is not None

    def _append(self, request: CommandRequest) -> Reply:
        match = _APPEND.fullmatch(encoded_script(request) or "")
        assert match is not None
        with Path(match["path"]).open("ab") as file:
            file.write(base64.b64decode(match["data"]))
        return Reply()
