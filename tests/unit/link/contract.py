"""What every pair of links must do, whatever carries them.

A test class for an implementation inherits `LinkContract` and says how a pair
is made. Each behaviour is tried from both sides, by the `sides` fixture. Every
wait is bounded, because a real link that breaks its contract tends to hang.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import AsyncIterator

import pytest

from tincan.link.interface import CONTROL_LABEL, MAX_CHANNEL_MESSAGE, ChannelClosed, CloseReason, Link

WITHIN = 120.0
"""Seconds that any single behaviour may take; far more than needed, so that only a hang fails."""


class LinkContract(abc.ABC):
    """Inherit, name the class ``Test...``, and implement `pair`."""

    @abc.abstractmethod
    async def pair(self) -> tuple[Link, Link]:
        """Return two connected links."""

    @pytest.fixture(params=["first", "second"])
    async def sides(self, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Link, Link]]:
        """Both ends, in both orders."""
        first, second = await self.pair()
        yield (first, second) if request.param == "first" else (second, first)
        async with asyncio.timeout(WITHIN):
            await first.close()
            await second.close()

    async def test_control_is_there_from_the_start(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        assert near.control.label == far.control.label == CONTROL_LABEL
        assert near.status.rtt is None or near.status.rtt >= 0

    async def test_control_carries_both_ways(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            await near.control.send(b"ping")
            assert await far.control.receive() == b"ping"
            await far.control.send(b"pong")
            assert await near.control.receive() == b"pong"

    async def test_messages_keep_order_and_boundaries(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        messages = [bytes([number % 256]) * (number * 7 % 300) + b"." for number in range(300)]

        async def send() -> None:
            for message in messages:
                await near.control.send(message)

        async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as group:
            group.create_task(send())
            assert [await far.control.receive() for _ in messages] == messages

    async def test_the_longest_message_arrives(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        message = bytes(range(256)) * (MAX_CHANNEL_MESSAGE // 256)
        assert len(message) == MAX_CHANNEL_MESSAGE
        async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as group:
            group.create_task(near.control.send(message))
            assert await far.control.receive() == message

    async def test_a_longer_message_is_refused_and_harms_nothing(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            with pytest.raises(ValueError):
                await near.control.send(bytes(MAX_CHANNEL_MESSAGE + 1))
            await near.control.send(b"next")
            assert await far.control.receive() == b"next"

    async def test_more_channels(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            first = await near.open_channel("one")
            second = await near.open_channel("two")
            accepted = {channel.label: channel for channel in [await far.accept_channel() for _ in range(2)]}
            await second.send(b"by the second")
            await first.send(b"by the first")
            await accepted["one"].send(b"back")
            assert await accepted["one"].receive() == b"by the first"
            assert await accepted["two"].receive() == b"by the second"
            assert await first.receive() == b"back"

    async def test_both_sides_open_a_channel_of_the_same_name(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            opened_near, opened_far = await asyncio.gather(near.open_channel("x"), far.open_channel("x"))
            await opened_near.send(b"from near")
            await opened_far.send(b"from far")
            assert await (await far.accept_channel()).receive() == b"from near"
            assert await (await near.accept_channel()).receive() == b"from far"

    async def test_closing_a_channel_leaves_the_link(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            ours = await near.open_channel("short")
            theirs = await far.accept_channel()
            await ours.send(b"last")
            await ours.close()
            await ours.close()
            assert await theirs.receive() == b"last"
            with pytest.raises(ChannelClosed):
                await theirs.receive()
            with pytest.raises(ChannelClosed):
                await theirs.send(b"too late")
            with pytest.raises(ChannelClosed):
                await ours.send(b"too late")
            await far.control.send(b"still here")
            assert await near.control.receive() == b"still here"

    async def test_both_sides_learn_the_reason(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            await near.close()
            await near.close()
            assert await near.wait_closed() is CloseReason.LOCAL
            assert await far.wait_closed() is CloseReason.PEER
            await far.close()
            assert await far.wait_closed() is CloseReason.PEER

    async def test_nothing_works_after_the_end(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            extra = await near.open_channel("extra")
            await far.accept_channel()
            await near.close()
            await far.wait_closed()
            for link in (near, far):
                with pytest.raises(ChannelClosed):
                    await link.control.send(b"too late")
                with pytest.raises(ChannelClosed):
                    await link.control.receive()
                with pytest.raises(ChannelClosed):
                    await link.open_channel("too late")
                with pytest.raises(ChannelClosed):
                    await link.accept_channel()
            with pytest.raises(ChannelClosed):
                await extra.send(b"too late")

    async def test_whoever_waits_is_told_of_the_end(self, sides: tuple[Link, Link]) -> None:
        async with asyncio.timeout(WITHIN):
            waiting = [
                asyncio.create_task(coroutine)
                for link in sides
                for coroutine in (link.control.receive(), link.accept_channel())
            ]
            await sides[0].close()
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [ChannelClosed] * 4

    async def test_what_was_sent_before_the_close_still_arrives(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        messages = [b"%d" % number for number in range(10)]
        async with asyncio.timeout(WITHIN):
            for message in messages:
                await near.control.send(message)
            await near.close()
            assert [await far.control.receive() for _ in messages] == messages
            with pytest.raises(ChannelClosed):
                await far.control.receive()

    async def test_drain_returns_once_sent_and_after_the_end(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            await near.control.drain()
            await near.control.send(b"something")
            await near.control.drain()
            assert await far.control.receive() == b"something"
            await far.close()
            await near.wait_closed()
            await near.control.drain()
            await far.control.drain()

    async def test_media_goes_both_ways(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        heard: dict[str, asyncio.Queue[bytes]] = {"near": asyncio.Queue(), "far": asyncio.Queue()}
        here, there = near.media(heard["near"].put_nowait), far.media(heard["far"].put_nowait)
        async with asyncio.timeout(WITHIN):
            for packet in (rtp_packet(1), rtcp_packet()):
                here.send(packet)
                assert await heard["far"].get() == packet
                there.send(packet)
                assert await heard["near"].get() == packet

    async def test_media_that_nobody_hears_is_lost(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        early: list[bytes] = []
        far.media(early.append).close()
        here = near.media(lambda _: None)
        here.send(rtp_packet(1))
        async with asyncio.timeout(WITHIN):
            await near.control.send(b"after that")
            assert await far.control.receive() == b"after that"
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        far.media(heard.put_nowait)
        async with asyncio.timeout(WITHIN):
            here.send(rtp_packet(2))
            assert await heard.get() == rtp_packet(2)
        assert early == []

    async def test_media_that_cannot_be_sent_is_no_error(self, sides: tuple[Link, Link]) -> None:
        near, far = sides
        here, heard = near.media(lambda _: None), far.media(lambda _: None)
        here.send(b"")
        here.send(b"\x80")
        here.send(rtp_packet(1) + bytes(5000))
        heard.close()
        heard.close()
        async with asyncio.timeout(WITHIN):
            await far.close()
            await near.close()
        here.send(rtp_packet(2))


def rtp_packet(number: int, source: int = 7) -> bytes:
    """A packet that libsrtp takes for RTP."""
    return b"\x80\x6f" + number.to_bytes(2, "big") + bytes(4) + source.to_bytes(4, "big") + b"sound"


def rtcp_packet(source: int = 7) -> bytes:
    """An empty receiver report."""
    return b"\x80\xc9\x00\x01" + source.to_bytes(4, "big")
