"""Every method of a toolstack, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from contract_lab import STILL_MIB, ContractLab, Row

from harness.deadline import Deadline
from harness.errors import CommandFailed, ConfigurationError, InfrastructureError
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.host import Host
from harness.host.toolstack.protocol import Fallback, NoSuchDomain, Toolstack, Trigger, Unsupported
from harness.model import ToolstackName

MAC = "00:16:3e:77:00:01"
NOBODY = "pvhck-nosuch"


@pytest.fixture(scope="module")
def still(contract_lab: ContractLab) -> Iterator[DomainSpec]:
    """A paused domain in which nothing runs."""
    spec = contract_lab.still()
    contract_lab.host.toolstack.create(spec, paused=True)
    yield spec
    contract_lab.host.toolstack.destroy(spec.name)
    contract_lab.host.shell.check(["rm", "-f", spec.disks[0].path, spec.console_log])


@pytest.fixture
def xl(contract_host: Host) -> Toolstack:
    return contract_host.toolstack


@pytest.fixture
def row(contract_lab: ContractLab) -> Row:
    return contract_lab.row


def names(toolstack: Toolstack) -> set[str]:
    return {domain.name for domain in toolstack.domains()}


# -- looking


def test_the_host_tells_its_version_and_figures(xl, row):
    info = xl.info()

    assert info.version == row.version
    assert info.version_text.startswith(str(row.version))
    assert info.hvm
    assert info.cpus >= 1
    assert info.total_mib > info.free_mib > 0


def test_the_hypervisor_s_log_is_shown(xl):
    # it is a ring: where many guests have been, its beginning is gone
    assert any(line.startswith("(XEN) ") for line in xl.dmesg().splitlines())


def test_dom0_is_the_first_domain(xl):
    dom0 = xl.domains()[0]
    assert (dom0.name, dom0.domid) == ("Domain-0", 0)
    assert dom0.memory_mib > 0
    assert dom0.cpu_s > 0


def test_a_domain_that_is_not_there_is_not_found(xl):
    assert xl.find(NOBODY) is None


def test_a_paused_domain_is_shown_as_it_was_made(xl, still):
    domain = xl.find(still.name)

    assert domain is not None
    assert (domain.paused, domain.running, domain.crashed, domain.shutdown) == (True, False, False, False)
    assert 1 <= domain.vcpus <= still.vcpus, "firmware has brought up one so far"
    assert abs(domain.memory_mib - STILL_MIB) <= 4
    assert domain.domid > 0


def test_the_toolstack_s_description_holds_what_was_asked_for(xl, still):
    described = xl.config(still.name)

    assert described.name == still.name
    assert described.max_memory_mib == STILL_MIB
    assert described.max_vcpus == 2
    assert described.disks == ("hda", "hdc")
    assert "hvm" in described.text


def test_disks_of_a_domain_are_listed_with_their_numbers_and_states(xl, still):
    disks = {disk.vdev: disk for disk in xl.disks(still.name)}

    assert set(disks) == {768, 5632}, "hda and hdc, by their numbers"
    assert disks[768].backend_id == 0
    assert disks[768].state == 1, "nobody has connected the front end"
    assert disks[768].backend_path.startswith("/local/domain/0/backend/")


def test_a_domain_without_interfaces_has_none(xl, still):
    assert xl.nics(still.name) == ()


def test_processors_and_uptime_are_told(xl, still):
    vcpus = xl.vcpus(still.name)

    assert [vcpu.vcpu for vcpu in vcpus] == [0, 1]
    assert {vcpu.domain for vcpu in vcpus} == {still.name}
    assert 0 <= xl.uptime_s(still.name) < 3600


# -- life and death


def test_pausing_and_unpausing_is_seen(xl, still):
    xl.unpause(still.name)
    assert not xl.find(still.name).paused
    xl.pause(still.name)
    assert xl.find(still.name).paused


def test_a_pause_more_than_was_undone_is_noticed_where_pauses_are_counted(xl, still, row):
    xl.pause(still.name)  # the second: it is paused already
    if row.since("4.2"):
        with pytest.raises(CommandFailed, match="still paused"):
            xl.unpause(still.name)
    else:
        xl.unpause(still.name)
        xl.pause(still.name)
    assert xl.find(still.name).paused


def test_a_name_that_is_taken_cannot_be_given_again(contract_lab, xl, still, row):
    before = xl.find(still.name)
    with pytest.raises(CommandFailed, match=rf"{row.program} create .*(exit code [13]|exists)"):
        xl.create(still, paused=True)
    after = xl.find(still.name)
    assert after is not None
    assert after.domid == before.domid
    assert len([domain for domain in xl.domains() if domain.name == still.name]) == 1


def impossible() -> list:
    def missing_disk(spec: DomainSpec) -> DomainSpec:
        return replace(spec, disks=(DiskSpec("/var/lib/pvhck/none.raw", "hda"),))

    return [
        pytest.param(lambda spec: replace(spec, memory_mib=500_000), id="no-memory"),
        pytest.param(missing_disk, id="missing-disk"),
        pytest.param(lambda spec: replace(spec, nics=(NicSpec(MAC, "nosuchbr"),)), id="missing-bridge"),
        # libvirt is told no key that it cannot be told; xl and xm cannot read the value
        pytest.param(lambda spec: replace(spec, extra={"strange": "this is wrong"}), id="syntax"),
    ]


@pytest.mark.parametrize("spoil", impossible())
def test_a_domain_that_cannot_be_made_leaves_nothing_behind(
    contract_lab, xl, row, spoil: Callable[[DomainSpec], DomainSpec]
):
    spec = spoil(contract_lab.still())
    before = names(xl)

    with pytest.raises((CommandFailed, ConfigurationError), match=rf"{row.program} create|xl\.strange"):
        xl.create(spec, paused=True)

    assert names(xl) == before
    shell = contract_lab.host.shell
    assert not shell.run(["ls", contract_lab.area.path(f"{spec.name}.cfg")]).ok
    shell.check(["rm", "-f", contract_lab.area.path(f"{spec.name}.raw"), spec.console_log])


# -- a domain that is not there


def on_nobody() -> list:
    disk = DiskSpec("/var/lib/pvhck/none.raw", "xvdg")
    calls: dict[str, Callable[[Toolstack], object]] = {
        "config": lambda xl: xl.config(NOBODY),
        "destroy": lambda xl: xl.destroy(NOBODY),
        "shutdown": lambda xl: xl.shutdown(NOBODY),
        "shutdown-acpi": lambda xl: xl.shutdown(NOBODY, Fallback.ACPI),
        "reboot": lambda xl: xl.reboot(NOBODY),
        "pause": lambda xl: xl.pause(NOBODY),
        "unpause": lambda xl: xl.unpause(NOBODY),
        "set_memory": lambda xl: xl.set_memory(NOBODY, 100),
        "save": lambda xl: xl.save(NOBODY, "/var/lib/pvhck/none.save"),
        "attach_disk": lambda xl: xl.attach_disk(NOBODY, disk),
        "detach_disk": lambda xl: xl.detach_disk(NOBODY, "xvdg"),
        "disks": lambda xl: xl.disks(NOBODY),
        "attach_nic": lambda xl: xl.attach_nic(NOBODY, NicSpec(MAC, "xenbr0", None)),
        "detach_nic": lambda xl: xl.detach_nic(NOBODY, MAC),
        "nics": lambda xl: xl.nics(NOBODY),
        "insert_cd": lambda xl: xl.insert_cd(NOBODY, "hdc", "/var/lib/pvhck/none.iso"),
        "eject_cd": lambda xl: xl.eject_cd(NOBODY, "hdc"),
        "trigger": lambda xl: xl.trigger(NOBODY, Trigger.NMI),
        "dump_core": lambda xl: xl.dump_core(NOBODY, "/var/lib/pvhck/none.core", timeout_s=30),
        "set_vcpus": lambda xl: xl.set_vcpus(NOBODY, 1),
        "vcpus": lambda xl: xl.vcpus(NOBODY),
        "uptime_s": lambda xl: xl.uptime_s(NOBODY),
        "screen_dump": lambda xl: xl.screen_dump(NOBODY),
    }
    return [pytest.param(call, id=name) for name, call in calls.items()]


@pytest.mark.parametrize("call", on_nobody())
def test_every_method_says_that_a_domain_is_not_there(xl, call):
    with pytest.raises(NoSuchDomain, match=NOBODY):
        call(xl)


# -- devices


def test_a_disk_that_is_missing_cannot_be_plugged_in(xl, still):
    before = xl.disks(still.name)
    with pytest.raises(CommandFailed, match="block-attach"):
        xl.attach_disk(still.name, DiskSpec("/var/lib/pvhck/none.raw", "xvdh"))
    assert xl.disks(still.name) == before


def test_a_disk_that_is_not_there_cannot_be_unplugged(xl, still):
    with pytest.raises(CommandFailed, match="block-detach"):
        xl.detach_disk(still.name, "xvdz")


def test_a_failed_interface_is_not_left_behind(xl, still):
    with pytest.raises(CommandFailed, match="network-attach"):
        xl.attach_nic(still.name, NicSpec(MAC, "nosuchbr", None))
    assert xl.nics(still.name) == ()


def test_an_interface_that_is_not_there_cannot_be_unplugged(xl, still):
    with pytest.raises(CommandFailed, match="network-detach"):
        xl.detach_nic(still.name, MAC)


def test_a_cd_is_changed_in_its_drive(contract_lab, xl, still, row):
    path = contract_lab.area.path(f"{still.name}.iso")
    contract_lab.host.shell.put(bytes(64 * 2048), path)

    xl.insert_cd(still.name, "hdc", path)
    assert xl.find(still.name) is not None
    if row.has_screens:
        assert xl.screen_dump(still.name).startswith(b"P6"), "its QEMU has survived that"
    xl.eject_cd(still.name, "hdc")
    contract_lab.host.shell.check(["rm", "-f", path])


def test_a_cd_that_is_missing_cannot_be_inserted(xl, still):
    with pytest.raises(CommandFailed, match=r"none\.iso"):
        xl.insert_cd(still.name, "hdc", "/var/lib/pvhck/none.iso")


# -- memory, processors, events, evidence


def test_a_target_above_the_maximum_is_refused(xl, still):
    with pytest.raises(CommandFailed, match="mem-set"):
        xl.set_memory(still.name, 4000)


def test_the_target_is_read_back_in_kib(xl, still):
    less = STILL_MIB - 4
    assert xl.set_memory(still.name, less) <= less * 1024


def test_the_number_of_processors_can_be_set(xl, still):
    xl.set_vcpus(still.name, 1)
    xl.set_vcpus(still.name, 2)
    assert len(xl.vcpus(still.name)) == 2


@pytest.mark.parametrize("trigger", [Trigger.POWER, Trigger.NMI])
def test_events_can_be_sent(xl, still, trigger):
    xl.trigger(still.name, trigger)
    assert xl.find(still.name) is not None


def test_a_reset_cannot_be_sent_to_an_hvm_domain(xl, still):
    with pytest.raises(CommandFailed, match="trigger"):
        xl.trigger(still.name, Trigger.RESET)


@pytest.mark.slow  # some hundred MiB, and a fresh guest afterwards: one was seen to reboot meanwhile
def test_memory_is_dumped_whole_though_xl_may_never_say_so(contract_lab, xl, full_guest):
    # not of a domain that never booted: xl was seen to write 12 KiB of one and to compute for minutes
    path = contract_lab.area.path(f"{full_guest.name}.core")
    try:
        size = xl.dump_core(full_guest.name, path, timeout_s=100)
        assert size > (full_guest.template.memory_mib * 3 // 4) << 20
        assert xl.find(full_guest.name) is not None
    finally:
        contract_lab.host.shell.run(["rm", "-f", path])
        contract_lab.spoil(full_guest)


def test_a_dump_that_cannot_be_written_says_why(xl, still):
    with pytest.raises(InfrastructureError):
        xl.dump_core(still.name, "/nosuch/folder/core", timeout_s=5)


def test_the_screen_is_a_picture_where_there_is_a_way_to_it(xl, still, row):
    if not row.has_screens:
        with pytest.raises(Unsupported, match="screen"):
            xl.screen_dump(still.name)
        return
    picture = xl.screen_dump(still.name)

    assert picture.startswith(b"P6")
    width, height = (int(word) for word in picture.split(maxsplit=3)[1:3])
    assert len(picture) > width * height * 3 > 0


# -- a second domain: nobody uses its disks, and it has no screen


def test_a_domain_that_nobody_uses_is_taken_away_whole(contract_lab, xl, row):
    spec = contract_lab.still(screen=False)
    path = contract_lab.area.path(f"{spec.name}.more.raw")
    contract_lab.host.shell.check(["truncate", "-s", "8M", path])
    assert xl.create(spec, paused=True).name == spec.name
    try:
        xl.attach_disk(spec.name, DiskSpec(path, "xvdg"))
        assert 51808 in {disk.vdev for disk in xl.disks(spec.name)}, "xvdg is 202*256 + 6*16"
        with pytest.raises(CommandFailed, match="block-attach"):
            xl.attach_disk(spec.name, DiskSpec(path, "xvdg"))
        # without a front end there is no safe way out; with one it is in test_hotplug
        if row.since("4.15") or row.toolstack is ToolstackName.XM:
            with pytest.raises(CommandFailed, match="block-detach"):
                xl.detach_disk(spec.name, "xvdg")
        else:
            xl.detach_disk(spec.name, "xvdg")  # by force, whatever the guest says
        with pytest.raises(InfrastructureError):
            xl.screen_dump(spec.name)
    finally:
        xl.destroy(spec.name)
    assert xl.find(spec.name) is None
    with pytest.raises(NoSuchDomain, match=spec.name):
        xl.destroy(spec.name)
    contract_lab.host.shell.check(["rm", "-f", path, spec.disks[0].path, spec.console_log])


def test_a_file_that_is_missing_cannot_be_restored(xl):
    before = names(xl)
    with pytest.raises(CommandFailed, match="restore"):
        xl.restore("/var/lib/pvhck/none.save")
    assert names(xl) == before


# -- xenstore, beside the toolstack


def test_dom0_reads_and_writes_xenstore(contract_host, xl, still):
    store, root = contract_host.xenstore, f"/local/domain/{xl.find(still.name).domid}"

    assert store.read(f"{root}/name") == still.name
    assert store.find(f"{root}/nosuch") is None
    store.write(f"{root}/data/pvhck/odd", "a \"b\" 'c' = $d")
    assert store.read(f"{root}/data/pvhck/odd") == "a \"b\" 'c' = $d"
    assert store.children(f"{root}/data/pvhck") == ("odd",)
    store.write(f"{root}/data/pvhck/minus", "-1")
    assert store.tree(f"{root}/data/pvhck")[f"{root}/data/pvhck/minus"] == "-1"
    store.remove(f"{root}/data/pvhck")
    assert store.tree(f"{root}/data/pvhck") == {}
    assert store.children(f"{root}/data/pvhck") == ()
    with pytest.raises(CommandFailed, match="nosuch"):
        store.read(f"{root}/nosuch")


def test_a_watch_sees_what_changes(contract_host, xl, still):
    node = f"/local/domain/{xl.find(still.name).domid}/data/watched"
    patience = 20 * contract_host.spec.time_factor
    with contract_host.xenstore.watch(node) as watch:
        assert watch.wait(Deadline.after(0.2)) is None
        contract_host.xenstore.write(node, "1")
        assert watch.wait(Deadline.after(patience)) == node
    contract_host.xenstore.remove(node)
