"""Which switch shows which scenario failing, and how: one line for each pair.

A pair is run by ``pvhck run`` with the switch on; every scenario has to be here, or in ``NEVER_SHOWN``
with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fault_runs import RunSpec

from harness.model import FailureKind, Outcome

__all__ = [
    "HOST_PAIRS",
    "IN_BUILDS",
    "NEVER_SHOWN",
    "PAIRS",
    "SURVIVED",
    "WARNED",
    "WITHOUT_BUILD",
    "HostPair",
    "Pair",
    "controls",
    "spec_of",
    "spec_of_host",
    "spec_of_survived",
]

_CRASH, _HANG, _ASSERTION = FailureKind.CRASH, FailureKind.HANG, FailureKind.ASSERTION

# What must be there whatever happened, once there was a domain ...
_HOST_SIDE = frozenset(
    {
        "channel.jsonl",
        "screen.png",
        "domains.txt",
        "domain-config.txt",
        "xenstore.txt",
        "hypervisor.txt",
        "xl.txt",
    }
)
# ... and what a guest that still answers tells of itself.
_OF_A_HANG = _HOST_SIDE | {"nmi.txt"}
_BOTH_SIDES = _HOST_SIDE | {"guest-events.jsonl", "guest-devices.json"}


@dataclass(frozen=True)
class Pair:
    """A switch of a guest and a scenario it shows failing. ``words`` is a pattern for the reason."""

    switch: str
    scenario: str
    kind: FailureKind | None  # None: broken
    words: str
    evidence: frozenset[str] = _BOTH_SIDES
    drivers: tuple[str, ...] = ()  # whose sheets fail, no others

    @property
    def outcome(self) -> Outcome:
        """What becomes of the scenario."""
        return Outcome.BROKEN if self.kind is None else Outcome.FAILED


@dataclass(frozen=True)
class HostPair:
    """A switch of a host: the test breaks there, and passes on the other host."""

    switch: str
    words: str
    evidence: frozenset[str] = frozenset({"domains.txt", "hypervisor.txt"})


def _broken(switch: str, words: str) -> Pair:
    return Pair(switch, "test_xenbus_works", None, words, _HOST_SIDE)


def _fails(switch: str, scenario: str, words: str, *drivers: str) -> Pair:
    return Pair(switch, scenario, _ASSERTION, words, _BOTH_SIDES, drivers)


def _crashes(switch: str, scenario: str, words: str) -> Pair:
    return Pair(switch, scenario, _CRASH, words, _HOST_SIDE)


PAIRS = (
    # -- a guest that cannot be reached: the lab's fault until it has answered once
    _broken("boot-hangs", r"pvhck-\S+-2 answers by WinRM; last seen: \S+ has no address"),
    _broken("winrm-401", r"pvhck-\S+: \S+ refuses user Administrator \(check `user` and `secret`"),
    _broken("winrm-400", "HTTP 400"),
    _broken("winrm-413", "HTTP 413"),
    _broken("winrm-drop", "closed connection without response"),
    # -- and the guest's from then on
    Pair("boot-hangs:xenvif", "test_xenvif_works", _HANG, r"pvhck-\S+ does not come back", _OF_A_HANG),
    Pair("winrm-freeze", "test_xenbus_works", _HANG, r"is silent although its host answers", _OF_A_HANG),
    Pair("network-lost", "test_xennet_works", _ASSERTION, r"lost its network: its vif 0 is", _HOST_SIDE),
    # -- installation
    _crashes("bugcheck-install:xenvif", "test_xenvif_works", r"while xenvif 9\.1\.0\.2 was installed"),
    _crashes("bugcheck-install:xenvif", "test_xennet_works", r"survived the installation: while xenvif"),
    _crashes(
        "bugcheck-install:xenvif",
        "test_a_fresh_installation_leaves_every_device_working",
        r"while xenvif 9\.1\.0\.2 was installed: \S+ crashed",
    ),
    _fails("device-code-10:xennet", "test_xennet_works", "problem 10", "xennet"),
    _fails("device-code-10:xennet", "test_the_emulated_interface_is_gone", "still there: Ethernet"),
    _fails("device-code-28", "test_xenvif_works", r"DEV_VIF\S+ has problem 28", "xenvif"),
    _fails("device-code-39:xenvbd", "test_xenvbd_works", r"DEV_VBD\S+ has problem 39", "xenvbd"),
    _fails("device-code-39:xenvbd", "test_the_emulated_disk_is_gone", r"still there: 0 \(QEMU HARDDISK\)"),
    _fails("device-code-39:xenbus", "test_xenbus_works", r"DEV_0001\S+ has problem 39", "xenbus"),
    _fails(
        "device-code-39:xenbus",
        "test_without_xenvif_the_interface_stays_emulated_and_works",
        "after the installation: xenbus: device .* has problem 39",
    ),
    _fails("services-missing", "test_xeniface_works", "service xenagent is missing", "xeniface"),
    _fails("version-mismatch", "test_xenvif_works", r"runs version 9\.1\.0\.3, xenvif\.inf says 9\.1\.0\.2"),
    _fails(
        "upgrade-ignored",
        "test_an_upgrade_leaves_every_device_at_the_new_version",
        r"xenvif: device \S+ runs version 9\.1\.0\.1, xenvif\.inf says 9\.1\.0\.2",
    ),
    _fails(
        "removal-refused",
        "test_a_removal_gives_the_emulated_devices_back",
        r"after the removal: xenvif: removing oem\d\.inf ended with",
    ),
    _fails(
        "reboot-asked",
        "test_installing_the_same_build_again_changes_nothing",
        r"a reboot is asked for by xenvif \(pnputil\)",
    ),
    # -- network
    _fails("corrupt-payload", "test_a_payload_arrives_unchanged_both_ways", "what came has SHA-256"),
    _fails("corrupt-payload", "test_traffic_with_checksum_offload", "what came has SHA-256"),
    _fails("corrupt-payload", "test_traffic_without_checksum_offload", "what came has SHA-256"),
    _fails("counters-stuck", "test_the_adapters_counters_follow_the_traffic", "bytes came in"),
    _fails("slow-network", "test_udp_loses_no_more_than_allowed", r"9\d\.\d+ % of 100 Mbit/s got lost"),
    _crashes("bugcheck-load", "test_tcp_one_way", r"bugcheck in the hypervisor's log: .*xenvif\.sys"),
    _fails("one-way", "test_tcp_both_ways_at_once", "one way starves the other"),
    # -- storage
    _fails("corrupt-payload", "test_a_pattern_survives_a_reboot", "another pattern is read"),
    _fails("corrupt-payload", "test_flushed_writes_reach_the_host", "is not on the host"),
    _fails("disk-stays", "test_a_disk_is_plugged_in_and_unplugged", "loses xvdg"),
    _fails("corrupt-payload", "test_flushed_data_survives_a_power_cut", "lost with the power"),
    _crashes("bugcheck-load:xenvbd", "test_disk_speed", r"xenvbd\.sys"),
    # -- balloon
    _fails("balloon-stuck", "test_down_in_steps_and_up_again_in_cycles", r"listed with 256 MiB; last .* 512"),
    _fails("balloon-stuck", "test_an_impossible_target_is_survived", "gives memory back"),
    _fails("corrupt-payload", "test_io_goes_on_while_memory_moves", "I/O went wrong while memory moved"),
    # -- power
    _fails("shutdown-ignored", "test_shutdown_is_acknowledged_and_clean", "empties control/shutdown"),
    _fails("shutdown-ignored", "test_reboot_is_acknowledged_and_clean", "empties control/shutdown"),
    _fails(
        "shutdown-ignored",
        "test_shutdown_without_drivers_falls_back_to_acpi",
        "leaves the list of domains; last seen: still listed",
    ),
    Pair("shutdown-unclean", "test_shutdown_in_cycles", _CRASH, "its log tells of an unclean stop"),
    _crashes("bugcheck-load:xenvbd", "test_shutdown_under_load_is_clean", r"xenvbd\.sys"),
    _crashes("bugcheck-load:xenvbd", "test_reboot_under_load_is_clean", r"xenvbd\.sys"),
    _fails("log-clean", "test_destroy_reads_as_unclean", "cannot have stopped cleanly"),
    # -- interface
    _fails("xenstore-deaf", "test_what_the_guest_writes_dom0_reads", "dom0 does not see data/pvhck/0"),
    _fails("xenstore-deaf", "test_what_dom0_writes_the_guest_reads", "not-found: .*data/pvhck/0"),
    _fails("xenstore-deaf", "test_odd_characters_come_through_both_ways", "dom0 sees '' otherwise"),
    _fails("xenstore-deaf", "test_a_watch_in_the_guest_fires_when_dom0_writes", "watch did not fire"),
    _fails("xenstore-deaf", "test_a_watch_in_dom0_fires_when_the_guest_writes", "is silent"),
    _fails("xenstore-deaf", "test_forbidden_nodes_cannot_be_written", "DID NOT RAISE"),
    _fails("xenstore-lenient", "test_a_node_that_is_not_there_is_not_found", "DID NOT RAISE"),
    _fails("watch-noisy", "test_a_watch_in_the_guest_stays_silent_when_nothing_changes", "nobody changed it"),
)

# Scenarios that ask only what the drivers' own verification has asked before them: shown failing on
# guests that no build was put into, where nothing is verified first.
WITHOUT_BUILD = (
    _fails("", "test_the_adapter_is_the_pv_one", r"belongs to PCI\\.*, which is no PV interface"),
    _fails("", "test_the_host_is_connected_to_the_pv_interface", "seen from the host"),
)

HOST_PAIRS = (
    HostPair("ssh-drop", "connection lost during xl create"),
    HostPair("command-hang", r"xl create \S+ did not end in \d+ s"),
    HostPair("command-hang:info", "xl info did not end in", frozenset()),  # while it is leased: no run there
    HostPair("disk-full", "0 MiB free in /var/lib/pvhck"),
    HostPair("no-memory", "Out of memory"),
    HostPair("clone-fails", r"cannot clone /var/lib/pvhck/win\.qcow2: .*Input/output error"),
)

# Faults that the harness is to get over: the same scenario passes.
SURVIVED = ("shell-lost",)

# Faults of hosts that no run meets, but `pvhck image build`: tests/sim/test_image_build.py.
IN_BUILDS = ("setup-hangs", "setup-leaves")

# Faults of hosts that are seen at the end of a test or of the run: test_run_warnings.py, test_run_leaks.py.
WARNED = ("host-oops", "leaks")

NEVER_SHOWN = {
    "test_shutdown_without_drivers_is_refused": (
        "xl itself refuses, by a callback that no guest without drivers has set; no switch makes xl wrong"
    ),
}

_TOGETHER = 3
_SLOW = ("boot-hangs:xenvif", "winrm-freeze")  # where time limits of the harness itself are waited for

# Waiting is cut short where a switch has somebody wait in vain.
_PROFILES: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "boot-hangs": {"install": {"boot_s": 3}},
    "boot-hangs:xenvif": {"install": {"boot_s": 120}},  # a tenth of it, as below
    "winrm-401": {"install": {"boot_s": 15}},
    "winrm-400": {"install": {"boot_s": 3}},
    "winrm-413": {"install": {"boot_s": 3}},
    "winrm-drop": {"install": {"boot_s": 3}},
    "winrm-freeze": {"install": {"boot_s": 300}},  # a tenth of it: see time_factor
    "network-lost": {"install": {"boot_s": 12}},
    "balloon-stuck": {"balloon": {"settle_s": 1, "recover_s": 1}},
    "disk-stays": {"storage": {"attach_s": 4}},
    "shutdown-ignored": {"power": {"acknowledge_s": 1, "shutdown_s": 2}},
}


def spec_of(pair: Pair) -> RunSpec:
    """The run of a pair, with others of the same switch: not too many, so that runs can go side by side."""
    names = [other.scenario for other in PAIRS if other.switch == pair.switch]
    part = names.index(pair.scenario) // _TOGETHER * _TOGETHER
    return _run(pair.switch, names[part : part + _TOGETHER])


def spec_of_survived(switch: str) -> RunSpec:
    """The run of a guest's switch that fails nothing."""
    return _run(switch, ["test_xenbus_works"])


def _run(switch: str, names: list[str]) -> RunSpec:
    select = " or ".join(names).replace("test_disk_speed", "(test_disk_speed and win-sequential-read)")
    return RunSpec(
        select=select.replace("test_tcp_one_way", "(test_tcp_one_way and win-out)"),
        guest=(switch,),
        time_factor=0.1 if switch in _SLOW else 1.0,
        profile=_PROFILES.get(switch, {}),
    )


def spec_of_host(switch: str) -> RunSpec:
    """The run of a host's switch: one scenario, and another host beside it that has none."""
    slow = {"time_factor": 0.15} if switch.startswith("command-hang") else {}
    return RunSpec("test_xenbus_works", host=(switch,), hosts=2, **slow)


def controls() -> tuple[RunSpec, ...]:
    """All scenarios without any switch, in parts that run beside each other."""
    return RunSpec("install or interface"), RunSpec("network or storage"), RunSpec("balloon or power")
