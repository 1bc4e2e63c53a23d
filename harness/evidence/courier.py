"""Brings files out of a guest within a deadline: by HTTP, or through its channel when it cannot reach us."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.deadline import Deadline, WaitTimedOut
from harness.errors import ChannelError, InfrastructureError, OperationFailed
from harness.guest.calls import operations_over
from harness.guest.deliver import address_for
from harness.guest.exchanges import ExchangeLog
from harness.guest.guest import Guest
from harness.guest.transfer import FileServer, from_guest
from harness.operations import FileFacts, GuestOperations, Operation

__all__ = ["MOST_BY_CHANNEL", "Courier", "whole_or_gone"]

MOST_BY_CHANNEL = 16 << 20  # bytes; the channel carries base64 in small messages
_PART = 256 << 10
_GROWTH = 64 << 20  # of a file since it was listed; a guest that sends more fills our disk


class Courier:
    """One guest's files. Its calls end by ``deadline``; failures are raised as the channel has them."""

    def __init__(self, guest: Guest, deadline: Deadline) -> None:
        self._guest = guest
        self._deadline = deadline
        self.operations: GuestOperations = operations_over(
            _Bounded(guest, deadline), time_factor=guest.host.spec.time_factor
        )

    def beginning(self, path: str, length: int) -> bytes:
        """The first bytes of a file."""
        return self._content(path, 0, length)

    def whole(self, path: str, size: int, target: Path) -> FileFacts:
        """A file; what did not arrive whole is not left behind.

        Raises:
            InfrastructureError: it arrived changed, or is too large for the only way there is.
            OperationFailed: the guest cannot read it.
            ChannelError, WaitTimedOut: the guest answers no more, or the time is over.
        """
        with whole_or_gone(target):
            try:
                return self._by_http(path, size, target)
            except OperationFailed as error:
                if error.kind != "command-failed":
                    raise
            return self._by_channel(path, size, target)

    def _by_http(self, path: str, size: int, target: Path) -> FileFacts:
        address = address_for(self._guest)
        if not address:
            raise OperationFailed("push_file", "command-failed", "no address of ours that guests reach")
        with FileServer(address, towards=self._guest.host.spec.address) as server:
            return from_guest(self.operations, server, path, target, most=size + _GROWTH)

    def _by_channel(self, path: str, size: int, target: Path) -> FileFacts:
        facts = self.operations.file_facts(path=path) if size <= MOST_BY_CHANNEL else None
        if facts is None or facts.size > MOST_BY_CHANNEL:
            raise InfrastructureError(
                f"{path} has {size} bytes, and {self._guest.name} cannot send it by HTTP",
                mend=f"set controller in [host {self._guest.host.name}] to our address as guests see it",
            )
        digest = hashlib.sha256()
        with target.open("wb") as file:
            while file.tell() < facts.size:
                part = self._part(path, file.tell())
                digest.update(part)
                file.write(part)
        if digest.hexdigest() != facts.sha256:
            raise InfrastructureError(f"{path} of {self._guest.name} changed while it was read")
        return facts

    def _part(self, path: str, offset: int) -> bytes:
        if self._deadline.expired:
            raise WaitTimedOut(
                f"{path} is brought from {self._guest.name}", self._deadline.seconds, f"{offset} bytes"
            )
        part = self._content(path, offset, _PART)
        if not part:
            raise InfrastructureError(f"{path} of {self._guest.name} ended at {offset} bytes")
        return part

    def _content(self, path: str, offset: int, length: int) -> bytes:
        part = self.operations.read_file(path=path, offset=offset, length=length)
        try:
            return base64.b64decode(part.content, validate=True)
        except ValueError as error:
            raise OperationFailed("read_file", "bad-answer", f"{path}: no base64: {error}") from error


class _Bounded:
    """The guest's channel, with no deadline beyond ours; nobody is asked whose fault a failure is."""

    def __init__(self, guest: Guest, deadline: Deadline) -> None:
        self._guest = guest
        self._deadline = deadline
        self.log: ExchangeLog = guest.log

    def call(self, operation: Operation, params: dict[str, Any], deadline: Deadline) -> Any:
        ours = Deadline.after(self._deadline.at_most(deadline.remaining))
        try:
            return self._guest.channel().call(operation, params, ours)
        except ChannelError:
            self._guest.disconnect(polite=False)
            raise

    def close(self) -> None:
        self._guest.disconnect()


@contextlib.contextmanager
def whole_or_gone(target: Path) -> Iterator[None]:
    """Half a file is not left behind."""
    try:
        yield
    except BaseException:
        target.unlink(missing_ok=True)
        raise
