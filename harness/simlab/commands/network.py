"""ip and brctl: the bridge, and which guests dom0 has heard of."""

from __future__ import annotations

from harness.simlab.host.strays import DEVICES
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["COMMANDS"]


def _ip(process: Process) -> int:
    words = [word for word in process.args if not word.startswith("-")]
    match words:
        case ["neigh" | "neighbour" | "neighbor" | "n", *rest] if rest in ([], ["show"], ["list"]):
            alive = process.host.guest_addresses()
            bridge = process.host.spec.bridge
            for mac, address in process.host.leases.items():
                # one that is gone stays known for a while, as STALE
                state = "REACHABLE" if address in alive else "STALE"
                process.out(f"{address} dev {bridge} lladdr {mac} {state}\n")
            return 0
        case ["link", "delete", name]:
            if not process.host.files.exists(f"{DEVICES}/{name}"):
                raise CommandError(f'Cannot find device "{name}"\n')
            process.host.files.remove_tree(f"{DEVICES}/{name}")
            return 0
        case ["link" | "l" | "addr" | "address" | "a", *rest]:
            return _links(process, [word for word in rest if word not in {"show", "list", "dev"}])
    raise CommandError(f'Object "{" ".join(words)}" is unknown, try "ip help".\n')


def _links(process: Process, names: list[str]) -> int:
    known = ["lo", "eth0", *sorted(process.host.bridges)]
    for name in names or known:
        if name not in known:
            raise CommandError(f'Device "{name}" does not exist.\n')
        number = known.index(name) + 1
        process.out(f"{number}: {name}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP mode DEFAULT\n")
    return 0


def _brctl(process: Process) -> int:
    process.out("bridge name\tbridge id\t\tSTP enabled\tinterfaces\n")
    for bridge in sorted(process.host.bridges):
        process.out(f"{bridge}\t\t8000.00163e000000\tno\n")
    return 0


COMMANDS: dict[str, Command] = {"brctl": _brctl, "ip": _ip}
