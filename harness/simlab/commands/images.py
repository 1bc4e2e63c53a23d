"""qemu-img (QEMU 7.2)."""

from __future__ import annotations

import errno
import json
import os

from harness.simlab.commands.files import read_size
from harness.simlab.commands.options import Options, read_options
from harness.simlab.faults import FaultKind
from harness.simlab.host.images import Image
from harness.simlab.machine import QCOW2_MAGIC
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["COMMANDS"]

_VERSION = "qemu-img version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n"
_FORMATS = {"raw", "qcow2"}


def _qemu_img(process: Process) -> int:
    match process.args:
        case ["--version" | "-V", *_]:
            process.out(
                _VERSION + "Copyright (c) 2003-2022 Fabrice Bellard and the QEMU Project developers\n"
            )
            return 0
        case ["create", *_]:
            return _create(process)
        case ["info", *_]:
            return _info(process)
        case ["convert", *_]:
            return _convert(process)
        case ["resize", *_]:
            return _resize(process)
        case [verb, *_]:
            raise CommandError(f"qemu-img: Command not found: {verb}\n")
    raise CommandError("qemu-img: Not enough arguments\n")


def _words(process: Process, short: str, long: tuple[str, ...] = ()) -> Options:
    rest = process.child(process.args)  # the verb stands where the program's name would
    process.session.table.remove(rest.pid)
    return read_options(rest, short, long)


def _create(process: Process) -> int:
    options = _words(process, "qf:F:b:o:u")
    target, *size = options.words
    image_format = options.values.get("-f", "raw")
    backing = options.values.get("-b", "")
    _check_format(image_format)
    try:
        image = _overlay(process, backing, options.values.get("-F", "")) if backing else None
        if image is None and not size:
            raise CommandError("qemu-img: Image creation needs a size parameter\n")
        wanted = read_size(size[0]) if size else image.virtual_size if image else 0
        _write(process, target, image_format, image or Image("raw", wanted), wanted)
    except OSError as error:
        raise CommandError(f"qemu-img: {target}: {_explained(error)}\n") from error
    if not options.has("-q"):
        process.out(f"Formatting '{target}', fmt={image_format} size={wanted}\n")
    return 0


def _explained(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"Could not write qcow2 header: {error.strerror}"  # a guess at where it hits first
    return f"Could not create file: {error.strerror}"


def _overlay(process: Process, backing: str, backing_format: str) -> Image:
    real = process.host.files.real(backing)
    if not real.is_file():
        raise CommandError(f"qemu-img: Could not open '{backing}': No such file or directory\n")
    image = process.host.files.images.of(real)
    if backing_format == "qcow2" and image.image_format != "qcow2":
        raise CommandError(f"qemu-img: Could not open '{backing}': Image is not in qcow2 format\n")
    return Image("qcow2", image.virtual_size, process.host.files.absolute(backing), image.template)


def _write(process: Process, target: str, image_format: str, image: Image, size: int) -> None:
    process.host.disk_is_made(target)
    if FaultKind.CLONE_FAILS in process.host.faults:
        raise OSError(errno.EIO, os.strerror(errno.EIO), target)
    files = process.host.files
    real = files.real(target)
    if not real.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), target)
    if image.backing:
        # what the overlay shows is what lies below it: here by a copy, which is small
        files.copy(image.backing, target)
        files.images.record(real, Image("qcow2", size, image.backing, image.template))
        return
    files.check_room(target)
    if image_format == "raw":
        with real.open("wb") as file:
            file.truncate(size)
        return
    real.write_bytes(QCOW2_MAGIC)
    files.images.removed(real)
    files.images.record(real, Image("qcow2", size))


def _info(process: Process) -> int:
    options = _words(process, "f:U", ("output=", "backing-chain"))
    path = options.words[0]
    real = process.host.files.real(path)
    if not real.is_file():
        raise CommandError(
            f"qemu-img: Could not open '{path}': Could not open '{path}': No such file or directory\n"
        )
    image = process.host.files.images.of(real)
    used = real.stat().st_blocks * 512
    if options.values.get("--output") == "json":
        facts: dict[str, object] = {
            "virtual-size": image.virtual_size,
            "filename": path,
            "format": image.image_format,
            "actual-size": used,
            "dirty-flag": False,
        }
        if image.image_format == "qcow2":
            facts["cluster-size"] = 65536
        if image.backing:
            facts |= {"backing-filename": image.backing, "full-backing-filename": image.backing}
        process.out(json.dumps(facts, indent=4) + "\n")
        return 0
    backing = f"backing file: {image.backing}\n" if image.backing else ""
    gib = image.virtual_size / (1 << 30)
    process.out(
        f"image: {path}\nfile format: {image.image_format}\n"
        f"virtual size: {gib:.3g} GiB ({image.virtual_size} bytes)\ndisk size: {used // 1024} KiB\n{backing}"
    )
    return 0


def _convert(process: Process) -> int:
    options = _words(process, "npqf:O:co:")
    source, target = options.words
    files = process.host.files
    if not files.real(source).is_file():
        raise CommandError(f"qemu-img: Could not open '{source}': No such file or directory\n")
    image = files.images.of(files.real(source))
    wanted = options.values.get("-O", "raw")
    _check_format(wanted)
    files.copy(source, target)
    # what a guest keeps is the same here whatever the format: its record says which one it is
    made = Image("qcow2" if wanted == "qcow2" else "raw", image.virtual_size, "", image.template)
    files.images.record(files.real(target), made)
    return 0


def _resize(process: Process) -> int:
    options = _words(process, "qf:", ("shrink",))
    path, word = options.words
    real = process.host.files.real(path)
    if not real.is_file():
        raise CommandError(f"qemu-img: Could not open '{path}': No such file or directory\n")
    image = process.host.files.images.of(real)
    size = read_size(word.lstrip("+")) + (image.virtual_size if word.startswith("+") else 0)
    if image.image_format == "raw":
        os.truncate(real, size)
    else:
        process.host.files.images.record(real, Image("qcow2", size, image.backing, image.template))
    process.out("Image resized.\n")
    return 0


def _check_format(name: str) -> None:
    if name not in _FORMATS:
        raise CommandError(f"qemu-img: TARGET: Unknown file format '{name}'\n")


COMMANDS: dict[str, Command] = {"qemu-img": _qemu_img}
