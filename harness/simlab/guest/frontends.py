"""What the drivers write to xenstore, with the guest's own rights: keys of facts/pv-drivers.md 2.2 to 2.4.

A node the toolstack does not let the guest write is left alone, as the drivers do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from harness.model import DriverName
from harness.simlab.guest.inf import Inf
from harness.simlab.host.store import Store, StoreError

__all__ = ["Frontends"]

_MAX_QUEUES = 8  # xenvif.inf FrontendMaxQueues
_VBD_QUEUES = 2  # xenvbd.inf multi-queue-max-queues
_FIRST_CHANNEL = 7  # guess: the first event channels and grants are taken by the bus
_CLOSED = ("5", "6")
_AGENT_KEYS = ("feature-poweroff", "feature-reboot", "feature-s3", "feature-s4")


class Frontends:
    """The drivers' side of one domain's folder.

    ``later`` runs an action once the back end has had time to answer: the host moves it.
    """

    def __init__(
        self, store: Store, domid: int, processors: int, later: Callable[[Callable[[], None]], None]
    ) -> None:
        self._store = store
        self._later = later
        self._domid = domid
        self._processors = processors
        self._home = f"/local/domain/{domid}"
        self._number = _FIRST_CHANNEL
        self._named: dict[DriverName, str] = {}

    # -- drivers/N, features

    def name_driver(self, driver: DriverName, inf: Inf) -> None:
        """Take a ``drivers/N`` of its own."""
        if driver in self._named:
            self.forget_driver(driver)
        number = 0
        while self._store.exists(f"{self._home}/drivers/{number}"):
            number += 1
        path = f"drivers/{number}"
        self._write(path, f"{inf.provider} {driver.value.upper()} {inf.version}")
        self._named[driver] = path

    def forget_driver(self, driver: DriverName) -> None:
        """Give it back."""
        if path := self._named.pop(driver, ""):
            self._remove(path)

    def set_bus(self, *, active: bool) -> None:
        """XENBUS: it can be suspended and ballooned."""
        self._write("control/feature-suspend", "1" if active else "")
        if active:
            self._write("control/feature-balloon", "1")
        else:
            self._remove("control/feature-balloon")

    def set_balloon(self, *, active: bool) -> None:
        """XENBUS: whether the balloon is moving."""
        self._write("control/balloon-active", "1" if active else "0")

    def set_agent(self, *, running: bool) -> None:
        """xenagent: requests it takes."""
        for key in _AGENT_KEYS:
            self._write(f"control/{key}", "1" if running else "")

    def set_hotplug(self, kind: str, *, able: bool) -> None:
        """XENVIF and XENVBD: devices may come and go."""
        if able:
            self._write(f"feature/hotplug/{kind}", "1")
        else:
            self._remove(f"feature/hotplug/{kind}")

    def acknowledge(self) -> None:
        """Empty ``control/shutdown``."""
        self._write("control/shutdown", "")

    # -- devices

    def front(self, kind: str, number: int) -> str:
        """The absolute path of a device's folder."""
        return f"{self._home}/device/{kind}/{number}"

    def connect_vif(self, number: int, mac: str, name: str, settings: Mapping[str, str]) -> None:
        """XENVIF and XENNET: bring an interface to state 4 on both ends."""
        folder = f"device/vif/{number}"
        back = self._store.get(f"{self.front('vif', number)}/backend")
        offered = int(self._store.get(f"{back}/multi-queue-max-queues") or "1")
        queues = min(self._processors, _MAX_QUEUES, offered)
        split = self._store.get(f"{back}/feature-split-event-channels") == "1"
        for queue in range(queues):
            self._write_queue(f"{folder}/queue-{queue}" if queues > 1 else folder, split=split)
        if self._store.get(f"{back}/feature-ctrl-ring") == "1":
            self._write_numbers(folder, "ctrl-ring-ref", "event-channel-ctrl")
        segments = {
            key: "1" if settings.get(keyword, "1") != "0" else "0"
            for key, keyword in (("feature-gso-tcpv4", "LROIPv4"), ("feature-gso-tcpv6", "LROIPv6"))
        }
        for key, value in {
            "multi-queue-num-queues": str(queues),
            "request-rx-copy": "1",
            "feature-sg": "1",
            "feature-rx-notify": "1",
            "feature-no-csum-offload": "0",
            "feature-ipv6-csum-offload": "1",
            "request-multicast-control": "1",
            **segments,
        }.items():
            self._write(f"{folder}/{key}", value)
        self._connect("vif", number)
        self._write(f"attr/vif/{number}/name", name)
        self._write(f"attr/vif/{number}/mac/0", mac)

    def set_addresses(self, number: int, addresses: tuple[str, ...]) -> None:
        """XENVIF: the addresses an interface has."""
        for family, chosen in (
            ("ipv4", [address for address in addresses if ":" not in address]),
            ("ipv6", [address for address in addresses if ":" in address]),
        ):
            self._remove(f"attr/vif/{number}/{family}")
            for index, address in enumerate(chosen):
                self._write(f"attr/vif/{number}/{family}/{index}", address)

    def connect_vbd(self, number: int, target: int) -> None:
        """XENVBD: bring a disk to state 4 on both ends."""
        folder = f"device/vbd/{number}"
        back = self._store.get(f"{self.front('vbd', number)}/backend")
        queues = min(_VBD_QUEUES, int(self._store.get(f"{back}/multi-queue-max-queues") or "1"))
        for queue in range(queues):
            self._write_numbers(
                f"{folder}/queue-{queue}" if queues > 1 else folder, "ring-ref", "event-channel"
            )
        for key, value in {
            "protocol": "x86_64-abi",
            "multi-queue-num-queues": str(queues),
            "target-id": str(target),
            "feature-surprise-remove": "1",
            "feature-online-resize": "1",
            "feature-large-sector-size": "1",
        }.items():
            self._write(f"{folder}/{key}", value)
        self._move("vbd", number, "3")
        self._connect("vbd", number)
        self._write(f"data/scsi/target/{target}/frontend", f"device/vbd/{number}")
        self._write(f"data/scsi/target/{target}/device", f"PhysicalDrive of target {target}")

    def disconnect(self, kind: str, number: int) -> None:
        """Bring a device to state 6 on both ends, if it is there."""
        if self._store.exists(self.front(kind, number)):
            for state in _CLOSED:
                self._move(kind, number, state)
        if kind == "vif":
            self._remove(f"attr/vif/{number}")

    def leaving(self, kind: str, number: int) -> bool:
        """Whether the toolstack takes a device away: its back end is closing, or gone with all of it."""
        back = self._store.get(f"{self.front(kind, number)}/backend")
        state, online = self._store.get(f"{back}/state"), self._store.get(f"{back}/online")
        return not back or state in {*_CLOSED, ""} or online == "0"

    # -- inner parts

    def _connect(self, kind: str, number: int) -> None:
        def connected() -> None:
            if self._store.get(f"{self.front(kind, number)}/state") not in {*_CLOSED, ""}:
                self._move(kind, number, "4")

        self._later(connected)

    def _write_queue(self, folder: str, *, split: bool) -> None:
        self._write_numbers(folder, "tx-ring-ref", "rx-ring-ref")
        channels = ("event-channel-tx", "event-channel-rx") if split else ("event-channel",)
        self._write_numbers(folder, *channels)

    def _write_numbers(self, folder: str, *keys: str) -> None:
        for key in keys:
            self._number += 1
            self._write(f"{folder}/{key}", str(self._number))

    def _move(self, kind: str, number: int, state: str) -> None:
        self._write(f"device/{kind}/{number}/state", state)

    def _write(self, path: str, value: str) -> None:
        with contextlib.suppress(StoreError):
            self._store.write(f"{self._home}/{path}", value, self._domid)

    def _remove(self, path: str) -> None:
        with contextlib.suppress(StoreError):
            self._store.remove(f"{self._home}/{path}", self._domid)
