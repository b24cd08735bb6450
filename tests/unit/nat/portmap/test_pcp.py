from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.nat.portmap.mapping import Granted, Refused, Wanted
from tincan.nat.portmap.pcp import map_request, parse_answer

NONCE = bytes(range(12))
WANTED = Wanted("10.0.0.2", 0x1234, "tcp", 900)

# RFC 6887: figures 2 and 9, 3 and 10, byte by byte.
REQUEST = bytes.fromhex(
    "02 01 0000 00000384"  # version 2, MAP, reserved, 900 s
    "00000000 00000000 0000ffff 0a000002"  # client ::ffff:10.0.0.2
    "000102030405060708090a0b"  # nonce
    "06 000000 1234 1234"  # TCP, reserved, internal port, suggested external port
    "00000000 00000000 0000ffff 00000000"  # suggested address: none
)
ANSWER = bytes.fromhex(
    "02 81 00 00 00000258"  # version 2, answer to MAP, reserved, success, 600 s
    "0000abcd 000000000000000000000000"  # epoch, reserved
    "000102030405060708090a0b"
    "06 000000 1234 5678"
    "00000000 00000000 0000ffff cb007107"  # 203.0.113.7
)
GRANTED = Granted("203.0.113.7", 0x5678, 600)


def changed(position: int, value: int, data: bytes = ANSWER) -> bytes:
    return data[:position] + bytes((value,)) + data[position + 1 :]


def test_a_request_is_as_the_rfc_draws_it() -> None:
    assert map_request(WANTED, NONCE) == REQUEST


def test_a_renewal_suggests_what_was_granted() -> None:
    renewal = map_request(WANTED, NONCE, GRANTED)
    assert renewal[:42] == REQUEST[:42]
    assert renewal[42:] == ANSWER[42:]


def test_udp_is_another_protocol() -> None:
    assert map_request(Wanted("10.0.0.2", 0x1234, "udp", 900), NONCE)[36] == 17


def test_an_answer_is_as_the_rfc_draws_it() -> None:
    assert parse_answer(ANSWER, WANTED, NONCE) == GRANTED
    assert parse_answer(ANSWER + bytes(8), WANTED, NONCE) == GRANTED, "options may follow"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("somebody else's nonce", changed(30, 0xFF)),
        ("another protocol", changed(36, 17)),
        ("another port", changed(41, 0)),
        ("a request", changed(1, 0x01)),
        ("an answer to PEER", changed(1, 0x82)),
        ("no multiple of four", ANSWER + b"\0"),
        ("too long", ANSWER + bytes(1100)),
        ("another version", changed(0, 3)),
        ("our own request", REQUEST),
        ("nothing", b""),
        ("a refusal with somebody else's nonce", changed(3, 2, changed(30, 0xFF))),
    ],
)
def test_what_is_not_an_answer_to_us_is_ignored(name: str, data: bytes) -> None:
    assert parse_answer(data, WANTED, NONCE) is None


@pytest.mark.parametrize("length", range(len(ANSWER)))
def test_a_truncated_answer_is_ignored(length: int) -> None:
    assert parse_answer(ANSWER[:length], WANTED, NONCE) is None


@pytest.mark.parametrize(("result", "reason"), [(2, "not authorised"), (8, "no resources"), (99, "result 99")])
def test_a_refusal_says_why(result: int, reason: str) -> None:
    assert parse_answer(changed(3, result), WANTED, NONCE) == Refused(reason)


@pytest.mark.parametrize(
    "data", [bytes.fromhex("0080000100000001"), changed(3, 1)[:24], changed(0, 1, changed(3, 1))]
)
def test_a_router_that_does_not_speak_this_version_is_believed(data: bytes) -> None:
    assert parse_answer(data, WANTED, NONCE) == Refused("unsupported version")


def test_an_ipv6_address_is_no_use() -> None:
    assert isinstance(parse_answer(changed(44, 0x20), WANTED, NONCE), Refused)


@given(st.binary(max_size=1200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    assert not isinstance(parse_answer(data, WANTED, NONCE), Granted)


@given(st.integers(0, len(ANSWER) - 1), st.integers(0, 255))
def test_any_changed_byte_is_read_without_an_error(position: int, value: int) -> None:
    parse_answer(changed(position, value), WANTED, NONCE)
