"""Evil switchboards of party lines, and everything that decodes what others say, with junk."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from tincan.errors import TinCanError
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble, ServersOffered
from tincan.switchboard import party_frames
from tincan.switchboard.frames import MAX_FRAME, FrameError
from tincan.vpn.group.certificate import Certificate, Statement, read
from tincan.vpn.group.join import Inviter, Joiner
from tincan.vpn.group.membership import Membership
from tincan.vpn.group.state import create
from tincan.vpn.party.keys import Keys
from tincan.vpn.party.line import MAX_MESSAGE, UNREAD
from tincan.vpn.party.messages import decode
from tincan.vpn.party.seal import Letter, Letters
from tincan.vpn.party.switchboard import FIRST_RETRY, SwitchboardLine

ONE = "1" * 32
PATIENT = 120.0

Says = Callable[[ServerConnection], Awaitable[None]]


@contextlib.asynccontextmanager
async def at(evil: Says) -> AsyncIterator[tuple[SwitchboardLine, list[MeetEvent]]]:
    """A line to a switchboard that does as it likes, on one topic."""
    events: list[MeetEvent] = []

    async def handle(socket: ServerConnection) -> None:
        await socket.recv()
        await evil(socket)
        await socket.wait_closed()

    async with asyncio.timeout(PATIENT), serve(handle, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        line = SwitchboardLine(f"ws://127.0.0.1:{port}", events.append)
        await line.join(ONE)
        running = asyncio.create_task(line.run())
        try:
            yield line, events
        finally:
            running.cancel()
            await asyncio.wait([running])


def heard(body: object, topic: object = ONE) -> str:
    return json.dumps({"type": "heard", "topic": topic, "body": body})


WELCOME = json.dumps({"type": "welcome"})


@pytest.mark.parametrize(
    "frames",
    [
        [heard("")],
        [WELCOME, heard("not base64!")],
        [WELCOME, heard(5)],
        [WELCOME, heard("", None)],
        [WELCOME, "x"],
        [WELCOME, "[" * 5000],
        [WELCOME, b"\xff\xfe"],
        [WELCOME, '{"type":"opened"}'],
        [WELCOME, "x" * 200_000],
        ['{"type":"welcome","stun":5}'],
        ['{"type":"welcome","turn":{"urls":["turn:x"],"username":"u","credential":"c","ttl":0}}'],
        ['{"type":"error","code":"surprise"}'],
    ],
    ids=range(12),
)
async def test_what_no_switchboard_says(frames: list[str | bytes]) -> None:
    async def evil(socket: ServerConnection) -> None:
        for frame in frames:
            await socket.send(frame)

    async with at(evil) as (_, events):
        while not any(isinstance(event, PlaceTrouble) for event in events):
            await asyncio.sleep(0.01)


async def test_servers_that_make_no_sense_are_none() -> None:
    async def evil(socket: ServerConnection) -> None:
        await socket.send('{"type":"welcome","stun":["http://example.org"]}')

    async with at(evil) as (_, events):
        while not events:
            await asyncio.sleep(0.01)
        assert isinstance(events[0], PlaceReady)
        assert not any(isinstance(event, ServersOffered) for event in events)


async def test_one_that_welcomes_and_then_refuses_is_asked_ever_more_seldom() -> None:
    """As it does when too many topics are heard from one address."""
    times: list[float] = []

    async def evil(socket: ServerConnection) -> None:
        times.append(asyncio.get_running_loop().time())
        await socket.send(WELCOME)
        await socket.send('{"type":"error","code":"rate","text":"Too many topics."}')

    async with at(evil) as (_, events):
        while len(times) < 5:
            await asyncio.sleep(0.01)
        waits = [b - a for a, b in itertools.pairwise(times)]
        assert waits[3] >= FIRST_RETRY * 8, (
            "each is at least twice the one before, and none is shorter than it may be"
        )
        assert any(isinstance(event, PlaceTrouble) and "too many requests" in event.text for event in events)


async def test_a_flood_of_messages_is_bounded() -> None:
    """Whoever does not read loses messages; topics that were not joined do not even count."""
    body = base64.b64encode(bytes(100)).decode()

    async def evil(socket: ServerConnection) -> None:
        await socket.send(WELCOME)
        for _ in range(3 * UNREAD):
            await socket.send(heard(body, "2" * 32))
            await socket.send(heard(body))
        await socket.send(heard(base64.b64encode(b"last").decode()))
        await socket.send(WELCOME)

    async with at(evil) as (line, _):
        await asyncio.sleep(1)
        count = 0
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.5):
                    topic, _message = await line.receive()
                assert topic == ONE
                count += 1
        assert count <= 2 * UNREAD


# -- junk for everything that decodes ------------------------------------------------

STATE = create("lan", "alice", 1_800_000_000, random.Random(1).randbytes)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_junk_is_refused_in_a_sentence(data: bytes) -> None:
    with contextlib.suppress(TinCanError):
        decode(data)
    for kind in (Certificate, Statement):
        with contextlib.suppress(TinCanError):
            read(kind, data, STATE.group)
    for receive in (
        lambda: Joiner("x", bytes).invited(data),
        lambda: Inviter(STATE, (), bytes).receive(data, lambda keys, name: (b"", STATE)),
    ):
        with contextlib.suppress(TinCanError):
            receive()
    with contextlib.suppress(FrameError):
        party_frames.decode(data)
    letters = Letters(Keys(bytes(32), bytes(32)), random.Random(1).randbytes)
    letters.set_circles({"1": STATE.secrets[1]})
    for topic in letters.topics(0):
        assert letters.open(topic, data, 0) is None


KINDS = ["hello", "bye", "call", "offer", "answer", "more", "hang", "rotate", "left", "other"]
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.lists(ANY, max_size=6), st.booleans())
def test_letters_of_odd_forms_do_nothing(kind: str, fields: list[object], private: bool) -> None:
    """From somebody who knows the secret of the circle, and is no member."""
    state = msgspec.json.decode(msgspec.json.encode(STATE), type=type(STATE))
    membership = Membership(state, random.Random(1))
    membership.start(0)
    membership.effects()
    payload = msgspec.msgpack.encode([kind, *fields])
    for circle in ("1", "0"):
        membership.heard(Letter(circle, b"s" * 32, private, payload), 1_800_000_000)
    assert membership.peers() == {}
    assert state == STATE


def test_the_largest_letter_is_not_larger_than_a_line_takes() -> None:
    assert len(base64.b64encode(bytes(MAX_MESSAGE))) < MAX_FRAME
