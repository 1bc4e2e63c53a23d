"""What can be built and what cannot: systems, editions, updates, passwords."""

from __future__ import annotations

import dataclasses
import re
import stat
from pathlib import Path

import pytest
from image_media import SERVER2022, WIN7, WIN10, WIN11, Edition, make_medium, win7_updates

from harness.errors import ConfigurationError
from harness.image.oses import OSES, os_named
from harness.image.password import kept_password, new_password
from harness.image.plan import Plan, Request, make_plan
from harness.image.updates import ordered_updates
from harness.lab import Firmware, Secret, SecretRef
from harness.model import Arch


def request(iso: Path, name: str = "win10", **changes: object) -> Request:
    asked = Request(
        iso=iso,
        os=os_named(name),
        arch=Arch.X64,
        firmware=Firmware.UEFI if name == "win11" else Firmware.BIOS,
        template="t",
        user="pvhck",
        secret=SecretRef("env", "T"),
    )
    return dataclasses.replace(asked, **changes)


def plan(asked: Request) -> Plan:
    return make_plan(asked, Secret("Secret-1"))


@pytest.mark.parametrize(
    ("name", "arch", "firmware", "words"),
    [
        ("win7", Arch.X64, Firmware.UEFI, "not built for firmware uefi"),
        ("win11", Arch.X64, Firmware.BIOS, "not built for firmware bios"),
        ("win11", Arch.X86, Firmware.UEFI, "no Windows 11 for x86"),
        ("server2022", Arch.X86, Firmware.BIOS, "no Windows Server 2022 for x86"),
        ("win10", Arch.X86, Firmware.UEFI, "64-bit one"),
    ],
)
def test_what_there_is_no_windows_for_is_refused(
    name: str, arch: Arch, firmware: Firmware, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        OSES[name].check(arch, firmware)


def test_an_unknown_system_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean 'server2022'\?"):
        os_named("server222")


def test_all_keys_of_the_table_have_the_form_of_one() -> None:
    keys = [key for os in OSES.values() for key in os.keys.values()]
    assert all(re.fullmatch(r"[A-Z0-9]{5}(-[A-Z0-9]{5}){4}", key) for key in keys)


@pytest.mark.parametrize(
    ("name", "editions", "wanted", "index"),
    [
        ("win10", WIN10, "", 2),  # Pro before Home
        ("win10", WIN10, "1", 1),
        ("win10", WIN10, "windows 10 home", 1),
        ("win10", WIN10, "core", 1),
        ("server2022", SERVER2022, "", 2),  # with a desktop
        ("server2022", SERVER2022, "ServerDatacenterEval", 3),
    ],
)
def test_the_edition_is_the_one_that_was_meant(
    tmp_path: Path, name: str, editions: tuple[Edition, ...], wanted: str, index: int
) -> None:
    iso = make_medium(tmp_path / "w.iso", editions)
    assert plan(request(iso, name, edition=wanted)).image.index == index


def test_an_edition_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    iso = make_medium(tmp_path / "w.iso", WIN10)
    with pytest.raises(
        ConfigurationError, match=r"'Ultimate', but: 1: Windows 10 Home .*; 2: Windows 10 Pro"
    ):
        plan(request(iso, edition="Ultimate"))


@pytest.mark.parametrize(
    ("name", "editions"), [("win10", WIN11), ("win11", WIN10), ("server2019", SERVER2022)]
)
def test_the_medium_of_another_windows_is_refused(
    tmp_path: Path, name: str, editions: tuple[Edition, ...]
) -> None:
    iso = make_medium(tmp_path / "w.iso", editions)
    with pytest.raises(ConfigurationError, match=r"w\.iso holds no Windows .*, but: 1: "):
        plan(request(iso, name))


def test_the_medium_of_another_architecture_is_refused(tmp_path: Path) -> None:
    iso = make_medium(tmp_path / "w.iso", WIN10)
    with pytest.raises(ConfigurationError, match=r"no Windows 10 \(x86\)"):
        plan(request(iso, arch=Arch.X86))


def test_a_medium_that_would_ask_for_a_key_press_is_refused_for_uefi(tmp_path: Path) -> None:
    iso = make_medium(tmp_path / "w.iso", WIN11, no_prompt=False)
    with pytest.raises(ConfigurationError, match="efisys_noprompt"):
        plan(request(iso, "win11"))


def test_a_key_is_given_where_the_medium_would_ask_for_one(tmp_path: Path) -> None:
    iso = make_medium(tmp_path / "w.iso", WIN10)
    assert plan(request(iso)).answers.product_key == OSES["win10"].keys["Professional"]
    mine = "-".join(["AAAAA"] * 5)
    assert plan(request(iso, product_key=mine)).answers.product_key == mine
    servers = make_medium(tmp_path / "s.iso", SERVER2022)
    assert plan(request(servers, "server2022")).answers.product_key == "", "an evaluation has its own"


@pytest.mark.parametrize("changes", [{"memory_mib": 512}, {"disk_mib": 8192}])
def test_less_than_windows_needs_is_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="at least 2048 MiB and 40960 MiB"):
        plan(request(make_medium(tmp_path / "w.iso"), **changes))


@pytest.mark.parametrize("user", ["", "a b", "a/b", "x" * 21, "50%"])
def test_a_user_that_windows_cannot_have_is_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a user"):
        plan(request(make_medium(tmp_path / "w.iso"), user=user))


# -- updates


def test_windows_7_without_updates_is_refused_with_all_that_it_lacks(tmp_path: Path) -> None:
    iso = make_medium(tmp_path / "w.iso", WIN7, uefi=False)
    with pytest.raises(ConfigurationError, match=r"KB4490628.*; KB4474419.*; \.NET.*; KB3191566"):
        plan(request(iso, "win7"))


def test_what_is_given_is_not_missed_and_what_is_for_another_architecture_is(tmp_path: Path) -> None:
    stack, _, net, _ = win7_updates(tmp_path)
    (wmf,) = win7_updates(tmp_path, "x86")[3:]
    with pytest.raises(ConfigurationError) as caught:
        ordered_updates(OSES["win7"], Arch.X64, (wmf, net, stack))
    assert "KB4490628" not in caught.value.found
    assert "NET" not in caught.value.found
    assert "KB4474419" in caught.value.found
    assert "KB3191566" in caught.value.found


@pytest.mark.parametrize("arch", list(Arch))
def test_updates_are_put_in_the_order_in_which_they_install(tmp_path: Path, arch: Arch) -> None:
    given = win7_updates(tmp_path, arch)
    (tmp_path / "more.exe").touch()
    found = ordered_updates(OSES["win7"], arch, (tmp_path / "more.exe", *reversed(given)))
    assert found == (*given, tmp_path / "more.exe")


@pytest.mark.parametrize("name", ["a b.msu", "a%b.exe", "x.cab", f"{'x' * 60}.msu"])
def test_a_file_that_cannot_be_installed_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ConfigurationError, match="cannot be installed"):
        ordered_updates(OSES["win10"], Arch.X64, (tmp_path / name,))


def test_an_update_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file"):
        ordered_updates(OSES["win10"], Arch.X64, (tmp_path / "a.msu",))


# -- passwords


def test_passwords_are_long_of_four_kinds_and_never_the_same() -> None:
    made = {new_password() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        assert len(password) == 24
        assert all(re.search(kind, password) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[-_.]"))


def test_a_password_that_is_not_there_is_made_in_a_private_file(tmp_path: Path) -> None:
    ref = SecretRef("file", str(tmp_path / "secrets" / "t"))
    with kept_password(ref) as made:
        pass
    assert stat.S_IMODE(Path(ref.name).stat().st_mode) == 0o600
    with kept_password(ref) as again:
        assert again.reveal() == made.reveal()


def test_a_password_file_that_was_made_for_nothing_goes_and_an_older_one_stays(tmp_path: Path) -> None:
    ref = SecretRef("file", str(tmp_path / "t"))
    with pytest.raises(KeyboardInterrupt), kept_password(ref):
        raise KeyboardInterrupt
    assert not Path(ref.name).exists()
    Path(ref.name).write_text("mine\n")
    Path(ref.name).chmod(0o600)
    with pytest.raises(KeyboardInterrupt), kept_password(ref):
        raise KeyboardInterrupt
    assert Path(ref.name).read_text() == "mine\n"


def test_a_password_elsewhere_must_be_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PVHCK_T", raising=False)
    with pytest.raises(ConfigurationError, match="PVHCK_T"), kept_password(SecretRef("env", "PVHCK_T")):
        pytest.fail("there is none")
