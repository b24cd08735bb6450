"""What users write after -L and -R, and what a peer may name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.forward.addresses import (
    HostPort,
    Transport,
    UnixPath,
    read_address,
    read_forwarding,
    read_target,
)
from tincan.errors import UsageError


@pytest.mark.parametrize(
    ("text", "at", "target"),
    [
        ("8080:localhost:80", "localhost:8080", "localhost:80"),
        ("0:DB.Example.:5432", "localhost:0", "db.example:5432"),
        ("127.0.0.1:8080:10.0.0.7:80", "127.0.0.1:8080", "10.0.0.7:80"),
        ("*:8080:web:80", "*:8080", "web:80"),
        ("[::1]:1:[2001:DB8:0::1]:2", "[::1]:1", "[2001:db8::1]:2"),
        ("1:[fe80::1%eth0]:2", "localhost:1", "[fe80::1%eth0]:2"),
        ("/tmp/sock:web:80", "/tmp/sock", "web:80"),
        ("8080:/run/a.sock", "localhost:8080", "/run/a.sock"),
        ("[::]:8080://run/../run//a.sock", "[::]:8080", "/run/a.sock"),
        ("/a:/b", "/a", "/b"),
        ("/a/tcp:/b/udp", "/a/tcp", "/b/udp"),
        ("1:under_score:2", "localhost:1", "under_score:2"),
    ],
)
def test_forwardings(text: str, at: str, target: str) -> None:
    wish = read_forwarding(text)
    assert (str(wish.at), str(wish.target), wish.transport) == (at, target, Transport.TCP)
    assert wish.text == text
    assert (read_address(at), read_target(target)) == (wish.at, wish.target)


@pytest.mark.parametrize(
    ("text", "default", "transport"),
    [
        ("53:dns:53", Transport.UDP, Transport.UDP),
        ("53:dns:53/udp", Transport.TCP, Transport.UDP),
        ("53:dns:53/tcp", Transport.UDP, Transport.TCP),
    ],
)
def test_transports(text: str, default: Transport, transport: Transport) -> None:
    wish = read_forwarding(text, default)
    assert (wish.transport, wish.target) == (transport, HostPort("dns", 53))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "8080",
        "localhost:80",
        "8080:localhost",
        "8080:localhost:http",
        "8080:localhost:65536",
        "8080:localhost:0",
        "8080:localhost:-1",
        "8080:localhost:80:90:100",
        "a:b:c:d:e",
        "8080::80",
        ":8080:localhost:80",
        "8080:*:80",
        "8080:::1:80",
        "::1:8080:localhost:80",
        "[::1:8080:localhost:80",
        "[]:8080:localhost:80",
        "8080:[1.2.3.4]:80",
        "8080:[fe80::1%a\x1bb]:80",
        "8080:host name:80",
        "8080:-host:80",
        "8080:a..b:80",
        "8080:höst:80",
        "8080:" + "x" * 256 + ":80",
        "8080:relative/path",
        "8080:/new\nline",
        "8080:/" + "x" * 100,
        "8080:localhost:80/sctp",
        "٣:localhost:80",
        "/a:/b/udp:53",
        "8080:localhost:80\n",
    ],
)
def test_nonsense_is_quoted(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_forwarding(text)
    assert repr(text) in str(caught.value)
    assert "[BIND:]PORT:HOST:PORT" in str(caught.value)


@pytest.mark.parametrize("text", ["/a:dns:53", "53:/a"])
def test_udp_does_not_go_through_unix_sockets(text: str) -> None:
    with pytest.raises(UsageError, match="UDP"):
        read_forwarding(text, Transport.UDP)


@pytest.mark.parametrize(
    "text",
    [
        "LOCALHOST:80",
        "localhost:080",
        "[::0001]:80",
        "::1:80",
        "localhost.:80",
        "/a//b",
        "/a/",
        "a:b:80",
        "x",
        "",
        "80",
    ],
)
def test_a_peer_writes_the_normal_form_or_nothing(text: str) -> None:
    with pytest.raises(ValueError):
        read_address(text)
    with pytest.raises(ValueError):
        read_target(text)


@pytest.mark.parametrize("text", ["*:80", "localhost:0"])
def test_what_can_be_listened_on_but_not_connected_to(text: str) -> None:
    assert str(read_address(text)) == text
    with pytest.raises(ValueError):
        read_target(text)


@given(st.text(max_size=40) | st.text(alphabet="a1:/[]*.%-", max_size=20))
def test_anything_else_is_an_address_or_an_error(text: str) -> None:
    for read in (read_address, read_target, read_forwarding):
        try:
            found = read(text)
        except (ValueError, UsageError):
            continue
        assert str(found).isprintable()


def test_addresses_are_compared_by_their_normal_form() -> None:
    assert read_forwarding("1:[0:0::1]:2").target == HostPort("::1", 2)
    assert read_forwarding("1:/a/./b").target == UnixPath("/a/b")
