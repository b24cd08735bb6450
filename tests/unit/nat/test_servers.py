"""STUN and TURN URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.errors import UsageError
from tincan.nat.servers import IceServer, parse_server


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("stun:s.example", IceServer("stun", "s.example", 3478)),
        ("stun:s.example:19302", IceServer("stun", "s.example", 19302)),
        (" stun:s.example\n", IceServer("stun", "s.example", 3478)),
        ("stun:192.0.2.1:1", IceServer("stun", "192.0.2.1", 1)),
        ("stun:[2001:db8::1]", IceServer("stun", "2001:db8::1", 3478)),
        ("stun:[2001:db8::1]:65535", IceServer("stun", "2001:db8::1", 65535)),
        ("stun:under_score-dash.example.", IceServer("stun", "under_score-dash.example.", 3478)),
        ("turn:t.example", IceServer("turn", "t.example", 3478, "udp", "user", "word")),
        ("turn:t.example:80", IceServer("turn", "t.example", 80, "udp", "user", "word")),
        ("turn:t.example?transport=udp", IceServer("turn", "t.example", 3478, "udp", "user", "word")),
        ("turn:t.example:443?transport=tcp", IceServer("turn", "t.example", 443, "tcp", "user", "word")),
        ("turns:t.example", IceServer("turn", "t.example", 5349, "tls", "user", "word")),
        ("turns:t.example:443?transport=tcp", IceServer("turn", "t.example", 443, "tls", "user", "word")),
        ("turns:[2001:db8::1]", IceServer("turn", "2001:db8::1", 5349, "tls", "user", "word")),
    ],
)
def test_urls(url: str, server: IceServer) -> None:
    assert parse_server(url, "user", "word") == server


def test_a_stun_server_is_given_no_credentials() -> None:
    server = parse_server("stun:s.example", "user", "word")
    assert (server.username, server.credential) == (None, None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s.example",
        "stun",
        "stun:",
        "stun:/s.example",
        "stun://s.example",
        "stuns:s.example",
        "STUN:s.example",
        "http:s.example",
        "stun:s.example:",
        "stun:s.example:0",
        "stun:s.example:65536",
        "stun:s.example:123456",
        "stun:s.example:-1",
        "stun:s.example:٣",
        "stun:s example",
        "stun:s.example\0",
        "stun:exämple",
        "stun:user@s.example",
        "stun:s.example?transport=udp",
        "stun:[2001:db8::1",
        "stun:2001:db8::1",
        "stun:[s.example]",
        "turn:t.example?transport=tls",
        "turn:t.example?transport=",
        "turn:t.example?ttl=1",
        "turns:t.example?transport=udp",
        "turn:t.example/path",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_server(url, "user", "s3cret")
    assert "s3cret" not in str(caught.value)


def test_the_credential_does_not_show() -> None:
    assert "s3cret" not in repr(parse_server("turn:t.example", "user", "s3cret"))


@given(st.text(max_size=40) | st.text(alphabet="stunr:[].0123456789af?=tcpudp ", max_size=40))
def test_nothing_but_usage_errors(url: str) -> None:
    try:
        server = parse_server(url)
    except UsageError:
        return
    assert server.kind in ("stun", "turn")
    assert 0 < server.port < 65536
    assert server.transport in ("udp", "tcp", "tls")
