"""One UDP port for two sockets: ICE and DTLS on the one, packets of a virtual network on the other. Linux only.

Packets begin with a byte of `FIRST_OF_PACKETS` or more. Both sockets are bound to the same address with
SO_REUSEPORT, and a classic BPF program has the kernel hand every datagram to
the right one by its first byte. So whoever pumps packets needs no word with
the event loop that runs ICE, nor with its process.

Only sockets of one user can share a port so (socket(7)).
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Final

from tincan.link.route import FIRST_OF_PACKETS

_SO_ATTACH_REUSEPORT_CBPF: Final = 51  # <asm-generic/socket.h>

_PROGRAM: Final = b"".join(
    struct.pack("=HBBI", *instruction)  # <linux/filter.h>: struct sock_filter
    for instruction in (
        (0x30, 0, 0, 0),  # load the first byte; of an empty datagram there is none: the first socket's
        (0x35, 0, 1, FIRST_OF_PACKETS),  # less than that: skip one
        (0x06, 0, 0, 1),  # the second socket's
        (0x06, 0, 0, 0),  # the first socket's
    )
)

BUFFER: Final = 4 * 1024 * 1024
"""Bytes that the data socket's buffers shall hold: 64 KB bursts come faster than a pump is woken."""


def first_socket(address: str) -> socket.socket:
    """Open the socket for ICE on a free port of an address, and let the port be shared."""
    sock = _bound(address, 0)
    try:
        program = ctypes.create_string_buffer(_PROGRAM, len(_PROGRAM))
        count = len(_PROGRAM) // 8
        sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, struct.pack("HP", count, ctypes.addressof(program))
        )
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def second_socket(address: str, port: int) -> socket.socket:
    """Open the socket that packets come to, beside a `first_socket`. Whoever takes it closes it."""
    sock = _bound(address, port)
    enlarge(sock)
    sock.setblocking(False)
    return sock


def enlarge(sock: socket.socket) -> None:
    """Give a socket buffers for bursts of packets, as large as this process may."""
    for option, forced in ((socket.SO_RCVBUF, 33), (socket.SO_SNDBUF, 32)):  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock
