"""What a serial port says is a setup's progress, whatever else is written there, and whenever it is read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.image.follow import Console
from harness.image.stages import STAGES, Said, Stage, parse_stages, stage_line


def test_every_stage_has_a_title_and_a_limit() -> None:
    assert set(STAGES) == set(Stage)
    assert all(facts.title and facts.limit_s > 0 for facts in STAGES.values())


def test_lines_among_the_firmwares_noise_are_found() -> None:
    text = (
        "SeaBIOS\r\n\x1b[2JBooting from DVD\r\x00pvhck stage windows-pe\r\npvhck stage updates: a.msu \r\nx"
    )
    assert parse_stages(text).stages == (Said(Stage.WINDOWS_PE), Said(Stage.UPDATES, "a.msu"))


def test_a_terminal_that_adds_a_carriage_return_hides_nothing() -> None:
    assert parse_stages("pvhck stage windows-pe\r\r\n").last is Stage.WINDOWS_PE


def test_half_a_line_is_not_read_yet() -> None:
    assert parse_stages("pvhck stage done").stages == ()
    assert parse_stages("pvhck stage win").last is None


@pytest.mark.parametrize(
    "text", ["pvhck stage dance\n", "pvhck stage \n", "pvhck stage 7\n", "pvhck stages done\n"]
)
def test_what_is_no_stage_is_none(text: str) -> None:
    assert parse_stages(text).stages == ()


def test_the_first_failure_is_the_one_that_counts() -> None:
    text = "pvhck stage failed: netsh.exe ended with 5\r\npvhck stage failed: later\r\n"
    assert parse_stages(text).failure == "netsh.exe ended with 5"
    assert parse_stages("pvhck stage failed\r\n").failure == "it does not say why"


def test_a_section_is_put_together_line_by_line() -> None:
    text = "pvhck section [template a]\r\npvhck stage done\r\npvhck section os = Windows: 10\r\n"
    assert parse_stages(text).section == "[template a]\nos = Windows: 10\n"


def test_a_console_that_begins_anew_loses_nothing_that_was_heard() -> None:
    console = Console()
    console.hear("pvhck stage windows-pe\r\n")
    assert console.hear("").last is Stage.WINDOWS_PE
    assert console.hear("pvhck stage specialize\r\n").stages == (
        Said(Stage.WINDOWS_PE),
        Said(Stage.SPECIALIZE),
    )
    assert len(console.hear("pvhck stage specialize\r\npvhck stage done\r\n").stages) == 3


_LIVES = st.lists(
    st.lists(st.sampled_from(sorted(set(Stage))), min_size=1, max_size=4), min_size=1, max_size=4
)


@settings(deadline=None, max_examples=60)  # the machine may be busy
@given(_LIVES, st.data())
def test_reading_in_pieces_hears_what_was_said(lives: list[list[Stage]], data: st.DataObject) -> None:
    console, expected = Console(), []
    for number, life in enumerate(lives):
        # each life begins in its own way, as firmware with its clock does
        text = f"boot {number}\r\n" + "".join(f"{stage_line(stage)}\r\n" for stage in life)
        cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=4).map(sorted))
        for cut in [*cuts, len(text)]:
            heard = console.hear(text[:cut])
        expected += life
    assert [said.stage for said in heard.stages] == expected
