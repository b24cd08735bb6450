"""Redundant audio (RFC 2198): one RTP payload that carries earlier frames once more.

Each older frame has a header of four bytes: F=1, payload type (7 bits),
timestamp offset (14), length (10); the newest one has a byte, F=0 and its
payload type, and what is left is its data. Everything in here comes from a
peer: `unpack` raises `MalformedRedundancy`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tincan.errors import ProtocolError, UsageError

MAX_OFFSET: Final = (1 << 14) - 1
"""Samples that a copy may be older than its packet: 341 ms."""

MAX_LENGTH: Final = (1 << 10) - 1
"""Bytes in a copy."""

MAX_BLOCKS: Final = 8
"""Frames in one payload that are read; we send two."""

_MORE: Final = 0x80


class MalformedRedundancy(ProtocolError):
    """A payload that is no redundant audio."""


@dataclass(frozen=True)
class Block:
    """One frame. ``offset``: how many samples it is older than the packet; 0 in the newest."""

    payload_type: int
    offset: int
    payload: bytes


def pack(blocks: Sequence[Block]) -> bytes:
    """Return the payload for frames, the oldest first; raise `UsageError` for what does not fit."""
    if not 1 <= len(blocks) <= MAX_BLOCKS or blocks[-1].offset != 0:
        raise UsageError(f"Redundant audio has 1 to {MAX_BLOCKS} frames, and the last one is the newest.")
    *older, newest = blocks
    headers = bytearray()
    for block in older:
        if not 0 < block.offset <= MAX_OFFSET or len(block.payload) > MAX_LENGTH:
            raise UsageError("This frame is too old or too long to be sent once more.")
        packed = (_MORE | _type(block)) << 24 | block.offset << 10 | len(block.payload)
        headers += packed.to_bytes(4, "big")
    headers.append(_type(newest))
    return b"".join((headers, *(block.payload for block in blocks)))


def unpack(data: bytes) -> tuple[Block, ...]:
    """Return the frames of a payload, the newest last; raise `MalformedRedundancy`."""
    headers: list[tuple[int, int, int]] = []
    at = 0
    while True:
        if at >= len(data) or len(headers) >= MAX_BLOCKS:
            raise MalformedRedundancy("The peer sent a redundant packet without its newest frame.")
        kind = data[at] & 0x7F
        if not data[at] & _MORE:
            at += 1
            break
        if at + 4 > len(data):
            raise MalformedRedundancy("The peer sent a redundant packet whose headers are cut off.")
        word = int.from_bytes(data[at + 1 : at + 4], "big")
        headers.append((kind, word >> 10, word & MAX_LENGTH))
        at += 4
    blocks = []
    for old, offset, length in headers:
        if at + length > len(data):
            raise MalformedRedundancy("The peer sent a redundant packet that is cut off.")
        blocks.append(Block(old, offset, data[at : at + length]))
        at += length
    return (*blocks, Block(kind, 0, data[at:]))


def _type(block: Block) -> int:
    if not 0 <= block.payload_type < _MORE:
        raise UsageError("An RTP payload type has 7 bits.")
    return block.payload_type
