"""A long wire: carries Ethernet frames between two interfaces, each way after the same delay.

A program of its own, so that it keeps time whatever its laboratory's process is busy with: `wire.py FD FD SECONDS`,
the descriptors being packet sockets bound to the two ends. Frames travel with the kernel's offload header, so
unfinished checksums and oversized TCP segments pass as they are.
"""

from __future__ import annotations

import collections
import contextlib
import select
import socket
import sys
import time

# <linux/if_packet.h>, <asm/socket.h>; Python's socket module has no names for them.
SOL_PACKET = 263
PACKET_VNET_HDR = 15
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3

LARGEST_FRAME = 10 + 14 + 65536 + 64
QUEUE_BYTES = 16 << 20


def attach(sock: socket.socket, interface: str) -> None:
    """Make a packet socket one end of a wire."""
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_BYTES)
    sock.bind((interface, ETH_P_ALL))


def carry(ends: tuple[socket.socket, socket.socket], delay: float) -> None:
    """Carry frames for ever."""
    travelling: list[collections.deque[tuple[float, bytes]]] = [collections.deque(), collections.deque()]
    for end in ends:
        end.setblocking(False)
    while True:
        due = min((frames[0][0] for frames in travelling if frames), default=None)
        select.select(ends, [], [], None if due is None else max(0.0, due - time.monotonic()))
        for end, frames in zip(ends, travelling, strict=True):
            with contextlib.suppress(BlockingIOError):
                for _ in range(64):
                    frame = end.recv(LARGEST_FRAME)
                    frames.append((time.monotonic() + delay, frame))
        now = time.monotonic()
        for end, frames in zip(reversed(ends), travelling, strict=True):
            while frames and frames[0][0] <= now:
                with contextlib.suppress(OSError):  # a full queue or a link that is down: lost, as on any wire
                    end.send(frames.popleft()[1])


if __name__ == "__main__":
    first, second = (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0, fileno=int(number)) for number in sys.argv[1:3]
    )
    carry((first, second), float(sys.argv[3]))
