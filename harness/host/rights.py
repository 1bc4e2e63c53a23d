"""Every command that is run on a host, why, and which of them need root there.

From this table come what ``sudo = yes`` puts ``sudo -n`` before, the sudo rules that ``pvhck lab rights``
prints, and the tables of docs/security.md (``python -m harness.host.rights docs/security.md`` renews them).
A command that is not in it is run as the user who logs in.

Files in the host's storage and in ``/var/lib/pvhck`` belong to that user: making, locking, copying and
removing them needs no root. What root makes there for us (consoles, dumps, pictures) root's ``cat`` reads.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RIGHTS", "Right", "find_script", "needs_root", "programs", "renew", "right_of", "sudoers"]

_REST, _ANY, _NUMBER, _STORAGE = "...", "?", "#", "STORAGE"
_OURS = "pvhck-*"  # a domain: the sudo rule is for ours only


@dataclass(frozen=True)
class Right:
    """One kind of command.

    ``words`` are its words: as they stand, or ``?`` for any one, ``#`` for digits, ``...`` (the last) for any
    number of them, ``pvhck-*`` for a domain, and ``STORAGE/runs/*`` or ``/var/log/*`` for all that lies
    there. ``STORAGE`` is that of the host's section. The first word is the program, wherever it lies.
    """

    words: tuple[str, ...]
    why: str
    root: bool = False

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def program(self) -> str:
        """The name of the program."""
        return self.words[0]

    def covers(self, argv: Sequence[str], storage: str) -> bool:
        """Whether a command line is of this kind, on a host with that storage."""
        if argv[0].rpartition("/")[2] != self.program:
            return False
        open_end = self.words[-1] == _REST
        wanted, given = self.words[1 : -1 if open_end else None], argv[1:]
        if len(given) < len(wanted) or (len(given) > len(wanted) and not open_end):
            return False
        return all(_fits(pattern, word, storage) for pattern, word in zip(wanted, given, strict=False))

    def rules(self, path: str, storage: str, domain: str = _OURS) -> Iterator[str]:
        """As sudoers has it, for a program that lies at a path; what is taken back begins with ``!``.

        A ``*`` of sudoers is for blanks and slashes, too: what it would let in besides is taken back.
        """
        wild = _WILD | {_OURS: domain}
        words = [wild.get(word, word.replace(_STORAGE, storage)) for word in self.words[1:] if word != _REST]
        words = [word if word in _WILD.values() else _quoted(word) for word in words]
        command = " ".join([_quoted(path), *words])
        if self.words[-1] == _REST:
            yield from (f'{command} ""' if len(words) == 0 else command, f"{command} *")
            return
        yield command if words else f'{command} ""'
        if any(word.endswith("/*") for word in words):
            yield f"!{command} *"
            yield f"!{' '.join([_quoted(path), *words[:-1], '*..*'])}"
        elif words and words[-1] == _WILD[_NUMBER]:
            yield f"!{command} *"


_WILD = {_ANY: "*", _NUMBER: "[0-9]*"}


def _quoted(word: str) -> str:
    r"""What sudoers gives a meaning to, with a backslash before it (sudoers(5))."""
    return re.sub(r"([,:=\\])", r"\\\1", word)


def _fits(pattern: str, word: str, storage: str) -> bool:
    if pattern in {_ANY, _OURS}:
        return True
    if pattern == _NUMBER:
        return word.isascii() and word.isdigit()
    if pattern.endswith("/*"):
        return word.startswith(pattern.replace(_STORAGE, storage)[:-1]) and ".." not in word
    return pattern == word


def _rights(*lines: tuple[str, str], root: bool) -> tuple[Right, ...]:
    return tuple(Right(tuple(line.split()), why, root) for line, why in lines)


_BOTH = (
    ("info ...", "version and memory of the host"),
    ("dmesg", "what the hypervisor says of crashes"),
    ("list ...", "which domains there are, and how they are made"),
    ("block-list ?", "disks of a domain"),
    ("network-list ?", "interfaces of a domain"),
    ("vcpu-list ...", "processors of domains"),
    ("uptime ?", "whether a domain was restarted"),
    ("create ...", "starting a guest"),
    ("destroy pvhck-*", "taking a guest away"),
    ("pause pvhck-*", "power scenarios"),
    ("unpause pvhck-*", "power scenarios"),
    ("save pvhck-* ?", "power scenarios"),
    ("restore ...", "power scenarios"),
    ("shutdown pvhck-*", "power scenarios"),
    ("reboot pvhck-*", "power scenarios"),
    ("mem-set pvhck-* ?", "balloon scenarios"),
    ("vcpu-set pvhck-* #", "processors of a running guest"),
    ("trigger pvhck-* ?", "the power button, and the NMI that makes a hanging guest write its dump"),
    ("block-attach pvhck-* ...", "hot plug of disks"),
    ("block-detach pvhck-* ?", "hot plug of disks"),
    ("network-attach pvhck-* ...", "hot plug of interfaces"),
    ("network-detach pvhck-* ...", "hot plug of interfaces"),
    ("dump-core pvhck-* ?", "memory of a hanging guest, as evidence"),
)

RIGHTS: tuple[Right, ...] = (
    *_rights(
        *((f"xl {words}", why) for words, why in _BOTH),
        ("xl shutdown -F pvhck-*", "power scenarios, by ACPI"),
        ("xl reboot -F pvhck-*", "power scenarios, by ACPI"),
        ("xl cd-insert pvhck-* ? ?", "files on a CD, for a guest that cannot reach us"),
        ("xl cd-eject pvhck-* ?", "files on a CD"),
        ("xl qemu-monitor-command pvhck-* ...", "pictures of the screen; CDs where xl itself cannot"),
        *((f"xm {words}", why) for words, why in _BOTH),
        ("xm block-configure pvhck-* ...", "files on a CD"),
        ("xenstore-read ?", "what guests and back ends say of themselves"),
        ("xenstore-list ?", "what there is in xenstore"),
        ("xenstore-ls ...", "as the two before, and as evidence"),
        ("xenstore-watch ?", "changes as they come"),
        ("xenstore-write ...", "requests to guests; interface scenarios"),
        ("xenstore-rm ?", "what scenarios made; what is left of domains that are gone"),
        ("dmesg", "dom0's kernel log: trouble of the host, evidence"),
        ("tail -c # /var/log/*", "logs of toolstack, QEMU and dom0, as evidence"),
        ("tail -n # /var/log/*", "a crash that QEMU tells of in its log"),
        ("tail -c # STORAGE/runs/*", "a guest's serial console, which root writes"),
        ("cat STORAGE/runs/*", "pictures and dumps, which root writes"),
        ("losetup -a", "disks that nobody has let go of"),
        ("losetup -d /dev/*", "letting go of them, where their run is dead"),
        ("kill #", "QEMU of a domain that is gone; the end of xenstore-watch and xl dump-core"),
        ("ip neigh", "addresses of guests"),
        ("ip -4 -o addr show dev ?", "dom0's address, as the other end of network tests"),
        ("ip -d addr", "evidence"),
        ("ip route", "evidence"),
        ("ip link delete ?", "network devices of domains that are gone"),
        ("brctl show", "evidence"),
        ("lvs ...", "volumes of guests, and their room; evidence"),
        ("lvcreate -y --snapshot ...", "a clone as a snapshot of a volume"),
        ("lvremove -f ?", "taking such a clone away"),
        ("qemu-img info --output=json /dev/*", "format of an image on a volume"),
        ("lspci -v", "evidence"),
        ("journalctl -n 2000 --no-pager", "evidence"),
        ("xenctx -C #", "registers of a hanging guest, as evidence"),
        ("xen-lsevtchn 0", "event channels that leak"),
        ("lsevtchn 0", "event channels that leak, on older hosts"),
        root=True,
    ),
    *_rights(
        ("sh -c ...", "small scripts of ours: locks that live by our heartbeat, looking for programs"),
        ("true", "whether the host answers"),
        ("id -u", "who we are there"),
        ("sudo -n -l ...", "which of these rules there are"),
        ("date +%s", "the host's own clock, for what expires"),
        ("mkdir -p ?", "the storage and the folders of runs and layers"),
        ("flock ...", "one run at a time; whose run lives"),
        ("find ...", "files of runs; tools that are on no PATH"),
        ("ls ...", "files of runs; whether something is there"),
        ("rm -f ...", "files of runs"),
        ("rm -rf ?", "the folder of a run that has ended"),
        ("cat ...", "notes of runs, leases, addresses that were given by DHCP, evidence"),
        ("stat ...", "sizes of files, whether an image is there"),
        ("df ...", "room for guests"),
        ("du -m ?", "size of a layer"),
        ("mv ? ?", "a guest's disk becomes a layer"),
        ("cp --sparse=always ? ?", "a clone as a full copy"),
        ("cp --reflink=always ? ?", "a clone that shares its blocks"),
        ("truncate -s ? ?", "an empty disk"),
        ("dd ...", "filling a disk before reading is measured"),
        ("head -c # ?", "whether an image is qcow2"),
        ("qemu-img create ...", "a clone as an overlay"),
        ("qemu-img info ...", "format of an image"),
        ("qemu-img --version", "whether it is there"),
        ("sha256sum ?", "whether a file arrived whole; what is on a data disk"),
        ("iperf3 ...", "the other end of network tests"),
        ("ps ...", "programs of domains that are gone; evidence"),
        ("tail ...", "logs that everybody may read"),
        ("virsh -c xen:///system capabilities", "evidence, where libvirt drives the host"),
        ("pvhck-libvirt-port", "libvirt of a simulated host"),
        root=False,
    ),
)


def right_of(argv: Sequence[str], storage: str) -> Right | None:
    """What a command line is; None for a command that we do not run."""
    return next((right for right in RIGHTS if right.covers(argv, storage)), None)


def needs_root(argv: Sequence[str], storage: str) -> bool:
    """Whether it is run by root."""
    right = right_of(argv, storage)
    return right is not None and right.root


def programs() -> tuple[str, ...]:
    """Names of all programs that root runs, each once."""
    return tuple(dict.fromkeys(right.program for right in RIGHTS if right.root))


# Where sudo looks, in its order (secure_path, as Debian and the Red Hat family have it), then where programs
# lie that are on no PATH.
_FIND = """\
for tool in "$@"; do
    for folder in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin \
        /usr/lib/xen-*/bin /usr/lib/xen/bin /usr/lib64/xen/bin /usr/libexec/xen/bin; do
        if [ -x "$folder/$tool" ]; then echo "$tool $folder/$tool"; break; fi
    done
