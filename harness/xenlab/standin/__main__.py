"""The agent's process: kept alive by the guest's init, ended by guest-stop.sh with SIGTERM."""

from __future__ import annotations

import importlib
import platform
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from harness.winrmd import AgentRunner, Credentials, ServerCertificate, WinRmServer, WinRmSettings
from harness.xenlab import pvstate
from harness.xenlab.standin.guest import StandIn
from harness.xenlab.standin.places import Places

_HTTPS_PORT = 5986
_USER = "Administrator"


def main() -> int:
    """Serve until SIGTERM."""
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    guest = StandIn(Places())
    guest.power.watch_buttons()
    server = WinRmServer(
        "0.0.0.0",  # noqa: S104 - the guest's only listener, on a network inside the lab
        _HTTPS_PORT,
        credentials=Credentials(_USER, Path(pvstate.PASSWORD_FILE).read_text().strip()),
        runner=AgentRunner(guest, shell_version=platform.python_version()),
        certificate=ServerCertificate.load(Path(pvstate.CERTIFICATE_FILE), Path(pvstate.KEY_FILE)),
        settings=WinRmSettings(basic=False, product="OS: stand-in SP: 0.0 Stack: 3.0"),
        machine="STANDIN",
    )
    server.start()
    # Identify is answered from here on; the first login would wait for these imports, so they come now
    threading.Thread(target=importlib.import_module, args=("spnego",), daemon=True).start()
    ended.wait()
    guest.power.note_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
