"""The kernel tells packets from everything else on one port."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are shared so on Linux only")

if sys.platform == "linux":
    from tincan.link.shared import first_socket, second_socket


@contextlib.contextmanager
def shared(address: str) -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    try:
        first = first_socket(address)
    except OSError:
        pytest.skip(f"no {address} here")
    with (
        first,
        second_socket(*first.getsockname()[:2]) as second,
        socket.socket(first.family, socket.SOCK_DGRAM) as s,
    ):
        first.settimeout(120)
        second.settimeout(120)
        s.connect(first.getsockname()[:2])
        yield first, second, s


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_every_first_byte_goes_where_it_belongs(address: str) -> None:
    with shared(address) as (first, second, sender):
        for byte in range(256):
            sender.send(bytes([byte, 1, 2]))
            assert (second if byte >= 192 else first).recv(10) == bytes([byte, 1, 2])


def test_an_empty_datagram_is_no_packet() -> None:
    with shared("127.0.0.1") as (first, _, sender):
        sender.send(b"")
        assert first.recv(10) == b""


def test_before_and_after_the_second_socket_the_first_has_all() -> None:
    with first_socket("127.0.0.1") as first, socket.socket(type=socket.SOCK_DGRAM) as sender:
        first.settimeout(120)
        sender.connect(first.getsockname())
        for _ in range(3):
            sender.send(b"\xff")
            assert first.recv(10) == b"\xff"
            with second_socket(*first.getsockname()) as second:
                second.settimeout(120)
                sender.send(b"\xff")
                assert second.recv(10) == b"\xff"


def test_a_port_is_not_taken_from_somebody() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):
            second_socket(*other.getsockname())
