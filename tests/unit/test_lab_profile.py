"""Profiles: the shipped ones load, and every mistake in one is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigurationError
from harness.lab import ProfileError, load_profile, profile_names
from harness.lab.profile import Axis, NetworkParams, Profile
from harness.lab.profile_load import parse_profile
from harness.model import Area

SOURCE = Path("/profiles/mine.toml")


def test_the_five_built_in_profiles_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert profile_names() == ("certification", "nested", "nightly", "release", "smoke")
    for name in profile_names():
        profile = load_profile(name)
        assert profile.name == name
        assert profile.description
        assert profile.areas == tuple(Area)


def test_each_built_in_profile_does_more_than_the_one_before() -> None:
    profiles = [load_profile(name) for name in ("smoke", "nightly", "release", "certification")]
    for work in (
        lambda p: p.power.cycles,
        lambda p: p.balloon.cycles * p.balloon.steps,
        lambda p: p.network.payload_mib,
        lambda p: p.network.seconds * p.network.repeats * len(p.network.streams),
        lambda p: p.storage.disk_mib,
        lambda p: p.storage.seconds * p.storage.repeats * len(p.storage.block_sizes_kib),
        lambda p: p.interface.keys,
        lambda p: len(p.axes) + 1,
    ):
        amounts = [work(profile) for profile in profiles]
        assert amounts == sorted(set(amounts)), amounts


def test_what_stands_in_the_file_replaces_the_default_and_nothing_else() -> None:
    text = (
        'description = "d"\nareas = ["power"]\naxes = ["host", "xen"]\n'
        "[network]\nseconds = 2\nstreams = [4]\n"
    )
    profile = parse_profile(text, SOURCE)
    assert profile == Profile(
        name="mine",
        description="d",
        areas=(Area.POWER,),
        axes=(Axis.HOST, Axis.XEN),
        network=NetworkParams(seconds=2.0, streams=(4,)),
    )
    assert isinstance(profile.network.seconds, float)


def test_a_profile_by_path(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[power]\ncycles = 7\n", encoding="utf-8")
    profile = load_profile(str(tmp_path / "own.toml"))
    assert (profile.name, profile.power.cycles) == ("own", 7)


def test_an_unknown_name_gives_the_nearest_and_all_known() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_profile("smokey")
    assert "did you mean 'smoke'?" in str(caught.value)
    assert "certification, nested, nightly, release, smoke" in str(caught.value)


class Bad(NamedTuple):
    """A text with one mistake; ``found`` and ``allowed`` are parts of what has to be said."""

    text: str
    line: int
    section: str
    key: str
    found: str
    allowed: str


BAD = [
    Bad("a = ", 1, "", "", "Invalid value", "TOML"),
    Bad("x = 1\nx = 2\n", 2, "", "", "Cannot overwrite", "TOML"),
    Bad(f"x = {'9' * 5000}\n", 0, "", "", "digits", "TOML"),
    Bad("name = 'x'\n", 1, "", "name", "nobody knows", "description"),
    Bad("\narea = ['power']\n", 2, "", "area", "nobody knows", "did you mean 'areas'?"),
    Bad("areas = ['powr']\n", 1, "", "areas", "['powr']", "did you mean 'power'? install | network"),
    Bad("areas = ['power', 'power']\n", 1, "", "areas", "power", "each once"),
    Bad("areas = 'power'\n", 1, "", "areas", "'power'", "a list"),
    Bad("axes = ['guest']\n", 1, "", "axes", "['guest']", "host | toolstack | xen"),
    Bad("description = 5\n", 1, "", "description", "5", "text in quotes"),
    Bad("select = [5]\n", 1, "", "select", "[5]", "text in quotes"),
    Bad("power = 5\n", 1, "", "power", "5", "[power]"),
    Bad("[powr]\ncycles = 5\n", 1, "", "powr", "nobody knows", "did you mean 'power'?"),
    Bad("[power]\n\ncycels = 5\n", 3, "power", "cycels", "nobody knows", "did you mean 'cycles'?"),
    Bad("[power]\ncycles = 0\n", 2, "power", "cycles", "0", "a whole number from 1 to 10000"),
    Bad("[power]\ncycles = 1.5\n", 2, "power", "cycles", "1.5", "a whole number"),
    Bad("[power]\ncycles = true\n", 2, "power", "cycles", "True", "a whole number"),
    Bad("[power]\ncycles = '3'\n", 2, "power", "cycles", "'3'", "a whole number"),
    Bad("[power]\nshutdown_s = nan\n", 2, "power", "shutdown_s", "nan", "a number from 0.1 to 86400"),
    Bad("[power]\nshutdown_s = inf\n", 2, "power", "shutdown_s", "inf", "a number from 0.1 to 86400"),
    Bad("[power]\nshutdown_s = 2020-01-01\n", 2, "power", "shutdown_s", "date", "a number"),
    Bad(f"[power]\ncycles = 0x{'f' * 9000}\n", 2, "power", "cycles", "too long", "a whole number"),
    Bad("[network]\nstreams = []\n", 2, "network", "streams", "[]", "a list"),
    Bad("[network]\nstreams = [1, 0]\n", 2, "network", "streams", "[1, 0]", "from 1 to 128"),
    Bad("[network]\nstreams = [1, [2]]\n", 2, "network", "streams", "[1, [2]]", "a list"),
    Bad("network.streams = 8\n", 0, "network", "streams", "8", "a list"),
]


@pytest.mark.parametrize("bad", BAD)
def test_a_mistake_names_its_place_what_was_found_and_what_is_allowed(bad: Bad) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(bad.text, SOURCE)
    assert len(caught.value.findings) == 1, str(caught.value)
    (finding,) = caught.value.findings
    assert (finding.file, finding.line, finding.section, finding.key) == (
        SOURCE,
        bad.line,
        bad.section,
        bad.key,
    )
    assert bad.found in finding.found
    assert bad.allowed in finding.allowed


def test_all_mistakes_of_a_profile_are_said_at_once() -> None:
    text = "axis = []\n[power]\ncycles = 0\nreboot = 5\n[storage]\ndepths = [0]\n"
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, SOURCE)
    assert [finding.line for finding in caught.value.findings] == [1, 3, 4, 6]
    assert str(caught.value).startswith("/profiles/mine.toml: 4 mistakes\n")


@pytest.mark.parametrize(("content", "found"), [(None, "No such file"), (b"\xff", "no text in UTF-8")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, found: str) -> None:
    file = tmp_path / "p.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ProfileError, match=found) as caught:
        load_profile(str(file))
    assert str(file) in str(caught.value)


def test_endless_brackets_are_a_mistake_and_no_crash() -> None:
    with pytest.raises(ProfileError):
        parse_profile("a = " + "[" * 100_000, SOURCE)


KEYS = [field.name for field in dataclasses.fields(Profile)] + ["seconds", "cycles", "streams"]


@given(
    st.text()
    | st.lists(
        st.sampled_from([*(f"\n{k} = " for k in KEYS), *(f"\n[{k}]\n" for k in KEYS), "1", "[1]", "'x'"])
    ).map("".join)
)
def test_no_text_raises_anything_but_a_profile_error(text: str) -> None:
    try:
        found = parse_profile(text, SOURCE).name
    except ProfileError as error:
        found = str(error)
    assert found == "mine" or found.startswith("/profiles/mine.toml: ")


def test_the_defaults_of_every_parameter_are_within_its_own_limits() -> None:
    areas = [field for field in dataclasses.fields(Profile) if dataclasses.is_dataclass(field.default)]
    text = ""
    for area in areas:
        lines = [f"{key} = {value}" for key, value in dataclasses.asdict(area.default).items()]
        text += f"[{area.name}]\n" + "\n".join(lines).replace("(", "[").replace(")", "]") + "\n"
    assert len(areas) == len(Area)
    assert parse_profile(text, SOURCE) == Profile(name="mine")
