"""Streams of a link: on a channel at once, over to TCP with everything in flight, and broken when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from tincan.link.interface import Channel, ChannelClosed, CloseReason, Path, Stream, StreamBroken
from tincan.link.lanes import PIECE, WINDOW, More, NoOffer, Offer, punching
from tincan.link.memory import MemoryChannel, MemoryLink
from tincan.link.punch import Patience, Punching
from tincan.link.streams import FAREWELL, MAX_WAITING, PREFIX, SMALL, LinkStream, Streams
from tincan.link.tls import fresh_certificate
from tincan.meet.mailbox import Side
from unit.link.pairs import only_the_test_is_left
from unit.link.stream_contract import MIB, WITHIN, StreamContract
from unit.link.stream_pairs import HERE, linked, open_files, read_all, some_bytes, write_all, write_without_end
from virtualtime import in_virtual_time

QUICK = Punching(
    port_mapping=False,
    rng=random.Random(5),
    patience=Patience(tapping=0.3, attaching=0.4, proof=0.1, nomination=0.2),
)
CERTIFICATE = fresh_certificate().der
SWITCH, EOF = b"\x02", b"\x03"

ways = pytest.mark.parametrize("tcp", [False, True], ids=["channel", "tcp"])
both_ends = pytest.mark.parametrize("first", [0, 1], ids=["near", "far"])


class TestOnTheChannel(StreamContract):
    @contextlib.asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Stream, Stream]]:
        async with linked() as cans:
            yield await cans.stream()


class TestByTcp(StreamContract):
    @contextlib.asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Stream, Stream]]:
        async with linked(HERE, HERE) as cans:
            yield await cans.by_tcp()


class TestOnTheWay(StreamContract):
    """Used from the first moment, while the path is being punched."""

    @contextlib.asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Stream, Stream]]:
        async with linked(HERE, HERE) as cans:
            yield await cans.stream()


@contextlib.asynccontextmanager
async def one_evil(settings: Punching = QUICK) -> AsyncIterator[tuple[LinkStream, Channel, MemoryLink]]:
    """A stream whose other end is a bare channel in the hands of the test, and that end's link."""
    near, far = MemoryLink.pair()
    async with Streams(near, Side.ATTACH, frozenset({"test"}), settings) as streams:
        stream = await streams.open("test")
        yield stream, await far.accept_channel(), far
    await only_the_test_is_left()


# -- moving over ------------------------------------------------------------------------------


async def test_it_starts_on_the_channel_at_once() -> None:
    async with asyncio.timeout(WITHIN), linked(HERE, HERE) as cans:
        near, far = await cans.stream()
        await near.write(b"at once")
        assert not near.by_tcp
        assert bytes(await far.read(100)) == b"at once"


@pytest.mark.parametrize("seed", range(6))
async def test_it_moves_over_with_megabytes_in_flight(seed: int) -> None:
    before = open_files()
    there, back = some_bytes(seed, 6 * MIB), some_bytes(seed + 100, 4 * MIB)
    async with asyncio.timeout(WITHIN), linked(HERE, HERE) as cans:
        near, far = await cans.stream()
        async with asyncio.TaskGroup() as group:
            group.create_task(write_all(near, there, seed, largest=60_000))
            group.create_task(write_all(far, back, seed + 1, largest=60_000))
            got_there = group.create_task(read_all(far, seed + 2))
            got_back = group.create_task(read_all(near, seed + 3))
        assert got_there.result() == there
        assert got_back.result() == back
        assert near.by_tcp
        assert far.by_tcp
        assert near.path is far.path is Path.LAN
    await only_the_test_is_left()
    assert open_files() <= before


async def test_much_waits_for_the_path_and_little_does_not() -> None:
    settings = dataclasses.replace(HERE, patience=Patience(writing=WITHIN))
    data = some_bytes(1, MIB)
    async with asyncio.timeout(WITHIN), linked(settings, settings) as cans:
        near, far = await cans.stream()
        carried = 0

        def count(_: str, message: bytes) -> bytes:
            nonlocal carried
            carried += len(message)
            return message

        cans.near_link.alter = count
        writing = asyncio.create_task(write_all(near, data, 1, largest=MIB))
        assert await read_all(far, 2) == data
        await writing
        assert near.by_tcp
    assert SMALL <= carried < SMALL + PIECE


