r"""A WinRM endpoint: the one before the simulated guests and inside the Linux stand-in guest.

Real clients (pywinrm, pypsrp's WinRS) talk to it over HTTP and HTTPS, with Basic, NTLM, SPNEGO and
message encryption. What a command does is behind a seam, ``CommandRunner``::

    faults = FaultSwitches()
    # guest: a GuestOperations, or a callable that gives one for each request
    agent = AgentRunner(guest, shell_version="5.1.17763.316", faults=faults)
    # the first runner that accepts a command runs it
    runner = Dispatcher(agent, TableRunner({"hostname": Reply(b"WIN1\r\n")}))
    server = WinRmServer(
        "127.0.5.1",
        5986,                                              # 0 takes a free port, see server.port
        credentials=Credentials("Administrator", "secret"),
        runner=runner,
        certificate=ServerCertificate.make("WIN1"),        # None (the default): plain HTTP
        settings=WinRmSettings(max_shells_per_user=5),     # optional: quotas, allowed logins, limits
        faults=faults,                                     # optional
    )
    server.start()
    server.port, server.url, server.fingerprint            # SHA-256 in hexadecimal, "" without TLS
    server.shells                                          # open remote shells
    server.counters                                        # see Counters
    server.drop_shells()                                   # behind the client's back: fault 2150858843
    server.drop_connections()
    server.wait_for(lambda now: now.open_connections == 0, 5.0)
    server.stop()                                          # like power off: port refused, all closed
    server.start()                                         # may be started again, on the same port

A ``ServerCertificate`` may be shared by many servers (``make`` is an EC P-256 key, ``load(cert, key)``
takes PEM files).

Faults are switched at run time; ``set`` replaces all of them and counts anew::

    faults.set(Fault(FaultKind.HTTP_401))                          # for ever
    faults.set(Fault(FaultKind.DROP, first=3, times=1))            # the third message from now, once
    faults.set(Fault(FaultKind.IDLE_CLOSE, seconds=0.5), Fault(FaultKind.LOSE_ANSWER, times=1))
    faults.clear()

A process in a simulated guest is an ``AgentRunner`` (speaks ``harness.wire``), a real one a
``ProcessRunner(rewrite)`` whose ``rewrite`` maps a ``CommandRequest`` to the argument list to run::

    ProcessRunner(lambda request: ["/opt/pwsh", *request.words[1:]], accepts=is_agent_process)
    ProcessRunner(lambda request: ["/bin/sh", "-c", request.line])

Nothing here imports ssl, cryptography or spnego before the first HTTPS listener or NTLM login: they
are slow to load on the stand-in guest.
"""

from harness.winrmd.agent import AgentRunner, encoded_script, is_agent_process
from harness.winrmd.commands import (
    Chunk,
    CommandRequest,
    CommandRunner,
    Dispatcher,
    FinishedCommand,
    Output,
    OutputBuffer,
    Reply,
    RunningCommand,
    Stream,
    TableRunner,
)
from harness.winrmd.process import ProcessRunner
from harness.winrmd.server import Counters, WinRmServer
from harness.winrmd.settings import Credentials, LongLine, WinRmSettings
from harness.winrmd.switches import Fault, FaultKind, FaultSwitches
from harness.winrmd.tls import ServerCertificate

__all__ = [
    "AgentRunner",
    "Chunk",
    "CommandRequest",
    "CommandRunner",
    "Counters",
    "Credentials",
    "Dispatcher",
    "Fault",
    "FaultKind",
    "FaultSwitches",
    "FinishedCommand",
    "LongLine",
    "Output",
    "OutputBuffer",
    "ProcessRunner",
    "Reply",
    "RunningCommand",
    "ServerCertificate",
    "Stream",
    "TableRunner",
    "WinRmServer",
    "WinRmSettings",
    "encoded_script",
    "is_agent_process",
]
