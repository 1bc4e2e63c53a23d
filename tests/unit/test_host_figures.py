"""What leaks without a name is seen in figures of the whole host, and what always differs is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_host import RECORDED_XL, make_host
from hypothesis import given
from hypothesis import strategies as st

from harness.host.figures import HostFigures, differences, event_channels_of, read_figures

_WELL = HostFigures(frozenset({"Domain-0"}), 0, 100, 40, frozenset({"/tmp/mine"}))
# The layout of tools/xcutils/lsevtchn.c, 4.17.
_CHANNELS = """\
   1: VCPU 0: Interdomain (Connected) - Remote Domain 2, Port 3
   2: VCPU 0: Virtual IRQ 1
   3: VCPU 1: IPI
"""


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (replace(_WELL, zombies=1), "1 domain(s) that Xen cannot let go of"),
        (replace(_WELL, lost_mib=164), "64 MiB of memory that no domain has"),
        (replace(_WELL, channels=50), "10 event channels of dom0"),
        (replace(_WELL, files=_WELL.files | {"/var/core/7.core"}), "file /var/core/7.core"),
        (replace(_WELL, files=_WELL.files | {"/tmp/qemu.socket"}), "file /tmp/qemu.socket"),
    ],
)
def test_what_a_host_has_more_of_than_before_has_leaked(after: HostFigures, words: str) -> None:
    assert differences(_WELL, after) == (words,)


@pytest.mark.parametrize(
    "after",
    [
        _WELL,
        replace(_WELL, lost_mib=60, channels=2, files=frozenset()),
        replace(_WELL, lost_mib=110, channels=43),
        replace(_WELL, channels=None),
        replace(_WELL, domains=_WELL.domains | {"somebody's"}, channels=99),
        replace(_WELL, files=_WELL.files | {"/tmp/systemd-private-1", "/var/lib/xen/userdata-d.7.x.json"}),
    ],
)
def test_what_breathes_or_is_kept_on_purpose_has_not_leaked(after: HostFigures) -> None:
    assert differences(_WELL, after) == ()


def test_a_host_s_figures_are_read_where_it_tells_them() -> None:
    answers = {
        **RECORDED_XL,
        "find": "/usr/lib/xen-4.17/bin/xen-lsevtchn\n",
        "/usr/lib/xen-4.17/bin/xen-lsevtchn 0": _CHANNELS,
        "ls -1A /tmp": "mine\n",
    }
    figures = read_figures(make_host(answers))
    assert figures.channels == 3
    assert figures.files == {"/tmp/mine"}
    assert {"Domain-0", "win1"} <= figures.domains
    assert 0 <= figures.lost_mib < 400


def test_a_host_that_counts_no_channels_is_judged_by_the_rest() -> None:
    assert read_figures(make_host(dict(RECORDED_XL))).channels is None


@given(st.text())
def test_any_text_for_a_list_of_channels_gives_a_count(text: str) -> None:
    assert 0 <= event_channels_of(text) <= len(text)
