"""Two ends that punch towards each other on this machine, and strangers who come first."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from ports import free_port
from tincan.errors import NoPath
from tincan.link.interface import Path
from tincan.link.lanes import MAX_ADDRESSES, Offer
from tincan.link.proof import TOKEN, Proof, punch_key
from tincan.link.punch import MAX_STRANGERS, MAX_TRIES, Patience, Punch, Punching
from tincan.link.tcp import Address
from tincan.link.tls import TlsStream, fresh_certificate
from tincan.meet.mailbox import Side
from tincan.nat.addresses import host_addresses, interfaces
from unit.link.pairs import only_the_test_is_left
from unit.link.stream_pairs import open_files, read_all, some_bytes, write_all

WITHIN = 120.0
HERE = host_addresses(interfaces())[0]
USUAL = Patience()
QUICK = Patience(tapping=0.6, attaching=0.9, proof=0.2, nomination=0.3)
both_sides = pytest.mark.parametrize("side", list(Side))
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def settings(patience: Patience) -> Punching:
    return Punching(port_mapping=False, rng=random.Random(3), patience=patience)


@contextlib.asynccontextmanager
async def punches(patience: Patience = USUAL) -> AsyncIterator[dict[Side, Punch]]:
    """Both ends; nothing may be left of them afterwards."""
    before = open_files() if sys.platform == "linux" else set()
    made = {side: Punch(side, settings(patience), lambda address: None) for side in Side}
    try:
        async with asyncio.timeout(WITHIN):
            yield made
    finally:
        for punch in made.values():
            punch.close()
    await only_the_test_is_left()
    if sys.platform == "linux":
        assert open_files() <= before


async def connect_both(
    made: dict[Side, Punch], *, change: dict[Side, dict[str, Any]] | None = None
) -> list[TlsStream | BaseException]:
    """Let both connect, each with the other's offer, changed as given by whose offer it is."""
    offers = {s: msgspec.structs.replace(made[s].offer, **(change or {}).get(s, {})) for s in Side}
    return await asyncio.gather(*(made[side].connect(offers[side.other]) for side in Side), return_exceptions=True)


async def works(streams: list[Any]) -> None:
    """They are the two ends of one stream."""
    near, far = streams
    assert isinstance(near, TlsStream), near
    assert isinstance(far, TlsStream), far
    there, back = some_bytes(1, 500_000), some_bytes(2, 300_000)
    results = await asyncio.gather(write_all(near, there, 1), write_all(far, back, 2), read_all(far), read_all(near))
    assert results[2:] == [there, back]
    assert near.path is far.path is Path.LAN
    await near.close()
    await far.close()


def closed_port() -> int:
    """A port that nobody listens on."""
    return free_port()


def number_of(punch: Punch) -> int:
    return punch.offer.addresses[0][1]


# -- coming together --------------------------------------------------------------------------


async def test_two_find_each_other() -> None:
    for _ in range(5):
        async with punches() as made:
            await works(await connect_both(made))


@both_sides
async def test_one_that_can_be_reached_is_enough(side: Side) -> None:
    """The other one's addresses are of no use."""
    async with punches() as made:
        await works(await connect_both(made, change={side: {"addresses": []}}))


@both_sides
async def test_addresses_that_come_later(side: Side) -> None:
    async with punches() as made:
        nowhere = {s: {"addresses": []} for s in Side}
        connecting = asyncio.create_task(connect_both(made, change=nowhere))
        await asyncio.sleep(0.05)
        made[side].add([(HERE, closed_port())])
        made[side].add(made[side.other].offer.addresses)
        await works(await connecting)


async def test_one_begins_later() -> None:
    async with punches() as made:
        offers = {side: made[side].offer for side in Side}
        attach = asyncio.create_task(made[Side.ATTACH].connect(offers[Side.TAP]))
        await asyncio.sleep(0.3)
        tap = await made[Side.TAP].connect(offers[Side.ATTACH])
        await works([await attach, tap])


# -- strangers --------------------------------------------------------------------------------


