"""Party lines: the contract on every place there is, fragments on a LAN, several lines as one."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from ports import free_port
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble, ServersOffered
from tincan.nat.servers import IceServer
from tincan.vpn.party.fragments import CHUNK, HEADER, MAX_PARTIAL_PER_SENDER, PATIENCE, Assembly, cut
from tincan.vpn.party.lan import LanLine
from tincan.vpn.party.line import MAX_MESSAGE, LineClosed, MemoryRoom, PartyLine
from tincan.vpn.party.lines import AllLines
from tincan.vpn.party.places import TELL_AGAIN, Places, open_places, server_url
from tincan.vpn.party.switchboard import SwitchboardLine
from unit.switchboard.wire import switchboard
from virtualtime import in_virtual_time

ONE, TWO = "1" * 32, "2" * 32
PATIENT = 120.0

Three = Callable[[], AbstractAsyncContextManager[list[PartyLine]]]


@contextlib.asynccontextmanager
async def running(*lines: LanLine | SwitchboardLine | AllLines) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(line.run()) for line in lines]
        try:
            yield
        finally:
            for line in lines:
                await line.close()
            for task in tasks:
                task.cancel()


@contextlib.asynccontextmanager
async def in_memory() -> AsyncIterator[list[PartyLine]]:
    room = MemoryRoom()
    yield [room.line() for _ in range(3)]


@contextlib.asynccontextmanager
async def at_a_switchboard() -> AsyncIterator[list[PartyLine]]:
    ready = asyncio.Semaphore(0)

    def tell(event: MeetEvent) -> None:
        if isinstance(event, PlaceReady):
            ready.release()

    async with switchboard() as url:
        lines = [SwitchboardLine(url, tell) for _ in range(3)]
        async with running(*lines):
            for _ in lines:
                await ready.acquire()
            yield list(lines)


@contextlib.asynccontextmanager
async def on_the_lan() -> AsyncIterator[list[PartyLine]]:
    lines = [LanLine(lambda event: None) for _ in range(3)]
    async with running(*lines):
        yield list(lines)


@contextlib.asynccontextmanager
async def by_two_ways() -> AsyncIterator[list[PartyLine]]:
    async with at_a_switchboard() as first, in_memory() as second:
        lines = [AllLines(pair) for pair in zip(first, second, strict=True)]
        async with running(*lines):
            yield list(lines)


@pytest.mark.parametrize("three", [in_memory, at_a_switchboard, on_the_lan, by_two_ways])
async def test_the_contract(three: Three) -> None:
    async with asyncio.timeout(PATIENT), three() as (a, b, c):
        await a.join(ONE)
        await b.join(ONE)
        await b.join(ONE)
        await c.join(TWO)
        largest = random.Random(2).randbytes(MAX_MESSAGE)
        await heard_by(a, ONE, b"first", b)
        await heard_by(a, ONE, largest, b)
        await heard_by(b, ONE, b"", a)
        await heard_by(a, TWO, b"from outside", c)
        await b.leave(ONE)
        await b.join(TWO)
        await heard_by(c, TWO, b"second", b)
        for wrong in ("", "g" * 32, ONE.upper() + "A", ONE + "\n"):
            with pytest.raises(ValueError):
                await a.send(wrong, b"")
        with pytest.raises(ValueError):
            await a.send(ONE, bytes(MAX_MESSAGE + 1))
        await a.close()
        await a.close()
        with pytest.raises(LineClosed):
            await a.receive()
        with pytest.raises(LineClosed):
            await a.send(ONE, b"x")


async def heard_by(sender: PartyLine, topic: str, message: bytes, receiver: PartyLine) -> None:
    """Send until it is heard, since a line may lose it; repeated ones are passed over."""
    receiving = asyncio.ensure_future(receiver.receive())
    while True:
        await sender.send(topic, message)
        done, _ = await asyncio.wait([receiving], timeout=0.5)
        if done:
            if receiving.result() == (topic, message):
                return
            receiving = asyncio.ensure_future(receiver.receive())


# -- at a switchboard ---------------------------------------------------------------


async def test_it_comes_back_and_is_on_its_topics_again() -> None:
    events: asyncio.Queue[MeetEvent] = asyncio.Queue()
    async with asyncio.timeout(PATIENT):
        port = free_port()
        async with switchboard(port=port) as url:
            line, other = SwitchboardLine(url, events.put_nowait), SwitchboardLine(url, lambda event: None)
            async with running(line, other):
                assert isinstance(await events.get(), PlaceReady)
                await line.join(ONE)
                await heard_by(other, ONE, b"x", line)
                line.hurry()
                assert isinstance(await events.get(), PlaceReady)
                await heard_by(other, ONE, b"y", line)
        line = SwitchboardLine(url, events.put_nowait)
        async with running(line):
            trouble = await events.get()
            assert isinstance(trouble, PlaceTrouble)
            assert "trying again" in trouble.text
            async with switchboard(port=port):
                assert isinstance(await events.get(), PlaceReady)


async def test_what_was_said_last_still_leaves() -> None:
    async with asyncio.timeout(PATIENT), at_a_switchboard() as (a, b, _):
        await b.join(ONE)
        await heard_by(a, ONE, b"x", b)
        for n in range(20):
            await a.send(ONE, bytes([n]) * 10_000)
        await a.close()
        assert isinstance(a, SwitchboardLine)
        a.hurry()  # as good as a cancelled `run`: the connection is closed
        got = [(await b.receive())[1][:1] for _ in range(20)]
        assert got == [bytes([n]) for n in range(20)]


async def test_servers_are_told_and_logins_are_renewed() -> None:
    offered: asyncio.Queue[tuple[IceServer, ...]] = asyncio.Queue()

    def tell(event: MeetEvent) -> None:
        if isinstance(event, ServersOffered):
            offered.put_nowait(event.servers)

    settings = {"stun": ("stun:s:1",), "turn_urls": ("turn:t:1",), "turn_secret": "x", "turn_ttl": 1}
    async with asyncio.timeout(PATIENT), switchboard(**settings) as url:
        line = SwitchboardLine(url, tell)
        async with running(line):
            await line.join(ONE)
            first, second = await offered.get(), await offered.get()
            assert [server.kind for server in first] == [server.kind for server in second] == ["stun", "turn"]


async def test_no_place_and_wrong_places() -> None:
    with pytest.raises(Exception, match="no place to meet"):
        async with open_places((), False, (), lambda event: None):
            pass
    with pytest.raises(Exception, match="not a URL"):
        SwitchboardLine("http://", lambda event: None)


@pytest.mark.parametrize(
    "url", ["stun:h:1", "turn:h:2?transport=udp", "turn:h:2?transport=tcp", "turns:h:3?transport=tcp", "stun:[::1]:9"]
)
def test_urls_of_servers_are_written_as_they_are_read(url: str) -> None:
    from tincan.nat.servers import parse_server

    assert server_url(parse_server(url)) == url


# -- fragments ----------------------------------------------------------------------


def test_messages_are_put_together_in_any_order() -> None:
    chance = random.Random(1)
    for size in (0, 1, CHUNK, CHUNK + 1, 5000, MAX_MESSAGE):
        message = chance.randbytes(size)
        datagrams = cut(ONE, chance.randbytes(8), message) * 2
        assert all(len(datagram) <= HEADER + CHUNK for datagram in datagrams)
        chance.shuffle(datagrams)
        assembly = Assembly()
        found = [done for datagram in datagrams if (done := assembly.add("x", datagram, 0.0)) is not None]
        assert found == [(ONE, message)]


def test_what_is_put_together_is_bounded() -> None:
    chance, assembly = random.Random(1), Assembly()
    begun = [cut(ONE, chance.randbytes(8), bytes(CHUNK * 2)) for _ in range(MAX_PARTIAL_PER_SENDER + 1)]
    for first, _ in begun:
        assembly.add("x", first, 0.0)
    assert assembly.add("x", begun[-1][1], 0.1) is None, "one too many"
    assert assembly.add("x", begun[0][1], 0.1) is not None
    later = cut(ONE, chance.randbytes(8), bytes(CHUNK * 2))
    assembly.add("x", later[0], PATIENCE + 1)
    assert assembly.add("x", later[1], PATIENCE + 1) is not None, "the old ones are forgotten"
    assert assembly.add("y", begun[1][1], 0.1) is None, "from somebody else"


@in_virtual_time
async def test_a_trouble_that_comes_and_goes_is_told_once_in_a_while() -> None:
    told: list[MeetEvent] = []
    places = Places((), told.append)
    for _ in range(100):
        for event in (PlaceReady("a"), PlaceTrouble("a", "It is full."), PlaceTrouble("b", "It is gone.")):
            places.hear("", event)
            assert event.place in places.troubles
        await asyncio.sleep(TELL_AGAIN / 101)
    troubles = [event.text for event in told if isinstance(event, PlaceTrouble)]
    assert troubles == ["It is full.", "It is gone."]
    assert told.count(PlaceReady("a")) == 100
    await asyncio.sleep(TELL_AGAIN)
    places.hear("", PlaceTrouble("a", "It is full."))
    assert told[-1] == PlaceTrouble("a", "It is full.")
    assert places.troubles == {"a": "It is full.", "b": "It is gone."}


def test_nobody_else_can_end_a_message() -> None:
    """Whoever hears its first datagram knows its number."""
    chance, assembly = random.Random(1), Assembly()
    message = chance.randbytes(3000)
    number = chance.randbytes(8)
    first, second, third = cut(ONE, number, message)
    assert assembly.add("x", first, 0.0) is None
    assert assembly.add("evil", cut(ONE, number, b"else")[0], 0.0) == (ONE, b"else")
    assert assembly.add("x", second, 0.0) is None
    assert assembly.add("x", third, 0.0) == (ONE, message)
    assert [assembly.add("x", datagram, 0.1) for datagram in (first, second, third)] == [None] * 3
    by_another_way = [assembly.add("x by IPv6", datagram, 0.1) for datagram in (first, second, third)]
    assert by_another_way == [None] * 3
    assembly.ours(number)
    assert assembly.add("y", cut(ONE, number, b"ours")[0], 0.2) is None


def test_junk_from_the_lan() -> None:
    chance, assembly = random.Random(1), Assembly()
    good = cut(ONE, chance.randbytes(8), bytes(3000))
    for _ in range(3000):
        datagram = bytearray(chance.choice(good))
        del datagram[chance.randrange(len(datagram)) :]
        for _ in range(3):
            if datagram:
                datagram[chance.randrange(len(datagram))] = chance.randrange(256)
        done = assembly.add(str(chance.randrange(3)), bytes(datagram), 0.0)
        assert done is None or len(done[1]) <= MAX_MESSAGE
