"""What counts as a crash of this guest, and what does not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
from fake_host import NO_NODE, SPEC, WIN1, Answer, FakeShell

from harness.errors import GuestCrashed, GuestHung, InfrastructureError
from harness.guest.crash import CrashWatch, crash_told
from harness.host.toolstack.protocol import DomainInfo
from harness.model import GuestKind
from harness.operations import DumpFile, EventMark, StopEvents

OURS = replace(WIN1, domid=7, running=True, blocked=False)
OTHER = replace(OURS, name="win2", domid=8)
BUGCHECK = "(XEN) (d{}) XEN|BUGCHECK: ====>\n"
_HEAD = "DRIVER_IRQL_NOT_LESS_OR_EQUAL: 00000028 00000002 00000000 8235CA3F"
TRIPLE = "(XEN) d{}v0 Triple fault - invoking HVM shutdown action 1\n"
QUIET = StopEvents(requested=0, clean=0, unclean=0, bugchecks=0)


def told(domid: int, module: str = "xenvif.sys") -> str:
    """What xen.sys says of a bugcheck: win-xenbus src/xen/bug_check.c."""
    lines = ("====>", _HEAD, f"          ADDRESS: {module} + 00001A3F", "<====")
    return "".join(f"(XEN) (d{domid}) XEN|BUGCHECK: {line}\n" for line in lines)


@dataclass
class Scene:
    """A guest and its host as a crash watch asks them."""

    kind: GuestKind = GuestKind.WINDOWS
    name: str = "win1"
    log: str = "(XEN) Xen version 4.17\n"
    present: list[DomainInfo] = field(default_factory=lambda: [OURS, OTHER])
    dumps: tuple[DumpFile, ...] = ()
    stops: StopEvents = QUIET
    silence: Exception | None = None
    qemu: str = ""
    told: dict[str, Answer] = field(default_factory=dict)  # of its device model

    @property
    def host(self):
        toolstack = SimpleNamespace(
            dmesg=lambda: self.log,
            domains=lambda: tuple(self.present),
            find=lambda name: next((one for one in self.present if one.name == name), None),
        )
        shell = FakeShell(SPEC, {"tail": self.qemu, "xenstore-read": NO_NODE} | self.told)
        return SimpleNamespace(toolstack=toolstack, shell=shell, name="xen1")

    @property
    def operations(self):
        if self.silence is not None:
            raise self.silence
        return SimpleNamespace(
            dump_files=lambda: self.dumps,
            event_mark=lambda: EventMark(5),
            stop_events=lambda record: self.stops,
        )


def found(scene: Scene, change) -> str:
    watch = CrashWatch(scene)
    change(scene)
    with pytest.raises(GuestCrashed) as caught:
        watch.check()
    return str(caught.value)


def test_a_device_model_that_is_gone_is_the_hosts_fault_though_the_guest_answers():
    scene = Scene()
    watch = CrashWatch(scene)
    scene.told = {"xenstore-read /local/domain/7/image/device-model-pid": "801\n"}
    with pytest.raises(InfrastructureError, match=r"device model of win1 \(process 801\) is gone") as caught:
        watch.check()
    assert caught.value.mend == (
        "see why it ended: /var/log/xen/qemu-dm-win1.log, dom0's kernel log (segfault, OOM)"
    )


def test_a_quiet_test_is_no_crash():
    scene = Scene(log=BUGCHECK.format(7), dumps=(DumpFile("C:\\MEMORY.DMP", 1, "yesterday"),))
    CrashWatch(scene).check()


def test_a_domain_in_state_c_is_a_crash_whatever_the_rest_says():
    def crash(scene):
        scene.present = [replace(OURS, reason="c")]
        scene.silence = AssertionError("a crashed guest is not asked")

    assert "state c" in found(Scene(), crash)


def test_a_crash_says_what_the_hypervisor_s_log_says_of_it():
    def crash(scene):
        scene.present = [replace(OURS, reason="c")]
        scene.log += told(7)

    said = found(Scene(), crash)
    assert "0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL in xenvif.sys" in said
    assert "===" not in said


def test_a_bugcheck_in_a_form_we_do_not_know_is_said_as_it_stands():
    def crash(scene):
        scene.log += "(XEN) (d7) XEN|BUGCHECK: ====>\n(XEN) (d7) XEN|BUGCHECK: SOMETHING ELSE\n"

    assert "log: SOMETHING ELSE" in found(Scene(), crash)


def test_a_watch_tells_of_the_crash_since_it_began_and_of_none_before():
    scene = Scene(log=told(7, "xenvbd.sys"))
    watch = CrashWatch(scene)
    assert watch.crash() is None

    scene.log += told(7)

    assert watch.crash().signature == "0xD1 in xenvif.sys"


def test_the_crash_of_a_domain_nobody_watched_is_in_the_log_by_its_number():
    scene = Scene(log=told(OTHER.domid, "xenvbd.sys") + told(7))

    assert crash_told(scene).signature == "0xD1 in xenvif.sys"
    scene.present = [OTHER]
    assert crash_told(scene) is None, "a domain that is gone has no number"


def test_a_bugcheck_in_the_hypervisor_s_log_is_a_crash():
    assert "bugcheck" in found(Scene(), lambda scene: setattr(scene, "log", scene.log + BUGCHECK.format(7)))


def test_a_bugcheck_counts_after_a_reboot_gave_a_new_domid_too():
    def crash(scene):
        scene.log += BUGCHECK.format(7)
        scene.present = [replace(OURS, domid=9), OTHER]

    assert "bugcheck" in found(Scene(), crash)


def test_a_bugcheck_of_the_guest_beside_it_is_not_its_own():
    scene = Scene()
    watch = CrashWatch(scene)
    scene.log += BUGCHECK.format(OTHER.domid)
    watch.check()


def test_a_bugcheck_is_seen_though_the_log_is_a_ring_that_forgot_an_older_one():
    def crash(scene):
        scene.log = "(XEN) later\n" + BUGCHECK.format(9)
        scene.present = [replace(OURS, domid=9), OTHER]

    assert "bugcheck" in found(Scene(log=BUGCHECK.format(3)), crash)


def test_a_new_dump_is_a_crash_and_a_rewritten_one_too():
    old = DumpFile("C:\\MEMORY.DMP", 1, "yesterday")
    assert "MEMORY.DMP" in found(
        Scene(dumps=(old,)), lambda scene: setattr(scene, "dumps", (replace(old, modified_utc="today"),))
    )


@pytest.mark.parametrize(("stops", "word"), [({"bugchecks": 1}, "bugcheck"), ({"unclean": 1}, "unclean")])
def test_the_guest_s_own_log_tells_of_crashes(stops, word):
    assert word in found(Scene(), lambda scene: setattr(scene, "stops", replace(QUIET, **stops)))


def test_an_unclean_stop_that_the_test_made_itself_is_no_crash():
    scene = Scene()
    watch = CrashWatch(scene)
    watch.allow_unclean_stop()
    scene.stops = replace(QUIET, unclean=1)
    watch.check()


@pytest.mark.parametrize(
    ("kind", "error"), [(GuestKind.STAND_IN, InfrastructureError), (GuestKind.WINDOWS, None)]
)
def test_a_triple_fault_is_the_lab_s_only_where_the_processor_is_emulated(kind, error):
    scene = Scene(kind=kind)
    watch = CrashWatch(scene)
    scene.log += TRIPLE.format(7)
    if error is None:
        watch.check()
    else:
        with pytest.raises(error, match="triple-faulted"):
            watch.check()


def test_a_guest_that_answered_before_and_is_silent_now_is_not_passed():
    scene = Scene()
    watch = CrashWatch(scene)
    scene.silence = GuestHung("win1 is silent although its host answers")
    with pytest.raises(GuestHung, match="silent"):
        watch.check()


@pytest.mark.parametrize("present", [[], [replace(OURS, paused=True)], [replace(OURS, shutdown=True)]])
def test_a_guest_that_is_off_or_paused_is_not_asked(present):
    scene = Scene()
    watch = CrashWatch(scene)
    scene.present = present
    scene.silence = AssertionError("it was asked")
    watch.check()


def test_a_guest_that_was_silent_before_is_judged_by_its_host_alone():
    scene = Scene(silence=GuestHung("silent"))
    watch = CrashWatch(scene)
    watch.check()


@pytest.mark.parametrize(
    "line",
    [
        "(XEN) d7v0 VIRIDIAN CRASH: d1 0 2 0 fffff80012345678",
        "(XEN) d7v1 VIRIDIAN GUEST_CRASH: 0xd1 0 0x2 0 0xfffff80012345678",
    ],
)
def test_a_bugcheck_that_only_viridian_s_registers_tell_of_is_a_crash(line: str) -> None:
    def crash(scene: Scene) -> None:
        scene.log += f"{line}\n"

    assert "0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL" in found(Scene(), crash)


def test_a_bugcheck_of_another_guest_s_viridian_registers_is_not_ours() -> None:
    scene = Scene(present=[OURS, replace(OURS, name="win2", domid=8)])
    watch = CrashWatch(scene)
    scene.log += "(XEN) d8v0 VIRIDIAN CRASH: d1 0 2 0 fffff80012345678\n"
    watch.check()


def test_a_crashed_guest_s_bugcheck_is_looked_for_in_the_log_of_its_qemu_too() -> None:
    def crash(scene: Scene) -> None:
        scene.present = [replace(OURS, shutdown=True, reason="c")]
        head = "0000007B: FFFFF80012345678 0000000000000002 0000000000000000 0000000000000000"
        scene.qemu = f"xen platform: XEN|BUGCHECK: ====>\nxen platform: XEN|BUGCHECK: {head}\n"

    assert "bugcheck in QEMU's log: 0x7B INACCESSIBLE_BOOT_DEVICE" in found(Scene(), crash)


def test_a_guest_that_nobody_watched_has_crashed_by_its_own_registers_alone() -> None:
    ours = "(XEN) d7v0 VIRIDIAN CRASH: d1 0 2 0 fffff80012345678\n"
    told = crash_told(Scene(log=ours))
    assert told is not None
    assert told.signature == "0xD1"
    assert crash_told(Scene(log=ours.replace("d7v0", "d6v0"))) is None, "an earlier domain, of whoever"
