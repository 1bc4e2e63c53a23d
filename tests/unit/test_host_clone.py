"""A template becomes a disk of a guest's own: by overlay, by copy, or with a reason why not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from test_host_support import shell_on

from harness.errors import OutputNotUnderstood, ProvisioningFailed
from harness.host.clone import FullCopy, LvmSnapshot, Overlay, Reflink, choose_strategy
from harness.lab import CloneMethod
from harness.model import ToolstackName

INFO = 'if [ "$1" = info ]; then echo \'{"format": "%s"}\'; exit 0; fi; '
CREATE = INFO + 'echo "$*" >>"$PWD/calls"; for last; do :; done; echo made >"$last"'


@pytest.fixture
def host(tmp_path):
    with shell_on(tmp_path) as (shell, server):
        yield shell, server.machine


def image_of(machine, content: bytes = b"MBR") -> str:
    path = machine.root / "image"
    path.write_bytes(content)
    return str(path)


def test_an_overlay_names_its_backing_file_and_that_one_s_format(host):
    shell, machine = host
    machine.program("qemu-img", CREATE % "raw")
    target = str(machine.root / "new disk")

    disk = Overlay(shell).clone(image_of(machine), target)

    assert (disk.path, disk.image_format) == (target, "qcow2")
    wanted = f"create -q -f qcow2 -F raw -b {machine.root}/image {target}"
    assert (machine.root / "calls").read_text() == wanted + "\n"


@pytest.mark.parametrize(
    ("content", "image_format"), [(b"MBR", "raw"), (b"QFI\xfb\0\0\0\3", "qcow2"), (b"", "raw")]
)
def test_a_copy_has_the_format_its_content_has_whatever_its_name(host, content, image_format):
    shell, machine = host
    target = machine.root / "copy.qcow2"

    disk = FullCopy(shell).clone(image_of(machine, content), str(target))

    assert (disk.image_format, target.read_bytes()) == (image_format, content)


@pytest.mark.parametrize("strategy", [Overlay, FullCopy])
def test_a_missing_image_is_named(host, strategy):
    shell, machine = host
    machine.program("qemu-img", "echo \"qemu-img: Could not open '$3'\" >&2; exit 1")
    with pytest.raises(ProvisioningFailed, match=r"cannot clone /none/image.*df -h"):
        strategy(shell).clone("/none/image", str(machine.root / "disk"))


def test_half_of_a_copy_is_not_left_lying(host):
    shell, machine = host
    machine.program("cp", 'for last; do :; done; echo half >"$last"; echo "cp: no space left" >&2; exit 1')
    target = machine.root / "disk"

    with pytest.raises(ProvisioningFailed, match="no space left"):
        FullCopy(shell).clone(image_of(machine), str(target))
    assert not target.exists()


def test_half_of_an_overlay_is_not_left_lying(host):
    shell, machine = host
    machine.program("qemu-img", INFO % "raw" + 'for last; do :; done; echo half >"$last"; exit 1')
    target = machine.root / "disk"

    with pytest.raises(ProvisioningFailed):
        Overlay(shell).clone(image_of(machine), str(target))
    assert not target.exists()


def test_an_image_of_another_kind_is_refused_with_the_mend(host):
    shell, machine = host
    machine.program("qemu-img", CREATE % "vmdk")
    with pytest.raises(ProvisioningFailed, match=r"is vmdk.*qemu-img convert"):
        Overlay(shell).clone(image_of(machine), "disk")


@pytest.mark.parametrize("answer", ["", "[]", "{}", "format: raw"])
def test_what_qemu_img_says_is_shown_when_it_cannot_be_read(host, answer):
    shell, machine = host
    machine.program("qemu-img", f"echo '{answer}'")
    with pytest.raises(OutputNotUnderstood, match="qemu-img info"):
        Overlay(shell).clone(image_of(machine), "disk")


LVS = "echo '  vg0|win|linear|67108864|624951296|415236096'"
NO_REFLINK = 'echo "cp: failed to clone" >&2; exit 1'


@pytest.mark.parametrize(
    ("method", "programs", "toolstack", "strategy"),
    [
        (CloneMethod.AUTO, {"cp": NO_REFLINK, "qemu-img": "exit 0"}, ToolstackName.XL, Overlay),
        (CloneMethod.AUTO, {"cp": NO_REFLINK, "qemu-img": "exit 127"}, ToolstackName.XL, FullCopy),
        (CloneMethod.AUTO, {"cp": NO_REFLINK, "qemu-img": "exit 0"}, ToolstackName.XM, FullCopy),
        (CloneMethod.AUTO, {"cp": "exit 0", "qemu-img": "exit 0"}, ToolstackName.XL, Reflink),
        (CloneMethod.AUTO, {"cp": "exit 0"}, ToolstackName.XM, Reflink),
        (CloneMethod.COPY, {"cp": "exit 0", "qemu-img": "exit 0"}, ToolstackName.XL, FullCopy),
        (CloneMethod.OVERLAY, {"cp": "exit 0", "qemu-img": "exit 0"}, ToolstackName.XM, Overlay),
        (CloneMethod.REFLINK, {"cp": NO_REFLINK}, ToolstackName.XL, Reflink),
        (CloneMethod.LVM, {"lvs": "exit 5"}, ToolstackName.XL, LvmSnapshot),
    ],
)
def test_the_strategy_is_the_section_s_or_what_the_host_can(tmp_path, method, programs, toolstack, strategy):
    with shell_on(tmp_path, clone=method) as (shell, server):
        for name, text in programs.items():
            server.machine.program(name, text)
        host = SimpleNamespace(shell=shell, spec=shell.spec, toolstack=SimpleNamespace(name=toolstack))
        assert isinstance(choose_strategy(host, image_of(server.machine), "/none/disk"), strategy)


@pytest.mark.parametrize(
    ("lvs", "strategy"), [(LVS, LvmSnapshot), ("exit 5", Overlay), ("exit 127", Overlay)]
)
def test_a_device_is_cloned_by_lvm_when_it_is_a_volume(tmp_path, lvs, strategy):
    with shell_on(tmp_path) as (shell, server):
        server.machine.program("lvs", lvs)
        server.machine.program("qemu-img", "exit 0")
        xl = SimpleNamespace(name=ToolstackName.XL)
        host = SimpleNamespace(shell=shell, spec=shell.spec, toolstack=xl)
        assert isinstance(choose_strategy(host, "/dev/vg0/win", "/none/disk"), strategy)


def test_what_was_tried_to_choose_by_is_taken_away(tmp_path):
    with shell_on(tmp_path) as (shell, server):
        server.machine.program("cp", 'for last; do :; done; echo half >"$last"; exit 1')
        server.machine.program("qemu-img", "exit 0")
        xl = SimpleNamespace(name=ToolstackName.XL)
        host = SimpleNamespace(shell=shell, spec=shell.spec, toolstack=xl)
        target = server.machine.root / "disk"
        choose_strategy(host, image_of(server.machine), str(target))
        assert not target.exists()


def test_a_thick_snapshot_asks_for_a_size_that_lvm_may_not_shrink(tmp_path):
    with shell_on(tmp_path, snapshot_percent=50) as (shell, server):
        server.machine.program("lvs", LVS)
        server.machine.program("lvcreate", 'echo "$*" >"$PWD/calls"')

        disk = LvmSnapshot(shell).clone("/dev/vg0/win", "/srv/runs/r1/pvhck-r1-1.img")

        assert (disk.path, disk.image_format) == ("/dev/vg0/pvhck-r1-1", "raw")
        wanted = "-y --snapshot -n pvhck-r1-1 -L 40m vg0/win\n"
        assert (server.machine.root / "calls").read_text() == wanted


def test_a_thin_snapshot_of_a_full_pool_is_refused_before_it_is_made(tmp_path):
    with shell_on(tmp_path) as (shell, server):
        server.machine.program(
            "lvs",
            'case "$*" in *pool_lv*) echo "  pool";; *data_percent*) echo "  134217728|96.10|10.94";; '
            '*) echo "  vg0|win|thin|67108864|624951296|415236096";; esac',
        )
        server.machine.program("lvcreate", 'echo made >"$PWD/calls"')
        with pytest.raises(ProvisioningFailed, match="4 of 128 MiB free in thin pool vg0/pool"):
            LvmSnapshot(shell).clone("/dev/vg0/win", "/srv/runs/r1/pvhck-r1-1.img")
        assert not (server.machine.root / "calls").exists()


def test_the_image_itself_is_never_written_to(host):
    shell, machine = host
    image = Path(image_of(machine))
    before = (image.read_bytes(), image.stat().st_mtime_ns)
    FullCopy(shell).clone(str(image), str(machine.root / "disk"))
    assert (image.read_bytes(), image.stat().st_mtime_ns) == before
