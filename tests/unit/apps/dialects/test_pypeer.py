"""Both ends of a room, at a real switchboard; pypeer itself is in tests/interop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tincan.apps.chat import Closed, MessageReceived, PeerLeft
from tincan.apps.conversation import Conversation, ConversationEvent
from tincan.apps.dialects import pypeer
from tincan.apps.dialects.pypeer import WEAK_KEYS, pypeer_conversation
from tincan.apps.dialects.pypeer_wire import Room, encode_token, make_value
from tincan.errors import AuthenticationFailed, NobodyCame, NoPlaceReachable, ProtocolError, UsageError
from tincan.link.dial import Connected
from tincan.link.interface import CloseReason
from tincan.meet.events import PeerFound, PlaceReady, PlaceTrouble, Waiting
from tincan.meet.phrase import Phrase
from tincan.meet.places.firebase import FirebaseRoom
from unit.switchboard.wire import switchboard

PATIENCE = 120.0


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@contextlib.asynccontextmanager
async def database() -> AsyncIterator[str]:
    async with asyncio.timeout(PATIENCE), switchboard() as url:
        yield url.replace("ws:", "http:")


def conversation(url: str, *, host: bool, **options: Any) -> Conversation:
    chosen = {"room": "AB12CD", "password": "sesame", "servers": (), "timeout": 30.0} | options
    return pypeer_conversation(host=host, url=url, **chosen)


async def end_of(made: Conversation) -> list[ConversationEvent]:
    """Return every event until the end, or until the error that is raised."""
    async with made:
        return [event async for event in made.events()]


async def value_of(url: str, key: str) -> Any:
    async with FirebaseRoom(url, "AB12CD") as room, contextlib.aclosing(room.stream(key)) as values:
        return json.loads((await anext(values)).json)


async def appears(url: str, key: str) -> None:
    """Wait until the room has a value."""
    async with FirebaseRoom(url, "AB12CD") as room, contextlib.aclosing(room.stream(key)) as values:
        async for value in values:
            if value.json != b"null":
                return


async def leave(url: str, key: str, value: object) -> None:
    async with FirebaseRoom(url, "AB12CD") as room:
        await room.put(key, value)


async def connected(made: Conversation, events: AsyncIterator[ConversationEvent]) -> list[ConversationEvent]:
    found = []
    async for event in events:
        found.append(event)
        if isinstance(event, Connected):
            break
    return found


async def test_a_conversation() -> None:
    async with database() as url, conversation(url, host=True) as one, conversation(url, host=False) as two:
        place = url.removeprefix("http://")
        theirs, ours = one.events(), two.events()
        for found in await asyncio.gather(connected(one, theirs), connected(two, ours)):
            assert found[:-1] == [
                Waiting("AB12CD", Phrase("AB12CD:sesame")),
                PlaceReady(place),
                PeerFound(place),
            ]
            assert isinstance(found[-1], Connected)
            assert found[-1].place == place
        await one.send("hello ✓")
        assert await anext(ours) == MessageReceived(1, "hello ✓", action=False)
        await two.send("hi")
        assert await anext(theirs) == MessageReceived(1, "hi", action=False)
        await two.goodbye(asyncio.get_running_loop().time() + PATIENCE)
        assert await anext(ours) == Closed(CloseReason.LOCAL, 0)
        assert [await anext(theirs), await anext(theirs)] == [PeerLeft(), Closed(CloseReason.PEER, 0)]
        assert await value_of(url, "offer") is await value_of(url, "answer") is None


async def test_the_wrong_password_of_a_joiner() -> None:
    async with database() as url, conversation(url, host=True) as host:
        await appears(url, "offer")
        with pytest.raises(AuthenticationFailed, match="rong password for that room"):
            await end_of(conversation(url, host=False, password="other"))
        # The host has not noticed, and the right one may still come.
        async with conversation(url, host=False) as joiner:
            assert isinstance((await connected(joiner, joiner.events()))[-1], Connected)
        assert host.status is not None


async def test_an_answer_with_the_wrong_password() -> None:
    async with database() as url:
        ending = asyncio.create_task(end_of(conversation(url, host=True)))
        await appears(url, "offer")
        await leave(url, "answer", make_value(encode_token(Room("AB12CD", "other"), "v=0", "answer"), 1))
        with pytest.raises(AuthenticationFailed, match="wrong password"):
            await ending
        assert await value_of(url, "offer") is None


@pytest.mark.parametrize("sdp", ["nonsense", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"])
async def test_an_offer_that_is_none(sdp: str) -> None:
    async with database() as url:
        await leave(url, "offer", make_value(encode_token(Room("AB12CD", "sesame"), sdp, "offer"), 1))
        with pytest.raises(ProtocolError):
            await end_of(conversation(url, host=False))


async def test_an_answer_that_an_earlier_meeting_left() -> None:
    async with database() as url:
        await leave(url, "answer", make_value(encode_token(Room("AB12CD", "sesame"), "v=0", "answer"), 1))
        async with conversation(url, host=True) as one:
            await appears(url, "offer")
            async with conversation(url, host=False) as two:
                await asyncio.gather(connected(one, one.events()), connected(two, two.events()))


@pytest.mark.parametrize("host", [True, False])
async def test_nobody_comes(host: bool) -> None:
    async with database() as url:
        with pytest.raises(NobodyCame, match="AB12CD"):
            await end_of(conversation(url, host=host, timeout=2))
        assert await value_of(url, "offer") is None


async def test_a_host_that_leaves_takes_its_room_along() -> None:
    async with database() as url:
        async with conversation(url, host=True):
            await appears(url, "offer")
        assert await value_of(url, "offer") is None


async def test_a_host_that_leaves_a_dead_database_does_not_wait() -> None:
    async with asyncio.timeout(PATIENCE), contextlib.AsyncExitStack() as stack:
        async with database() as url:
            await stack.enter_async_context(conversation(url, host=True))
            await appears(url, "offer")
        await stack.aclose()


@pytest.mark.parametrize("host", [True, False])
async def test_no_database(host: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypeer, "NO_PLACE_GRACE", 0.5)
    troubles = []

    async def listen() -> None:
        async with conversation("http://127.0.0.1:9", host=host) as made:
            async for event in made.events():
                troubles.extend([event] if isinstance(event, PlaceTrouble) else [])

    with pytest.raises(NoPlaceReachable, match=r"cannot be reached \(connection refused\)\.$"):
        await listen()
    assert len(troubles) == 1


async def test_a_switchboard_that_is_no_database_for_us() -> None:
    async with database() as url:
        with pytest.raises(NoPlaceReachable, match="404"):
            await end_of(conversation(f"{url}/elsewhere", host=False))


@pytest.mark.parametrize("options", [{"room": "ab12cd"}, {"room": "../../"}, {"url": "ftp://x"}])
def test_what_cannot_be(options: dict[str, str]) -> None:
    chosen = {"room": "AB12CD", "url": "db.example"} | options
    with pytest.raises(UsageError):
        pypeer_conversation(host=True, password="", servers=(), timeout=1, **chosen)


def test_the_warning_is_a_sentence() -> None:
    assert WEAK_KEYS.endswith(".")
