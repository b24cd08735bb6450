"""A peer that knows the phrase and breaks the rules of streams, against a real `pipe`."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from security.pipes import Mallory, cancelled, feed, piping
from tincan.apps.greeting import Received, encode
from tincan.link.interface import ChannelClosed
from tincan.link.lanes import WINDOW, More, NoOffer, Offer, punching
from tincan.link.streams import PREFIX
from tincan.link.tls import fresh_certificate

PATIENCE = 120.0
MIB = 2**20
ENOUGH = 64 * MIB
LINE = b"a line of what is carried\n"
NO_OFFER = punching(NoOffer())
DATA, CREDIT, SWITCH, EOF = b"\x00", b"\x01", b"\x02", b"\x03"


async def completes(mallory: Mallory) -> None:
    """In spite of it all a good transfer goes to its end."""
    await mallory.channel.send(DATA + LINE)
    await mallory.channel.send(EOF)
    mallory.victim.end_input()
    while (await mallory.channel.receive())[:1] != EOF:
        pass
    await mallory.link.control.send(encode(Received(0)))
    assert await mallory.victim.ended() == 0, mallory.victim.report()
    assert mallory.victim.stdout == LINE


async def test_a_peer_that_never_reads_does_not_fill_the_memory() -> None:
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        await mallory.channel.send(NO_OFFER)
        before = mallory.victim.memory()
        feeding = asyncio.create_task(feed(mallory.victim, bytes(MIB)))
        await asyncio.wait([feeding], timeout=2)
        assert mallory.victim.memory() < before + ENOUGH
        received = 0
        while received < WINDOW:
            message = await mallory.channel.receive()
            received += len(message) - 1 if message[:1] == DATA else 0
        assert received == WINDOW
        with pytest.raises(TimeoutError):  # and no more comes
            async with asyncio.timeout(0.5):
                await mallory.channel.receive()
        await cancelled(feeding)
        await mallory.link.close()
        await mallory.victim.fails(8)


async def breaks(mallory: Mallory) -> str:
    """The stream is closed, and the victim ends with one sentence, and without having grown."""
    sentence = await mallory.victim.fails(8)
    assert mallory.victim.peak < 200 * MIB
    return sentence


@pytest.mark.parametrize(
    "message",
    [
        punching(More([("192.0.2.1", 40000)] * 16)),
        punching(Offer(bytes(32), fresh_certificate().der, [])),
        NO_OFFER,
        CREDIT + (1).to_bytes(4, "big"),
        SWITCH,
        EOF,
    ],
    ids=["addresses", "offers", "refusals", "credits", "switches", "ends"],
)
async def test_whatever_is_said_without_end_ends_the_stream(message: bytes) -> None:
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        await mallory.channel.send(NO_OFFER)
        await mallory.flood(message)
        await mallory.closed()
        await mallory.link.close()
        await breaks(mallory)


@pytest.mark.parametrize(
    "messages",
    [
        [DATA],
        [SWITCH, SWITCH],
        [NO_OFFER, SWITCH],
        [CREDIT + b"\xff" * 4],
        [b"\x04" + b"\xc1"],
        [b"\x04" + b"\x91" * 60_000],
    ],
    ids=["no data", "two switches", "no path", "credit", "no offer", "nested"],
)
async def test_what_breaks_the_rules_ends_with_one_sentence(messages: list[bytes]) -> None:
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        with contextlib.suppress(ChannelClosed):
            for message in messages:
                await mallory.channel.send(message)
        await breaks(mallory)


async def test_unknown_messages_and_notes_are_only_work() -> None:
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        await mallory.channel.send(NO_OFFER)
        for number in range(2000):
            await mallory.channel.send(bytes([5 + number % 251]) + bytes(100))
            await mallory.link.control.send(bytes([number % 256]) * 50)
        await completes(mallory)


async def test_streams_that_nobody_asked_for_are_closed() -> None:
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        await mallory.channel.send(NO_OFFER)
        for label in ("files", "forward", "pipe"):
            channel = await mallory.link.open_channel(PREFIX + label)
            if label != "pipe":
                with pytest.raises(ChannelClosed):
                    await channel.receive()
        await completes(mallory)


@pytest.mark.parametrize("claim", [0, 1, 2**62])
async def test_a_false_receipt_is_no_success(claim: int) -> None:
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        await mallory.channel.send(NO_OFFER)
        await mallory.victim.say(b"hello")
        mallory.victim.end_input()
        while (await mallory.channel.receive())[:1] != EOF:
            pass
        await mallory.channel.send(EOF)
        for _ in range(3):
            await mallory.link.control.send(encode(Received(claim)))
        assert "did not get everything" in await breaks(mallory)


async def test_a_peer_that_ends_and_goes_is_noticed_though_nothing_is_typed() -> None:
    async with asyncio.timeout(PATIENCE), piping() as mallory:
        await mallory.channel.send(NO_OFFER)
        await mallory.channel.send(EOF)
        await mallory.link.close()
        await breaks(mallory)