class Stranger:
    """Somebody who connects to a port, says something, and listens."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self.heard = b""

    async def visit(self, port: int) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        with contextlib.closing(sock), contextlib.suppress(OSError):
            await loop.sock_connect(sock, (HERE, port))
            await loop.sock_sendall(sock, self._says)
            while data := await loop.sock_recv(sock, 65536):
                self.heard += data


@contextlib.asynccontextmanager
async def visited(made: dict[Side, Punch], side: Side, strangers: list[Stranger]) -> AsyncIterator[None]:
    """Strangers who come before the peer does, and stay."""
    visiting = [asyncio.create_task(stranger.visit(number_of(made[side]))) for stranger in strangers]
    await asyncio.sleep(0.05)
    try:
        yield
    finally:
        for task in visiting:
            task.cancel()
        await asyncio.wait(visiting)


def token_of(side: Side, made: dict[Side, Punch], key: bytes | None = None) -> bytes:
    right = punch_key(made[Side.TAP].offer.nonce, made[Side.ATTACH].offer.nonce)
    return Proof(side, key or right, first=True).data_to_send()


@both_sides
@pytest.mark.parametrize(
    "says",
    [b"", b"x", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(TOKEN), bytes(TOKEN - 1), bytes(100_000)],
    ids=["nothing", "a byte", "HTTP", "a wrong token", "half a token", "much"],
)
async def test_a_stranger_who_comes_first_gets_no_byte(side: Side, says: bytes) -> None:
    async with punches(dataclasses.replace(USUAL, proof=2 * WITHIN)) as made:  # which is what they could hold it up
        strangers = [Stranger(says) for _ in range(3)]
        async with visited(made, side, strangers):
            await works(await connect_both(made))
        assert [stranger.heard for stranger in strangers] == [b""] * 3


@both_sides
async def test_tokens_of_others_are_those_of_strangers(side: Side) -> None:
    """Its own, sent back; and one under a key of another stream."""
    async with punches() as made:
        strangers = [
            Stranger(token_of(side, made)),
            Stranger(token_of(side.other, made, punch_key(bytes(32), made[Side.ATTACH].offer.nonce))),
        ]
        async with visited(made, side, strangers):
            await works(await connect_both(made))
        assert [stranger.heard for stranger in strangers] == [b"", b""]


@both_sides
async def test_a_hundred_strangers_at_once(side: Side) -> None:
    assert MAX_STRANGERS < 100
    async with punches() as made:
        strangers = [Stranger(b"x" * (number % 40)) for number in range(100)]
        async with visited(made, side, strangers):
            await works(await connect_both(made))
        assert {stranger.heard for stranger in strangers} == {b""}


@both_sides
async def test_no_more_strangers_than_the_limit_are_listened_to(side: Side) -> None:
    """However fast they come: each of them holds a file of this process open."""
    async with punches(dataclasses.replace(USUAL, proof=WITHIN)) as made:
        connecting = asyncio.create_task(made[side].connect(Offer(bytes(32), fresh_certificate().der, [])))
        with contextlib.ExitStack() as stack:
            strangers = []
            for _ in range(200):
                strangers.append(stack.enter_context(socket.create_connection((HERE, number_of(made[side])))))
                await asyncio.sleep(0)  # as fast as they are taken
            async with asyncio.timeout(WITHIN / 4):
                while sum(not dropped(stranger) for stranger in strangers) > MAX_STRANGERS:
                    await asyncio.sleep(0.01)
        connecting.cancel()
        await asyncio.wait([connecting])


def dropped(sock: socket.socket) -> bool:
    """Whether the other end has closed a connection on which it says nothing."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@both_sides
async def test_who_replays_the_token_and_has_no_certificate_holds_it_up_for_a_while_only(side: Side) -> None:
    """As somebody on the path might do: the token alone is worth a TLS handshake that fails."""
    async with punches(dataclasses.replace(USUAL, nomination=1.0)) as made:
        replaying = Stranger(token_of(side.other, made))
        async with visited(made, side, [replaying]):
            await works(await connect_both(made))


# -- addresses that are never tried -----------------------------------------------------------


@contextlib.contextmanager
def listening(host: str) -> Any:
    with socket.create_server((host, 0)) as sock:
        sock.setblocking(False)
        yield sock


