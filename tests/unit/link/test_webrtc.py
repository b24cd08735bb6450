"""The real link: two of them in one process, over the addresses of this machine.

Where a test needs a peer that breaks the rules, one end reaches below its own
surface (`say`, `say_chunk`); what is judged is the other end, by its surface.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from tincan.errors import AuthenticationFailed, NoPath, UsageError
from tincan.link.datachannel import SEND_BUFFER
from tincan.link.interface import ChannelClosed, CloseReason, Link, Path
from tincan.link.sctp import MAX_CHANNELS
from tincan.link.srtp import MAX_SOURCES
from tincan.link.webrtc import OWN_CHANNELS, RECEIVE_BUFFER, WebRtcLink
from tincan.meet.mailbox import Side
from unit.link.contract import WITHIN, LinkContract, rtcp_packet, rtp_packet
from unit.link.pairs import Ends, ends, only_the_test_is_left, tied

sctp = sys.modules["aiortc.rtcsctptransport"]


class TestWebRtcLink(LinkContract):
    async def pair(self) -> tuple[Link, Link]:
        made = Ends()
        await made.gather()
        await made.connect_both()
        return made.attach, made.tap


@pytest.mark.parametrize("late", [(Side.ATTACH,), (Side.TAP,), (Side.ATTACH, Side.TAP)])
async def test_a_side_that_is_known_late(late: tuple[Side, ...]) -> None:
    """Who is controlling, and who is DTLS's client, follows from the side in the end."""
    async with asyncio.timeout(WITHIN):
        made = Ends(late=late)
        await made.gather()
        made.take_sides()
        await made.connect_both()
        assert [link.ice.ice_controlling for link in (made.attach, made.tap)] == [False, True]
        await made.attach.control.send(b"there")
        assert await made.tap.control.receive() == b"there"
        await made.close()
    await only_the_test_is_left()


async def test_a_side_may_be_taken_again_until_the_peer_is_known() -> None:
    async with asyncio.timeout(WITHIN):
        made = Ends(late=(Side.ATTACH,))
        await made.gather()
        made.attach.take_side(Side.TAP)
        made.take_sides()
        await made.connect_both()
        with pytest.raises(RuntimeError):
            made.attach.take_side(Side.TAP)
        await made.close()
    await only_the_test_is_left()


async def say(link: WebRtcLink, stream: int, protocol: int, data: bytes) -> None:
    """Send a message of a kind that no good link sends."""
    await link._sctp._send(stream, protocol, data)


async def say_chunk(link: WebRtcLink, chunk: Any) -> None:
    await link._sctp._send_chunk(chunk)


async def nothing_works(link: WebRtcLink) -> None:
    """A link that has ended says so to everybody, at once, with its own error."""
    async with asyncio.timeout(WITHIN):
        for use in (
            lambda: link.control.send(b"too late"),
            link.control.receive,
            lambda: link.open_channel("too late"),
            link.accept_channel,
        ):
            with pytest.raises(ChannelClosed):
                await use()
        await link.control.drain()
        await link.control.close()
        await link.close()


# -- tying it ----------------------------------------------------------------------


@pytest.mark.parametrize("side", list(Side))
async def test_a_wrong_fingerprint_refuses_the_connection(side: Side) -> None:
    async with asyncio.timeout(WITHIN), ends(dtls_timeout=2.0) as made:
        near, far = (made.attach, made.tap) if side is Side.ATTACH else (made.tap, made.attach)
        listening = [asyncio.create_task(link.control.receive()) for link in (near, far)]
        wrong = msgspec.structs.replace(made.description(far), fingerprint=bytes(32))
        results = await asyncio.gather(
            made.connect(near, wrong), made.connect(far, made.description(near)), return_exceptions=True
        )
        assert [type(result) for result in results] == [AuthenticationFailed, NoPath]
        for link in (near, far):
            with pytest.raises(ChannelClosed):
                await link.control.send(b"secret")
        await made.close()
        heard = await asyncio.gather(*listening, return_exceptions=True)
        assert [type(result) for result in heard] == [ChannelClosed] * 2


