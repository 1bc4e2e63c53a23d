"""Simulated guests whose reading operations are carried out by the true module on the real engine.

The model's state is put before each request, so that the stubs of Windows' commands show the guest as it
is at that moment; what changes the guest goes to the model.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from pwsh_model import state_of
from pwsh_process import start_command
from pwsh_windows import Windows

from harness import wire
from harness.simlab.guest.system import System
from harness.winrmd import (
    AgentRunner,
    CommandRequest,
    CommandRunner,
    Output,
    OutputBuffer,
    ProcessRunner,
    RunningCommand,
    Stream,
    is_agent_process,
)

__all__ = ["BY_THE_MODEL", "ON_ENGINE", "EngineAgents"]

ON_ENGINE = frozenset(
    {
        "system_facts", "boot_id", "security_facts", "memory", "pnp_devices", "services", "driver_packages",
        "certificates", "pending_reboots", "network_adapters", "disks", "volumes", "event_mark",
        "events_since", "stop_events", "xenstore_read",
    }
)  # fmt: skip
_DRIVE = "drive C: is a folder of this machine to the engine: paths in the answer would be this machine's"
BY_THE_MODEL = {
    "file_facts": _DRIVE,
    "read_file": _DRIVE,
    "dump_files": _DRIVE,
    "cd_files": "the CD's drive letter stands for a folder of this machine, but in this operation only",
    "read_pattern": "the module reads the disk itself, and the image is the simulated host's",
    "job_status": "the model's jobs are no processes of this machine",
    "xenstore_watch": "the stubs' watch fires by the state put before, not by what dom0 writes meanwhile",
}
"""Reading operations that stay with the model, with the reason. All are run on the engine elsewhere."""

_BLOCK = 1 << 16
_POLL_S = 1.0


class EngineAgents:
    """``AgentFor`` of one simulated guest. ``answered`` are the operations the engine was asked for."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.answered: list[str] = []
        self.systems: list[System] = []
        self._time = ""

    def __call__(self, system: System) -> CommandRunner:
        """For a boot."""
        self.systems.append(system)
        return _Runner(self, system)

    def put(self, system: System, op: str) -> None:
        """Show the guest to the engine as it is now, for this operation."""
        self.answered.append(op)
        state = state_of(system)
        if op == "system_facts" or not self._time:
            self._time = state.system.time_utc
        # only then does the time matter; a state that stays the same is not read again by the stubs
        self.windows.put(replace(state, system=replace(state.system, time_utc=self._time)))


class _Runner:
    """Starts the engine, and the model's own process beside it."""

    def __init__(self, agents: EngineAgents, system: System) -> None:
        self._agents = agents
        self._system = system
        self._engine = ProcessRunner(self._command)
        self._model = AgentRunner(system.operations, shell_version="of the model")

    def accepts(self, request: CommandRequest) -> bool:
        return is_agent_process(request)

    def start(self, request: CommandRequest) -> RunningCommand:
        return _Process(self._engine.start(request), self._model.start(request), self._agents, self._system)

    def _command(self, _: CommandRequest) -> Sequence[str]:
        windows = self._agents.windows
        environment = [f"{name}={value}" for name, value in windows.env.items()]
        return ["env", *environment, *start_command(windows.engine, windows.prelude)]


class _Process:
    """``RunningCommand``: each line goes to one of two processes, and both answer on the same output.

    The first line, the module's text, goes to both; only the engine announces itself.
    """

    def __init__(
        self, engine: RunningCommand, model: RunningCommand, agents: EngineAgents, system: System
    ) -> None:
        self._engine = engine
        self._model = model
        self._agents = agents
        self._system = system
        self._output = OutputBuffer()
        self._unread = b""
        self._begun = False
        for follow in (self._follow_engine, self._follow_model):
            threading.Thread(target=follow, name="engine or model", daemon=True).start()

    def write_stdin(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._pass_on(line + b"\n")

    def close_stdin(self) -> None:
        if self._unread:
            self._pass_on(self._unread)
            self._unread = b""
        self._engine.close_stdin()
        self._model.close_stdin()

    def read_output(self, timeout_s: float, limit: int) -> Output:
        return self._output.read(timeout_s, limit)

    @property
    def exit_code(self) -> int | None:
        return self._output.exit_code

    def terminate(self) -> None:
        self._model.terminate()
        self._engine.terminate()

    def _pass_on(self, line: bytes) -> None:
        if not self._begun:
            self._begun = True
            self._model.write_stdin(line)
            self._engine.write_stdin(line)
            return
        op = wire.decode_request(line.decode("ascii").strip()).op
        if op in ON_ENGINE:
            self._agents.put(self._system, op)
            self._engine.write_stdin(line)
        else:
            self._model.write_stdin(line)

    def _follow_engine(self) -> None:
        while True:
            output = self._engine.read_output(_POLL_S, _BLOCK)
            for chunk in output.chunks:
                self._output.write(chunk.stream, chunk.data)
            if output.exit_code is not None:
                self._output.end(output.exit_code)
                return

    def _follow_model(self) -> None:
        unread = b""
        while True:
            output = self._model.read_output(_POLL_S, _BLOCK)
            *lines, unread = (unread + b"".join(chunk.data for chunk in output.chunks)).split(b"\n")
            for line in lines:
                if not isinstance(wire.decode_message(line.decode("ascii").rstrip("\r")), wire.Ready):
                    self._output.write(Stream.STDOUT, line + b"\n")
            if output.exit_code is not None:
                return
