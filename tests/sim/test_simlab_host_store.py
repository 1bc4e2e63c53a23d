"""xenstore of the simulated host: rights, watches, subscriptions."""

import threading

import pytest
from simlab_host_support import WAIT_S, dom0, recorded

from harness.model import XenVersion
from harness.simlab.clock import Clock
from harness.simlab.host.store import Store, StoreError


@pytest.fixture
def clock():
    made = Clock()
    yield made
    made.close()


@pytest.fixture
def store(clock):
    return Store(clock)


def test_a_guest_may_write_below_what_it_owns_and_nowhere_else(store):
    store.put("/local/domain/5", "", "n0,r5")
    store.put("/local/domain/5/data", "", "n5")
    store.put("/local/domain/5/name", "win1", "n0,r5")

    store.write("/local/domain/5/data/x", "1", 5)

    assert store.permissions("/local/domain/5/data/x") == "n5"
    assert store.read("/local/domain/5/name", 5) == "win1"
    for path in ("/local/domain/5/name", "/local/domain/5/new", "/tool/new"):
        with pytest.raises(StoreError, match="EACCES"):
            store.write(path, "x", 5)
    with pytest.raises(StoreError, match="EACCES"):
        store.read("/local/domain/5/data", 6)


def test_children_are_sorted_and_go_with_their_parent(store):
    for name in ("b", "a", "c/d"):
        store.write(f"/top/{name}", "")

    assert store.children("/top") == ["a", "b", "c"]
    store.remove("/top/c")
    assert store.children("/top") == ["a", "b"]
    assert not store.exists("/top/c/d")
    assert [path for path, _, _ in store.walk("")] == ["/top", "/top/a", "/top/b"]


def test_a_watch_hears_of_changes_below_and_of_its_removal_from_above(store):
    store.write("/a/b", "")
    watch = store.watch("/a/b")
    assert watch.next(0) == "/a/b", "it fires once when it is set"

    store.write("/a/b/c", "1")
    store.write("/a/x", "1")
    store.remove("/a")

    assert [watch.next(0), watch.next(0), watch.next(0)] == ["/a/b/c", "/a/b", None]


def test_a_subscription_is_called_on_the_clock_thread_with_the_store_free(store):
    store.write("/a", "1")
    calls, done = [], threading.Event()

    def changed(path: str) -> None:
        # another thread may use the store meanwhile: it is not locked
        other = threading.Thread(target=lambda: store.write("/other", "x"))
        other.start()
        other.join(WAIT_S)
        calls.append((path, threading.current_thread().name, store.get("/other")))
        if len(calls) == 2:
            done.set()

    end = store.subscribe("/a", changed)
    store.write("/a", "2")
    assert done.wait(WAIT_S)
    end()
    store.write("/a", "3")

    assert calls == [("/a", "simlab-clock", "x")] * 2


def test_replace_writes_only_over_the_value_expected(store):
    store.write("/state", "2")
    assert store.replace("/state", "2", "4")
    assert not store.replace("/state", "2", "5")
    assert not store.replace("/gone", "", "5")
    assert store.get("/state") == "4"


def test_what_a_guest_may_write_is_what_a_real_guest_could(tmp_path):
    written = recorded("stand-in-4.17", "all-guest-xs-write").out.splitlines()
    verdicts = {line.split()[0]: "rc=0" in line for line in written if not line.startswith("rm ")}
    assert len(verdicts) > 20
    with dom0(tmp_path) as host:
        host.create()
        domain = host.host.hypervisor.find("win1")
        for name, allowed in verdicts.items():
            path = name if name.startswith("/") else f"{domain.root}/{name}"
            try:
                host.host.store.write(path, "x", domain.domid)
            except StoreError:
                assert not allowed, name
            else:
                assert allowed, name


@pytest.mark.parametrize(
    ("xen", "missing"),
    [
        (XenVersion(4, 6), {"drivers", "attr", "feature", "error"}),
        (XenVersion(4, 13), {"error"}),
        (XenVersion(4, 17), set()),
    ],
)
def test_older_toolstacks_give_a_guest_fewer_nodes_of_its_own(tmp_path, xen, missing):
    with dom0(tmp_path, xen=xen) as host:
        host.create()
        names = set(host.ok("xenstore-list /local/domain/1").split())
    assert {"drivers", "attr", "feature", "error"} - names == missing