def visitors(sock: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.accept()[0].close()
            count += 1
    return count


@both_sides
async def test_addresses_of_a_peer_that_are_never_tried(side: Side) -> None:
    """Loopback where there are networks; names; what is no address. The good one is tried."""
    async with punches(QUICK) as made:
        with listening("127.0.0.1") as local, listening(HERE) as reachable:
            number = local.getsockname()[1]
            evil = [
                "127.0.0.1",
                "localhost",
                "::ffff:127.0.0.1",
                "0.0.0.0",
                "::1%lo",
                "255.255.255.255",
                "224.0.0.1",
                "",
            ]
            addresses: list[Address] = [*((host, number) for host in evil), (HERE, reachable.getsockname()[1])]
            offer = Offer(bytes(32), fresh_certificate().der, addresses)
            with pytest.raises(NoPath):
                await made[side].connect(offer)
            assert (visitors(local) > 0) is (HERE == "127.0.0.1")
            assert 1 <= visitors(reachable) <= MAX_TRIES


@both_sides
async def test_ports_of_services_are_never_tried(side: Side) -> None:
    try:
        sock = socket.create_server((HERE, 1023))
    except OSError:
        pytest.skip("such a port cannot be opened here")
    with sock:
        sock.setblocking(False)
        async with punches(QUICK) as made:
            with pytest.raises(NoPath):
                await made[side].connect(Offer(bytes(32), fresh_certificate().der, [(HERE, 1023)]))
            assert visitors(sock) == 0


async def test_no_more_addresses_than_the_limit_are_tried() -> None:
    async with punches(QUICK) as made:
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(listening(HERE)) for _ in range(MAX_ADDRESSES + 8)]
            addresses = [(HERE, sock.getsockname()[1]) for sock in socks]
            first = Offer(bytes(32), fresh_certificate().der, addresses[:MAX_ADDRESSES])
            connecting = asyncio.create_task(made[Side.TAP].connect(first))
            await asyncio.sleep(0.05)
            made[Side.TAP].add(addresses[MAX_ADDRESSES:])
            await asyncio.wait([connecting])
            assert isinstance(connecting.exception(), NoPath)
            assert [visitors(sock) > 0 for sock in socks] == [True] * MAX_ADDRESSES + [False] * 8


# -- without success --------------------------------------------------------------------------


@both_sides
async def test_patience_runs_out(side: Side) -> None:
    async with punches(QUICK) as made:
        with pytest.raises(NoPath):
            await made[side].connect(Offer(bytes(32), fresh_certificate().der, [(HERE, closed_port())]))


def test_who_waits_for_the_other_is_the_more_patient_one() -> None:
    assert USUAL.attaching > USUAL.tapping + USUAL.nomination


@both_sides
async def test_a_certificate_that_is_none_is_no_path(side: Side) -> None:
    async with punches(QUICK) as made:
        results = await connect_both(made, change={side: {"certificate": bytes(100)}})
        assert [type(result) for result in results] == [NoPath, NoPath]


@both_sides
async def test_another_nonce_is_no_path(side: Side) -> None:
    async with punches(QUICK) as made:
        results = await connect_both(made, change={side: {"nonce": bytes(32)}})
        assert [type(result) for result in results] == [NoPath, NoPath]


async def test_cancelled_at_any_moment_it_leaves_nothing() -> None:
    for milliseconds in (0, 1, 2, 4, 6, 8, 10, 12, 15, 20, 30, 50):
        async with punches() as made:
            found: list[TlsStream] = []  # what one side has is lost when both are cancelled together

            async def connect(side: Side, made: dict[Side, Punch] = made, found: list[TlsStream] = found) -> None:
                found.append(await made[side].connect(made[side.other].offer))

            connecting = [asyncio.create_task(connect(side)) for side in Side]
            await asyncio.sleep(milliseconds / 1000)
            for task in connecting:
                task.cancel()
            await asyncio.wait(connecting)
            for stream in found:
                await stream.close()


async def test_nothing_is_asked_of_a_router_or_server_that_was_not_named() -> None:
    async with punches() as made:
        gathering = asyncio.create_task(made[Side.TAP].ask_servers())
        await asyncio.wait([gathering], timeout=0.05)
        assert not gathering.done()
        gathering.cancel()
        await asyncio.wait([gathering])
        assert {address[0] for address in made[Side.TAP].offer.addresses} == set(host_addresses(interfaces()))