async def test_no_candidates_are_no_path() -> None:
    async with ends() as made:
        nowhere = msgspec.structs.replace(made.description(made.tap), candidates=())
        with pytest.raises(NoPath):
            await made.connect(made.attach, nowhere)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    "says",
    [b"", b"\x16", bytes([22, 254, 253]) + bytes(60), b"\x80nonsense"],
    ids=["nothing", "half a record", "an empty handshake", "RTP"],
)
async def test_a_peer_that_does_not_speak_dtls_is_no_path(side: Side, says: bytes) -> None:
    async with asyncio.timeout(WITHIN), ends(dtls_timeout=0.2) as made:
        near, far = (made.attach, made.tap) if side is Side.ATTACH else (made.tap, made.attach)

        async def only_ice() -> None:
            remote = made.description(near)
            for candidate in remote.candidates:
                await far.ice.add_remote(candidate)
            await far.ice.end_of_remote()
            await far.ice.begin(remote.ufrag, remote.pwd)
            await far.ice.send(says)

        results = await asyncio.gather(made.connect(near, made.description(far)), only_ice(), return_exceptions=True)
        assert [type(result) for result in results] == [NoPath, type(None)]


async def test_closing_during_connect() -> None:
    """At any moment: both ends come to an end of their own kind, and nothing is left."""
    for turns in range(0, 60, 3):
        async with asyncio.timeout(WITHIN), ends(dtls_timeout=0.3) as made:
            connecting = asyncio.create_task(made.connect_both())
            for _ in range(turns):
                await asyncio.sleep(0)
            await made.tap.close()
            await made.attach.close()
            [result] = await asyncio.gather(connecting, return_exceptions=True)
            assert result is None or type(result) is NoPath, result
        await only_the_test_is_left()


async def test_a_closed_link_cannot_be_connected() -> None:
    async with ends() as made:
        await made.attach.close()
        with pytest.raises(NoPath):
            await made.attach.connect(made.description(made.tap))
        await nothing_works(made.attach)


async def test_cancelling_connect_is_a_cancellation() -> None:
    async with asyncio.timeout(WITHIN), ends() as made:
        connecting = asyncio.create_task(made.attach.connect(made.description(made.tap)))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


# -- how it is doing ---------------------------------------------------------------


async def test_path_and_round_trip() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        assert near.status.path is far.status.path is Path.LAN
        while near.status.rtt is None or far.status.rtt is None:
            await asyncio.sleep(0.05)
        assert near.status.rtt > 0


async def test_the_path_is_remembered_after_the_end() -> None:
    async with tied() as (near, _):
        await near.close()
        assert near.status.path is Path.LAN


# -- back-pressure -----------------------------------------------------------------


class Flood:
    """Messages sent as fast as the link takes them."""

    def __init__(self, link: WebRtcLink, size: int) -> None:
        self.sent = 0
        self._link = link
        self._size = size

    async def run(self) -> None:
        while True:
            await self._link.control.send(self.sent.to_bytes(4, "big") + bytes(self._size - 4))
            self.sent += 1

    async def stands_still(self) -> None:
        """Return once nothing more was taken for a while."""
        before = -1
        while before != self.sent:
            before = self.sent
            await asyncio.sleep(0.2)


async def test_a_receiver_that_does_not_read_bounds_the_sender() -> None:
    size = 32 * 1024
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        flood = Flood(near, size)
        flooding = asyncio.create_task(flood.run())
        await flood.stands_still()
        assert flood.sent > 0
        # The receiver's buffer, the sender's, a message beyond each, and the chunks in between.
        assert flood.sent * size < RECEIVE_BUFFER + SEND_BUFFER + 512 * 1024
        # The other direction is not held up, nor are its acknowledgements.
        await far.control.send(b"slowly, please")
        assert await near.control.receive() == b"slowly, please"
        await far.control.drain()
        # Reading lets it go on, and nothing was lost, doubled or disordered.
        for number in range(flood.sent + 20):
            message = await far.control.receive()
            assert len(message) == size
            assert int.from_bytes(message[:4], "big") == number
        flooding.cancel()


async def test_the_end_is_noticed_by_a_receiver_that_does_not_read() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        flood = Flood(near, 64 * 1024)
        flooding = asyncio.create_task(flood.run())
        await flood.stands_still()
        await near.close()
        assert await far.wait_closed() is CloseReason.PEER
        [result] = await asyncio.gather(flooding, return_exceptions=True)
        assert type(result) is ChannelClosed


async def test_a_channel_that_nobody_reads_holds_nothing_up_once_it_is_closed() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        opened = await near.open_channel("unread")
        unread = await far.accept_channel()
        sending = asyncio.create_task(_send_many(opened.send, 40, 64 * 1024))
        await asyncio.wait([sending], timeout=0.5)
        assert not sending.done()
        await unread.close()
        await asyncio.gather(sending, return_exceptions=True)
        await near.control.send(b"past it")
        assert await far.control.receive() == b"past it"


async def _send_many(send: Callable[[bytes], Awaitable[None]], count: int, size: int) -> None:
    for _ in range(count):
        await send(bytes(size))


