"""A STUN client of a few lines (RFC 8489), independent of the libraries under test."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import time

BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
MAGIC_COOKIE = 0x2112A442
XOR_MAPPED_ADDRESS = 0x0020
RETRANSMIT = 0.1  # seconds; RFC 8489 says 0.5, a lab has no long roads


def mapped_address(sock: socket.socket, server: tuple[str, int], timeout: float = 120) -> tuple[str, int]:
    """Ask a STUN server under which address and port it sees this UDP socket."""
    deadline = time.monotonic() + timeout
    transaction = secrets.token_bytes(12)
    request = struct.pack("!HHI", BINDING_REQUEST, 0, MAGIC_COOKIE) + transaction
    while (now := time.monotonic()) < deadline:
        sock.sendto(request, server)
        sock.settimeout(min(RETRANSMIT, deadline - now))
        try:
            answer = sock.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            continue
        if (found := parse_success(answer, transaction)) is not None:
            return found
    raise TimeoutError(f"no STUN answer from {server} in {timeout:g} s")


def parse_success(message: bytes, transaction: bytes) -> tuple[str, int] | None:
    """Find the XOR-MAPPED-ADDRESS in the success response to this transaction."""
    if len(message) < 20 or message[8:20] != transaction:
        return None
    kind, length, _ = struct.unpack_from("!HHI", message)
    if kind != BINDING_SUCCESS:
        return None
    position = 20
    while position + 4 <= 20 + length:
        attribute, size = struct.unpack_from("!HH", message, position)
        value = message[position + 4 : position + 4 + size]
        if attribute == XOR_MAPPED_ADDRESS:
            mask = struct.pack("!I", MAGIC_COOKIE) + transaction
            port = struct.unpack_from("!H", value, 2)[0] ^ (MAGIC_COOKIE >> 16)
            address = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
            return str(ipaddress.ip_address(address)), port
        position += 4 + size + (-size % 4)
    return None
