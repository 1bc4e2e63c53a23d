"""What is compared of an adopted domain, and which tests may run on one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fake_host import RECORDED_XL, make_guest, make_host, recorded, shell_of

from harness.errors import ConfigurationError
from harness.guest.adopted import AdoptedGuest, adopt
from harness.guest.guest import Login
from harness.host.adopted import AdoptedNote, note_path, write_note
from harness.host.area import Leftover, leftovers, remove_leftover
from harness.model import Change
from harness.session.adopting import DomainState, differences, refusals
from harness.session.options import Adoption

BEFORE = DomainState(
    3, "win1", frozenset({768}), frozenset({"00:16:3e:00:00:01"}), 512, "boot-1",
    {("00:16:3e:00:00:01", "*TCPChecksumOffloadIPv4"): "3"},
)  # fmt: skip
MAC = "00:16:3e:00:00:01"


def test_a_domain_that_is_as_it_was_differs_in_nothing():
    assert differences(BEFORE, replace(BEFORE, domid=4), may_reboot=False) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"disks": frozenset({768, 51808})}, "disk 51808 is plugged in"),
        ({"disks": frozenset()}, "disk 768 is gone"),
        ({"nics": frozenset({MAC, "00:16:3e:00:00:02"})}, "interface 00:16:3e:00:00:02 is plugged in"),
        ({"nics": frozenset()}, f"interface {MAC} is gone"),
        ({"name": "pvhck"}, "its name in xenstore is 'pvhck', was 'win1'"),
        ({"target_mib": 300}, "its memory target is 300 MiB, was 512"),
        ({"boot": "boot-2"}, "it has rebooted"),
        ({"settings": {}}, f"*TCPChecksumOffloadIPv4 of {MAC} is missing, was 3"),
    ],
)
def test_each_difference_is_told(change: dict[str, Any], words: str):
    assert differences(BEFORE, replace(BEFORE, **change), may_reboot=False) == (words,)


def test_a_reboot_that_was_allowed_is_no_difference():
    assert differences(BEFORE, replace(BEFORE, boot="boot-2", domid=9), may_reboot=True) == ()


def item(*marks: pytest.Mark, fixtures: tuple[str, ...] = ("guest",)) -> Any:
    return SimpleNamespace(
        fixturenames=fixtures,
        iter_markers=lambda name: [mark for mark in marks if mark.name == name],
        get_closest_marker=lambda name: next((mark for mark in marks if mark.name == name), None),
    )


def mark(name: str, *args: Change) -> pytest.Mark:
    return getattr(pytest.mark, name)(*args).mark


def adoption(*allowed: Change) -> Adoption:
    return Adoption("win1", frozenset(allowed), "", "", None)


def test_what_takes_nothing_that_could_not_be_given_back_runs():
    assert refusals(item(), adoption()) == ()


@pytest.mark.parametrize("change", [Change.INSTALL, Change.REBOOT, Change.POWER])
def test_what_cannot_be_taken_back_is_asked_for_by_name(change: Change):
    asked = item(mark("pv_changes", change))
    assert refusals(asked, adoption()) == (
        f"on an adopted domain only when asked for by name: --allow {change}",
    )
    assert refusals(asked, adoption(change)) == ()
    others = set(Change) - {change}
    assert refusals(asked, adoption(*others))


def test_a_test_that_dirties_its_guest_never_runs_unless_it_says_by_what():
    assert refusals(item(mark("pv_dirties")), adoption(*Change))
    both = item(mark("pv_dirties"), mark("pv_changes", Change.POWER))
    assert refusals(both, adoption(Change.POWER)) == ()


def test_there_is_no_fresh_guest():
    assert refusals(item(fixtures=("bare_guest",)), adoption(*Change))


# -- the domain itself


ANSWERS = {
    **RECORDED_XL,
    "xenstore-read /local/domain/2/memory/target": "245760\n",
    "xenstore-read /local/domain/2/memory/videoram": "16384\n",
}


def adopted(answers: dict[str, Any] | None = None, **more: Any) -> AdoptedGuest:
    host = make_host({**ANSWERS, **(answers or {})})
    template = make_guest(host, {}).template
    return adopt(host, more.pop("name", "win1"), template, Login("tester", "geheim"), **more)


def test_its_size_and_interface_are_those_it_has():
    guest = adopted()
    assert (guest.domain.memory_mib, guest.domain.vcpus) == (256, 1)
    assert guest.mac == "00:16:3e:00:00:01"


@pytest.mark.parametrize("name", ["nosuch", "Domain-0"])
def test_what_is_no_guest_cannot_be_adopted(name: str):
    with pytest.raises(ConfigurationError, match=f"no domain {name}"):
        adopted(name=name)


def test_it_is_not_destroyed_unless_its_owner_says_so():
    guest = adopted()
    with pytest.raises(ConfigurationError, match=r"is not destroyed.*--allow power"):
        guest.kill()
    assert not [line for line in shell_of(guest.host).asked if "destroy" in line]
    assert not guest.may_be_dumped
    assert adopted(allowed=[Change.DUMP]).may_be_dumped


def test_it_is_started_from_its_owner_s_file_or_not_at_all():
    with pytest.raises(ConfigurationError, match="--config"):
        adopted().start()
    guest = adopted({"xl create /etc/xen/win1.cfg": ""}, config="/etc/xen/win1.cfg")
    guest.start()
    assert shell_of(guest.host).asked[-1] == "xl create /etc/xen/win1.cfg"


# -- what a dead run leaves


FOLDER = "/srv/pvhck/runs/r1"
NOTE = '{"domain": "win1", "target_mib": 300}'
LISTED = (
    "Vdev  BE  handle state evt-ch ring-ref BE-path\n51808 0   2      4     7      8        /b/vbd/2/51808\n"
)


def dead_run(**more: Any) -> Any:
    return make_host(
        {
            **ANSWERS,
            "find": f"{note_path(FOLDER)}\n{FOLDER}/win1.xvdg.raw\n",
            f"cat {note_path(FOLDER)}": NOTE,
            "losetup -a": "",
            "ps": "",
            "xenstore-ls": "",
            "xl block-list win1": LISTED,
            "xenstore-read /b/vbd/2/51808/params": f"{FOLDER}/win1.xvdg.raw\n",
            **more,
        }
    )


def test_a_sweep_knows_by_the_note_what_has_to_be_put_back():
    host = dead_run()
    assert leftovers(host.shell, host.toolstack, "r1") == (
        Leftover("attached disk", "xvdg of win1"),
        Leftover("file", f"{FOLDER}/win1.xvdg.raw"),
        Leftover("memory target", "300 MiB of win1"),
    )


def test_disks_of_the_owner_are_none_of_ours():
    host = dead_run(**{"xenstore-read /b/vbd/2/51808/params": "/srv/owner/data.raw\n"})
    assert "attached disk" not in {found.kind for found in leftovers(host.shell, host.toolstack, "r1")}


@pytest.mark.parametrize(
    "note", ["", "{}", "[1]", '{"domain": "win1"}', '{"domain": "gone", "target_mib": 1}']
)
def test_a_note_that_says_nothing_or_of_a_domain_that_is_gone_changes_nothing(note: str):
    host = dead_run(**{f"cat {note_path(FOLDER)}": note, "xl list gone": recorded("err-list-unknown")})
    assert {found.kind for found in leftovers(host.shell, host.toolstack, "r1")} == {"file"}


def test_a_memory_target_is_set_again():
    host = make_host({**ANSWERS, "xl mem-set win1 300m": ""})
    remove_leftover(host.shell, host.toolstack, Leftover("memory target", "300 MiB of win1"))
    assert "xl mem-set win1 300m" in shell_of(host).asked


def test_the_note_is_what_a_sweep_reads():
    host = make_host({})
    write_note(host.shell, FOLDER, AdoptedNote("win 1", 512))
    host2 = dead_run(**{f"cat {note_path(FOLDER)}": shell_of(host).files[note_path(FOLDER)].decode()})
    assert {found.kind for found in leftovers(host2.shell, host2.toolstack, "r1")} == {"file"}
