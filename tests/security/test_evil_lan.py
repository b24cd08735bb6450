"""Somebody else on the LAN, or on this machine, in the place of the other can."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from lab.netlab import Host, Lab
from security.cans import PATIENCE, Can, converse
from security.evil import CODE, NAMEPLATE, flight_to, shares
from tincan.meet.places.lan import lan_tag, loopback_port, read_frame, write_frame

PHRASE = f"{NAMEPLATE}-guitar-banana"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pass


async def another_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" * 1000)
    await reader.read()


async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await write_frame(writer, b"busy")
    await reader.read()


async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await read_frame(reader) == b"tin-can/1 " + CODE.encode()
    await write_frame(writer, b"ok")


async def ok_and_silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await welcome(reader, writer)
    await reader.read()


async def ok_and_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await welcome(reader, writer)
    await write_frame(writer, bytes(range(256)))
    await reader.read()


async def ok_and_an_oversized_frame(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await welcome(reader, writer)
    writer.write(b"\xff\xff\xff\xff" + bytes(100_000))
    await reader.read()


async def another_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await welcome(reader, writer)
    stranger, share = shares()
    await write_frame(writer, share)
    flight = await read_frame(reader)
    with contextlib.suppress(Exception):  # it cannot be right
        stranger.receive(flight)
    await write_frame(writer, b"\x82\xa4kind\xa6answer\xa3tag\xc4\x40" + bytes(64))
    await reader.read()


@contextlib.asynccontextmanager
async def listening(host: Host, address: str, port: int, serve: Serve) -> AsyncIterator[None]:
    """Serve on a host of the laboratory; count nothing, end with the test."""
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(served, sock=host.call(socket.create_server, (address, port)))
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def on(host: Host, command: str, *options: str) -> contextlib.AbstractAsyncContextManager[Can]:
    return Can.started(command, PHRASE, "--stun", "none", *options, within=host.namespace.argv([]))


@pytest.mark.parametrize(
    ("serve", "code"),
    [
        pytest.param(busy, 7, id="busy"),
        pytest.param(ok_and_silence, 4, id="ok and silence"),
        pytest.param(ok_and_garbage, 5, id="ok and garbage"),
        pytest.param(ok_and_an_oversized_frame, 4, id="ok and an oversized frame"),
        pytest.param(another_handshake, 5, id="another handshake"),
    ],
)
async def test_a_squatter_on_the_loopback_port(lab: Lab, serve: Serve, code: int) -> None:
    """Who holds the port of a string code can keep a tapping can from its peer, and learns nothing."""
    host = lab.isolated()
    patience = "6" if code == 4 else "120"  # only who goes on waiting has to be stopped
    async with (
        listening(host, "127.0.0.1", loopback_port(CODE, 0), serve),
        on(host, "tap", "--timeout", patience) as tap,
    ):
        await tap.fails(code)
        assert not tap.told("connected")


@pytest.mark.parametrize("serve", [hangs_up, another_protocol, silence], ids=lambda serve: serve.__name__)
async def test_a_squatter_that_is_no_can_is_passed_over(lab: Lab, serve: Serve) -> None:
    host = lab.isolated()
    async with listening(host, "127.0.0.1", loopback_port(CODE, 0), serve), on(host, "attach-string") as attach:
        await attach.event("waiting")
        async with on(host, "tap") as tap:
            await converse(attach, tap)


async def test_strangers_at_the_door_of_an_attaching_can(lab: Lab) -> None:
    """Those who do not know the string code hold a place for five seconds each, and that is all."""
    host = lab.isolated()
    async with on(host, "attach-string") as attach:
        await attach.event("waiting")
        where = ("127.0.0.1", loopback_port(CODE, 0))
        strangers = [await connected(host, where) for _ in range(20)]
        for number, sock in enumerate(strangers):
            with contextlib.suppress(OSError):
                sock.send([b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1000, b"\x00\x00\x00\x01", b""][number % 4])
        async with on(host, "tap") as tap:
            await converse(attach, tap)
        for sock in strangers:
            sock.close()


async def test_a_stranger_who_knows_the_code_has_one_guess(lab: Lab) -> None:
    host = lab.isolated()
    async with on(host, "attach-string") as attach:
        await attach.event("waiting")
        sock = await connected(host, ("127.0.0.1", loopback_port(CODE, 0)))
        reader, writer = await asyncio.open_connection(sock=sock)
        await write_frame(writer, b"tin-can/1 " + CODE.encode())
        assert await read_frame(reader) == b"ok"
        _, flight = flight_to(await read_frame(reader))
        await write_frame(writer, flight)
        await attach.fails(5)
        writer.close()


async def connected(host: Host, where: tuple[str, int]) -> socket.socket:
    """Connect as soon as somebody listens."""

    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return host.call(socket.create_connection, where, PATIENCE)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


# -- mDNS ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def announcing(host: Host, port: int, *addresses: str) -> Iterator[None]:
    """Answer questions for the string code on a host's network, with any addresses."""
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()

    async def announce() -> None:
        zeroconf = AsyncZeroconf(interfaces=[host.address], ip_version=IPVersion.V4Only)
        tag = lan_tag(CODE)
        service = "_tin-can._tcp.local."
        packed = [socket.inet_aton(address) for address in addresses]
        info = AsyncServiceInfo(service, f"{tag}.{service}", port=port, addresses=packed, server=f"{tag}.local.")
        await (await zeroconf.async_register_service(info, cooperating_responders=True))
        ready.set()
        await over.wait()
        await zeroconf.async_close()

    thread = threading.Thread(target=host.call, args=(loop.run_until_complete, announce()))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(PATIENCE)
        loop.close()


async def test_a_false_announcement_sends_nobody_elsewhere(lab: Lab) -> None:
    """Only addresses of the can's own networks are tried, never its own loopback."""
    network = lab.lan()
    victim, evil = network.host("victim"), network.host("evil")
    visits: list[str] = []

    def counted(name: str) -> Serve:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            visits.append(name)

        return serve

    async with (
        listening(victim, "127.0.0.1", 6379, counted("own loopback")),
        listening(evil, "0.0.0.0", 6379, counted("evil")),
    ):
        with announcing(evil, 6379, "127.0.0.1", "203.0.113.9", "224.0.0.1", "0.0.0.0", evil.address):
            async with asyncio.timeout(PATIENCE), on(victim, "tap"):
                while len(visits) < 2:  # the second time all others had their turn
                    await asyncio.sleep(0.05)
    assert set(visits) == {"evil"}


async def test_a_false_announcement_has_one_guess(lab: Lab) -> None:
    network = lab.lan()
    victim, evil = network.host("victim"), network.host("evil")
    async with listening(evil, evil.address, 7000, another_handshake):
        with announcing(evil, 7000, evil.address):
            async with on(victim, "tap") as tap:
                await tap.fails(5)
