"""Typed calls: ``GuestOperations`` carried out through a channel."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, cast

import cattrs
import cattrs.gen

from harness.deadline import Deadline
from harness.errors import ChannelBroken
from harness.guest.channel import GuestChannel
from harness.operations import OPERATIONS, GuestOperations, Operation

__all__ = ["decode_result", "operations_over"]

_DEFAULT_S = 60.0
# What moves or hashes much data, before the host's time factor.
_LONG_S = {
    "pull_file": 900.0,
    "push_file": 900.0,
    "copy_from_cd": 900.0,
    "expand_zip": 300.0,
    "file_facts": 300.0,
    "write_pattern": 900.0,
    "read_pattern": 900.0,
    "driver_packages": 180.0,
    "pnp_devices": 120.0,
    "set_network_setting": 120.0,
}


def _make_converter() -> cattrs.Converter:
    """One that takes JSON values as they are: cattrs by itself makes True of "false" and a list of a text."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _taken_as_it_is)
    converter.register_structure_hook(type(None), _taken_as_it_is)
    many = converter.get_structure_hook

    def only_of_a_list(wanted: Any) -> Callable[[Any, Any], Any]:
        (item, _) = typing.get_args(wanted)

        def structure(value: Any, _: Any) -> Any:
            if not isinstance(value, list):
                raise TypeError(f"a list is wanted, not {value!r:.80}")
            hook = many(item)
            return tuple(hook(one, item) for one in value)

        return structure

    converter.register_structure_hook_factory(_is_many, only_of_a_list)
    return converter


def _is_many(wanted: Any) -> bool:
    return typing.get_origin(wanted) is tuple and typing.get_args(wanted)[1:] == (Ellipsis,)


def _taken_as_it_is(value: Any, wanted: Any) -> Any:
    if type(value) is not wanted:  # a bool is no number here
        raise TypeError(f"{wanted.__name__} is wanted, not {value!r:.80}")
    return value


_converter = _make_converter()


def operations_over(channel: GuestChannel, *, time_factor: float = 1.0) -> GuestOperations:
    """Every operation as a typed method; deadlines are scaled by the host's time factor."""
    return cast("GuestOperations", _Calls(channel, time_factor))


def decode_result(operation: Operation, result: Any) -> Any:
    """An operation's result as its dataclass.

    Raises:
        ChannelBroken: it has not the shape the list of operations gives it.
    """
    try:
        return _converter.structure(result, operation.result)
    except Exception as error:
        # cattrs raises groups of many kinds; all mean that the answer has another shape
        reasons = "; ".join(cattrs.transform_error(error))
        raise ChannelBroken(f"the answer to {operation.name} is malformed: {reasons}") from error


class _Calls:
    """Looks each method up in the list; mypy sees ``GuestOperations`` instead."""

    def __init__(self, channel: GuestChannel, time_factor: float) -> None:
        self._channel = channel
        self._time_factor = time_factor

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = OPERATIONS.get(name)
        if operation is None:
            raise AttributeError(name)

        def call(**params: Any) -> Any:
            seconds = _LONG_S.get(name, _DEFAULT_S) + _own_wait_s(params)
            deadline = Deadline.after(seconds * self._time_factor)
            return decode_result(operation, self._channel.call(operation, params, deadline))

        return call


def _own_wait_s(params: dict[str, Any]) -> float:
    """Seconds an operation was told to wait in the guest, on top of its own time."""
    return float(params.get("seconds", 0))
