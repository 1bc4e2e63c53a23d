"""Commands that make, change and take away files."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import time

from harness.simlab.commands.options import read_options
from harness.simlab.faults import FaultKind
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["COMMANDS", "read_size"]

_UNITS = {"": 1, "b": 512, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(?P<number>\d+)(?P<unit>[bkmgt]?)(?:i?b)?", re.IGNORECASE)


def read_size(word: str) -> int:
    """Bytes from a number with a unit: 512, 4k, 1M, 20G."""
    match = _SIZE.fullmatch(word)
    if match is None:
        raise CommandError(f"invalid number: '{word}'\n")
    return int(match["number"]) * _UNITS[match["unit"].lower()]


def _missing(process: Process, verb: str, path: str) -> str:
    return f"{process.argv[0]}: {verb} '{path}': No such file or directory\n"


def _cat(process: Process) -> int:
    options = read_options(process, "nuv")
    rc = 0
    for path in options.words or ("-",):
        if path == "-":
            while data := process.stdin.read(1 << 16):
                process.stdout.write(data)
            continue
        real = process.host.files.real(path)
        if real.is_dir():
            process.err(f"cat: {path}: Is a directory\n")
        elif not real.exists():
            process.err(f"cat: {path}: No such file or directory\n")
        else:
            process.stdout.write(real.read_bytes())
            continue
        rc = 1
    return rc


def _cp(process: Process) -> int:
    options = read_options(process, "afprRnTv", ["sparse=", "reflink=", "force", "recursive"])
    sources, target = _operands(process, options.words)
    files = process.host.files
    reflink = options.values.get("--reflink") == "always"
    if reflink and "--sparse" in options.values:
        raise CommandError("cp: --reflink can be used only with --sparse=auto\n")
    process.host.disk_is_made(target)
    if FaultKind.CLONE_FAILS in process.host.faults:
        files.real(_inside(process, sources[0], target)).touch()
        raise CommandError(f"cp: error writing '{target}': Input/output error\n")
    for source in sources:
        if not files.exists(source):
            raise CommandError(_missing(process, "cannot stat", source))
        place = _inside(process, source, target)
        if files.real(source).is_dir():
            raise CommandError(f"cp: -r not specified; omitting directory '{source}'\n")
        why_not = files.can_reflink(source, place) if reflink else ""
        if why_not:
            files.real(place).touch()
            raise CommandError(f"cp: failed to clone '{place}' from '{source}': {why_not}\n")
        try:
            files.copy(source, place)
        except FileNotFoundError as error:
            words = f"cp: cannot create regular file '{target}': No such file or directory\n"
            raise CommandError(words) from error
        except OSError as error:
            files.real(place).touch()
            raise CommandError(f"cp: error writing '{place}': {error.strerror}\n") from error
    return 0


def _operands(process: Process, words: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    if len(words) < 2:  # noqa: PLR2004  # from where, to where
        after = f"destination file operand after '{words[0]}'" if words else "file operand"
        raise CommandError(f"{process.argv[0]}: missing {after}\n")
    return words[:-1], words[-1]


def _inside(process: Process, source: str, target: str) -> str:
    if process.host.files.real(target).is_dir():
        return posixpath.join(target, posixpath.basename(source))
    return target


def _mv(process: Process) -> int:
    sources, target = _operands(process, read_options(process, "fnTv").words)
    for source in sources:
        if not process.host.files.exists(source):
            raise CommandError(_missing(process, "cannot stat", source))
        process.host.files.rename(source, _inside(process, source, target))
    return 0


def _rm(process: Process) -> int:
    options = read_options(process, "frRiv", ["force", "recursive"])
    force, deep = options.has("-f", "--force"), options.has("-r", "-R", "--recursive")
    rc, files = 0, process.host.files
    for path in options.words:
        real = files.real(path)
        if not real.exists():
            if force:
                continue
            process.err(_missing(process, "cannot remove", path))
        elif not real.is_dir():
            files.remove(path)
            continue
        elif deep:
            files.remove_tree(path)
            continue
        else:
            process.err(f"rm: cannot remove '{path}': Is a directory\n")
        rc = 1
    return rc


def _mkdir(process: Process) -> int:
    options = read_options(process, "pm:v", ["parents", "mode="])
    parents = options.has("-p", "--parents")
    for path in options.words:
        try:
            process.host.files.real(path).mkdir(parents=parents, exist_ok=parents)
        except FileExistsError as error:
            raise CommandError(f"mkdir: cannot create directory '{path}': File exists\n") from error
        except FileNotFoundError as error:
            raise CommandError(_missing(process, "cannot create directory", path)) from error
    return 0


def _rmdir(process: Process) -> int:
    for path in read_options(process, "p").words:
        real = process.host.files.real(path)
        if not real.is_dir():
            raise CommandError(_missing(process, "failed to remove", path))
        if any(real.iterdir()):
            raise CommandError(f"rmdir: failed to remove '{path}': Directory not empty\n")
        real.rmdir()
    return 0


def _touch(process: Process) -> int:
    options = read_options(process, "acmd:r:t:")
    stamp = options.values.get("-t")
    at = time.mktime(time.strptime(stamp, "%Y%m%d%H%M")) if stamp else None
    for path in options.words:
        try:
            real = process.host.files.real(path)
            real.touch()
            if at is not None:
                os.utime(real, (at, at))
        except FileNotFoundError as error:
            raise CommandError(_missing(process, "cannot touch", path)) from error
    return 0


def _chmod(process: Process) -> int:
    *_, path = read_options(process, "Rv").words
    if not process.host.files.exists(path):
        raise CommandError(_missing(process, "cannot access", path))
    return 0  # everybody is root here


def _tee(process: Process) -> int:
    options = read_options(process, "ai")
    data = process.read_all()
    for path in options.words:
        process.host.files.check_room(path)
        with process.host.files.real(path).open("ab" if options.has("-a") else "wb") as file:
            file.write(data)
    process.stdout.write(data)
    return 0


def _truncate(process: Process) -> int:
    options = read_options(process, "cs:", ["size="])
    size = read_size(options.values.get("-s", options.values.get("--size", "0")))
    for path in options.words:
        real = process.host.files.real(path)
        if not real.parent.is_dir():
            raise CommandError(_missing(process, "cannot open", path).replace("': No", "' for writing: No"))
        real.touch()
        os.truncate(real, size)
    return 0


def _dd(process: Process) -> int:
    words = dict(word.partition("=")[::2] for word in process.args)
    block = read_size(words.get("bs", "512"))
    count = int(words["count"]) if "count" in words else None
    seek, skip = block * int(words.get("seek", "0")), block * int(words.get("skip", "0"))
    data = _dd_input(process, words.get("if", ""), skip, None if count is None else block * count)
    target = words.get("of", "")
    if not target:
        process.stdout.write(data)
    else:
        process.host.files.check_room(target)
        real = process.host.files.real(target)
        if not real.exists() or "notrunc" not in words.get("conv", ""):
            real.open("wb").close()
            os.truncate(real, seek)
        with real.open("r+b") as file:
            file.seek(seek)
            _write_sparse(file.fileno(), data)
    whole, rest = divmod(len(data), block)
    records = f"{whole}+{int(rest > 0)} records"
    # the time is not played
    process.err(
        f"{records} in\n{records} out\n{len(data)} bytes copied, 0.001 s, {len(data) / 1e3:.1f} MB/s\n"
    )
    return 0


def _dd_input(process: Process, path: str, skip: int, limit: int | None) -> bytes:
    if path in {"/dev/zero", "/dev/urandom", "/dev/random"}:
        if limit is None:
            raise CommandError(f"dd: {path} without count= is not played\n")
        return bytes(limit) if path == "/dev/zero" else process.host.random_bytes(limit)
    if not path:
        data = process.read_all()
        return data if limit is None else data[:limit]
    real = process.host.files.real(path)
    if not real.is_file():
        raise CommandError(f"dd: failed to open '{path}': No such file or directory\n")
    with real.open("rb") as file:
        file.seek(skip)
        return file.read(-1 if limit is None else limit)


def _write_sparse(handle: int, data: bytes) -> None:
    """Zeros at the end of a file become a hole: nobody here needs them on the disk."""
    if data.strip(b"\0"):
        os.write(handle, data)
    else:
        end = os.lseek(handle, 0, os.SEEK_CUR) + len(data)
        os.ftruncate(handle, max(end, os.fstat(handle).st_size))


def _digest(algorithm: str) -> Command:
    def run(process: Process) -> int:
        rc = 0
        for path in read_options(process, "bt").words or ("-",):
            if path == "-":
                process.out(f"{hashlib.new(algorithm, process.read_all()).hexdigest()}  -\n")
                continue
            real = process.host.files.real(path)
            if not real.is_file():
                process.err(f"{process.argv[0]}: {path}: No such file or directory\n")
                rc = 1
                continue
            with real.open("rb") as file:
                process.out(f"{hashlib.file_digest(file, algorithm).hexdigest()}  {path}\n")
        return rc

    return run


def _mktemp(process: Process) -> int:
    options = read_options(process, "dqp:t", ["tmpdir="])
    template = options.words[0] if options.words else "/tmp/tmp.XXXXXXXXXX"  # noqa: S108  # the host's
    path = re.sub("X{3,}$", lambda run: process.host.random_bytes(8).hex()[: len(run[0])], template)
    real = process.host.files.real(path)
    real.mkdir() if options.has("-d") else real.touch()
    process.out(f"{path}\n")
    return 0


COMMANDS: dict[str, Command] = {
    "cat": _cat,
    "chmod": _chmod,
    "chown": _chmod,
    "cp": _cp,
    "dd": _dd,
    "md5sum": _digest("md5"),
    "mkdir": _mkdir,
    "mktemp": _mktemp,
    "mv": _mv,
    "rm": _rm,
    "rmdir": _rmdir,
    "sha1sum": _digest("sha1"),
    "sha256sum": _digest("sha256"),
    "tee": _tee,
    "touch": _touch,
    "truncate": _truncate,
}
