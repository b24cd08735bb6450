"""Real packets for tests: what arrives, from where, and what does not.

That a packet is dropped is shown without waiting: a second packet that must pass is sent after it along
the same way, and when that one is there and the first is not, the first will not come.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

import pytest

from lab.netlab import PATIENCE, Host, Lab

Address = tuple[str, int]


def eventually(condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def exchange(sender: socket.socket, target: Address, receiver: socket.socket, data: bytes = b"hello") -> Address:
    """Send a datagram that must arrive; returns where it seemed to come from."""
    sender.sendto(data, target)
    received, source = receiver.recvfrom(2048)
    assert received == data
    return source[0], source[1]


def assert_nothing(sock: socket.socket) -> None:
    timeout = sock.gettimeout()
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(2048)
    sock.settimeout(timeout)


def connect(client: Host, server: Host, port: int) -> str:
    """Make a TCP connection and send a byte each way; returns the client's address as the server sees it."""
    with server.socket(socket.SOCK_STREAM, port=port) as listener, client.socket(socket.SOCK_STREAM) as near:
        listener.listen()
        near.connect((server.address, port))
        far, source = listener.accept()
        with far:
            far.settimeout(PATIENCE)
            near.sendall(b"?")
            assert far.recv(1) == b"?"
            far.sendall(b"!")
            assert near.recv(1) == b"!"
        return str(source[0])


class Observers(contextlib.ExitStack):
    """Two servers on the internet that see where a host's datagrams come from."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.hosts = [lab.host() for _ in range(2)]
        self.where = [(host.address, 7000) for host in self.hosts]
        self.first, self.second = (self.enter_context(host.socket(port=7000)) for host in self.hosts)

    def mapping(self, sock: socket.socket) -> tuple[Address, Address]:
        return exchange(sock, self.where[0], self.first), exchange(sock, self.where[1], self.second)
