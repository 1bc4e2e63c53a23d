"""What a WIM says of itself, on files made to the public layout: no real one is here."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from image_media import SERVER2022, WIN7, WIN10, Edition, make_wim, wim_xml

from harness.errors import ConfigurationError, HarnessError, OutputNotUnderstood
from harness.image.wim import WimImage, read_images
from harness.model import Arch


@dataclass
class Bytes:
    """A file in memory."""

    data: bytes

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


def images(data: bytes) -> tuple[WimImage, ...]:
    return read_images(Bytes(data))


def test_every_edition_is_read_with_its_architecture_and_build() -> None:
    pro = images(make_wim(WIN10))[1]
    assert pro == WimImage(2, "Windows 10 Pro", "Professional", "Client", Arch.X64, "10.0", 19041, ("en-US",))
    assert [one.installation for one in images(make_wim(SERVER2022))] == ["Server Core", "Server"] * 2
    assert images(make_wim(WIN7))[0].version == "6.1"


def test_an_esd_is_read_like_a_wim_and_its_other_images_are_left_out() -> None:
    text = (
        wim_xml(WIN10).decode("utf-16").replace("<WIM>", '<WIM><IMAGE INDEX="9"><NAME>Setup</NAME></IMAGE>')
    )
    found = images(make_wim(WIN10, xml=text.encode("utf-16"), version=0xE00))
    assert [one.index for one in found] == [1, 2]


def test_a_windows_for_arm_has_no_architecture_of_ours() -> None:
    assert images(make_wim([Edition("Windows 11 Pro", "Professional", 22631, 12)]))[0].arch is None


def test_the_default_language_comes_first() -> None:
    text = wim_xml(WIN10[:1]).decode("utf-16")
    text = text.replace("<DEFAULT>en-US", "<LANGUAGE>de-DE</LANGUAGE><DEFAULT>de-DE")
    assert images(make_wim((), xml=text.encode("utf-16")))[0].languages == ("de-DE", "en-US")


def test_a_part_of_a_split_image_is_refused_as_one() -> None:
    with pytest.raises(ConfigurationError, match="part 1 of 3"):
        images(make_wim(WIN10, parts=3))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no WIM"),
        (b"MSWIM\0\0\0", "no WIM"),
        (b"PK\3\4" + bytes(300), "no WIM"),
        (make_wim(WIN10)[:-4], "cut off"),
        (make_wim(WIN10, xml=b"\xff\xfe\x00\xd8"), "damaged"),
    ],
)
def test_what_is_no_whole_wim_is_the_mediums_fault(data: bytes, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        images(data)


@pytest.mark.parametrize("text", ["<WIM>", "<WIM><IMAGE INDEX='x'><WINDOWS/></IMAGE></WIM>"])
def test_xml_that_says_too_little_is_shown(text: str) -> None:
    with pytest.raises(OutputNotUnderstood, match=r"XML of install\.wim"):
        images(make_wim((), xml=text.encode("utf-16")))


@settings(deadline=None, max_examples=60)  # the machine may be busy
@given(st.binary(max_size=400), st.binary(max_size=80))
@example(make_wim(WIN10)[:208], b"")
def test_no_bytes_at_all_make_it_fail_in_another_way(head: bytes, tail: bytes) -> None:
    for data in (head + tail, b"MSWIM\0\0\0" + head, make_wim((), xml=tail)):
        try:
            found = images(data)
        except HarnessError:
            continue
        assert all(one.index >= 0 for one in found)
