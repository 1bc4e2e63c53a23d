"""``LibvirtPort`` by libvirt-python, which is an extra: its C part is compiled against the machine's libvirt.

A call that libvirt never answers would wait for ever: each runs in a thread of its own and is given up at
its limit, together with the connection.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from harness.errors import ToolMissing
from harness.libvirtport import LibvirtCode, LibvirtRefusal, PortDomain, PortEvent, ShutdownMode

__all__ = ["LibvirtBinding"]

_T = TypeVar("_T")
_QUICK_S = 60.0
_SLOW_S = 300.0
_LOCK = threading.Lock()
_loop_runs = False


class LibvirtBinding:
    """One connection. ``cut`` ends the way to libvirt, which makes calls that hang return."""

    def __init__(self, uri: str, *, patience: float = 1.0, cut: Callable[[], None] = lambda: None) -> None:
        """Connect.

        Raises:
            ToolMissing: libvirt-python is not installed.
            ConnectionError: nobody answers at the address.
        """
        self._libvirt = _library()
        self._patience = patience
        self._cut = cut
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="libvirt")
        self._events: list[PortEvent] = []
        self._events_lock = threading.Lock()
        self._connection: Any = None
        try:
            self._connection = self._within(lambda: self._libvirt.open(uri), _QUICK_S)
            self._within(self._register, _QUICK_S)
        except LibvirtRefusal as refusal:
            self._threads.shutdown(wait=False)
            raise ConnectionError(refusal.text) from refusal

    def version(self) -> int:
        """See ``LibvirtPort.version``."""
        version: int = self._within(self._connection.getVersion, _QUICK_S)
        return version

    def domains(self) -> tuple[PortDomain, ...]:
        """See ``LibvirtPort.domains``."""
        return self._within(self._list, _QUICK_S)

    def xml(self, name: str) -> str:
        """See ``LibvirtPort.xml``."""
        text: str = self._on(name, lambda domain: domain.XMLDesc())
        return text

    def create(self, xml: str, *, paused: bool) -> None:
        """See ``LibvirtPort.create``."""
        flags = self._libvirt.VIR_DOMAIN_START_PAUSED if paused else 0
        self._within(lambda: self._connection.createXML(xml, flags), _SLOW_S)

    def destroy(self, name: str) -> None:
        """See ``LibvirtPort.destroy``."""
        self._on(name, lambda domain: domain.destroy())

    def shutdown(self, name: str, mode: ShutdownMode) -> None:
        """See ``LibvirtPort.shutdown``."""
        paravirt = self._libvirt.VIR_DOMAIN_SHUTDOWN_PARAVIRT
        acpi = self._libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        flags = {
            ShutdownMode.PARAVIRT: paravirt,
            ShutdownMode.ACPI: acpi,
            ShutdownMode.PARAVIRT_OR_ACPI: paravirt | acpi,
        }[mode]
        self._on(name, lambda domain: domain.shutdownFlags(flags), _SLOW_S)

    def reboot(self, name: str) -> None:
        """See ``LibvirtPort.reboot``."""
        flags = self._libvirt.VIR_DOMAIN_REBOOT_PARAVIRT
        self._on(name, lambda domain: domain.reboot(flags), _SLOW_S)

    def pause(self, name: str) -> None:
        """See ``LibvirtPort.pause``."""
        self._on(name, lambda domain: domain.suspend())

    def resume(self, name: str) -> None:
        """See ``LibvirtPort.resume``."""
        self._on(name, lambda domain: domain.resume())

    def set_memory(self, name: str, kib: int) -> None:
        """See ``LibvirtPort.set_memory``."""
        live = self._libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(name, lambda domain: domain.setMemoryFlags(kib, live))

    def set_vcpus(self, name: str, count: int) -> None:
        """See ``LibvirtPort.set_vcpus``."""
        live = self._libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(name, lambda domain: domain.setVcpusFlags(count, live))

    def save(self, name: str, path: str) -> None:
        """See ``LibvirtPort.save``."""
        self._on(name, lambda domain: domain.save(path), _SLOW_S)

    def restore(self, path: str, *, paused: bool) -> None:
        """See ``LibvirtPort.restore``."""
        flags = self._libvirt.VIR_DOMAIN_SAVE_PAUSED if paused else 0  # 0: as it was when it was saved
        self._within(lambda: self._connection.restoreFlags(path, None, flags), _SLOW_S)

    def attach(self, name: str, xml: str) -> None:
        """See ``LibvirtPort.attach``."""
        live = self._libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(name, lambda domain: domain.attachDeviceFlags(xml, live), _SLOW_S)

    def detach(self, name: str, xml: str) -> None:
        """See ``LibvirtPort.detach``."""
        live = self._libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(name, lambda domain: domain.detachDeviceFlags(xml, live), _SLOW_S)

    def events(self) -> tuple[PortEvent, ...]:
        """See ``LibvirtPort.events``."""
        with self._events_lock:
            found, self._events = tuple(self._events), []
        return found

    def close(self) -> None:
        """See ``LibvirtPort.close``."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._threads.submit(connection.close)
        self._threads.shutdown(wait=False)
        self._cut()

    # -- inner parts

    def _register(self) -> None:
        def happened(_connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
            with self._events_lock:
                self._events.append(PortEvent(domain.name(), event, detail, time.time()))

        lifecycle = self._libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        self._connection.domainEventRegisterAny(None, lifecycle, happened, None)

    def _list(self) -> tuple[PortDomain, ...]:
        active = self._libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
        found = []
        for domain in self._connection.listAllDomains(active):
            try:
                state, reason = domain.state()
                _, most, memory, vcpus, cpu_ns = domain.info()
                number = domain.ID()
            except self._libvirt.libvirtError as error:
                if error.get_error_code() != LibvirtCode.NO_DOMAIN:
                    raise
                continue  # it went meanwhile
            if number >= 0:
                found.append(PortDomain(domain.name(), number, state, reason, most, memory, vcpus, cpu_ns))
        return tuple(sorted(found, key=lambda domain: domain.id))

    def _on(self, name: str, action: Callable[[Any], _T], limit_s: float = _QUICK_S) -> _T:
        return self._within(lambda: action(self._connection.lookupByName(name)), limit_s)

    def _within(self, action: Callable[[], _T], limit_s: float) -> _T:
        """Run a call; what libvirt raises is a refusal, unless the connection is gone."""
        limit = limit_s * self._patience
        try:
            return self._threads.submit(action).result(limit)
        except FutureTimeout as error:
            self._cut()
            raise ConnectionError(f"libvirt did not answer in {limit:.0f} s") from error
        except self._libvirt.libvirtError as error:
            text = error.get_error_message() or str(error)
            if self._connection is not None and not self._alive():
                raise ConnectionError(text) from error
            raise LibvirtRefusal(error.get_error_code() or LibvirtCode.NONE, text) from error

    def _alive(self) -> bool:
        try:
            return bool(self._connection.isAlive())
        except self._libvirt.libvirtError:
            return False


def _library() -> Any:
    """The module, its event loop running and its error messages left to us."""
    global _loop_runs  # noqa: PLW0603  # libvirt has one event loop for each process
    try:
        libvirt = importlib.import_module("libvirt")
    except ImportError as error:
        raise ToolMissing(
            "libvirt-python is not installed",
            mend="apt-get install libvirt-dev pkg-config gcc python3-dev; pip install 'pvhck[libvirt]'",
        ) from error
    with _LOCK:
        if not _loop_runs:
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_run_events, args=(libvirt,), name="libvirt-events", daemon=True).start()
            _loop_runs = True
    return libvirt


def _run_events(libvirt: Any) -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
