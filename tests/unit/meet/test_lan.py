"""The LAN on the loopback of this machine: real sockets, and strangers at the door."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import socket
from collections.abc import AsyncIterator

import pytest

from tincan.errors import AuthenticationFailed, PeerRefused
from tincan.meet.events import MeetEvent, PlaceReady
from tincan.meet.mailbox import MAX_MESSAGE, MailboxClosed, Side
from tincan.meet.meeting import Line, meet
from tincan.meet.phrase import StringKeys
from tincan.meet.places.lan import LanPlace, VisitedMailbox
from tincan.meet.places.lan_door import MAX_MESSAGES, MAX_VISITORS, ServedMailbox
from tincan.meet.places.lan_wire import LOOPBACK_PORTS, lan_tag, loopback_port, read_frame, write_frame
from tincan.tasks import plain_errors

PATIENCE = 120.0

HIGH = 61_000
"""Linux gives no higher port to those who ask for any."""
"""Seconds that only a hang reaches."""


FROZEN = ("c997a6c77e6af21c", [63198, 57208, 51171])
"""Tag and loopback ports of the code 3f9a0c71d2be. Old and new cans find each other only if these stay."""


def ignore(event: MeetEvent) -> None:
    pass


@pytest.fixture
def code() -> str:
    """Its own line for each test: ports follow from it, and nobody is given those by chance."""
    while True:
        code = secrets.token_hex(6)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in (loopback_port(code, n) for n in range(LOOPBACK_PORTS)):
                if port < HIGH:
                    break
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            else:
                return code


@pytest.fixture
async def served(code: str) -> AsyncIterator[ServedMailbox]:
    """What an attaching can serves, without the announcement by mDNS."""
    mailbox = ServedMailbox(code, ignore)
    await mailbox.listen()
    async with asyncio.timeout(PATIENCE):
        yield mailbox
    await mailbox.close(done=False)


class Visitor:
    """Anybody who connects."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, code: str) -> AsyncIterator[Visitor]:
        reader, writer = await asyncio.open_connection("127.0.0.1", loopback_port(code, 0))
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def say(self, message: bytes) -> None:
        await write_frame(self.writer, message)

    async def hear(self) -> bytes:
        return await read_frame(self.reader)

    async def greet(self, code: str) -> None:
        await self.say(b"tin-can/1 " + code.encode())
        assert await self.hear() == b"ok"

    async def is_shown_out(self) -> None:
        """Nothing is said to this visitor any more."""
        with contextlib.suppress(ConnectionResetError):
            assert await self.reader.read() == b""


async def visit(code: str) -> VisitedMailbox:
    """Come as a tapping can does."""
    with plain_errors():
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            mailbox = await LanPlace(group, ignore).open(Side.TAP, code)
    assert isinstance(mailbox, VisitedMailbox)
    return mailbox


async def works(served: ServedMailbox, code: str) -> None:
    """The one who should come can come."""
    await served.send(b"share")
    tap = await visit(code)
    assert await tap.receive() == b"share"
    await tap.send(b"flight")
    assert await served.receive() == b"flight"
    await tap.close(done=True)


# -- names -------------------------------------------------------------------------


def test_names_follow_from_the_code() -> None:
    code = "3f9a0c71d2be"
    assert lan_tag(code) == hashlib.sha256(b"tin-can/1 lan 3f9a0c71d2be").hexdigest()[:16]
    for n in range(LOOPBACK_PORTS):
        digest = hashlib.sha256(f"tin-can/1 loopback {n} {code}".encode()).hexdigest()
        assert loopback_port(code, n) == 49152 + int(digest[:8], 16) % 16384
    assert (lan_tag(code), [loopback_port(code, n) for n in range(3)]) == FROZEN


def test_loopback_ports_are_dynamic_ones() -> None:
    assert all(49152 <= loopback_port(secrets.token_hex(6), n) <= 65535 for n in range(3) for _ in range(300))


# -- frames ------------------------------------------------------------------------


