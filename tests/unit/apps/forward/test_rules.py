"""Who may reach what: one table for connecting, one for listening."""

from __future__ import annotations

import pytest

from tincan.apps.forward.addresses import Transport, read_address, read_forwarding, read_target
from tincan.apps.forward.rules import (
    allow_options,
    dial_refused_here,
    dial_refused_there,
    listen_refused_here,
    listen_refused_there,
    may_dial,
    may_listen,
    own_targets,
    read_allow,
    read_allow_listen,
)
from tincan.errors import UsageError

TCP, UDP = Transport.TCP, Transport.UDP


@pytest.mark.parametrize(
    ("allow", "target", "allowed"),
    [
        ([], "localhost:80", False),
        (["localhost:80"], "localhost:80", True),
        (["LOCALHOST:80"], "localhost:80", True),
        (["localhost:80"], "localhost:81", False),
        (["localhost:80"], "127.0.0.1:80", False),  # names are not resolved
        (["localhost:80"], "[::1]:80", False),
        (["localhost:80"], "xlocalhost:80", False),
        (["example.com:80"], "www.example.com:80", False),
        (["127.0.0.1:80"], "127.0.0.1:80", True),
        (["[::1]:80"], "[::1]:80", True),
        (["[0:0:0:0:0:0:0:1]:80"], "[::1]:80", True),
        (["[::1]:80"], "[::2]:80", False),
        (["[::ffff:127.0.0.1]:80"], "127.0.0.1:80", False),
        (["web:*"], "web:80", True),
        (["web:*"], "db:80", False),
        (["*:80"], "web:80", True),
        (["*:80"], "[2001:db8::1]:80", True),
        (["*:80"], "web:8080", False),
        (["*:*"], "web:1", True),
        (["*:*"], "/run/docker.sock", False),  # a path has no port
        (["/run/a.sock"], "/run/a.sock", True),
        (["/run//./a.sock"], "/run/a.sock", True),
        (["/run/a.sock"], "/run/b.sock", False),
        (["/run/a.sock"], "/run/a.sock/b", False),
        (["/"], "/run/a.sock", False),
        (["/run/a.sock"], "web:80", False),
        (["a:1", "b:2"], "b:2", True),
        (["a:1", "b:2"], "a:2", False),
    ],
)
def test_who_may_connect_where(allow: list[str], target: str, allowed: bool) -> None:
    rules = [read_allow(text) for text in allow]
    for transport in (TCP, UDP):
        assert may_dial(read_target(target), transport, rules) is allowed


@pytest.mark.parametrize(
    ("remote", "target", "transport", "allowed"),
    [
        ("8080:web:80", "web:80", TCP, True),
        ("8080:web:80", "web:80", UDP, False),
        ("53:dns:53/udp", "dns:53", UDP, True),
        ("8080:web:80", "localhost:8080", TCP, False),
        ("8080:web:80", "web:81", TCP, False),
        ("8080:/run/a", "/run/a", TCP, True),
        ("8080:/run/a", "/run/b", TCP, False),
    ],
)
def test_an_own_R_allows_its_target_and_nothing_else(
    remote: str, target: str, transport: Transport, allowed: bool
) -> None:
    assert may_dial(read_target(target), transport, own_targets([read_forwarding(remote)])) is allowed


@pytest.mark.parametrize(
    ("allow", "at", "allowed"),
    [
        ([], "localhost:80", False),
        (["80"], "localhost:80", True),
        (["80"], "127.0.0.1:80", True),
        (["80"], "[::1]:80", True),
        (["80"], "127.0.0.2:80", False),
        (["80"], "*:80", False),
        (["80"], "0.0.0.0:80", False),
        (["80"], "[::]:80", False),
        (["80"], "localhost:81", False),
        (["80"], "localhost:0", False),
        (["0"], "localhost:0", True),
        (["0"], "localhost:80", False),
        (["localhost:80"], "127.0.0.1:80", True),
        (["127.0.0.1:80"], "127.0.0.1:80", True),
        (["127.0.0.1:80"], "localhost:80", False),
        (["10.0.0.1:80"], "10.0.0.1:80", True),
        (["10.0.0.1:80"], "localhost:80", False),
        (["*"], "localhost:80", True),
        (["*"], "*:80", False),
        (["*:80"], "*:80", True),
        (["*:80"], "10.0.0.1:80", True),
        (["*:80"], "*:81", False),
        (["[::]:80"], "[::]:80", True),
        (["/a"], "/a", True),
        (["/a"], "/b", False),
        (["*:*"], "/a", False),
    ],
)
def test_who_may_listen_where(allow: list[str], at: str, allowed: bool) -> None:
    assert may_listen(read_address(at), [read_allow_listen(text) for text in allow]) is allowed


@pytest.mark.parametrize("text", ["", "80", "web", "web:", ":80", "web:80:90", "::1:80", "web:x", "a/b", "web:99999"])
def test_what_cannot_be_allowed(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_allow(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["", "web", "web:", ":80", "web:80:90", "x", "99999", "80/tcp"])
def test_where_cannot_be_allowed_to_listen(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_allow_listen(text)
    assert repr(text) in str(caught.value)


def test_refusals_tell_both_users_what_to_add() -> None:
    target, at = read_target("[::1]:80"), read_address("localhost:8080")
    for text in (dial_refused_there(target), dial_refused_here(target)):
        assert "--allow '[::1]:80'." in text
    for text in (listen_refused_there(at), listen_refused_here(at)):
        assert "--allow-listen 8080." in text
    assert "--allow-listen '*:1'" in listen_refused_there(read_address("*:1"))


def test_what_the_other_one_is_told_to_type_is_what_it_takes() -> None:
    local = [read_forwarding("1:Web:80"), read_forwarding("2:web:80"), read_forwarding("3:/a b")]
    remote = [read_forwarding("8080:x:1"), read_forwarding("*:9:x:1")]
    assert allow_options(local, remote) == "--allow web:80 --allow '/a b' --allow-listen 8080 --allow-listen '*:9'"
    assert allow_options([], []) == ""
