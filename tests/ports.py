"""Ports for tests that must know a number before anybody listens there."""

from __future__ import annotations

import contextlib
import random
import socket


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has, by TCP or UDP, and that the system gives nobody who asks for any.

    Other tests run at the same time, and what one lets go of, another may be given.
    """
    free: list[int] = []
    while len(free) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with (
            contextlib.suppress(OSError),
            socket.create_server(("0.0.0.0", port)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        ):
            datagrams.bind(("0.0.0.0", port))
            free.append(port)
    return free


def free_port() -> int:
    """Return one such port."""
    return free_ports(1)[0]