@both_ends
async def test_one_that_does_not_punch_keeps_both_on_the_channel(first: int) -> None:
    settings = [HERE, None] if first else [None, HERE]
    async with asyncio.timeout(WITHIN), linked(*settings) as cans:
        near, far = await cans.stream()
        async with asyncio.timeout(10):  # less than the patience with a path that does not come about
            await asyncio.gather(near.settled(), far.settled())
        assert not near.by_tcp
        assert not far.by_tcp
        data = some_bytes(1, MIB)
        writing = asyncio.create_task(write_all(near, data, 1))
        assert await read_all(far) == data
        await writing


async def test_without_a_path_it_goes_on_on_the_channel() -> None:
    data = some_bytes(1, 2 * MIB)
    async with asyncio.timeout(WITHIN), linked(QUICK, QUICK) as cans:
        for link in (cans.near_link, cans.far_link):
            link.alter = lambda _, m: punching(Offer(bytes(32), CERTIFICATE, [])) if b"addresses" in m else m
        near, far = await cans.stream()
        writing = asyncio.create_task(write_all(near, data, 1))
        reading = asyncio.create_task(read_all(far))
        await asyncio.gather(near.settled(), far.settled())
        assert not near.by_tcp
        assert not far.by_tcp
        assert await reading == data
        await writing
        await far.write(b"back")
        assert bytes(await near.read(10)) == b"back"


async def test_many_streams_of_one_link_do_not_mix() -> None:
    async with asyncio.timeout(WITHIN), linked(HERE, HERE) as cans:
        pairs = [await cans.stream() for _ in range(5)]
        contents = [some_bytes(number, 300_000) for number in range(5)]
        async with asyncio.TaskGroup() as group:
            for (near, _), content in zip(pairs, contents, strict=True):
                group.create_task(write_all(near, content, 1))
            reading = [group.create_task(read_all(far)) for _, far in pairs]
        assert [task.result() for task in reading] == contents


# -- the end ----------------------------------------------------------------------------------


@ways
@both_ends
async def test_a_link_that_is_lost_breaks_both_ends_soon(tcp: bool, first: int) -> None:
    async with asyncio.timeout(WITHIN), linked(*([HERE, HERE] if tcp else [])) as cans:
        streams = await (cans.by_tcp() if tcp else cans.stream())
        using = [asyncio.create_task(use) for s in streams for use in (read_all(s), write_without_end(s, 100_000))]
        await asyncio.wait(using, timeout=0.1)
        link = (cans.near_link, cans.far_link)[first]
        link.vanish()
        # Whose own link ended as a local one is told by the peer, whose link was lost.
        async with asyncio.timeout(60):
            results = await asyncio.gather(*using, return_exceptions=True)
        assert [type(result) for result in results] == [StreamBroken] * 4
        for stream in streams:
            with pytest.raises(StreamBroken):
                await stream.write(b"x")


async def test_a_link_that_is_lost_in_the_middle_of_punching() -> None:
    async with asyncio.timeout(WITHIN), one_evil(HERE) as (stream, channel, link):
        await channel.send(punching(Offer(bytes(32), CERTIFICATE, [])))
        await channel.send(SWITCH)
        reading = asyncio.create_task(stream.read(10))
        await asyncio.wait([reading], timeout=0.05)
        link.vanish()
        async with asyncio.timeout(10):  # less than the patience of punching
            await asyncio.wait([reading])
            await stream.settled()
        assert isinstance(reading.exception(), StreamBroken)


@ways
async def test_a_link_closed_in_good_order_leaves_the_rest_readable(tcp: bool) -> None:
    data = some_bytes(1, 200_000)
    async with asyncio.timeout(WITHIN), linked(*([HERE, HERE] if tcp else [])) as cans:
        near, far = await (cans.by_tcp() if tcp else cans.stream())
        await far.write_eof()
        assert await read_all(near) == b""
        await near.write(data)
        await near.write_eof()
        await near.close()
        await cans.near_link.close()
        assert await cans.far_link.wait_closed() is CloseReason.PEER
        assert await read_all(far) == data


