"""An operation on the kept channel against a command by pywinrm's Session, on the same endpoint."""

from __future__ import annotations

import winrm

from benchmarks.compare import Comparison, turns
from benchmarks.endpoint import PASSWORD, USER, serving
from harness.deadline import Deadline
from harness.guest.channel import WinRmChannel
from harness.lab import WinRmTransport
from harness.operations import OPERATIONS

__all__ = ["channel"]

_TIMES = 60
_POSTS = 2


def channel() -> list[Comparison]:
    return [_compare(transport) for transport in (WinRmTransport.HTTPS_NTLM, WinRmTransport.HTTP_NTLM)]


def _compare(transport: WinRmTransport) -> Comparison:
    with serving(transport) as (server, endpoint):
        session = winrm.Session(
            server.url,
            auth=(USER, PASSWORD),
            transport="ntlm",
            server_cert_validation="ignore",
            proxy=None,
        )
        kept = WinRmChannel(endpoint)

        def ours() -> object:
            return kept.call(OPERATIONS["boot_id"], {}, Deadline.after(60))

        def theirs() -> object:
            answer = session.run_cmd("hostname")
            assert answer.status_code == 0
            return answer

        ours(), theirs()
        before = server.counters.requests
        for _ in range(_TIMES):
            ours()
        posts = (server.counters.requests - before) / _TIMES
        ours_s, theirs_s = turns(_TIMES, ours, theirs)
        kept.close()
        return Comparison(
            f"operation, kept channel, {transport}",
            ours_s,
            "Session.run_cmd",
            theirs_s,
            at_most=1 / 4,
            note=f"{theirs_s / ours_s:.1f} times faster, {posts:g} POSTs",
            checks=() if posts == _POSTS else (f"{posts:g} POSTs an operation, not {_POSTS}",),
        )
