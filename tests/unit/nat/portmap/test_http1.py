from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.nat.portmap.http1 import Answer, Url, parse_url, relative, request
from tincan.nat.portmap.mapping import NoMapping

BASE = Url("10.0.0.1", 5000, "/igd/root.xml?a=/b")
OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "length": OK + b"Content-Length: 5\r\n\r\nhello",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
    "until the end": b"HTTP/1.0 200\r\nServer: x\r\n\r\nhello",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 5\r\n\r\nhello",
}


def read(*parts: bytes, limit: int = 100) -> tuple[int, bytes]:
    answer = Answer(limit)
    for part in parts:
        if answer.receive(part):
            break
    return answer.status, answer.end()


@pytest.mark.parametrize("data", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read_in_one_piece_and_byte_by_byte(data: bytes) -> None:
    assert read(data) == (200, b"hello")
    assert read(*(bytes((byte,)) for byte in data)) == (200, b"hello")


@pytest.mark.parametrize("name", ["length", "chunks"])
def test_a_complete_answer_is_known_as_such_and_a_cut_one_too(name: str) -> None:
    assert Answer(100).receive(ANSWERS[name])
    with pytest.raises(NoMapping):
        read(ANSWERS[name][:-8])


@pytest.mark.parametrize(
    "parts",
    [
        [b"SSH-2.0-OpenSSH\r\n\r\n"],
        [b"HTTP/2 200 OK\r\n\r\n"],
        [b"\r\n\r\n"],
        [b""],
        [b"x" * 10_000],
        [OK + b"X: " + b"y" * 9000 + b"\r\n\r\n"],
        [OK + b"Content-Length: 101\r\n\r\n"],
        [OK + b"Content-Length: -1\r\n\r\n"],
        [OK + b"Content-Length: 99999999999999999999\r\n\r\n"],
        [OK + "Content-Length: ²\r\n\r\n".encode("latin-1")],
        [OK + b"\r\n" + b"x" * 101],
        [OK + b"\r\n", *[b"xxxxxxxxxx"] * 11],
        [OK + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2000],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"50\r\n" + b"x" * 80 + b"\r\n" + b"50\r\n" + b"x" * 80],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1;" + b"y" * 1000 + b"\r\nx\r\n"] * 50],
        [b"HTTP/1.1 100 Continue\r\n\r\n"] * 5000,
    ],
)
def test_what_is_no_http_or_too_much_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(NoMapping):
        read(*parts)


@given(st.lists(st.binary(max_size=200)), st.sampled_from(["", *ANSWERS]))
def test_any_bytes_raise_nothing_else(parts: list[bytes], name: str) -> None:
    start = ANSWERS.get(name, b"")
    with contextlib.suppress(NoMapping):
        _, body = read(start[: len(start) // 2 + 20], *parts)
        assert len(body) <= 100


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://10.0.0.1:5000/root.xml", Url("10.0.0.1", 5000, "/root.xml")),
        ("HTTP://10.0.0.1", Url("10.0.0.1", 80, "/")),
        ("https://10.0.0.1/", None),
        ("http://router/", None),
        ("http://10.0.0.1@8.8.8.8/", None),
        ("http://8.8.8.8#10.0.0.1/", None),
        ("http://10.0.0.256/", None),
        ("http://010.0.0.1/", None),
        ("http://167772161/", None),
        ("http://[::1]/", None),
        ("http://10.0.0.1:0/", None),
        ("http://10.0.0.1:65536/", None),
        ("http://10.0.0.1/a b", None),
        ("http://10.0.0.1/\r\nX-Evil: 1", None),
        ("http://10.0.0.1/\n", None),
        ("http://10.0.0.1/\u00e9", None),
        ("http://10.0.0.1/" + "a" * 2000, None),
        ("http://\u0661\u0660.0.0.1/", None),
        ("file:///etc/passwd", None),
        ("", None),
    ],
)
def test_only_plain_http_to_an_address_is_a_url(text: str, url: Url | None) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/ctl", Url("10.0.0.1", 5000, "/ctl")),
        ("ctl?x", Url("10.0.0.1", 5000, "/igd/ctl?x")),
        ("http://10.0.0.1:6000/ctl", Url("10.0.0.1", 6000, "/ctl")),
        ("http://10.0.0.2:5000/ctl", None),
        ("//10.0.0.2/ctl", None),
        ("gopher://10.0.0.1/", None),
        ("", None),
        ("ctl\r\nX-Evil: 1", None),
        ("/" + "a" * 2000, None),
    ],
)
def test_a_relative_url_stays_on_its_machine(text: str, url: Url | None) -> None:
    assert relative(BASE, text) == url


def test_a_request_is_whole() -> None:
    assert request("POST", BASE, {"A": "b"}, b"body") == (
        b"POST /igd/root.xml?a=/b HTTP/1.1\r\nHost: 10.0.0.1:5000\r\nConnection: close\r\n"
        b"A: b\r\nContent-Length: 4\r\n\r\nbody"
    )