@ways
async def test_a_link_closed_before_the_end_breaks_it(tcp: bool) -> None:
    async with asyncio.timeout(WITHIN), linked(*([HERE, HERE] if tcp else [])) as cans:
        near, far = await (cans.by_tcp() if tcp else cans.stream())
        await near.write(b"half")
        await near.close()
        await cans.near_link.close()
        with pytest.raises(StreamBroken):
            await read_all(far)


@ways
async def test_closing_while_writing(tcp: bool) -> None:
    async with asyncio.timeout(WITHIN), linked(*([HERE, HERE] if tcp else [])) as cans:
        near, far = await (cans.by_tcp() if tcp else cans.stream())
        writing = asyncio.create_task(write_without_end(near, 100_000))
        await asyncio.wait([writing], timeout=0.1)
        await near.close()
        [result] = await asyncio.gather(writing, return_exceptions=True)
        assert type(result) is StreamBroken
        with pytest.raises(StreamBroken):
            await read_all(far)


async def test_closed_at_any_moment_of_punching_it_leaves_nothing() -> None:
    before = open_files()
    for milliseconds in (0, 1, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40, 60):
        async with asyncio.timeout(WITHIN), linked(HERE, HERE) as cans:
            near, far = await cans.stream()
            await asyncio.sleep(milliseconds / 1000)
            await asyncio.gather(near.close(), far.close())
        await only_the_test_is_left()
        assert open_files() <= before


# -- accepting --------------------------------------------------------------------------------


async def closed_soon(channel: Channel) -> None:
    """The peer wants nothing of it."""
    async with asyncio.timeout(WITHIN):
        with contextlib.suppress(ChannelClosed):
            while True:
                await channel.receive()


@pytest.mark.parametrize("label", ["stream:other", "stream:", "test", "other:test", "stream:stream:test", ""])
async def test_a_channel_for_nothing_known_is_closed(label: str) -> None:
    async with asyncio.timeout(WITHIN), linked() as cans:
        await closed_soon(await cans.near_link.open_channel(label))
        near, far = await cans.stream()  # which harms nothing
        await near.write(b"x")
        assert bytes(await far.read(1)) == b"x"


async def test_too_many_streams_that_nobody_takes_are_closed() -> None:
    async with asyncio.timeout(WITHIN), linked() as cans:
        streams = [await cans.near_streams.open("test") for _ in range(MAX_WAITING + 3)]
        for stream in streams[MAX_WAITING:]:
            with pytest.raises(StreamBroken):
                await stream.read(1)
        for stream in streams[:MAX_WAITING]:
            await stream.write(b"waited")
            assert bytes(await (await cans.far_streams.accept("test")).read(100)) == b"waited"


async def test_accepting_ends_with_the_link() -> None:
    async with asyncio.timeout(WITHIN), linked() as cans:
        accepting = asyncio.create_task(cans.far_streams.accept("test"))
        await asyncio.sleep(0)
        await cans.near_link.close()
        for attempt in (accepting, cans.far_streams.accept("test"), cans.far_streams.open("test")):
            with pytest.raises(ChannelClosed):
                await attempt


class Unheard(MemoryChannel):
    """A channel whose peer acknowledges nothing any more."""

    async def close(self) -> None:
        await asyncio.Event().wait()


class Silent(MemoryLink):
    """A link to a peer that has just gone."""

    async def open_channel(self, label: str) -> MemoryChannel:
        channel = await super().open_channel(label)
        channel.__class__ = Unheard
        return channel


@in_virtual_time
async def test_streams_to_a_peer_that_is_silent_take_leave_together() -> None:
    """Whoever wants to leave does not wait for each of them."""
    near, _ = Silent.pair()
    async with Streams(near, Side.ATTACH, frozenset({"test"}), None) as streams:
        for _ in range(8):
            await streams.open("test")
    assert asyncio.get_running_loop().time() <= FAREWELL


# -- back-pressure ----------------------------------------------------------------------------


