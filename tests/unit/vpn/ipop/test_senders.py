from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.ipop.senders import KEPT, TABLES, Senders, owners

HEAD = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmnt   uid  timeout inode ref\n"
TAIL = "00000000:0000 07 00000000:00000000 00:00000000 00000000 {uid}        0 12345 2 0000000000000000 0\n"


def line(address: str, port: int, uid: int) -> str:
    return f"  1: {address}:{port:04X} " + TAIL.format(uid=uid)


WILD6, LOOP6 = "0" * 32, "00000000000000000000000001000000"
MAPPED = "0000000000000000FFFF00000100007F"


@pytest.mark.parametrize(
    ("address", "counts"),
    [
        ("00000000", True),
        ("0100007F", True),
        ("020011AC", False),
        (WILD6, True),
        (LOOP6, True),
        (MAPPED, True),
        ("B80D0120000000000000000001000000", False),
    ],
)
def test_sockets_that_can_send_on_loopback(address: str, counts: bool) -> None:
    table = HEAD + line(address, 40000, 1000) + line(address, 40001, 1001)
    assert owners(table, 40000) == ({1000} if counts else set())


def test_everybody_who_may_have_sent_it_must_be_listened_to() -> None:
    senders = Senders({0, 1000})
    mine, other = HEAD + line("00000000", 40000, 1000), HEAD + line(LOOP6, 40000, 1001)
    assert senders.judge(40000, [mine, HEAD], 0)
    assert not senders.judge(40000, [mine, other], 0)
    assert not senders.judge(40000, [HEAD, HEAD], 0)  # nobody
    assert not senders.judge(40001, [mine, other], 0)


def test_an_answer_is_good_for_a_moment() -> None:
    senders = Senders({0})
    assert senders.known(40000, 5) is None
    senders.judge(40000, [HEAD], 5)
    assert senders.known(40000, 5 + KEPT / 2) is False
    assert senders.known(40000, 5 + KEPT) is None


@given(st.text(max_size=200))
def test_any_table_can_be_read(table: str) -> None:
    owners(HEAD + table, 40000)


def test_this_machine() -> None:
    """The kernel's own tables show our own sockets."""
    tables = [Path(name) for name in TABLES]
    if not all(path.exists() for path in tables):
        pytest.skip("no /proc/net/udp here")
    import os

    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six, socket.socket(type=socket.SOCK_DGRAM) as four:
        six.bind(("::", 0))
        four.bind(("127.0.0.1", 0))
        for sock in (six, four):
            port = sock.getsockname()[1]
            assert set().union(*(owners(path.read_text(), port) for path in tables)) == {os.geteuid()}
