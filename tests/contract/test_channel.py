"""Every operation through the channel, on a guest without PV drivers; XENIFACE's on one with them."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
import zipfile
from datetime import datetime

import pytest

from harness.deadline import Done, NotYet, wait_until
from harness.errors import OperationFailed
from harness.guest.guest import Guest
from harness.guest.transfer import by_cd, from_guest, to_guest
from harness.operations import GuestOperations, JobStatus
from harness.package.synthetic import CERTIFICATE, make_build

ODD = "\"quoted\" 'text' $x $(id) `n \\ äöü 日本 \U0001f600 <&>"


pytestmark = pytest.mark.one_row


@pytest.fixture
def ask(bare_guest: Guest) -> GuestOperations:
    return bare_guest.operations


def refusal(call, kind: str) -> str:
    with pytest.raises(OperationFailed) as caught:
        call()
    assert caught.value.kind == kind, caught.value
    return str(caught.value)


def ended(guest: Guest, job: str) -> JobStatus:
    def probe():
        status = guest.operations.job_status(job=job)
        return Done(status) if status.state != "running" else NotYet(str(status))

    return wait_until(probe, subject=f"job {job} ends", deadline=guest.deadline(60), interval_s=0.2)


# -- the channel itself


def test_operations_share_one_process(bare_guest, ask, contract_lab):
    ask.boot_id()
    channel = bare_guest.channel()
    assert channel.keeps_process
    assert contract_lab.warnings == []


def test_the_channel_is_opened_anew_after_it_was_closed(bare_guest, ask):
    boot = ask.boot_id()
    bare_guest.disconnect()
    assert ask.boot_id() == boot


def test_two_channels_at_once_do_not_disturb_each_other(bare_guest, ask):
    boot = ask.boot_id()
    first = bare_guest.channel()
    bare_guest._channel = None
    try:
        assert ask.boot_id() == boot
        bare_guest.channel().close()
    finally:
        bare_guest._channel = first._target
    assert ask.boot_id() == boot


def test_odd_text_goes_there_and_back(bare_guest, ask, contract_lab):
    path = contract_lab.scratch("odd.txt")
    content = base64.b64encode(ODD.encode()).decode()
    ask.write_file(path=path, content=content)
    assert ask.read_file(path=path, offset=0, length=10_000).content == content
    odd_path = contract_lab.scratch("none 'text' $x $(id) äöü 日本")  # Windows has no quotes in names
    assert odd_path in refusal(lambda: ask.file_facts(path=odd_path), "not-found")


def test_an_answer_of_a_megabyte_comes_whole(ask, contract_lab):
    path = contract_lab.scratch("big.bin")
    with contract_lab.files() as server:
        source = contract_lab.folder / "big.bin"
        source.write_bytes(bytes(range(256)) * 4096)
        to_guest(ask, server, source, path)
    read = ask.read_file(path=path, offset=0, length=1 << 20)
    assert base64.b64decode(read.content) == source.read_bytes()
    ask.remove_file(path=path)


# -- what it is


def test_the_guest_says_what_it_is(bare_guest, ask):
    facts = ask.system_facts()

    assert facts.boot_id == ask.boot_id().boot_id == bare_guest.boot_id
    assert facts.architecture == "x64"
    assert facts.processors == bare_guest.domain.vcpus
    assert facts.os_name
    assert facts.locale
    assert datetime.fromisoformat(facts.time_utc).tzinfo is not None


def test_what_decides_whether_drivers_load_is_told(ask):
    facts = ask.security_facts()
    assert facts.full_token
    assert facts.script_policy


def test_memory_is_what_the_domain_has(bare_guest, ask):
    memory = ask.memory()
    assert 0 < memory.free_kib <= memory.total_kib
    assert abs(memory.physical_kib - bare_guest.domain.memory_mib * 1024) < 32 * 1024


def test_devices_are_sorted_and_those_of_xen_have_no_driver(ask):
    everything = ask.pnp_devices(prefix="")
    xen = ask.pnp_devices(prefix="PCI\\VEN_5853")

    assert [device.instance_id for device in everything] == sorted(
        device.instance_id for device in everything
    )
    assert xen != ()
    assert set(xen) <= set(everything)
    assert {device.problem for device in xen} == {28}, "no driver is installed: code 28"
    assert ask.pnp_devices(prefix="XENBUS\\") == ()
    assert ask.pnp_devices(prefix="NOSUCH\\") == ()


def test_services_that_do_not_exist_are_left_out(ask):
    assert ask.services(names=("xenbus", "nosuchservice")) == ()
    assert ask.services(names=()) == ()


def test_a_bare_guest_has_no_package_of_xen_and_waits_for_no_reboot(ask):
    assert [package for package in ask.driver_packages() if package.original.startswith("xen")] == []
    assert ask.pending_reboots() == ()


def test_the_emulated_network_adapter_is_seen(bare_guest, ask):
    (adapter,) = ask.network_adapters()

    assert adapter.mac == bare_guest.mac
    assert adapter.up
    assert bare_guest.address in adapter.addresses
    assert adapter.mtu >= 1280
    assert adapter.statistics.received_packets > 0


def test_the_emulated_disk_is_seen_and_is_no_pv_disk(ask):
    disks = ask.disks()

    assert [disk.number for disk in disks] == sorted(disk.number for disk in disks)
    assert [disk.target for disk in disks] == [-1]
    assert disks[0].size > 64 << 20


def test_volumes_have_room(ask):
    volumes = ask.volumes()
    assert [volume.path for volume in volumes] == sorted(volume.path for volume in volumes)
    assert any(volume.free > 0 for volume in volumes)


def test_the_event_log_counts_and_tells_what_came_since(ask):
    mark = ask.event_mark()
    all_events = ask.events_since(record=0, limit=1000)

    assert mark.record > 0
    assert [event.record for event in all_events] == sorted(event.record for event in all_events)
    assert ask.events_since(record=mark.record + 1000, limit=10) == ()
    assert ask.events_since(record=0, limit=1) == all_events[-1:]
    stops = ask.stop_events(record=mark.record)
    assert (stops.unclean, stops.bugchecks) == (0, 0)


def test_there_are_no_dumps_yet(ask):
    assert ask.dump_files() == ()


# -- files


def test_a_file_is_written_read_in_parts_and_removed(ask, contract_lab):
    path, data = contract_lab.scratch("new folder/a.bin"), bytes(range(256)) * 8

    facts = ask.write_file(path=path, content=base64.b64encode(data).decode())

    assert (facts.size, facts.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert ask.file_facts(path=path).sha256 == facts.sha256
    part = ask.read_file(path=path, offset=250, length=10)
    assert (base64.b64decode(part.content), part.size) == (data[250:260], len(data))
    tail = ask.read_file(path=path, offset=len(data) - 3, length=100)
    assert base64.b64decode(tail.content) == data[-3:]
    ask.remove_file(path=path)
    refusal(lambda: ask.file_facts(path=path), "not-found")
    refusal(lambda: ask.read_file(path=path, offset=0, length=1), "not-found")
    ask.remove_file(path=path)


def test_a_file_is_pulled_and_pushed_by_http(ask, contract_lab):
    source, back = contract_lab.folder / "to.bin", contract_lab.folder / "back.bin"
    source.write_bytes(bytes(range(256)) * 1000)
    path = contract_lab.scratch("pulled.bin")
    with contract_lab.files() as server:
        facts = to_guest(ask, server, source, path)
        from_guest(ask, server, path, back)

        wrong = "0" * 64
        with server.offer(source) as url:
            refusal(lambda: ask.pull_file(url=url, path=path + "x", sha256=wrong), "command-failed")
        refusal(lambda: ask.file_facts(path=path + "x"), "not-found")
    assert facts.size == 256_000
    assert back.read_bytes() == source.read_bytes()
    ask.remove_file(path=path)


def test_files_come_on_a_cd_when_there_is_no_other_way(bare_guest, ask, contract_lab):
    source = contract_lab.folder / "on cd.bin"
    source.write_bytes(bytes(range(256)) * 500)
    folder = contract_lab.scratch("cd").rstrip("/\\")

    (facts,) = by_cd(bare_guest, contract_lab.area, {"on cd.bin": source}, folder)

    assert facts.size == 128_000
    refusal(lambda: ask.cd_files(label="NOSUCH"), "not-found")
    refusal(lambda: ask.copy_from_cd(label="NOSUCH", name="x", path=folder), "not-found")
    ask.remove_file(path=folder)


def test_a_zip_file_is_unpacked_into_a_new_folder(ask, contract_lab):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "a")
        archive.writestr("sub/ä b.txt", "b")
    path, folder = contract_lab.scratch("x.zip"), contract_lab.scratch("unpacked")
    separator = "/" if contract_lab.real else "\\"
    ask.write_file(path=path, content=base64.b64encode(packed.getvalue()).decode())
    ask.write_file(path=f"{folder}{separator}old.txt", content="")

    ask.expand_zip(path=path, folder=folder)

    inner = f"{folder}{separator}sub{separator}ä b.txt"
    assert ask.file_facts(path=inner).sha256 == hashlib.sha256(b"b").hexdigest()
    refusal(lambda: ask.file_facts(path=f"{folder}{separator}old.txt"), "not-found")
    ask.remove_file(path=folder)
    ask.remove_file(path=path)


# -- jobs


def test_a_program_runs_on_by_itself_and_leaves_its_end(bare_guest, ask):
    job = ask.start_tool(path="iperf3", arguments=("--version",)).job

    status = ended(bare_guest, job)

    assert (status.state, status.exit_code) == ("ended", 0)
    assert "iperf 3" in status.stdout
    assert ask.job_status(job=job) == status, "it can be asked again"


def test_a_program_that_fails_shows_its_exit_code(bare_guest, ask):
    status = ended(bare_guest, ask.start_tool(path="iperf3", arguments=("--nosuch",)).job)
    assert status.exit_code not in {0, None}


def test_a_program_that_never_ends_is_ended(bare_guest, ask):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]  # a simulated guest listens on this machine, beside other suites
    job = ask.start_tool(path="iperf3", arguments=("-s", "-p", str(port))).job
    assert ask.job_status(job=job).state == "running"
    ask.stop_job(job=job)
    assert ended(bare_guest, job).state in {"ended", "lost"}


def test_a_job_that_was_never_started_is_not_found(ask):
    refusal(lambda: ask.job_status(job="00000000-0000-0000-0000-000000000000"), "not-found")


# -- certificates and signing


def test_a_certificate_is_put_into_a_store(ask, contract_lab):
    build = make_build(contract_lab.folder / "signed", version="9.1.0.1")
    (file,) = build.rglob(CERTIFICATE)
    path = contract_lab.scratch("test.cer")
    ask.write_file(path=path, content=base64.b64encode(file.read_bytes()).decode())

    added = ask.add_certificate(path=path, store="TrustedPublisher")

    assert added in ask.certificates(store="TrustedPublisher")
    assert added.store == "TrustedPublisher"
    assert added.thumbprint == added.thumbprint.upper()
    refusal(lambda: ask.certificates(store="NoSuchStore"), "bad-parameter")
    refusal(lambda: ask.add_certificate(path=path + "x", store="Root"), "not-found")


def test_test_signing_is_switched_from_the_next_boot_on(ask):
    now = ask.security_facts().test_signing
    ask.set_test_signing(enabled=not now)
    assert ask.security_facts().test_signing is now
    ask.set_test_signing(enabled=now)


# -- without XENIFACE, and with it


def test_xenstore_is_out_of_reach_without_the_interface(ask):
    for call in (
        lambda: ask.xenstore_read(path="name"),
        lambda: ask.xenstore_write(path="data/pvhck", value="1"),
        lambda: ask.xenstore_watch(path="data", seconds=1),
    ):
        with pytest.raises(OperationFailed) as caught:
            call()
        assert caught.value.kind in {"not-found", "command-failed"}


def test_the_guest_reads_and_writes_its_own_part_of_xenstore(full_guest: Guest):
    ask, store = full_guest.operations, full_guest.host.xenstore

    assert ask.xenstore_read(path="name").value == full_guest.name
    written = ask.xenstore_write(path="data/pvhck", value=ODD[:20])
    assert written.value == ODD[:20]
    assert store.read(f"{full_guest.store}/data/pvhck") == ODD[:20]
    store.write(f"{full_guest.store}/data/pvhck", "from dom0")
    assert ask.xenstore_read(path="data/pvhck").value == "from dom0"
    assert "pvhck" in ask.xenstore_read(path="data").children
    refusal(lambda: ask.xenstore_read(path="data/nosuch"), "not-found")
    store.remove(f"{full_guest.store}/data/pvhck")


@pytest.mark.parametrize("path", ["name", "memory/target", "control/nosuch", "/local/domain/0/pvhck"])
def test_what_a_guest_may_not_write_is_refused(full_guest: Guest, path: str):
    refusal(lambda: full_guest.operations.xenstore_write(path=path, value="1"), "access-denied")


def test_a_watch_of_the_guest_ends_with_its_time(full_guest: Guest):
    event = full_guest.operations.xenstore_watch(path="data", seconds=1)
    assert (event.path, event.fired) == ("data", False)


# -- devices as drivers show them


def test_a_guest_with_drivers_shows_devices_without_problems(full_guest: Guest):
    ask = full_guest.operations

    assert {device.problem for device in ask.pnp_devices(prefix="PCI\\VEN_5853")} == {0}
    assert {device.problem for device in ask.pnp_devices(prefix="XENBUS\\")} == {0}
    names = ("xenbus", "xenvif", "xennet", "xenvbd")
    assert {service.state for service in ask.services(names=names)} == {"running"}
    assert len(ask.services(names=names)) == 4
    packages = {package.original for package in ask.driver_packages()}
    assert {"xenbus.inf", "xeniface.inf", "xenvif.inf", "xennet.inf", "xenvbd.inf"} <= packages
    assert [disk.target for disk in ask.disks()] == [0], "the emulated twin is gone, xvda is there"
    (adapter,) = ask.network_adapters()
    assert adapter.mac == full_guest.mac


def test_a_setting_of_the_adapter_is_set_and_read_back(full_guest: Guest):
    def settings() -> dict[str, str]:
        (adapter,) = full_guest.operations.network_adapters()
        return dict(adapter.settings)

    before = settings()
    # large send offload, as its INF spells it
    keyword = next(name for name in before if name.lower() == "*lsov2ipv4")
    other = "0" if before[keyword] == "1" else "1"
    full_guest.operations.set_network_setting(mac=full_guest.mac, keyword=keyword, value=other)
    assert settings()[keyword] == other
    full_guest.operations.set_network_setting(mac=full_guest.mac, keyword=keyword, value=before[keyword])
    refusal(
        lambda: full_guest.operations.set_network_setting(mac=full_guest.mac, keyword="*NoSuch", value="1"),
        "not-found",
    )
