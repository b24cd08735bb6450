"""Two addresses become one connection, whoever comes first, and strangers do not matter."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from ports import free_ports
from tincan.apps.tete.opening import keep_alive, open_connection
from tincan.apps.tete.security import Connection, Peer, Security
from tincan.apps.tete.settings import TeteSettings
from tincan.errors import DeviceMissing, NoPath
from unit.apps.tete.pairs import foreign

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8 on loopback")

LOW, HIGH, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def both_settings(low: str = LOW, high: str = HIGH) -> tuple[TeteSettings, TeteSettings]:
    """Return the settings of the TLS server and of the client."""
    one, two = free_ports(2)
    a, b = ipaddress.ip_address(low), ipaddress.ip_address(high)
    return TeteSettings(a, b, one, two), TeteSettings(b, a, two, one)


async def opened(settings: TeteSettings, *, tries: int = 10, pause: float = 0.05) -> Connection:
    security = Security(client=settings.client, proves=False)
    return await open_connection(settings, security, tries=tries, pause=pause, nomination=1.5)


async def say_hello(first: Connection, second: Connection) -> None:
    """Check that both ends are of the same connection, and close them."""
    assert first.sock.getsockname() == second.sock.getpeername()
    for here, there in ((first, second), (second, first)):
        await here.stream.write(b"hello")
        assert bytes(await there.stream.read(100)) == b"hello"
    for end in (first, second):
        await end.stream.close()


@pytest.mark.parametrize("late", [0.0, 0.12])
@pytest.mark.parametrize("order", [1, -1])
async def test_two_ends_find_each_other(order: int, late: float) -> None:
    first, second = both_settings()[::order]
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        waiting = group.create_task(opened(first))
        await asyncio.sleep(late)
        coming = group.create_task(opened(second))
        assert (await waiting).peer is (await coming).peer is Peer.PLAIN
    await say_hello(waiting.result(), coming.result())


async def test_both_begin_at_the_same_time_again_and_again() -> None:
    for _ in range(10):
        first, second = both_settings()
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            ends = [group.create_task(opened(settings)) for settings in (first, second)]
        await say_hello(*(end.result() for end in ends))


async def test_nobody_is_there() -> None:
    settings, _ = both_settings()
    with pytest.raises(NoPath, match="No connection to the peer came about") as caught:
        await opened(settings, tries=3)
    assert caught.value.exit_code == 6


async def test_the_port_is_taken() -> None:
    settings, _ = both_settings()
    with socket.create_server(("0.0.0.0", settings.lport)), pytest.raises(DeviceMissing, match="-lport"):
        await opened(settings)


@contextlib.asynccontextmanager
async def stranger(settings: TeteSettings, host: str, port: int = 0) -> AsyncIterator[socket.socket]:
    """Somebody who connects to the port that an end listens on, as soon as that is there."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(120):
        while True:
            sock = socket.socket()
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, port))
            try:
                await loop.sock_connect(sock, (str(settings.mine), settings.lport))
                break
            except OSError:
                sock.close()
                await asyncio.sleep(0.01)
    with sock:
        yield sock


@pytest.mark.parametrize("which", [0, 1])
async def test_strangers_are_turned_away_without_a_word_and_hold_nobody_up(which: int) -> None:
    settings, other = both_settings()[which], both_settings()[1 - which]
    other = TeteSettings(settings.peer, settings.mine, settings.rport, settings.lport)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        waiting = group.create_task(opened(settings, tries=100_000))
        for host, port in ((THIRD, settings.rport), (str(settings.peer), 0)):
            async with stranger(settings, host, port) as sock:
                assert await loop.sock_recv(sock, 100) == b""
        coming = group.create_task(opened(other))
    await say_hello(waiting.result(), coming.result())


async def test_a_peer_that_says_nothing_is_left_for_its_next_connection() -> None:
    """It accepts, but is somebody else's idea of a peer; then the right one comes."""
    server, client = both_settings()
    silent = socket.create_server((LOW, server.lport))
    silent.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        waiting = group.create_task(opened(client, tries=100_000))
        accepted, _ = await loop.sock_accept(silent)
        silent.close()
        with accepted:
            assert accepted.getpeername() == (HIGH, client.lport), "though the kernel alone would come from LOW"
            assert await loop.sock_recv(accepted, 1), "TLS begins"
        coming = group.create_task(opened(server, tries=100_000))
    await say_hello(waiting.result(), coming.result())


@pytest.mark.parametrize("ours", [0, 1])
async def test_of_two_connections_the_one_is_found_that_the_peer_uses(ours: int) -> None:
    """This machine has two addresses, so one peer has connected to the one and was reached from the other."""
    settings = both_settings()[ours]
    lying = socket.create_server((str(settings.peer), settings.rport), reuse_port=True)
    lying.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        opening = group.create_task(opened(settings, tries=100_000))
        forgotten, _ = await loop.sock_accept(lying)
        used = TeteSettings(ipaddress.ip_address(THIRD), settings.peer, settings.lport, settings.rport)
        async with stranger(used, str(settings.peer), settings.rport) as sock:
            other = await foreign(sock, client=not settings.client)
            await say_hello(await opening, other)
    forgotten.close()
    lying.close()


async def test_two_who_both_want_to_be_the_client_are_told_to_check_the_addresses() -> None:
    """Each gives a private address of its own, and the greater one decides nothing."""
    one, two = free_ports(2)
    own, peer = ipaddress.ip_address("192.168.1.2"), ipaddress.ip_address(LOW)
    settings = TeteSettings(own, peer, one, two), TeteSettings(own, peer, two, one)
    results = await asyncio.gather(*(opened(s, tries=3) for s in settings), return_exceptions=True)
    assert [type(result) for result in results] == [NoPath, NoPath]
    assert any("the other way round" in str(result) for result in results)


async def test_a_cancelled_opening_leaves_nothing() -> None:
    settings, _ = both_settings()
    opening = asyncio.create_task(opened(settings))
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    socket.create_server((LOW, settings.lport)).close()


def test_keepalive_is_what_was_asked_for() -> None:
    with socket.socket() as sock:
        keep_alive(sock, 10)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 40_000
