"""The punched port of a real `pipe`: strangers who find it, and a peer who has it look where it should not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from security.pipes import HERE, cancelled, feed, piping
from tincan.apps.greeting import Received, encode
from tincan.link.lanes import MAX_ADDRESSES, More, Offer, punching
from tincan.link.proof import TOKEN
from tincan.link.tls import fresh_certificate
from tincan.nat.addresses import host_addresses, interfaces

ADDRESS = host_addresses(interfaces())[0]
PATIENCE = 120.0
LINE = b"a line of what is carried\n"


class Strangers:
    """Connect to a port, say something, and keep what they hear."""

    def __init__(self, count: int, says: bytes) -> None:
        self.heard = b""
        self.came = 0
        self._count = count
        self._says = says
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self, offer: Offer) -> None:
        """Be there before the real peer."""
        address = next(address for address in offer.addresses if address[0] == ADDRESS)
        self._tasks = [asyncio.create_task(self._visit(address)) for _ in range(self._count)]
        await asyncio.wait(self._tasks, timeout=0.3)

    async def _visit(self, address: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(*address)
            self.came += 1
            try:
                writer.write(self._says)
                self.heard += await reader.read()
            finally:
                writer.close()

    async def leave(self) -> None:
        """End all visits."""
        await cancelled(*self._tasks)


@pytest.mark.parametrize(
    ("count", "says"),
    [(1, b""), (3, b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"), (3, bytes(TOKEN)), (100, b"\x16\x03\x01")],
    ids=["silent", "HTTP", "a wrong token", "a hundred"],
)
async def test_strangers_at_the_punched_port_get_no_byte_and_hold_nobody_up(count: int, says: bytes) -> None:
    strangers = Strangers(count, says)
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        stream = mallory.stream(HERE, strangers.come)
        await stream.settled()
        assert stream.by_tcp
        await stream.write(LINE * 40_000)
        await stream.write_eof()
        mallory.victim.end_input()
        assert bytes(await stream.read(10)) == b""
        await mallory.link.control.send(encode(Received(0)))
        assert await mallory.victim.ended() == 0, mallory.victim.report()
        assert mallory.victim.stdout == LINE * 40_000
        assert strangers.came > 0
        assert strangers.heard == b""
        await stream.close()
        await strangers.leave()


@contextlib.asynccontextmanager
async def listening(host: str, port: int = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A service that keeps what each visitor says."""
    said: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(b"")
        number = len(said) - 1
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                said[number] += data
        writer.close()

    server = await asyncio.start_server(keep, host, port)
    try:
        yield server.sockets[0].getsockname()[1], said
    finally:
        server.close()
        await server.wait_closed()


async def test_a_peer_has_it_look_at_few_addresses_and_at_no_services() -> None:
    """At those that it may name it says 32 bytes, once; it goes neither to loopback nor to ports below 1024."""
    if ADDRESS == "127.0.0.1":
        pytest.skip("a machine with nothing but loopback")
    async with (
        asyncio.timeout(PATIENCE),
        piping() as mallory,
        listening(ADDRESS) as (named, said),
        listening("127.0.0.1") as (local, said_to_local),
        listening(ADDRESS) as (beyond, said_beyond),
        contextlib.AsyncExitStack() as stack,
    ):
        said_to_service: list[bytes] = []
        with contextlib.suppress(OSError):  # not allowed here
            _, said_to_service = await stack.enter_async_context(listening(ADDRESS, 1023))
        evil = [("127.0.0.1", local), ("localhost", local), ("::ffff:127.0.0.1", local), (ADDRESS, 1023)]
        await mallory.offer()
        closed = [(ADDRESS, port) for port in range(1024, 1024 + MAX_ADDRESSES - 1)]
        offer = Offer(bytes(32), fresh_certificate().der, [*evil, (ADDRESS, named)])
        await mallory.channel.send(punching(offer))
        await mallory.channel.send(punching(More(closed)))
        await mallory.channel.send(punching(More([(ADDRESS, beyond)])))
        while not said or len(said[0]) < TOKEN:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        assert [len(words) for words in said] == [TOKEN]
        assert said_to_local == said_to_service == said_beyond == []


@pytest.mark.parametrize(
    "blob", [bytes(64), b"\x30\x82\x01\x00" + bytes(1000), b"-----BEGIN CERTIFICATE-----\n" * 10]
)
async def test_a_certificate_that_is_none_leaves_the_stream_on_the_channel(blob: bytes) -> None:
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        theirs = await mallory.offer()
        await mallory.channel.send(punching(Offer(bytes(32), blob, theirs.addresses[:1])))
        await mallory.channel.send(b"\x00" + LINE)
        await mallory.channel.send(b"\x03")
        mallory.victim.end_input()
        while (await mallory.channel.receive())[:1] != b"\x03":
            pass
        await mallory.link.control.send(encode(Received(0)))
        assert await mallory.victim.ended() == 0, mallory.victim.report()
        assert mallory.victim.stdout == LINE


async def test_a_peer_that_never_reads_from_the_tcp_path_does_not_fill_the_memory() -> None:
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        stream = mallory.stream(HERE)
        await stream.settled()
        assert stream.by_tcp
        before = mallory.victim.memory()
        feeding = asyncio.create_task(feed(mallory.victim, bytes(2**20)))
        await asyncio.wait([feeding], timeout=2)
        assert mallory.victim.memory() < before + 32 * 2**20
        await cancelled(feeding)
        await stream.close()
        await mallory.victim.fails(8)
