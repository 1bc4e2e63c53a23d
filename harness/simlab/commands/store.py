"""The xenstore tools (tools/xs-clients of Xen); recorded: xen-4.17/xenstore-*.txt."""

from __future__ import annotations

import re

from harness.simlab.commands.options import read_options
from harness.simlab.host.store import StoreError
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["COMMANDS"]

_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}
_MEANT = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_UNSAFE = re.compile(r"[^ -~]|\\")


def _read(process: Process) -> int:
    options = read_options(process, "hpR")
    rc = 0
    for path in options.words:
        try:
            value = process.host.store.read(path)
        except StoreError:
            process.err(f"xenstore-read: couldn't read path {path}\n")
            rc = 1
        else:
            shown = value if options.has("-R") else escape(value)
            process.out(f"{path}: {shown}\n" if options.has("-p") else f"{shown}\n")
    return rc if options.words else _usage("[-h] [-p] [-R] key [...]", process)


def _write(process: Process) -> int:
    options = read_options(process, "hR")
    words = options.words
    if not words or len(words) % 2:
        return _usage("[-h] [-R] key value [...]", process)
    for path, value in zip(words[::2], words[1::2], strict=True):
        try:
            process.host.store.write(path, value if options.has("-R") else unescape(value))
        except StoreError as error:
            raise CommandError(f"xenstore-write: could not write path {path}\n") from error
    return 0


def _rm(process: Process) -> int:
    for path in read_options(process, "ht").words:
        try:
            process.host.store.remove(path)
        except StoreError as error:
            raise CommandError(f"xenstore-rm: could not remove path {path}\n") from error
    return 0


def _exists(process: Process) -> int:
    paths = read_options(process, "h").words
    return 0 if all(process.host.store.exists(path) for path in paths) else 1


def _list(process: Process) -> int:
    options = read_options(process, "hp")
    for path in options.words:
        try:
            names = process.host.store.children(path)
        except StoreError as error:
            raise CommandError(f"xenstore-list: could not list path {path}\n") from error
        prefix = f"{path.rstrip('/')}/" if options.has("-p") else ""
        process.out("".join(f"{prefix}{name}\n" for name in names))
    return 0


def _ls(process: Process) -> int:
    options = read_options(process, "hfpws")
    root = options.words[0].rstrip("/") if options.words else ""
    try:
        process.host.store.children(root)
    except StoreError as error:
        raise CommandError(
            f"xenstore-ls: xs_directory ({root or '/'}): No such file or directory\n"
        ) from error
    lines = []
    for path, value, permissions in process.host.store.walk(root):
        depth = path.count("/") - root.count("/") - 1
        name = path if options.has("-f") else " " * depth + path.rpartition("/")[2]
        shown = f'{name} = "{escape(value)}"'
        if options.has("-p"):
            shown += f"   ({permissions})"
        lines.append(shown + "\n")
    process.out("".join(lines))
    return 0


def _watch(process: Process) -> int:
    options = read_options(process, "hn:")
    if not options.words:
        return _usage("[-h] [-n NR] key", process)
    limit = int(options.values.get("-n", "-1"))
    store = process.host.store
    watch = store.watch(options.words[0])
    process.on_kill(lambda: store.unwatch(watch))
    try:
        while limit != 0 and (path := watch.next()) is not None:
            process.out(f"{path}\n")
            limit -= 1
    finally:
        store.unwatch(watch)
    return 0


def _chmod(process: Process) -> int:
    options = read_options(process, "hur")
    path, *modes = options.words
    try:
        process.host.store.set_permissions(path, ",".join(modes))
    except StoreError as error:
        raise CommandError(f"xenstore-chmod: Error occurred setting permissions on '{path}'\n") from error
    return 0


def escape(value: str) -> str:
    """A value as xenstore-read and xenstore-ls show it: what is not printable as escapes."""

    def shown(match: re.Match[str]) -> str:
        character = match[0]
        if character in _ESCAPES:
            return _ESCAPES[character]
        return "".join(f"\\{byte:03o}" if byte < 8 else f"\\x{byte:02x}" for byte in character.encode())  # noqa: PLR2004

    return _UNSAFE.sub(shown, value)


def unescape(text: str) -> str:
    """What xenstore-write makes of a value: unsanitise_value in Xen's tools/xenstore, not recorded."""

    def meant(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code[:1] == b"x" and len(code) > 1:
            return bytes([int(code[1:], 16)])
        if code[:1] in b"01234567":
            return bytes([int(code, 8) & 0xFF])
        return _MEANT.get(code, code)

    return _ESCAPE.sub(meant, text.encode()).decode(errors="replace")


def _usage(words: str, process: Process) -> int:
    raise CommandError(f"{process.argv[0]}: Usage: {process.argv[0]} {words}\n")


COMMANDS: dict[str, Command] = {
    "xenstore-chmod": _chmod,
    "xenstore-exists": _exists,
    "xenstore-list": _list,
    "xenstore-ls": _ls,
    "xenstore-read": _read,
    "xenstore-rm": _rm,
    "xenstore-watch": _watch,
    "xenstore-write": _write,
}
