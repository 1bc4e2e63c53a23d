"""Numbers out of a file that may be cut off, or lie about where things are."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Fields", "NotADump"]


class NotADump(Exception):
    """The file is no kernel dump, or a damaged one; says what was found."""


@dataclass(frozen=True)
class Fields:
    """A file's bytes, little endian; a reader names what it wanted when it is not there."""

    data: bytes
    wide: bool = True  # whether an address has eight bytes

    @property
    def address_size(self) -> int:
        """Bytes of an address."""
        return 8 if self.wide else 4

    def part(self, offset: int, size: int, what: str) -> bytes:
        """So many bytes.

        Raises:
            NotADump: the file ends before.
        """
        if offset + size > len(self.data):
            raise NotADump(
                f"{what} at 0x{offset:x}, {size} bytes, lies beyond the end of the file: "
                f"it has {len(self.data)} bytes"
            )
        return self.data[offset : offset + size]

    def u32(self, offset: int, what: str) -> int:
        """A number of four bytes."""
        return int.from_bytes(self.part(offset, 4, what), "little")

    def u64(self, offset: int, what: str) -> int:
        """A number of eight bytes."""
        return int.from_bytes(self.part(offset, 8, what), "little")

    def address(self, offset: int, what: str) -> int:
        """A number as wide as an address."""
        return self.u64(offset, what) if self.wide else self.u32(offset, what)