async def test_drain_waits_until_the_peer_has_everything() -> None:
    messages = [bytes([number]) * 50_000 for number in range(12)]
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        for message in messages:
            await near.control.send(message)
        await near.control.drain()
        await near.ice.close()  # without a word
        assert [await far.control.receive() for _ in messages] == messages


# -- channels ----------------------------------------------------------------------


async def test_empty_messages_arrive() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        await near.control.send(b"")
        await near.control.send(b"after it")
        assert [await far.control.receive(), await far.control.receive()] == [b"", b"after it"]


@pytest.mark.parametrize("label", ["trichter-\u00fc", "x" * 256])
async def test_a_label_that_cannot_be_sent_is_refused(label: str) -> None:
    async with tied() as (near, far):
        with pytest.raises(ValueError):
            await near.open_channel(label)
        await near.control.send(b"harmless")
        assert await far.control.receive() == b"harmless"


async def test_our_own_channels_are_limited_below_what_the_peer_takes() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        channels = [await near.open_channel(f"{number}") for number in range(OWN_CHANNELS)]
        with pytest.raises(UsageError):
            await near.open_channel("one too many")
        for channel in channels:
            await (await far.accept_channel()).close()
            with pytest.raises(ChannelClosed):
                await channel.receive()
        # Each that is closed makes room for another, however many there were in all.
        for number in range(2 * MAX_CHANNELS):
            opened = await near.open_channel(f"again {number}")
            accepted = await far.accept_channel()
            await opened.close()
            with pytest.raises(ChannelClosed):
                await accepted.receive()
        await near.control.send(b"well")
        assert await far.control.receive() == b"well"


def _open_frame(label: bytes = b"x", length: int | None = None) -> bytes:
    """A DATA_CHANNEL_OPEN (RFC 8832 section 5.1)."""
    size = len(label) if length is None else length
    return bytes([3, 0, 0, 0, 0, 0, 0, 0]) + size.to_bytes(2, "big") + bytes(2) + label


async def test_a_peer_that_opens_too_many_channels_ends_the_link() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        for stream in range(101, 101 + 2 * MAX_CHANNELS + 2, 2):
            await say(near, stream, sctp.WEBRTC_DCEP, _open_frame())
        assert await far.wait_closed() is CloseReason.BROKEN


async def test_channels_opened_and_closed_again_unaccepted_are_limited_too() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):

        async def close_at_the_end() -> CloseReason:
            reason = await far.wait_closed()
            await far.close()
            return reason

        closing = asyncio.create_task(close_at_the_end())

        async def open_and_close(times: int) -> None:
            for number in range(times):
                await (await near.open_channel(f"{number}")).close()

        with pytest.raises(ChannelClosed):
            await open_and_close(MAX_CHANNELS + 1)
        assert await closing is CloseReason.BROKEN
        accepted = [await far.accept_channel() for _ in range(MAX_CHANNELS)]
        assert len(accepted) == MAX_CHANNELS
        with pytest.raises(ChannelClosed):
            await far.accept_channel()


# -- peers that break the rules ----------------------------------------------------


def _bad_reconfiguration() -> Any:
    chunk = sctp.ReconfigChunk()
    chunk.params.append((13, b"short"))
    return chunk


