from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.nat.portmap.mapping import Refused, Wanted
from tincan.nat.portmap.natpmp import Mapped, address_request, map_request, parse_address, parse_mapped

TCP = Wanted("10.0.0.2", 0x1234, "tcp", 900)
UDP = Wanted("10.0.0.2", 0x1234, "udp", 900)

# RFC 6886, 3.2 and 3.3, byte by byte.
ADDRESS = bytes.fromhex("00 80 0000 0000abcd cb007107")
MAPPED = bytes.fromhex("00 82 0000 0000abcd 1234 5678 00000258")


def test_requests_are_as_the_rfc_draws_them() -> None:
    assert address_request() == bytes.fromhex("0000")
    assert map_request(TCP, 0x5678) == bytes.fromhex("00 02 0000 1234 5678 00000384")
    assert map_request(UDP, 0x5678) == bytes.fromhex("00 01 0000 1234 5678 00000384")
    assert map_request(Wanted("10.0.0.2", 0x1234, "tcp", 0), 0) == bytes.fromhex("00 02 0000 1234 0000 00000000")


def test_answers_are_as_the_rfc_draws_them() -> None:
    assert parse_address(ADDRESS) == "203.0.113.7"
    assert parse_mapped(MAPPED, TCP) == Mapped(0x5678, 600)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("an answer about UDP", MAPPED[:1] + b"\x81" + MAPPED[2:]),
        ("a request", MAPPED[:1] + b"\x02" + MAPPED[2:]),
        ("another version", b"\x01" + MAPPED[1:]),
        ("another port", MAPPED[:8] + b"\0\0" + MAPPED[10:]),
        ("the address", ADDRESS),
        ("too long", MAPPED + b"\0"),
    ],
)
def test_what_is_not_an_answer_to_us_is_ignored(name: str, data: bytes) -> None:
    assert parse_mapped(data, TCP) is None


def test_truncated_answers_are_ignored() -> None:
    assert {parse_mapped(MAPPED[:length], TCP) for length in range(len(MAPPED))} == {None}
    assert {parse_address(ADDRESS[:length]) for length in range(len(ADDRESS))} == {None}


@pytest.mark.parametrize(("result", "reason"), [(2, "not authorised"), (3, "network failure"), (99, "result 99")])
def test_a_refusal_says_why_and_may_be_short(result: int, reason: str) -> None:
    head = bytes((0, 0x82, 0, result)) + bytes(4)
    assert parse_mapped(head, TCP) == parse_mapped(head + bytes(8), TCP) == Refused(reason)


def test_a_router_that_speaks_only_pcp_is_understood() -> None:
    assert parse_address(bytes.fromhex("02800001") + bytes(20)) == Refused("unsupported version")


@given(st.binary(max_size=64))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    parse_address(data)
    parse_mapped(data, TCP)