def fed(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


@pytest.mark.parametrize("length", [0, 1, 255, MAX_MESSAGE])
async def test_frames_of_all_sizes(length: int) -> None:
    reader = fed(length.to_bytes(4, "big") + bytes(length) + b"\0\0\0\2hi")
    assert await read_frame(reader) == bytes(length)
    assert await read_frame(reader) == b"hi"
    with pytest.raises(MailboxClosed):
        await read_frame(reader)


@pytest.mark.parametrize("length", range(9))
async def test_frames_cut_short(length: int) -> None:
    with pytest.raises(MailboxClosed):
        await read_frame(fed(b"\0\0\0\5hello"[:length]))


@pytest.mark.parametrize("length", [MAX_MESSAGE + 1, 2**31, 2**32 - 1])
async def test_oversized_frames(length: int) -> None:
    with pytest.raises(MailboxClosed, match="oversized"):
        await read_frame(fed(length.to_bytes(4, "big") + bytes(9)))


# -- two cans ----------------------------------------------------------------------


@pytest.mark.parametrize("early", Side)
async def test_two_cans_of_one_machine_find_each_other(early: Side, code: str) -> None:
    events: dict[Side, list[MeetEvent]] = {side: [] for side in Side}
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        opening = {}
        for side in early, early.other:
            opening[side] = group.create_task(LanPlace(group, ignore).open(side, code, events[side].append))
            while not events[side]:  # the first is there, and the tapping one looks in vain
                await asyncio.sleep(0)
        attach, tap = await opening[Side.ATTACH], await opening[Side.TAP]
        await attach.send(b"share")
        assert await tap.receive() == b"share"
        for message in b"flight", b"", bytes(MAX_MESSAGE):
            await tap.send(message)
            assert await attach.receive() == message
            await attach.send(message)
            assert await tap.receive() == message
        for mailbox in attach, tap:
            with pytest.raises(ValueError):
                await mailbox.send(bytes(MAX_MESSAGE + 1))
        await attach.close(done=True)
        await tap.close(done=True)
    assert events[Side.ATTACH][0] == events[Side.TAP][0] == PlaceReady("lan")


async def test_a_whole_meeting(code: str) -> None:
    keys = StringKeys(code, b"password")

    async def offer(line: Line) -> bytes:
        return b"offer"

    async def can(side: Side) -> Line:
        async with asyncio.TaskGroup() as group:
            line = await meet(
                side, keys, [LanPlace(group, ignore)], offer=offer, tell=ignore, group=group, timeout=PATIENCE
            )
            if side is Side.ATTACH:
                await line.send(b"answer")
                assert await line.receive() == b"bye"
            else:
                await line.send(b"bye")
            await line.close(done=True)
            return line

    attach, tap = await asyncio.gather(can(Side.ATTACH), can(Side.TAP))
    assert (attach.first, tap.first) == (b"offer", b"answer")


async def test_the_wrong_phrase_over_the_lan(code: str) -> None:
    async def offer(line: Line) -> bytes:
        return b"offer"

    async def can(side: Side) -> None:
        keys = StringKeys(code, side.value.encode())
        async with asyncio.TaskGroup() as group:
            with pytest.raises(AuthenticationFailed):
                await meet(
                    side, keys, [LanPlace(group, ignore)], offer=offer, tell=ignore, group=group, timeout=PATIENCE
                )

    await asyncio.gather(can(Side.ATTACH), can(Side.TAP))


async def test_the_end_is_seen_from_both_sides(served: ServedMailbox, code: str) -> None:
    async with Visitor.at(code) as visitor:
        await visitor.greet(code)
        await visitor.say(b"last words")
    assert await served.receive() == b"last words"
    with pytest.raises(MailboxClosed):
        await served.receive()


async def test_a_tapping_can_sees_the_attaching_one_leave(served: ServedMailbox, code: str) -> None:
    tap = await visit(code)
    await served.close(done=False)
    with pytest.raises(MailboxClosed):
        await tap.receive()
    await tap.send(b"nobody reads this")
    await tap.close(done=False)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", loopback_port(code, 0))


async def test_somebody_elses_server_at_the_first_port(code: str) -> None:
    """The next port is taken then, and the tapping can is not confused by what it hears at the first."""

    async def confuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\5hello SMTP 220 \xff\xff\xff\xff")
        writer.close()

    other = await asyncio.start_server(confuse, "127.0.0.1", loopback_port(code, 0))
    mailbox = ServedMailbox(code, ignore)
    await mailbox.listen()
    await works(mailbox, code)
    await mailbox.close(done=True)
    other.close()


async def test_all_loopback_ports_taken(code: str) -> None:
    async with contextlib.AsyncExitStack() as others:
        for n in range(LOOPBACK_PORTS):
            await others.enter_async_context(hanging_up(loopback_port(code, n)))
        last = ServedMailbox(code, ignore)
        await last.listen()  # the LAN can still find it
        await last.close(done=False)


@contextlib.asynccontextmanager
async def hanging_up(port: int) -> AsyncIterator[None]:
    """Somebody else's server, which says nothing to strangers."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


async def test_a_second_attaching_can_of_this_machine_hears_busy(code: str) -> None:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        first = await LanPlace(group, ignore).open(Side.ATTACH, code)
        with pytest.raises(PeerRefused) as caught:
            await LanPlace(group, ignore).open(Side.ATTACH, code)
        assert caught.value.exit_code == 7
        assert isinstance(first, ServedMailbox)
        await works(first, code)
        await first.close(done=True)


async def test_a_second_attaching_can_hears_busy_behind_somebody_elses_port(code: str) -> None:
    async with asyncio.timeout(PATIENCE), hanging_up(loopback_port(code, 0)):
        first, second = ServedMailbox(code, ignore), ServedMailbox(code, ignore)
        await first.listen()
        with pytest.raises(PeerRefused):
            await second.listen()
        for mailbox in (first, second):
            await mailbox.close(done=False)


async def test_a_silent_server_at_our_port_does_not_hold_up_an_attaching_can(code: str) -> None:
    with socket.create_server(("127.0.0.1", loopback_port(code, 0))):
        mailbox = ServedMailbox(code, ignore)
        async with asyncio.timeout(PATIENCE):
            await mailbox.listen()
        await mailbox.close(done=True)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", loopback_port(code, 1))


# -- taking turns ------------------------------------------------------------------


async def test_a_door_with_somebody_in_is_not_left(served: ServedMailbox, code: str) -> None:
    async with Visitor.at(code) as visitor:
        await visitor.greet(code)
        assert not served.leave()
        await works_for(visitor, served)
    assert not served.leave()  # it has said something: what it said is to be heard


async def works_for(visitor: Visitor, served: ServedMailbox) -> None:
    await served.send(b"share")
    assert await visitor.hear() == b"share"
    await visitor.say(b"flight")
    assert await served.receive() == b"flight"


async def test_a_door_is_left_when_the_visitor_is_gone(served: ServedMailbox, code: str) -> None:
    async with Visitor.at(code) as visitor:
        await visitor.greet(code)
    while not served.leave():
        await asyncio.sleep(0.001)


async def test_strangers_do_not_keep_a_can_at_its_door(served: ServedMailbox, code: str) -> None:
    async with Visitor.at(code):
        await asyncio.sleep(0)
        assert served.leave()


async def test_nobody_is_let_in_at_a_door_that_is_left(served: ServedMailbox, code: str) -> None:
    async with Visitor.at(code) as early:
        assert served.leave()
        await early.say(b"tin-can/1 " + code.encode())
        await early.is_shown_out()


@pytest.mark.parametrize("apart", [0.0, 0.05, 0.5])
async def test_two_cans_without_a_side_meet_on_one_machine(code: str, apart: float) -> None:
    keys = StringKeys(code, b"password")

    async def offer(line: Line) -> bytes:
        return b"offer"

    async def can(waits: float) -> Side:
        await asyncio.sleep(waits)
        async with asyncio.TaskGroup() as group:
            places = [LanPlace(group, ignore)]
            line = await meet(None, keys, places, offer=offer, tell=ignore, group=group, timeout=PATIENCE)
            if line.side is Side.ATTACH:
                await line.send(b"answer")
            assert line.first == (b"offer" if line.side is Side.ATTACH else b"answer")
            await line.close(done=True)
            return line.side

    async with asyncio.timeout(PATIENCE):
        assert set(await asyncio.gather(can(0), can(apart))) == set(Side)


@pytest.mark.parametrize("steps", range(8))
async def test_cancelled_at_any_step_of_opening(code: str, steps: int) -> None:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        opening = asyncio.create_task(LanPlace(group, ignore).open(Side.ATTACH, code))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).close(done=False)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", loopback_port(code, 0))


# -- who is on the line ------------------------------------------------------------


async def test_a_third_can_hears_busy(served: ServedMailbox, code: str) -> None:
    async with Visitor.at(code) as first, Visitor.at(code) as early:
        await first.greet(code)
        await early.greet(code)
        await first.say(b"I am here")
        assert await served.receive() == b"I am here"
        await early.say(b"I too")
        assert await early.hear() == b"busy"
        await early.is_shown_out()
        with pytest.raises(PeerRefused) as caught:
            await visit(code)
        assert caught.value.exit_code == 7
        await served.send(b"only to the first")
        assert await first.hear() == b"only to the first"


async def test_a_tapping_can_that_is_late_hears_busy(served: ServedMailbox, code: str) -> None:
    late = await visit(code)
    async with Visitor.at(code) as quick:
        await quick.greet(code)
        await quick.say(b"me")
        assert await served.receive() == b"me"
        await late.send(b"and me")
        with pytest.raises(PeerRefused):
            await late.receive()
        await late.close(done=False)


async def test_everybody_who_is_greeted_hears_what_was_sent_once(served: ServedMailbox, code: str) -> None:
    async with Visitor.at(code) as one, Visitor.at(code) as two:
        await one.greet(code)
        await served.send(b"share")
        await two.greet(code)
        await served.send(b"more")
        for visitor in one, two:
            assert await visitor.hear() == b"share"
            assert await visitor.hear() == b"more"
        await one.say(b"flight")
        assert await served.receive() == b"flight"
        await served.send(b"answer")
        assert await one.hear() == b"answer"


async def test_nothing_is_said_to_who_has_not_named_the_code(served: ServedMailbox, code: str) -> None:
    async with Visitor.at(code) as early, Visitor.at(code) as greeted:
        await greeted.greet(code)
        await served.send(b"share")
        assert await greeted.hear() == b"share"
        await early.greet(code)
        assert await early.hear() == b"share"


async def test_a_peer_that_sends_too_much_is_cut_off(served: ServedMailbox, code: str) -> None:
    async with Visitor.at(code) as visitor:
        await visitor.greet(code)
        for n in range(MAX_MESSAGES + 10):
            await visitor.say(b"%d" % n)
        await visitor.is_shown_out()
    assert [await served.receive() for _ in range(MAX_MESSAGES)] == [b"%d" % n for n in range(MAX_MESSAGES)]
    with pytest.raises(MailboxClosed):
        await served.receive()


# -- strangers ---------------------------------------------------------------------


GARBAGE = {
    "nothing": b"",
    "half a length": b"\0\0",
    "half a frame": b"\0\0\0\x16tin-can/1",
    "empty frame": b"\0\0\0\0",
    "web": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "oversized": b"\xff\xff\xff\xff" + bytes(1000),
    "just oversized": (MAX_MESSAGE + 1).to_bytes(4, "big"),
    "another code": b"\0\0\0\x16tin-can/1 000000000000",
    "no code": b"\0\0\0\x0atin-can/1 ",
    "zeros": bytes(2000),
    "noise": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_strangers_hear_nothing_and_disturb_nobody(served: ServedMailbox, code: str, data: bytes) -> None:
    async with Visitor.at(code) as stranger:
        stranger.writer.write(data)
        stranger.writer.write_eof()
        await stranger.is_shown_out()
        await works(served, code)


async def test_silent_strangers_disturb_nobody(served: ServedMailbox, code: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(Visitor.at(code)) for _ in range(3)]
        greeted = [await stack.enter_async_context(Visitor.at(code)) for _ in range(3)]
        for visitor in greeted:
            await visitor.greet(code)
        assert silent
        await works(served, code)


async def test_the_ninth_visitor_is_shown_out_and_room_comes_back(served: ServedMailbox, code: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(Visitor.at(code))
        await first.greet(code)
        for _ in range(MAX_VISITORS - 1):
            await stack.enter_async_context(Visitor.at(code))
        async with Visitor.at(code) as ninth:
            await ninth.is_shown_out()
        await served.send(b"share")
        assert await first.hear() == b"share"
    await works(served, code)
