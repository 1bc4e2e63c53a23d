"""A template becomes a disk of a guest's own: by overlay, by copy, or with a reason why not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from test_host_support import shell_on

from harness.errors import OutputNotUnderstood, ProvisioningFailed
from harness.host.clone import FullCopy, Overlay, choose_strategy
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


@pytest.mark.parametrize(
    ("method", "has_tool", "toolstack", "strategy"),
    [
        (CloneMethod.AUTO, True, ToolstackName.XL, Overlay),
        (CloneMethod.AUTO, False, ToolstackName.XL, FullCopy),
        (CloneMethod.AUTO, True, ToolstackName.XM, FullCopy),
        (CloneMethod.COPY, True, ToolstackName.XL, FullCopy),
        (CloneMethod.OVERLAY, True, ToolstackName.XM, Overlay),
    ],
)
def test_the_strategy_is_the_section_s_or_what_the_host_can(tmp_path, method, has_tool, toolstack, strategy):
    with shell_on(tmp_path, clone=method) as (shell, server):
        server.machine.program("qemu-img", "exit 0" if has_tool else "exit 127")
        host = SimpleNamespace(shell=shell, spec=shell.spec, toolstack=SimpleNamespace(name=toolstack))
        assert isinstance(choose_strategy(host), strategy)


def test_the_image_itself_is_never_written_to(host):
    shell, machine = host
    image = Path(image_of(machine))
    before = (image.read_bytes(), image.stat().st_mtime_ns)
    FullCopy(shell).clone(str(image), str(machine.root / "disk"))
    assert (image.read_bytes(), image.stat().st_mtime_ns) == before
