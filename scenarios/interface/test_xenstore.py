"""xenstore through XENIFACE: what the guest writes dom0 sees, and back; watches; what is forbidden."""

import pytest

from harness.scenario import (
    DriverName,
    Guest,
    Host,
    InterfaceParams,
    OperationFailed,
    Requirement,
    ToolstackName,
    XenVersion,
    drivers,
    requires,
    watch_in_guest,
)

_NEEDS = Requirement(drivers=(DriverName.XENBUS, DriverName.XENIFACE), min_xen=XenVersion(4, 0))

# Nothing beyond ASCII: which bytes a Windows driver makes of it is not laid down.
_ODD = (
    "",
    " ",
    " blanks around ",
    '"quoted"',
    "it's",
    "$HOME $(id) `id`",
    "a;b|c&d<e>f",
    "100 %TEMP%",
    "*?[x] ~ #",
    "-n",
    "key = value",
    "C:\\new\\x41\\",
)


def _value(number: int, params: InterfaceParams) -> str:
    return f"{number}:".ljust(params.value_bytes, "x")


@drivers("xeniface")
@requires(_NEEDS)
def test_what_the_guest_writes_dom0_reads(
    guest: Guest, host: Host, interface: InterfaceParams, store_folder: str
) -> None:
    for number in range(interface.keys):
        name, value = f"{store_folder}/{number}", _value(number, interface)

        assert guest.operations.xenstore_write(path=name, value=value).value == value
        assert host.xenstore.find(f"{guest.store}/{name}") == value, f"dom0 does not see {name}"

    children = guest.operations.xenstore_read(path=store_folder).children
    assert set(children) == {str(number) for number in range(interface.keys)}


@drivers("xeniface")
@requires(_NEEDS)
def test_what_dom0_writes_the_guest_reads(
    guest: Guest, host: Host, interface: InterfaceParams, store_folder: str
) -> None:
    for number in range(interface.keys):
        name, value = f"{store_folder}/{number}", _value(number, interface)
        host.xenstore.write(f"{guest.store}/{name}", value)

        assert guest.operations.xenstore_read(path=name).value == value, f"the guest does not see {name}"


@drivers("xeniface")
@requires(_NEEDS)
def test_odd_characters_come_through_both_ways(guest: Guest, host: Host, store_folder: str) -> None:
    from_guest, from_dom0 = f"{store_folder}/from-guest", f"{store_folder}/from-dom0"

    for value in _ODD:
        guest.operations.xenstore_write(path=from_guest, value=value)
        host.xenstore.write(f"{guest.store}/{from_dom0}", value)

        assert host.xenstore.find(f"{guest.store}/{from_guest}") == value, f"dom0 sees {value!r} otherwise"
        assert guest.operations.xenstore_read(path=from_dom0).value == value, (
            f"the guest sees {value!r} otherwise"
        )


@drivers("xeniface")
@requires(_NEEDS)
def test_a_watch_in_the_guest_fires_when_dom0_writes(
    guest: Guest, host: Host, interface: InterfaceParams, store_folder: str
) -> None:
    for number in range(interface.watches):
        name = f"{store_folder}/watched-{number}"
        host.xenstore.write(f"{guest.store}/{name}", "before")

        event = watch_in_guest(guest, name, seconds=round(interface.watch_s))

        assert event.fired, f"dom0 changed {name} again and again, and the guest's watch did not fire"


@drivers("xeniface")
@requires(_NEEDS)
def test_a_watch_in_the_guest_stays_silent_when_nothing_changes(
    guest: Guest, host: Host, store_folder: str
) -> None:
    name = f"{store_folder}/untouched"
    host.xenstore.write(f"{guest.store}/{name}", "the same")

    assert not guest.operations.xenstore_watch(path=name, seconds=1).fired, "nobody changed it"


@drivers("xeniface")
@requires(_NEEDS)
def test_a_watch_in_dom0_fires_when_the_guest_writes(
    guest: Guest, host: Host, interface: InterfaceParams, store_folder: str
) -> None:
    for number in range(interface.watches):
        name = f"{store_folder}/watched-{number}"
        node = f"{guest.store}/{name}"
        with host.xenstore.watch(node) as watch:
            guest.operations.xenstore_write(path=name, value="changed")

            assert watch.wait(guest.deadline(interface.watch_s)) == node, f"dom0's watch on {node} is silent"


@drivers("xeniface")
@requires(_NEEDS)
def test_a_node_that_is_not_there_is_not_found(guest: Guest, store_folder: str) -> None:
    with pytest.raises(OperationFailed) as refused:
        guest.operations.xenstore_read(path=f"{store_folder}/nobody-wrote-this")

    assert refused.value.kind == "not-found"


@drivers("xeniface")
@requires(_NEEDS)
def test_forbidden_nodes_cannot_be_written(guest: Guest, host: Host) -> None:
    # facts/pv-drivers.md 2.1, nested-xen.md: under xend more is writable, these never are
    forbidden = ["name", "domid", "/tool/pvhck", "/local/domain/0/pvhck"]
    if host.toolstack.name is not ToolstackName.XM:
        forbidden += ["memory/target", "control/pvhck"]

    for path in forbidden:
        node = path if path.startswith("/") else f"{guest.store}/{path}"
        before = host.xenstore.find(node)
        with pytest.raises(OperationFailed) as refused:
            guest.operations.xenstore_write(path=path, value="pvhck")

        assert refused.value.kind == "access-denied", f"{path}: {refused.value}"
        assert host.xenstore.find(node) == before, f"{path} was refused, and changed all the same"