async def test_a_reader_that_stalls_does_not_hold_up_the_link() -> None:
    async with asyncio.timeout(WITHIN), linked(capacity=4) as cans:
        near, far = await cans.stream()
        writing = asyncio.create_task(write_all(near, bytes(4 * WINDOW), 1))
        await asyncio.wait([writing], timeout=0.1)
        assert not writing.done()
        await cans.near_link.control.send(b"past it")
        assert await cans.far_link.control.receive() == b"past it"
        other, accepted = await cans.stream()
        await other.write(b"beside it")
        assert bytes(await accepted.read(100)) == b"beside it"
        assert len(await read_all(far)) == 4 * WINDOW
        await writing


async def test_the_smallest_pieces_take_no_more_memory_than_the_window() -> None:
    """A byte in a message of its own costs forty as an object: they are kept together."""
    async with asyncio.timeout(WITHIN), one_evil() as (stream, channel, _):
        await channel.send(punching(NoOffer()))
        await stream.settled()
        tracemalloc.start()
        try:
            for _ in range(40_000):
                await channel.send(b"\x00x")
            assert tracemalloc.get_traced_memory()[0] < MIB
        finally:
            tracemalloc.stop()
        assert len(await stream.read(MIB)) == PIECE


# -- peers that break the rules ---------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [b"\x00"],
        [EOF, b"\x00x"],
        [SWITCH, EOF],
        [b"\x01\x00\x00\x00\x05"],
        [b"\x04junk"],
        [b"\x00" + bytes(PIECE)] * (WINDOW // PIECE + 1),
    ],
    ids=["empty", "after the end", "two ends", "credit", "offer", "too much"],
)
async def test_what_breaks_the_rules_breaks_the_stream_and_nothing_else(messages: list[bytes]) -> None:
    async with asyncio.timeout(WITHIN), one_evil() as (stream, channel, link):
        with contextlib.suppress(ChannelClosed):
            for message in messages:
                await channel.send(message)
        await closed_soon(channel)
        with pytest.raises(StreamBroken):
            await write_without_end(stream)
        again = await link.open_channel(PREFIX + "test")
        await again.send(punching(NoOffer()))


async def test_a_switch_to_a_path_that_is_not_there_breaks_it() -> None:
    async with asyncio.timeout(WITHIN), one_evil() as (stream, channel, _):
        await channel.send(punching(NoOffer()))
        await channel.send(b"\x00before")
        await channel.send(SWITCH)
        assert bytes(await stream.read(100)) == b"before"
        with pytest.raises(StreamBroken):
            await stream.read(100)


async def test_a_switch_without_any_offer_does_not_outlive_the_channel() -> None:
    async with asyncio.timeout(WITHIN), one_evil(HERE) as (stream, channel, _):
        await channel.send(SWITCH)
        reading = asyncio.create_task(stream.read(100))
        await asyncio.wait([reading], timeout=0.05)
        await channel.close()
        async with asyncio.timeout(10):  # less than the patience of punching
            await asyncio.wait([reading])
        assert isinstance(reading.exception(), StreamBroken)


async def offer_without_end(channel: Channel) -> None:
    while True:
        await channel.send(punching(More([("192.0.2.1", 40000)])))


@pytest.mark.parametrize("first", [NoOffer(), More([]), Offer(bytes(32), CERTIFICATE, [])])
async def test_offers_without_end_break_it(first: Offer | More | NoOffer) -> None:
    """Once nobody is punching any more there is no use for them, and no room."""
    async with asyncio.timeout(WITHIN), one_evil() as (stream, channel, _):
        await channel.send(punching(first))
        await stream.settled()
        with pytest.raises(ChannelClosed):
            await offer_without_end(channel)


async def test_a_peer_that_vanishes_without_an_offer_settles_it() -> None:
    async with asyncio.timeout(WITHIN), one_evil(HERE) as (stream, channel, _):
        await channel.send(b"\x00last")
        await channel.close()
        async with asyncio.timeout(10):  # less than the patience of punching
            await stream.settled()
        assert bytes(await stream.read(100)) == b"last"
        with pytest.raises(StreamBroken):
            await stream.read(100)
