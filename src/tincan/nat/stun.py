"""STUN binding requests over TCP (RFC 8489): which address and port does a server see?

Pure: bytes in, bytes out. aioice asks the same of UDP for ICE; its port is
another one, so what it learns says nothing about a TCP port.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

MAGIC: Final = 0x2112A442
HEADER: Final = 20
BINDING_REQUEST: Final = 0x0001
BINDING_SUCCESS: Final = 0x0101
XOR_MAPPED_ADDRESS: Final = 0x0020
MAX_RESPONSE: Final = 2048
"""Bytes of an answer that are looked at; a binding response takes about a hundred."""


class StunError(Exception):
    """What came is not an answer to our question."""


def binding_request(transaction: bytes) -> bytes:
    """Return a request; ``transaction``: 12 random bytes."""
    if len(transaction) != 12:
        raise ValueError("a transaction id has 12 bytes")
    return struct.pack("!HHI", BINDING_REQUEST, 0, MAGIC) + transaction


def length_of(data: bytes) -> int | None:
    """Return how many bytes the message that ``data`` begins with has, None while its header is incomplete.

    Raises `StunError` when it is no STUN message, or an oversized one. Over
    TCP, messages follow each other without any framing of their own
    (RFC 8489 section 6.2.2).
    """
    if len(data) < HEADER:
        return None
    kind, length, magic = struct.unpack_from("!HHI", data)
    if kind & 0xC000 or magic != MAGIC or length % 4 or HEADER + length > MAX_RESPONSE:
        raise StunError("no STUN message")
    return HEADER + int(length)


def mapped_address(message: bytes, transaction: bytes) -> tuple[str, int]:
    """Return the address and port that a binding success response names; raise `StunError`."""
    if length_of(message) != len(message):
        raise StunError("incomplete")
    if struct.unpack_from("!H", message)[0] != BINDING_SUCCESS or message[8:HEADER] != transaction:
        raise StunError("not the answer to this request")
    at = HEADER
    while at + 4 <= len(message):
        kind, length = struct.unpack_from("!HH", message, at)
        value = message[at + 4 : at + 4 + length]
        if len(value) != length:
            raise StunError("an attribute is cut off")
        if kind == XOR_MAPPED_ADDRESS:
            return _unxor(value, transaction)
        at += 4 + length + -length % 4
    raise StunError("it names no address")


def _unxor(value: bytes, transaction: bytes) -> tuple[str, int]:
    size = {0x01: 4, 0x02: 16}.get(value[1] if len(value) > 1 else 0)
    if size is None or len(value) != 4 + size:
        raise StunError("an address of no known family")
    port = struct.unpack_from("!H", value, 2)[0] ^ (MAGIC >> 16)
    if port == 0:
        raise StunError("a port that nothing can have")  # told on, it would break the rules of streams
    mask = struct.pack("!I", MAGIC) + transaction
    packed = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
    return str(ipaddress.ip_address(packed)), int(port)
