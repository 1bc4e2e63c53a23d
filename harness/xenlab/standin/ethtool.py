"""Interface features by the kernel's ethtool ioctls: what they are called, which are on, switching one.

Numbers and layouts: ``include/uapi/linux/ethtool.h`` of Linux 6.1.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from dataclasses import dataclass

__all__ = ["Feature", "features", "permanent_mac", "switch"]

_SIOCETHTOOL = 0x8946
_GET_STRING_SET_INFO, _GET_STRINGS = 0x37, 0x1B
_GET_FEATURES, _SET_FEATURES = 0x3A, 0x3B
_GET_PERMANENT_ADDRESS = 0x20
_FEATURE_NAMES = 4  # ETH_SS_FEATURES
_NAME_LENGTH = 32
_BLOCK = 32  # features per block


@dataclass(frozen=True)
class Feature:
    """One feature of an interface; ``changeable`` is False where the driver fixes it."""

    name: str
    bit: int
    on: bool
    changeable: bool


def features(interface: str) -> dict[str, Feature]:
    """Every feature by its name, such as ``tx-tcp-segmentation``.

    Raises:
        OSError: there is no such interface, or it knows no ethtool.
    """
    names = _names(interface)
    blocks = (len(names) + _BLOCK - 1) // _BLOCK
    answer = _ioctl(interface, struct.pack("=II", _GET_FEATURES, blocks) + bytes(16 * blocks))
    found = {}
    for bit, name in enumerate(names):
        # per block: available, requested, active, never changed
        available, _, active, fixed = struct.unpack_from("=IIII", answer, 8 + 16 * (bit // _BLOCK))
        mask = 1 << bit % _BLOCK
        found[name] = Feature(
            name, bit, on=bool(active & mask), changeable=bool(available & mask and not fixed & mask)
        )
    return found


def switch(interface: str, feature: Feature, *, on: bool) -> None:
    """Switch one feature.

    Raises:
        OSError: the kernel refuses.
    """
    blocks = feature.bit // _BLOCK + 1
    words = [0] * (2 * blocks)
    mask = 1 << feature.bit % _BLOCK
    words[2 * (blocks - 1)] = mask  # valid
    words[2 * (blocks - 1) + 1] = mask if on else 0  # requested
    # the kernel takes the number of blocks it has itself, no fewer
    total = (len(_names(interface)) + _BLOCK - 1) // _BLOCK
    words += [0] * (2 * total - len(words))
    _ioctl(interface, struct.pack("=II", _SET_FEATURES, total) + struct.pack(f"={len(words)}I", *words))


def permanent_mac(interface: str) -> str:
    """The address the interface was made with; empty where it does not say."""
    answer = _ioctl(interface, struct.pack("=II", _GET_PERMANENT_ADDRESS, 32) + bytes(32))
    size = struct.unpack_from("=I", answer, 4)[0]
    address = answer[8 : 8 + size]
    return ":".join(f"{byte:02x}" for byte in address) if any(address) else ""


def _names(interface: str) -> list[str]:
    request = struct.pack("=IIQI", _GET_STRING_SET_INFO, 0, 1 << _FEATURE_NAMES, 0)
    count = struct.unpack_from("=I", _ioctl(interface, request), 16)[0]
    request = struct.pack("=III", _GET_STRINGS, _FEATURE_NAMES, count) + bytes(_NAME_LENGTH * count)
    answer = _ioctl(interface, request)[12:]
    pieces = [answer[start : start + _NAME_LENGTH] for start in range(0, _NAME_LENGTH * count, _NAME_LENGTH)]
    return [piece.split(b"\0")[0].decode() for piece in pieces]


def _ioctl(interface: str, request: bytes) -> bytes:
    buffer = array.array("B", request)
    ifreq = struct.pack("16sP16x", interface.encode(), buffer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCETHTOOL, ifreq)
    return buffer.tobytes()
