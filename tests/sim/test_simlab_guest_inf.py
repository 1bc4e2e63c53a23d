"""What the simulated Windows reads of an INF and of a catalog."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Arch, DriverName
from harness.operations import Certificate
from harness.package.synthetic import CERTIFICATE, make_build
from harness.simlab.guest.catalog import Signature, read_certificate, read_signature
from harness.simlab.guest.inf import InfError, InfModel, InfService, read_inf

_TEXT = """\ufeff; a comment [Version]
[VERSION]
Class = Net ; the class
Provider=%Vendor%
CatalogFile=fallback.cat
CatalogFile.NTamd64 = right.cat
DriverVer= 02/03/2024 , 9.1.0.42

[Manufacturer]
%Vendor%=Models, NTamd64, NTx86.6.1

[Models.NTamd64]
%Desc% = Inst, XENVIF\\VEN_XP0001&DEV_NET&REV_09000005
"Second = device" = Inst, \\
    XENVIF\\VEN_XP0002&DEV_NET&REV_09000005

[Models.NTx86.6.1]
%Desc%=Inst,XENVIF\\X86

[Inst]
AddReg=Registry

[Registry]
HKR, Ndi\\params\\*RSS, ParamDesc, 0, %Rss%
HKR, Ndi\\params\\*RSS, Default, 0, "1"
HKR, Ndi\\Params\\NumQueues, Default, 0, %Eight%

[Inst.Services]
AddService=xennet,0x00000002,Service ; the driver
AddService=helper,,Helper

[Service]
ServiceType=%KERNEL%
StartType = 3 ; demand
[Helper]
ServiceType=0x10
StartType=2

[SourceDisksFiles]
xennet.sys=1,,
[SourceDisksFiles.amd64]
helper.exe=1,sub

[Strings]
Vendor="Xen; Project, Inc."
Desc="A device"
KERNEL=0x1
Eight=8
"""


def test_an_inf_is_read_with_its_strings_comments_and_continued_lines() -> None:
    inf = read_inf(_TEXT.replace("\n", "\r\n"), Arch.X64)
    assert (inf.provider, inf.device_class, inf.date, inf.version) == (
        "Xen; Project, Inc.", "Net", "02/03/2024", "9.1.0.42",
    )  # fmt: skip
    assert inf.catalog == "right.cat"
    assert inf.models == (
        InfModel("XENVIF\\VEN_XP0001&DEV_NET&REV_09000005", "A device"),
        InfModel("XENVIF\\VEN_XP0002&DEV_NET&REV_09000005", "Second = device"),
    )
    assert inf.services == (
        InfService("xennet", "demand", associated=True),
        InfService("helper", "auto", user=True),
    )
    assert inf.settings == {"*RSS": "1", "NumQueues": "8"}
    assert inf.files == ("xennet.sys", "sub\\helper.exe")
    assert inf.driver is DriverName.XENNET


def test_each_architecture_reads_its_own_models() -> None:
    assert [model.hardware_id for model in read_inf(_TEXT, Arch.X86).models] == ["XENVIF\\X86"]
    only = _TEXT.replace(", NTx86.6.1", "")
    assert read_inf(only, Arch.X86).models == ()
    assert read_inf(only, Arch.X86).catalog == "fallback.cat"


def test_later_dates_then_greater_versions_are_better() -> None:
    def rank(date: str, version: str) -> tuple[int, ...]:
        return read_inf(_TEXT.replace("02/03/2024 , 9.1.0.42", f"{date},{version}"), Arch.X64).rank

    assert rank("01/01/2025", "1.0.0.0") > rank("12/31/2024", "9.0.0.0")
    assert rank("01/01/2025", "9.1.0.10") > rank("01/01/2025", "9.1.0.9")


@pytest.mark.parametrize("text", ["", "[Version]\nClass=Net\n", "[Version]\nDriverVer=today,1\n", "\x00\xff"])
def test_what_is_no_inf_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InfError):
        read_inf(text, Arch.X64)


@given(st.text(alphabet='[]=,%;"\\\n ab.1/', max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(InfError):
        read_inf(f"[Version]\nDriverVer=01/01/2024,1.0.0.0\nClass=x\n{text}", Arch.X64)


def test_a_signature_names_its_signer_and_covers_the_inf(tmp_path: Path) -> None:
    build = make_build(tmp_path / "b", version="9.1.0.1", arches=(Arch.X64,), names=(DriverName.XENBUS,))
    folder = build / "xenbus" / "x64"
    inf, catalog = (folder / "xenbus.inf").read_bytes(), (folder / "xenbus.cat").read_bytes()
    signature = read_signature(catalog, inf)
    certificate = (build / CERTIFICATE).read_bytes()
    thumbprint = hashlib.sha1(certificate).hexdigest().upper()
    assert (signature.signer, signature.thumbprint) == ("pvhck synthetic test", thumbprint)
    assert signature.lists_inf
    assert not signature.released
    assert not read_signature(catalog, inf + b" ").lists_inf
    root, publisher = (read_certificate(certificate, store) for store in ("Root", "TrustedPublisher"))
    assert signature.believed([root, publisher])
    assert not signature.believed([root])
    assert not signature.believed([publisher])


@pytest.mark.parametrize("catalog", [None, b"", b"no catalog", b"\x30\x82\x01\x00"])
def test_what_is_no_catalog_signs_nothing(catalog: bytes | None) -> None:
    assert read_signature(catalog, b"") == Signature()


def test_microsofts_own_signature_needs_no_test_signing() -> None:
    issuer = "CN=Microsoft Windows Third Party Component CA 2014, O=Microsoft Corporation, C=US"
    assert Signature("Microsoft Windows Hardware Compatibility Publisher", issuers=(issuer,)).released
    assert not Signature("Microsoft look-alike", issuers=("CN=Some CA, O=Microsoft ",)).released


def test_a_root_is_found_by_name_too() -> None:
    signature = Signature("x", "T", ("T",), ("CN=Root CA",))
    stores = [Certificate("Root", "R", "CN=Root CA"), Certificate("TrustedPublisher", "T", "CN=x")]
    assert signature.believed(stores)
