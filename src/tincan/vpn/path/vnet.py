"""The virtio-net header that comes before every packet on the tap (virtio 1.2, section 5.1.6)."""

from __future__ import annotations

import struct
from typing import NamedTuple

PACKED = struct.Struct("=BBHHHH")
LENGTH = PACKED.size

NEEDS_CHECKSUM = 1
"""The checksum from `checksum_start` on is to be completed into the field `checksum_offset` bytes behind it."""

GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP = 0, 1, 4, 5
GSO_ECN = 0x80

NOTHING = bytes(LENGTH)
"""The header of a packet that is complete and by itself."""


class Vnet(NamedTuple):
    """What the kernel says of a packet, or we say to it."""

    flags: int = 0
    gso: int = GSO_NONE
    header_length: int = 0
    size: int = 0
    """Payload of each segment."""
    checksum_start: int = 0
    checksum_offset: int = 0

    def pack(self) -> bytes:
        """Give the bytes."""
        return PACKED.pack(*self)


def unpack(data: bytes | bytearray | memoryview) -> Vnet:
    """Read the header before a packet."""
    return Vnet._make(PACKED.unpack_from(data))
