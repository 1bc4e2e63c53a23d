"""What a pattern on a disk has to hash to, by the definition in ``harness.operations``. Pure."""

from __future__ import annotations

import hashlib

from harness.operations import Pattern

__all__ = ["expected_pattern"]

_DIGEST = hashlib.sha256().digest_size


def expected_pattern(seed: int, blocks: int, block_size: int) -> Pattern:
    """The pattern ``write_pattern`` leaves: block n is SHA-256 of ``"{seed}:{n}"``, repeated over it."""
    whole = hashlib.sha256()
    for number in range(blocks):
        digest = hashlib.sha256(f"{seed}:{number}".encode("ascii")).digest()
        block = digest * (block_size // _DIGEST + 1)
        whole.update(block[:block_size])
    return Pattern(whole.hexdigest(), blocks, block_size)
