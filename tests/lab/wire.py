"""A long wire: carries Ethernet frames between two interfaces, each way after the same delay.

A program of its own, so that it keeps time whatever its laboratory's process is busy with: `wire.py FD FD SECONDS`,
the descriptors being packet sockets bound to the two ends. Frames travel with the kernel's offload header, so
unfinished checksums and oversized TCP segments pass as they are.

A line on its standard input changes the weather: `LOSS JITTER SEED`. From then on this share of the UDP packets is
lost each way, and each takes up to so many seconds longer, all equally likely; one may overtake another. The seed
makes the same losses and delays each time. Nothing but UDP over IPv4 is touched: lost address resolution would be
another story.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import random
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

OFFLOAD_HEADER = 10
ETHERTYPE = slice(OFFLOAD_HEADER + 12, OFFLOAD_HEADER + 14)
IPV4 = b"\x08\x00"
PROTOCOL = OFFLOAD_HEADER + 14 + 9

LARGEST_FRAME = 10 + 14 + 65536 + 64
QUEUE_BYTES = 16 << 20


def attach(sock: socket.socket, interface: str) -> None:
    """Make a packet socket one end of a wire."""
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_BYTES)
    sock.bind((interface, ETH_P_ALL))


class Weather:
    """What happens to UDP packets of one direction."""

    def __init__(self) -> None:
        self._loss = self._jitter = 0.0
        self._random = random.Random()

    def change(self, loss: float, jitter: float, seed: str) -> None:
        """Lose this share, and hold each packet up to so many seconds."""
        self._loss, self._jitter, self._random = loss, jitter, random.Random(seed)

    def holds(self, frame: bytes) -> float | None:
        """Return for how many seconds a frame is held up; None: it is lost."""
        if (self._loss or self._jitter) and frame[ETHERTYPE] == IPV4 and frame[PROTOCOL] == socket.IPPROTO_UDP:
            if self._random.random() < self._loss:
                return None
            return self._random.uniform(0, self._jitter)
        return 0.0


def carry(ends: tuple[socket.socket, socket.socket], delay: float, control: int) -> None:
    """Carry frames for ever."""
    travelling: list[list[tuple[float, int, bytes]]] = [[], []]
    weather = [Weather(), Weather()]
    asked: list[socket.socket | int] = [*ends, control]
    count = 0
    for end in ends:
        end.setblocking(False)
    while True:
        due = min((frames[0][0] for frames in travelling if frames), default=None)
        readable, _, _ = select.select(asked, [], [], None if due is None else max(0.0, due - time.monotonic()))
        if control in readable and not _hear(control, weather):
            asked.remove(control)
        for end, frames, sky in zip(ends, travelling, weather, strict=True):
            with contextlib.suppress(BlockingIOError):
                for _ in range(64):
                    frame = end.recv(LARGEST_FRAME)
                    held = sky.holds(frame)
                    count += 1  # frames of the same moment stay in order
                    if held is not None:
                        heapq.heappush(frames, (time.monotonic() + delay + held, count, frame))
        now = time.monotonic()
        for end, frames in zip(reversed(ends), travelling, strict=True):
            while frames and frames[0][0] <= now:
                with contextlib.suppress(OSError):  # a full queue or a link that is down: lost, as on any wire
                    end.send(heapq.heappop(frames)[2])


def _hear(control: int, weather: list[Weather]) -> bool:
    """Take the weather from standard input; False: nobody will say anything any more."""
    said = os.read(control, 200).decode()
    for line in said.splitlines():
        loss, jitter, seed = line.split()
        for number, sky in enumerate(weather):
            sky.change(float(loss), float(jitter), f"{seed} {number}")
    return bool(said)


if __name__ == "__main__":
    first, second = (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0, fileno=int(number)) for number in sys.argv[1:3]
    )
    carry((first, second), float(sys.argv[3]), sys.stdin.fileno())
