"""A guest that hangs is sent an NMI, and what came of it stands in the evidence."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from fake_host import RECORDED_XL, Answer, make_guest, make_host, recorded, shell_of

from harness.errors import HostUnreachable
from harness.evidence import provoke_dump


def told(tmp_path: Path, **answers: Answer) -> tuple[str, list[str]]:
    """What stands in the file, and what the host was asked."""
    words = {key.replace("_", " "): answer for key, answer in answers.items()}
    host = make_host({**RECORDED_XL, "xl trigger win1 nmi": "", **words}, time_factor=0.01)
    (name,) = provoke_dump(make_guest(host, {}), tmp_path / "evidence", redact=lambda text: text.upper())
    return (tmp_path / "evidence" / name).read_text(), shell_of(host).asked


def after(count: int, first: str, then: str) -> Answer:
    """One text ``count`` times, another one from then on."""
    times = itertools.count()

    def answer(_: Sequence[str]) -> tuple[int, str, str]:
        return 0, first if next(times) < count else then, ""

    return answer


def test_a_dump_is_provoked_and_what_the_hypervisor_says_of_it_is_kept(tmp_path: Path) -> None:
    _, listed, _ = recorded("xl-list")
    crashed = re.sub(r"(?m)(^win1 .*) -b----", r"\1 ---sc-", listed)

    text, asked = told(
        tmp_path,
        xl_list=after(2, listed, crashed),
        xl_dmesg=after(1, "(XEN) old\n", "(XEN) old\n(XEN) (d2) XEN|BUGCHECK: 00000080\n"),
    )

    assert "xl trigger win1 nmi" in asked
    assert "STATE C" in text
    assert "BUGCHECK: 00000080" in text
    assert "OLD" not in text


def test_a_guest_that_does_not_even_hear_an_nmi_is_said_to_be_one(tmp_path: Path) -> None:
    text, _ = told(tmp_path)

    assert "WHAT CAME OF IT: NOTHING" in text


def test_a_host_that_fails_then_is_no_reason_to_lose_the_rest(tmp_path: Path) -> None:
    text, _ = told(tmp_path, xl_trigger_win1_nmi=HostUnreachable("connection lost"))

    assert "NO NMI: CONNECTION LOST" in text