done
"""


def find_script(*tools: str) -> tuple[str, ...]:
    """A command for a host that gives a line with name and path of each of these programs it has."""
    return ("sh", "-c", _FIND, "sh", *tools)


def sudoers(user: str, places: Mapping[str, str], storage: str, domains: Sequence[str] = ()) -> str:
    """A file for ``/etc/sudoers.d``. ``places`` are programs by name, each with its path on the host.

    ``domains`` are names besides our own that the user may change, too.

    Raises:
        ValueError: a name is more to sudoers than a name.
    """
    for name in (user, *domains):
        if not _USER.fullmatch(name):
            raise ValueError(f"{name!r} is no name that sudoers takes as it is")
    rules = [
        rule
        for right in RIGHTS
        if right.root and right.program in places
        for domain in ((_OURS, *domains) if _OURS in right.words else (_OURS,))
        for rule in right.rules(places[right.program], storage, domain)
    ]
    # what is taken back comes last: of all that fit, the last one counts
    rules.sort(key=lambda rule: rule.startswith("!"))
    listed = ", \\\n    ".join(rules)
    return (
        f"# Made by `pvhck lab rights`: what runs of {user} do as root. Check it: visudo -cf FILE\n"
        f"# {_HONEST}\n"
        f"Defaults:{user} !requiretty\n"
        f"Cmnd_Alias PVHCK_{_alias(user)} = \\\n    {listed}\n"
        f"{user} ALL=(root) NOPASSWD: PVHCK_{_alias(user)}\n"
    )


# a word in capitals would be an alias
_USER = re.compile(r"(?![A-Z][A-Z0-9_]*$)[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_HONEST = (
    "They keep mistakes off other domains and files. They are no wall: who may `xl create` has dom0's disks\n"
    "# and programs by what stands in the configuration, and is root in all but name."
)


def _alias(user: str) -> str:
    return re.sub(r"[^A-Z0-9_]", "_", user.upper())


def rights_table(*, root: bool) -> str:
    """The table for people, in Markdown: what is run by root, or what as the user who logs in."""
    rows: dict[str, list[Right]] = {}
    for right in RIGHTS:
        if right.root is root:
            rows.setdefault(right.why, []).append(right)
    lines = [f"| {', '.join(f'`{right}`' for right in rights)} | {why} |" for why, rights in rows.items()]
    return "\n".join(["| command | why |", "|---|---|", *lines])


def renew(page: str) -> str:
    """The page with fresh tables between ``<!-- rights: root -->`` (or ``user``) and ``<!-- end -->``."""
    for name in ("root", "user"):
        mark, end = f"<!-- rights: {name} -->", "<!-- end -->"
        before, found, rest = page.partition(mark)
        if found:
            table = rights_table(root=name == "root")
            page = f"{before}{mark}\n{table}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(renew(target.read_text(encoding="utf-8")), encoding="utf-8")
