"""STUN over TCP: recorded answers (RFC 5769), broken ones, and a tiny real server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.link.tcp import Address, Port
from tincan.nat.servers import IceServer
from tincan.nat.stun import (
    BINDING_SUCCESS,
    HEADER,
    MAGIC,
    MAX_RESPONSE,
    XOR_MAPPED_ADDRESS,
    StunError,
    binding_request,
    length_of,
    mapped_address,
)

WITHIN = 120.0
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")

SOFTWARE = bytes.fromhex("8022000b7465737420766563746f7220")
"""An attribute of RFC 5769, "test vector" with one byte of padding: to be passed over."""

# RFC 5769 sections 2.2 and 2.3 without integrity and fingerprint, which a binding over TCP has not here.
IPV4 = bytes.fromhex("0101001c2112a442") + TRANSACTION + SOFTWARE + bytes.fromhex("002000080001a147e112a643")
IPV6 = (
    bytes.fromhex("010100282112a442")
    + TRANSACTION
    + SOFTWARE
    + bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9")
)


def response(value: bytes, transaction: bytes = TRANSACTION, kind: int = BINDING_SUCCESS) -> bytes:
    attribute = struct.pack("!HH", XOR_MAPPED_ADDRESS, len(value)) + value + bytes(-len(value) % 4)
    return struct.pack("!HHI", kind, len(attribute), MAGIC) + transaction + attribute


def address_value(host: str, port: int, transaction: bytes = TRANSACTION) -> bytes:
    packed = ipaddress.ip_address(host).packed
    mask = struct.pack("!I", MAGIC) + transaction
    hidden = bytes(a ^ b for a, b in zip(packed, mask, strict=False))
    return struct.pack("!BBH", 0, 1 if len(packed) == 4 else 2, port ^ (MAGIC >> 16)) + hidden


# -- the codec -----------------------------------------------------------------------------


def test_a_request() -> None:
    assert binding_request(TRANSACTION) == bytes.fromhex("000100002112a442") + TRANSACTION
    with pytest.raises(ValueError):
        binding_request(b"short")


def test_recorded_answers() -> None:
    assert mapped_address(IPV4, TRANSACTION) == ("192.0.2.1", 32853)
    assert mapped_address(IPV6, TRANSACTION) == ("2001:db8:1234:5678:11:2233:4455:6677", 32853)


@given(st.ip_addresses(), st.integers(1, 65535), st.binary(min_size=12, max_size=12))
def test_every_address_comes_through(address: object, port: int, transaction: bytes) -> None:
    message = response(address_value(str(address), port, transaction), transaction)
    assert mapped_address(message, transaction) == (str(address), port)


@pytest.mark.parametrize("message", [IPV4, IPV6], ids=["IPv4", "IPv6"])
def test_cut_off_anywhere_it_is_incomplete_and_never_an_address(message: bytes) -> None:
    for end in range(len(message)):
        assert length_of(message[:end]) == (None if end < HEADER else len(message))
        with pytest.raises(StunError):
            mapped_address(message[:end], TRANSACTION)


@pytest.mark.parametrize(
    "message",
    [
        response(address_value("192.0.2.1", 5), TRANSACTION, kind=0x0111),
        response(address_value("192.0.2.1", 5), bytes(12)),
        response(address_value("192.0.2.1", 0)),
        response(b""),
        response(b"\x00"),
        response(b"\x00\x03\x12\x34" + bytes(4)),
        response(b"\x00\x01\x12\x34" + bytes(16)),
        response(b"\x00\x02\x12\x34" + bytes(4)),
        struct.pack("!HHI", BINDING_SUCCESS, 0, MAGIC) + TRANSACTION,
        struct.pack("!HHI", BINDING_SUCCESS, 4, MAGIC) + TRANSACTION + struct.pack("!HH", XOR_MAPPED_ADDRESS, 8),
        struct.pack("!HHI", BINDING_SUCCESS, 4, MAGIC) + TRANSACTION + struct.pack("!HH", 0x8022, 65535),
        IPV4 + b"\x00",
    ],
    ids=[
        "an error",
        "another transaction",
        "port 0",
        "an empty address",
        "half an address",
        "no known family",
        "too long for IPv4",
        "too short for IPv6",
        "no attribute",
        "an attribute that is cut off",
        "an endless attribute",
        "something behind it",
    ],
)
def test_what_is_no_answer_to_the_question(message: bytes) -> None:
    with pytest.raises(StunError):
        mapped_address(message, TRANSACTION)


@pytest.mark.parametrize(
    "header",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        struct.pack("!HHI", 0xC101, 0, MAGIC) + TRANSACTION,
        struct.pack("!HHI", BINDING_SUCCESS, 0, 1) + TRANSACTION,
        struct.pack("!HHI", BINDING_SUCCESS, 3, MAGIC) + TRANSACTION,
        struct.pack("!HHI", BINDING_SUCCESS, MAX_RESPONSE, MAGIC) + TRANSACTION,
    ],
)
def test_what_is_no_stun_message_is_refused_by_its_header(header: bytes) -> None:
    with pytest.raises(StunError):
        length_of(header)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(junk: bytes) -> None:
    for message in (junk, IPV4[:HEADER] + junk, struct.pack("!HHI", 0x0101, len(junk), MAGIC) + TRANSACTION + junk):
        with contextlib.suppress(StunError):
            mapped_address(message, TRANSACTION)


@given(st.data())
def test_changed_bytes_raise_nothing_else(data: st.DataObject) -> None:
    message = bytearray(data.draw(st.sampled_from([IPV4, IPV6])))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StunError):
        address, port = mapped_address(bytes(message), TRANSACTION)
        ipaddress.ip_address(address)
        assert 0 <= port <= 65535


# -- over TCP ------------------------------------------------------------------------------

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[IceServer]:
    """A server on loopback that treats every connection like this."""
    done: list[asyncio.Task[object]] = []

    async def treat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        done.append(this)
        with contextlib.suppress(OSError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    listening = await asyncio.start_server(treat, "127.0.0.1", 0)
    try:
        yield IceServer("stun", "127.0.0.1", listening.sockets[0].getsockname()[1])
    finally:
        listening.close()
        await listening.wait_closed()
        for task in done:
            await asyncio.wait([task], timeout=WITHIN)


async def answer_bytewise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readexactly(HEADER)
    assert request[:8] == bytes.fromhex("000100002112a442")
    host, port = writer.get_extra_info("peername")[:2]
    for byte in response(address_value(host, port, request[8:]), request[8:]) + b"more":
        writer.write(bytes([byte]))
        await writer.drain()
    await reader.read()


async def test_a_server_says_what_address_the_port_has() -> None:
    port = Port()
    found: asyncio.Queue[Address] = asyncio.Queue()
    try:
        async with server(answer_bytewise) as stun, asyncio.timeout(WITHIN):
            asking = asyncio.create_task(port.mapped(stun, found.put_nowait))
            assert await found.get() == ("127.0.0.1", port.number)
            assert not asking.done()  # the connection is what keeps the mapping
            asking.cancel()
            await asyncio.wait([asking])
    finally:
        port.close()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(HEADER)


async def talk_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(HEADER)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await reader.read()


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"\x01\x01\xff\xfc" + struct.pack("!I", MAGIC) + bytes(64 * 1024))
        await writer.drain()


async def answer_another(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(HEADER)
    writer.write(IPV4)
    await reader.read()


@pytest.mark.parametrize("serve", [hang_up, talk_http, flood, answer_another])
async def test_a_server_that_gives_no_answer_is_left_in_silence(serve: Serve) -> None:
    port = Port()
    found: list[Address] = []
    try:
        async with server(serve) as stun, asyncio.timeout(WITHIN):
            await port.mapped(stun, found.append)
        assert found == []
    finally:
        port.close()


async def test_no_server_at_all_is_no_trouble() -> None:
    port, gone = Port(), Port()
    gone.close()
    found: list[Address] = []
    try:
        async with asyncio.timeout(WITHIN):
            await port.mapped(IceServer("stun", "127.0.0.1", gone.number), found.append)
            await port.mapped(IceServer("stun", "no-such-name.invalid", 3478), found.append)
        assert found == []
    finally:
        port.close()
