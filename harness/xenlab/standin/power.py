"""Stops and restarts: asked for by the harness, by Xen, or by the ACPI power button."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import threading
from pathlib import Path

from harness.xenlab.standin.eventlog import EventLog
from harness.xenlab.standin.places import Places

__all__ = ["Power", "is_power_key", "power_buttons"]

_DELAY_S = 1.0  # lets the answer out, as shutdown.exe's /t 1 does
_COMMANDS = {"poweroff": "/sbin/poweroff", "reboot": "/sbin/reboot"}
# struct input_event on x86-64, and its words for the button: Linux include/uapi/linux/input.h
_INPUT = struct.Struct("qqHHi")
_EV_KEY, _KEY_POWER, _PRESSED = 1, 116, 1


class Power:
    """How this guest goes down."""

    def __init__(self, places: Places, log: EventLog, boot: str) -> None:
        self._places = places
        self._log = log
        self._boot = boot

    def ask(self, how: str, who: str) -> None:
        """Note the request and carry it out in a second; ``how`` is ``poweroff`` or ``reboot``."""
        self._log.note_request(who, how)
        timer = threading.Timer(_DELAY_S, subprocess.run, [[_COMMANDS[how]]], {"check": False})
        timer.daemon = True
        timer.start()

    def note_stop(self) -> None:
        """The guest goes down now (SIGTERM from guest-stop.sh): write what Windows writes.

        A stop that nobody here has asked for was Xen's: the kernel got it by ``control/shutdown``.
        """
        try:
            how = self._places.stopping.read_text().strip()
        except FileNotFoundError:
            return  # only the agent is ended
        if not self._log.requested_in(self._boot):
            self._log.note_xen_request(how if how in _COMMANDS else "poweroff")
        self._log.note_clean_stop()

    def watch_buttons(self) -> None:
        """Wait for the power button in the background: without PV drivers it is all that Xen can press."""
        for device in power_buttons(self._places.root):
            threading.Thread(target=self._watch, args=(device,), name="button", daemon=True).start()

    def _watch(self, device: Path) -> None:
        fd = os.open(device, os.O_RDONLY)
        while not is_power_key(os.read(fd, _INPUT.size)):
            pass
        self.ask("poweroff", "power button")


def power_buttons(root: Path) -> tuple[Path, ...]:
    """The input devices that are power buttons."""
    text = (root / "proc/bus/input/devices").read_text()
    blocks = [block for block in text.split("\n\n") if 'Name="Power Button"' in block]
    return tuple(root / "dev/input" / name for block in blocks for name in re.findall(r"event\d+", block))


def is_power_key(event: bytes) -> bool:
    """Whether an input event is the button going down."""
    if len(event) != _INPUT.size:
        return False
    _, _, kind, code, value = _INPUT.unpack(event)
    return (kind, code, value) == (_EV_KEY, _KEY_POWER, _PRESSED)