Attack = Callable[[WebRtcLink], Awaitable[None]]
ATTACKS: dict[str, Attack] = {
    "acknowledges a channel that nobody opened": lambda link: say(link, 99, sctp.WEBRTC_DCEP, b"\x02"),
    "opens the control channel": lambda link: say(link, 0, sctp.WEBRTC_DCEP, _open_frame()),
    "opens with a label that is no text": lambda link: say(link, 99, sctp.WEBRTC_DCEP, _open_frame(b"\xff")),
    "sends text that is no text": lambda link: say(link, 0, sctp.WEBRTC_STRING, b"\xff\xfe"),
    "resets streams in too few bytes": lambda link: say_chunk(link, _bad_reconfiguration()),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_sctp_that_aiortc_cannot_take_ends_the_link_as_broken(attack: Attack) -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        waiting = asyncio.create_task(far.control.receive())
        await attack(near)
        assert await far.wait_closed() is CloseReason.BROKEN
        with pytest.raises(ChannelClosed):
            await waiting
        await nothing_works(far)


async def test_a_message_without_end_is_bounded() -> None:
    """Fragments that never become a message are memory that the peer would own."""
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        while not far.ended:
            for _ in range(200):
                chunk = sctp.DataChunk()
                chunk.flags = 0  # the middle of a message
                chunk.tsn = (near._sctp._local_tsn + 1) % 2**32  # one is left out: they cannot be put together
                chunk.protocol = sctp.WEBRTC_BINARY
                near._sctp._local_tsn = (chunk.tsn + 1) % 2**32
                with contextlib.suppress(ConnectionError):
                    await say_chunk(near, chunk)
            await asyncio.sleep(0)
        assert await far.wait_closed() is CloseReason.BROKEN


RUBBISH = [b"", b"\x00", bytes(3), b"\x01" * 19, b"\x00\x01" + bytes(18), b"\x16", b"\x17\xfe\xfd" + bytes(40)]
RUBBISH += [
    bytes([first]) + bytes([second]) * size for first in (128, 191) for second in (0, 200) for size in (0, 1, 7, 2000)
]
RUBBISH += [bytes([first]) + bytes(range(40)) for first in (20, 63, 64, 127, 128, 191, 192, 255)]


async def test_rubbish_on_the_port_harms_nothing() -> None:
    """Whoever finds the port may send anything there; nothing of it is authentic."""
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        for rubbish in RUBBISH:
            await near.ice.send(rubbish)
        await near.control.send(b"still tied")
        assert await far.control.receive() == b"still tied"


async def test_media_of_a_stranger_and_what_comes_twice_is_not_heard() -> None:
    """SRTP proves who sent a packet, and that it is not an old one."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        near.media(lambda _: None)
        far.media(heard.put_nowait)
        near.ice.send_now(rtp_packet(1) + bytes(16))
        protected = near._dtls.protect(rtp_packet(2))
        near.ice.send_now(protected)
        near.ice.send_now(protected)
        near.ice.send_now(near._dtls.protect(rtcp_packet()))
        assert await heard.get() == rtp_packet(2)
        assert await heard.get() == rtcp_packet()
        assert heard.empty()


async def test_a_peer_with_many_sources_is_heard_up_to_a_limit() -> None:
    """libsrtp would keep a context for each of them and look through all of these for each packet."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        here = near.media(lambda _: None)
        far.media(heard.put_nowait)
        for source in range(MAX_SOURCES + 10):
            here.send(rtp_packet(1, source))
        here.send(rtp_packet(2, 0))
        for source in range(MAX_SOURCES):
            assert await heard.get() == rtp_packet(1, source)
        assert await heard.get() == rtp_packet(2, 0)


async def test_every_call_of_a_long_string_has_its_source() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        here = near.media(lambda _: None)
        for source in range(MAX_SOURCES + 10):
            there = far.media(heard.put_nowait)
            here.send(rtp_packet(1, source))
            here.send(rtcp_packet())
            assert await heard.get() == rtp_packet(1, source)
            assert await heard.get() == rtcp_packet()
            there.close()


async def test_an_ended_association_is_not_begun_again() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        await say_chunk(near, sctp.AbortChunk())
        assert await far.wait_closed() is CloseReason.PEER
        await near._sctp._init()
        await nothing_works(far)


# -- the end -----------------------------------------------------------------------


async def test_a_lost_path_is_told_to_everybody_who_waits() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, _):
        flood = Flood(near, 64 * 1024)
        waiting = [
            asyncio.create_task(use)
            for use in (flood.run(), near.control.receive(), near.accept_channel(), near.control.drain())
        ]
        await flood.stands_still()
        opening = asyncio.create_task(near.open_channel("cannot be told to the peer"))
        await asyncio.sleep(0)
        await near.ice.close()  # as the agent does when the peer has gone silent
        assert await near.wait_closed() is CloseReason.LOST
        results = await asyncio.gather(*waiting, opening, return_exceptions=True)
        assert [type(result) for result in results] == [ChannelClosed] * 3 + [type(None), ChannelClosed]
        await nothing_works(near)


async def test_closing_is_idempotent_and_concurrent() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        await near.control.send(b"last words")
        await asyncio.gather(near.close(), near.close(), near.close(), far.close())
        await near.close()
        assert near.ended
        assert far.ended
    await only_the_test_is_left()


async def test_a_cancelled_close_still_closes() -> None:
    async with asyncio.timeout(WITHIN), tied() as (near, far):
        flooding = asyncio.create_task(Flood(near, 64 * 1024).run())
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(near.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await near.close()
        assert await far.wait_closed() is CloseReason.PEER
        await asyncio.gather(flooding, return_exceptions=True)
    await only_the_test_is_left()


async def test_a_link_that_was_never_used_closes() -> None:
    link = WebRtcLink(Side.TAP)
    await link.close()
    assert await link.wait_closed() is CloseReason.LOCAL
    await nothing_works(link)
    await only_the_test_is_left()
