"""The stand-in reads an INF as Windows' setup does: what it is for, what it brings, whether it fits x64."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import INSTALL_ORDER
from harness.xenlab.standin.hardware import child_ids, driver_of
from harness.xenlab.standin.inf import parse_package, read_package
from harness.xenlab.standin.presets import PRESET_VERSION, preset_inf

_INF = r"""
; a comment
[Version]
Signature="$Windows NT$"
Class=System
Provider=%Vendor%
CatalogFile=xenvif.cat   ; with a comment
DriverVer=11/24/2026,9.1.0.42

[Manufacturer]
%Vendor%=Inst,NTamd64

[Inst.NTamd64]
; DisplayName Section DeviceID
%XenVifName% = XenVif_Inst, XENBUS\VEN_XP0001&DEV_VIF&REV_0900000B, \
    XENBUS\VEN_XP0001&DEV_VIF&REV_09000009

[XenVif_Inst.NT.Services]
AddService=xenvif,0x02,XenVif_Service

[XenVif_Service]
StartType=%SERVICE_DEMAND_START%
[Strings]
Vendor="Müller, ""Xen"" & Söhne; GmbH"
XenVifName="Xen PV Network Class"
"""


def test_every_field_the_agent_uses_is_read():
    package = parse_package(_INF, original="xenvif.inf")
    assert package.provider == 'Müller, "Xen" & Söhne; GmbH'
    assert (package.device_class, package.date, package.version) == ("System", "2026-11-24", "9.1.0.42")
    assert package.catalog == "xenvif.cat"
    (model,) = package.models
    assert model.name == "Xen PV Network Class"
    assert model.ids[1] == r"XENBUS\VEN_XP0001&DEV_VIF&REV_09000009", "a line that goes on was cut off"
    assert [(service.name, service.start) for service in package.services] == [("xenvif", "demand")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_windows_takes_give_the_same_package(tmp_path, encoding):
    path = tmp_path / "xenvif.inf"
    path.write_bytes(_INF.encode(encoding))
    assert read_package(path).provider == 'Müller, "Xen" & Söhne; GmbH'


def test_a_package_for_x86_alone_is_refused_as_windows_on_x64_does():
    with pytest.raises(ValueError, match="no models for x64"):
        parse_package(_INF.replace("NTamd64", "NTx86"), original="xenvif.inf")


@pytest.mark.parametrize("text", ["", "[Version]\n", "no inf at all", "[Manufacturer]\nx=y,NTamd64\n"])
def test_what_is_no_inf_is_an_error(text):
    with pytest.raises(ValueError, match=r"x\.inf has no"):
        parse_package(text, original="x.inf")


@given(st.text(alphabet='[]=,;"%\\\n ab', max_size=200))
def test_no_text_makes_the_reader_stumble(text):
    with contextlib.suppress(ValueError):
        assert parse_package(text, original="x.inf").models, "a package for nothing"


@pytest.mark.parametrize("name", INSTALL_ORDER)
def test_the_package_of_a_preset_fits_the_device_of_its_driver(name):
    package = parse_package(preset_inf(name), original=f"{name}.inf")
    assert package.version == PRESET_VERSION
    assert {driver_of(one) for model in package.models for one in model.ids} == {name}
    assert package.services, "its driver brings no service"


def test_a_package_of_another_revision_does_not_fit():
    package = parse_package(
        _INF.replace("0900000B", "0A000000").replace("09000009", "0A000001"), original="x.inf"
    )
    assert package.model_for(child_ids(INSTALL_ORDER[2])) is None


def test_of_two_packages_the_newer_date_wins_before_the_higher_version():
    old = parse_package(_INF, original="x.inf")
    newer = parse_package(_INF.replace("11/24/2026,9.1.0.42", "1/2/2027,9.0.0.1"), original="x.inf")
    higher = parse_package(_INF.replace("9.1.0.42", "9.1.0.100"), original="x.inf")
    assert old.rank < higher.rank < newer.rank
