"""The program by which a simulated host's libvirt is asked: one call as JSON, and its answer."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from harness.libvirtport import LibvirtRefusal, ShutdownMode
from harness.simlab.libvirt.port import SimulatedPort
from harness.simlab.shell.process import Command, Process

__all__ = ["COMMANDS"]


def _port(process: Process) -> int:
    request = json.loads(process.read_all())
    port = SimulatedPort(process)
    try:
        answer = {"result": _plain(_call(port, request["call"], request["parameters"]))}
    except LibvirtRefusal as refusal:
        answer = {"refusal": {"code": int(refusal.code), "text": refusal.text}}
    process.out(json.dumps(answer))
    return 0


def _call(port: SimulatedPort, name: str, parameters: dict[str, Any]) -> Any:
    if "mode" in parameters:
        parameters["mode"] = ShutdownMode(parameters["mode"])
    return getattr(port, name)(**parameters)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [dataclasses.asdict(item) for item in value]
    return value


COMMANDS: dict[str, Command] = {"pvhck-libvirt-port": _port}
