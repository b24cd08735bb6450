"""What a connection is asked for: round trips, and what is no request."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.forward.addresses import HostPort, Transport
from tincan.apps.forward.requests import Dial, Listen, Request, decode_request, encode_request
from tincan.errors import ProtocolError


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (Dial("web:80", Transport.TCP), {"kind": "dial", "target": "web:80", "transport": "tcp"}),
        (
            Listen("*:53", "dns:53", Transport.UDP),
            {"kind": "listen", "at": "*:53", "target": "dns:53", "transport": "udp"},
        ),
    ],
)
def test_round_trip(request_: Request, fields: dict[str, str]) -> None:
    assert msgspec.msgpack.decode(encode_request(request_)) == fields
    assert decode_request(encode_request(request_)) == request_
    assert isinstance(request_.address, HostPort)


def test_a_later_version_may_ask_for_more() -> None:
    assert decode_request(msgspec.msgpack.encode({"kind": "socks", "version": 5})) is None
    more = msgspec.msgpack.encode({"kind": "dial", "target": "web:80", "transport": "tcp", "colour": "red"})
    assert decode_request(more) == Dial("web:80", Transport.TCP)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": 5},
        {"kind": "dial"},
        {"kind": "dial", "target": "web:80", "transport": "sctp"},
        {"kind": "dial", "target": "WEB:80", "transport": "tcp"},
        {"kind": "dial", "target": "*:80", "transport": "tcp"},
        {"kind": "dial", "target": "/a", "transport": "udp"},
        {"kind": "dial", "target": "/a\x1b", "transport": "tcp"},
        {"kind": "listen", "at": "web:80", "target": "nothing", "transport": "tcp"},
        {"kind": "listen", "at": "nothing", "target": "web:80", "transport": "tcp"},
        {"kind": "listen", "at": "/a", "target": "web:80", "transport": "udp"},
    ],
)
def test_what_is_no_request(fields: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        decode_request(msgspec.msgpack.encode(fields))


@given(st.binary(max_size=100))
def test_arbitrary_bytes(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode_request(data)
