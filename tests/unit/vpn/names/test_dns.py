"""The name server knows its members, refuses all else, and no query breaks it. Read by a decoder of our own."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ports import free_port
from tincan.errors import DeviceMissing
from tincan.vpn.names.dns import MAX_ANSWERS, SUFFIX, Zone
from tincan.vpn.names.responder import responding

BOB = IPv4Address("172.31.0.101"), IPv6Address("fd50:dbc:41f2:4a3c::1")
ZONE = Zone({"bob.can": BOB, "alice.game.can": [IPv4Address("100.64.0.9")]})
FINE, FORMAT, MISSING, UNKNOWN, REFUSED = 0, 1, 3, 4, 5
A, SOA, PTR, AAAA, MX, ANY = 1, 6, 12, 28, 15, 255


def wire(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def ask(name: str, kind: int = A, *, flags: int = 0x0100, group: int = 1, edns: bool = False) -> bytes:
    head = struct.pack("!6H", 4242, flags, 1, 0, 0, edns)
    option = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0) if edns else b""
    return head + wire(name) + struct.pack("!HH", kind, group) + option


@dataclass
class Reply:
    """An answer, taken apart."""

    code: int
    flags: int
    question: bytes
    answers: list[tuple[str, int, bytes]]
    authority: list[tuple[str, int, bytes]]
    additional: list[tuple[str, int, bytes]]


def name_at(data: bytes, place: int) -> tuple[str, int]:
    labels = []
    while data[place]:
        if data[place] >= 0xC0:
            target = (data[place] & 0x3F) << 8 | data[place + 1]
            assert target < place
            return ".".join([*labels, name_at(data, target)[0]]), place + 2
        labels.append(data[place + 1 : place + 1 + data[place]].decode())
        place += 1 + data[place]
    return ".".join(labels), place + 1


def read(data: bytes) -> Reply:
    number, flags, questions, *counts = struct.unpack_from("!6H", data)
    assert number == 4242
    assert flags & 0x8000
    place = 12
    for _ in range(questions):
        place = name_at(data, place)[1] + 4
    question = data[12:place]
    sections = []
    for count in counts:
        found = []
        for _ in range(count):
            name, place = name_at(data, place)
            kind, _, _, length = struct.unpack_from("!HHIH", data, place)
            place += 10
            found.append((name, kind, data[place : place + length]))
            place += length
        sections.append(found)
    assert place == len(data)
    return Reply(flags & 15, flags, question, *sections)


def asked(*args: object, **more: object) -> Reply:
    answer = ZONE.answer(ask(*args, **more))  # type: ignore[arg-type]
    assert answer is not None
    assert len(answer) <= 512
    return read(answer)


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("bob.can", A, [(A, BOB[0].packed)]),
        ("bob.can", AAAA, [(AAAA, BOB[1].packed)]),
        ("bob.can", ANY, [(A, BOB[0].packed), (AAAA, BOB[1].packed)]),
        ("alice.game.can", A, [(A, IPv4Address("100.64.0.9").packed)]),
        (BOB[0].reverse_pointer, PTR, [(PTR, wire("bob.can"))]),
        (BOB[1].reverse_pointer, PTR, [(PTR, wire("bob.can"))]),
    ],
)
def test_members_are_known(name: str, kind: int, found: list[tuple[int, bytes]]) -> None:
    reply = asked(name, kind)
    assert reply.code == FINE
    assert reply.answers == [(name, *record) for record in found]
    assert reply.flags & 0x0500 == 0x0500  # authoritative, and the client's wish is repeated
    assert not reply.flags & 0x0080  # no recursion
    assert reply.question == ask(name, kind)[12:]


def test_letters_may_be_of_any_case_and_come_back_so() -> None:
    reply = asked("bOb.CaN")
    assert reply.answers == [("bOb.CaN", A, BOB[0].packed)]


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("bob.can", MX, FINE),
        ("alice.game.can", AAAA, FINE),
        ("game.can", A, FINE),  # RFC 8020: between names
        ("can", A, FINE),
        (BOB[0].reverse_pointer, A, FINE),
        ("eve.can", A, MISSING),
        ("x.bob.can", A, MISSING),
    ],
)
def test_what_is_not_there(name: str, kind: int, code: int) -> None:
    reply = asked(name, kind)
    assert (reply.code, reply.answers) == (code, [])
    assert [(name, kind) for name, kind, _ in reply.authority] == [(SUFFIX, SOA)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("example.com", A),
        ("bob.can.example.com", A),
        ("toucan", A),
        ("", A),
        ("102.0.31.172.in-addr.arpa", PTR),
        ("in-addr.arpa", PTR),
    ],
)
def test_all_else_is_refused(name: str, kind: int) -> None:
    reply = asked(name, kind)
    assert (reply.code, reply.answers, reply.authority) == (REFUSED, [], [])
    assert not reply.flags & 0x0400


def test_another_class_is_refused() -> None:
    assert asked("bob.can", group=3).code == REFUSED


def test_edns_is_answered_in_edns() -> None:
    assert asked("bob.can", edns=True).additional == [("", 41, b"")]
    assert asked("example.com", edns=True).additional == [("", 41, b"")]
    assert asked("bob.can").additional == []


def test_other_operations_are_not_implemented() -> None:
    for operation in (1, 2, 4, 5):
        assert asked("bob.can", flags=operation << 11).code == UNKNOWN


@pytest.mark.parametrize(
    "query",
    [
        struct.pack("!6H", 4242, 0, 0, 0, 0, 0),
        struct.pack("!6H", 4242, 0, 2, 0, 0, 0) + 2 * (wire("bob.can") + b"\0\1\0\1"),
        struct.pack("!6H", 4242, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",  # a name that points at itself
        struct.pack("!6H", 4242, 0, 1, 0, 0, 0) + b"\x40" + bytes(70),
        struct.pack("!6H", 4242, 0, 1, 0, 0, 0) + 9 * (b"\x3f" + bytes(63)) + b"\0\0\1\0\1",
        struct.pack("!6H", 4242, 0, 1, 0, 0, 0) + b"\x07bob.can\0\0\1\0\1",
        ask("bob.can")[:-1],
        ask("bob.can")[:15],
    ],
)
def test_what_is_no_question_is_an_error(query: bytes) -> None:
    reply = read(ZONE.answer(query) or b"")
    assert (reply.code, reply.question) == (FORMAT, b"")


def test_answers_and_scraps_get_no_answer() -> None:
    assert ZONE.answer(ask("bob.can", flags=0x8180)) is None
    assert ZONE.answer(ask("bob.can")[:11]) is None
    assert ZONE.answer(b"") is None
    assert ZONE.answer(ask("bob.can") + bytes(5000)) is None


def test_many_addresses_are_cut() -> None:
    answer = Zone({"bob.can": [ip_address(number) for number in range(1, 99)]}).answer(ask("bob.can"))
    assert len(read(answer or b"").answers) == MAX_ANSWERS


@settings(deadline=None, max_examples=1500)
@given(st.binary(max_size=90) | st.binary(max_size=60).map(lambda rest: ask("bob.can")[:12] + rest))
def test_no_query_breaks_it(query: bytes) -> None:
    answer = ZONE.answer(query)
    assert answer is None or len(answer) <= 600


def test_an_answer_is_never_much_longer_than_the_question() -> None:
    """So that nobody uses it to flood others."""
    for kind in (A, ANY, PTR, MX):
        for name in ("bob.can", "x.can", BOB[0].reverse_pointer):
            assert len(ZONE.answer(ask(name, kind)) or b"") <= 4 * len(ask(name, kind))


async def test_this_machine_alone_is_answered() -> None:
    own = IPv4Address("127.0.0.5")
    loop = asyncio.get_running_loop()
    port = free_port()
    async with responding(own, port) as responder:
        responder.zone = ZONE
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            stranger.bind(("127.0.0.6", 0))
            client.bind((str(own), 0))
            for sock in (stranger, client):
                sock.setblocking(False)
                await loop.sock_connect(sock, (str(own), port))
            await loop.sock_sendall(stranger, ask("bob.can"))
            await loop.sock_sendall(client, ask("bob.can"))
            reply = read(await asyncio.wait_for(loop.sock_recv(client, 512), 120))
            assert reply.answers == [("bob.can", A, BOB[0].packed)]
            with pytest.raises(BlockingIOError):
                stranger.recv(512)


async def test_a_port_that_cannot_be_had_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.5", 0))
        with pytest.raises(DeviceMissing, match="/etc/hosts"):
            async with responding(IPv4Address("127.0.0.5"), taken.getsockname()[1]):
                pass
