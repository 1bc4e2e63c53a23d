"""A device model that died under its domain is told from one that goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fake_host import NO_NODE, RECORDED_XL, SPEC, WIN1, Answer, FakeShell, recorded
from hypothesis import given
from hypothesis import strategies as st

from harness.host.devicemodel import lost_model, served_by
from harness.host.toolstack.protocol import DomainInfo

_PID_PATH = "/local/domain/2/image/device-model-pid"
_READ = f"xenstore-read {_PID_PATH}"
_QEMU = recorded("ps-of-model")[1].replace("-xen-domid 1 ", "-xen-domid 2 ")


def _lost(answers: Mapping[str, Answer], before: DomainInfo = WIN1, now: DomainInfo | None = WIN1) -> str:
    shell: Any = FakeShell(SPEC, answers)
    toolstack: Any = SimpleNamespace(find=lambda _: now)
    return lost_model(shell, toolstack, before)


def test_the_path_is_the_one_that_xen_was_recorded_with() -> None:
    assert f'{_PID_PATH} = "483"' in recorded("xenstore-ls-f-guest")[1]
    assert "xenstore-ls -f -p /local/domain/2" in RECORDED_XL


@pytest.mark.parametrize(
    "listing",
    [
        recorded("ps-of-gone-model"),
        "[xen-qemu-system] <defunct>\n",
        "vi win1.cfg\n",  # the number was given to another program
        _QEMU.replace("-xen-domid 2 ", "-xen-domid 22 "),
    ],
    ids=["gone", "zombie", "another-program", "another-domain"],
)
def test_a_model_that_is_not_there_any_more_is_named(listing: Answer) -> None:
    words = _lost({_READ: "483\n", "ps -p 483": listing})
    assert words == "the device model of win1 (process 483) is gone, and its domain still there"


@pytest.mark.parametrize("words", [_QEMU, "/usr/lib/xen/bin/qemu-dm -d 2 -domain-name win1 -videoram 4\n"])
def test_a_model_that_runs_is_no_loss(words: str) -> None:
    assert _lost({_READ: "483\n", "ps -p 483": words}) == ""


def test_a_domain_that_tells_of_no_process_has_lost_none() -> None:
    assert _lost({_READ: NO_NODE}) == ""


@pytest.mark.parametrize(
    "now",
    [None, replace(WIN1, domid=3), replace(WIN1, shutdown=True, reason="r"), replace(WIN1, dying=True)],
)
def test_a_model_that_goes_with_its_domain_is_no_loss(now: DomainInfo | None) -> None:
    gone: Mapping[str, Answer] = {_READ: "483\n", "ps -p 483": (1, "", "")}
    assert _lost(gone, now=now) == ""
    if now is not None and now.domid == 2:
        assert _lost(gone, before=now) == ""


@given(st.text())
def test_any_command_line_is_read(words: str) -> None:
    assert all(number >= 0 for number in served_by(words))
