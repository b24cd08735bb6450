"""How a run of datagrams is sent where the kernel does not take runs."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

import pytest

from tincan.vpn.path.departures import Send

if sys.platform != "linux":
    pytest.skip("virtual networks need Linux", allow_module_level=True)

from tincan.vpn.path.outpump import Way

DATAGRAMS = [b"a" * 9, b"b" * 9, b"c"]


class Refusing:
    """A socket that answers to runs with an error, and takes single datagrams."""

    def __init__(self, error: int) -> None:
        self.error = error
        self.runs = 0
        self.sent: list[bytes] = []

    def sendmsg(self, *arguments: Any) -> None:
        self.runs += 1
        raise OSError(self.error, "no")

    def sendto(self, datagram: bytes, remote: Any) -> None:
        self.sent.append(datagram)


@pytest.mark.parametrize(("error", "runs"), [(errno.EIO, 1), (errno.EINVAL, 2)])
def test_then_one_by_one(error: int, runs: int) -> None:
    link = Refusing(error)
    way = Way(link, ("127.0.0.1", 7), False)  # type: ignore[arg-type]
    for _ in range(2):
        way.transmit(Send(1, DATAGRAMS, 9))
    assert link.sent == DATAGRAMS * 2
    assert link.runs == runs


def test_other_errors_are_told() -> None:
    way = Way(Refusing(errno.EMSGSIZE), ("127.0.0.1", 7), False)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="no"):
        way.transmit(Send(1, DATAGRAMS, 9))


def test_a_run_arrives_as_datagrams() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
    ):
        there.bind(("127.0.0.1", 0))
        there.settimeout(120)
        way = Way(here, there.getsockname(), False)
        way.transmit(Send(1, DATAGRAMS, 9))
        way.transmit(Send(1, [b"d" * 2000], 2000, fragment=True))
        assert [there.recv(4096) for _ in range(4)] == [*DATAGRAMS, b"d" * 2000]
