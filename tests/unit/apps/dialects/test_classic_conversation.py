"""Classic conversations: against a client and a relay that somebody else wrote, and between two of ours."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from array import array
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import pytest

from tincan.apps.call.desk import CallDesk
from tincan.apps.call.events import CallEnded, CallStarted, EndReason, SoundFlows
from tincan.apps.chat import Closed, MessageReceived, PeerHello
from tincan.apps.dialects.classic import string_code
from tincan.apps.dialects.classic_relay import classic_conversation
from tincan.apps.dialects.classic_voice import Numbering
from tincan.audio.devices import Devices
from tincan.audio.memory import MemorySound
from tincan.audio.opus import Decoder, Encoder
from tincan.audio.pcm import FRAME
from tincan.errors import NobodyCame, NoPlaceReachable, PlaceUnreachable, ProtocolError, UsageError
from tincan.link.dial import Connected
from tincan.link.interface import CloseReason
from tincan.meet.events import PeerFound, PlaceReady, Waiting
from unit.apps.dialects.classic_peer import ClassicPeer
from unit.apps.dialects.talks import Talk, talking
from unit.meet.relays import FakeRelay
from unit.switchboard.wire import switchboard

SECRET = "correct horse"
CODE = "4104d36f8da2"
QUICK = 0.02
"""Seconds between questions to the relay, which are 2 in earnest: how often is tested in virtual time."""

Mode = Literal["attach", "tap", "talk"]

TONE = array("h", [6000 if n // 60 % 2 else -6000 for n in range(48_000)])


@contextlib.asynccontextmanager
async def classic(relay: str, mode: Mode, **options: Any) -> AsyncIterator[Talk]:
    options = {"calls": no_device} | options
    async with talking(
        classic_conversation(mode=mode, secret=SECRET, relay=relay, interval=QUICK, **options)
    ) as talk:
        yield talk


def no_device(link: Any, post: Callable[[bytes], None]) -> CallDesk:
    """Whatever this machine has: no test opens a microphone."""
    return CallDesk(link, post, make_sound=lambda: MemorySound(Devices()))


def offers(relay: FakeRelay) -> bool:
    return ("string", CODE) in relay.blobs


def answers(relay: FakeRelay) -> bool:
    return ("knot-tie", CODE) in relay.blobs


# -- a client that others wrote --------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "label", "ordered", "retransmits", "first"),
    [
        ("attach", "tin-can:text", True, None, None),
        ("tap", "tin-can:text", True, None, "::tap"),
        ("talk", "tin-can:voice", False, 0, "::talk"),
    ],
)
async def test_we_offer(mode: Mode, label: str, ordered: bool, retransmits: int | None, first: str | None) -> None:
    async with FakeRelay.started() as relay, ClassicPeer.there() as peer, classic(relay.url, mode) as talk:
        assert (await talk.hear(Waiting)).code == CODE == string_code(SECRET)
        await relay.has(offers)
        relay.blobs["knot-tie", CODE] = await peer.answer(relay.blobs["string", CODE])
        channel = await peer.opened()
        assert (channel.label, channel.ordered, channel.maxRetransmits) == (label, ordered, retransmits)
        assert channel.protocol == ""
        if first is not None:
            assert await peer.heard() == first
        connected = await talk.hear(Connected)
        assert connected.place == relay.url.split("/")[2]
        await talk.conversation.send("Hi, you!")
        assert await peer.heard() == ".... .. --..-- / -.-- --- ..- -.-.--"
        await peer.say("-.-- . ...")
        assert (await talk.hear(MessageReceived)).text == "YES"
        if mode == "attach":
            await talk.conversation.send("tap")
            assert await peer.heard() == "::tap"
        await talk.hang_up()
        assert await peer.heard() is None
        assert (await talk.hear(Closed)).reason is CloseReason.LOCAL
        asked = [(method, url) for method, url, _ in relay.requests]
        assert asked[:4] == [
            ("GET", f"/api/string?code={CODE}"),  # is there an offer?
            ("GET", f"/api/knot-tie?code={CODE}"),  # is there a stale answer?
            ("GET", f"/api/string?code={CODE}"),  # did somebody come meanwhile?
            ("PUT", f"/api/string?code={CODE}"),
        ]
        assert asked[-1] == ("GET", f"/api/knot-tie?code={CODE}")
        assert [method for method, _ in asked].count("PUT") == 1


@pytest.mark.parametrize(
    ("mode", "label", "first"),
    [("attach", "tin-can:text", None), ("tap", "tin-can:text", "::tap"), ("talk", "tin-can:voice", "::talk")],
)
async def test_we_answer(mode: Mode, label: str, first: str | None) -> None:
    async with FakeRelay.started() as relay, ClassicPeer.there() as peer:
        relay.blobs["string", CODE] = await peer.offer(label)
        async with classic(relay.url, mode) as talk:
            await relay.has(answers)
            await peer.take_answer(relay.blobs["knot-tie", CODE])
            await talk.hear(Connected)
            if first is not None:
                assert await peer.heard() == first
            await peer.say("::talk")
            assert (await talk.hear(PeerHello)).agent == "classic tin-can, talk"
            await peer.say(b"\xf8\xff\xfe")
            await peer.say("... --- ...")
            assert (await talk.hear(MessageReceived)).text == "SOS"
            await talk.conversation.send("ok")
            assert await peer.heard() == "--- -.-"
            await peer.connection.close()
            assert (await talk.hear(Closed)).reason is CloseReason.PEER
        assert [(method, url) for method, url, _ in relay.requests] == [
            ("GET", f"/api/string?code={CODE}"),
            ("PUT", f"/api/knot-tie?code={CODE}"),
        ]


async def test_talking_is_bare_opus_both_ways() -> None:
    sound = MemorySound()
    made = functools.partial(CallDesk, make_sound=lambda: sound)
    async with FakeRelay.started() as relay, ClassicPeer.there() as peer:
        relay.blobs["string", CODE] = await peer.offer("tin-can:voice")
        async with classic(relay.url, "talk", calls=made) as talk:
            await relay.has(answers)
            await peer.take_answer(relay.blobs["knot-tie", CODE])
            await talk.hear(SoundFlows)
            sound.speak(TONE * 20)
            encoder, decoder = Encoder(), Decoder()
            async with asyncio.timeout(120):
                while not any(max(piece) > 3000 for piece in sound.played):
                    await peer.say(encoder.encode(TONE[:FRAME]))
                    await asyncio.sleep(0.02)
                while len(peer.packets) < 50:
                    await asyncio.sleep(0.02)
            heard = [decoder.decode(packet) for packet in peer.packets]
            assert {len(pcm) for pcm in heard} == {FRAME}
            assert max(max(pcm) for pcm in heard) > 3000
            for rubbish in (b"", b"\xff", bytes(2000)):
                await peer.say(rubbish)
            await peer.say("... --- ...")
            assert (await talk.hear(MessageReceived)).text == "SOS"
            calls = talk.conversation.calls
            assert calls is not None
            calls.hang_up()
            assert (await talk.hear(CallEnded)).reason is EndReason.LOCAL
            calls.call()
            await talk.hear(CallStarted)
            await peer.connection.close()
            assert (await talk.hear(CallEnded)).reason is EndReason.LOST


def test_a_packet_gets_its_place_in_time_from_when_it_came() -> None:
    numbering = Numbering()
    assert [numbering.next(now) for now in (5.0, 5.05, 5.051, 5.06)] == [(1, 0), (2, 960), (3, 1920), (4, 2880)]
    sequence, timestamp = numbering.next(6.0)  # after a pause
    assert sequence == 5
    assert 48_000 - 960 < timestamp <= 48_000


# -- two of ours, through our switchboard ----------------------------------------------


@contextlib.asynccontextmanager
async def two(first: Mode = "attach", second: Mode = "tap") -> AsyncIterator[tuple[Talk, Talk, str]]:
    async with switchboard() as url:
        relay = url.replace("ws://", "http://")
        async with classic(relay, first) as a:
            await a.hear(PlaceReady)
            async with classic(relay, second) as b:
                yield a, b, relay


async def converse(a: Talk, b: Talk) -> None:
    await a.hear(Connected)
    await b.hear(Connected)
    await a.conversation.send("marco")
    assert (await b.hear(MessageReceived)).text == "MARCO"
    await b.conversation.send("polo?")
    assert (await a.hear(MessageReceived)).text == "POLO?"


@pytest.mark.parametrize("modes", [("attach", "tap"), ("tap", "tap"), ("talk", "attach")])
async def test_two_of_ours(modes: tuple[Mode, Mode]) -> None:
    async with two(*modes) as (a, b, _):
        await converse(a, b)
        await a.hang_up()
        assert (await b.hear(Closed)).reason is CloseReason.PEER


async def test_two_that_come_at_the_same_moment() -> None:
    async with switchboard() as url:
        relay = url.replace("ws://", "http://")
        async with classic(relay, "tap") as a, classic(relay, "tap") as b:
            await converse(a, b)


async def test_the_same_secret_again_at_once() -> None:
    async with two() as (a, b, relay):
        await converse(a, b)
        async with classic(relay, "attach") as c, classic(relay, "tap") as d:
            await converse(c, d)


# -- what goes wrong --------------------------------------------------------------------


async def test_an_offer_that_is_no_offer() -> None:
    async with FakeRelay.started() as relay, ClassicPeer.there() as peer:
        offer = await peer.offer("tin-can:text")
        async with ClassicPeer.there() as other:
            wrong_kind = await other.answer(offer)
        for blob in ("!!!", "bm9uc2Vuc2U", wrong_kind):
            relay.blobs["string", CODE] = blob
            async with classic(relay.url, "tap") as talk:
                assert (await talk.fails(ProtocolError)).exit_code == 8


async def test_an_answer_that_is_no_answer() -> None:
    async with FakeRelay.started() as relay, classic(relay.url, "attach") as talk:
        await relay.has(offers)
        relay.blobs["knot-tie", CODE] = relay.blobs["string", CODE]
        assert "an answer is needed" in str(await talk.fails(ProtocolError))


async def test_relays_that_are_of_no_use() -> None:
    from aiohttp import web

    async with FakeRelay.started() as relay:
        for status in (401, 404):
            relay.override = lambda request, status=status: web.Response(status=status)  # type: ignore[misc]
            async with classic(relay.url, "attach") as talk:
                assert (await talk.fails(PlaceUnreachable)).exit_code == 3
        relay.override = lambda request: web.Response(status=500)
        async with classic(relay.url, "attach", timeout=0.1) as talk:
            assert (await talk.fails(NoPlaceReachable)).exit_code == 3
        relay.override, relay.hang = lambda request: None, True
        async with classic(relay.url, "attach", timeout=0.1) as talk:
            assert (await talk.fails(NoPlaceReachable)).exit_code == 3


async def test_nobody_comes() -> None:
    async with FakeRelay.started() as relay, classic(relay.url, "attach", timeout=2) as talk:
        assert (await talk.fails(NobodyCame)).exit_code == 4


async def test_a_peer_that_closes_before_the_channel_is_open() -> None:
    async with FakeRelay.started() as relay, ClassicPeer.there() as peer:
        relay.blobs["string", CODE] = await peer.offer("something:else")
        async with classic(relay.url, "tap") as talk:
            await relay.has(answers)
            await peer.take_answer(relay.blobs["knot-tie", CODE])
            await talk.hear(PeerFound)
            await peer.opened()
            await peer.connection.close()
            # Whatever that was, it is gone: we wait for somebody else.
            del relay.blobs["string", CODE]
            await relay.has(offers)


@pytest.mark.parametrize("options", [{"secret": " "}, {"relay": "ftp://x"}, {"secret": "\udcff"}])
def test_what_cannot_be_is_told_before_anything_starts(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        classic_conversation(**({"mode": "tap", "secret": SECRET, "relay": "http://x/api"} | options))  # type: ignore[arg-type]


async def test_leaving_while_waiting_leaves_nothing_behind() -> None:
    async with FakeRelay.started() as relay:
        async with classic(relay.url, "attach"):
            await relay.has(offers)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not {task.get_name() for task in others if "conversation" in task.get_name()}
