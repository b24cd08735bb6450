"""The rooms of pypeer over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tincan.meet.firebase import EventStream, Value, read_event
from tincan.switchboard.dialects.rooms import RoomLimits
from tincan.switchboard.limits import RateLimits
from unit.switchboard.wire import PATIENCE, metric, switchboard

ROOM = "/rooms/AB12CD"
OFFER = {"payload": "o", "timestamp": 1}
ANSWER = {"payload": "a", "timestamp": 2}


class Client:
    """Asks a database as pypeer does."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.ws_url = url
        self._session = session
        self._base = url.replace("ws:", "http:")

    async def ask(self, method: str, path: str, value: Any = ..., **options: Any) -> tuple[int, Any]:
        data = None if value is ... else json.dumps(value)
        async with self._session.request(method, self._base + path, data=data, **options) as answer:
            return answer.status, json.loads(await answer.read())

    @contextlib.asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[AsyncIterator[Any]]:
        async with self._session.get(self._base + path, headers={"Accept": "text/event-stream"}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            yield self._values(answer)

    async def _values(self, answer: aiohttp.ClientResponse) -> AsyncIterator[Any]:
        events = EventStream()
        async for chunk in answer.content.iter_any():
            for event in events.feed(chunk):
                value = read_event(event)
                assert isinstance(value, Value)
                yield json.loads(value.json)


@contextlib.asynccontextmanager
async def database(**settings: Any) -> AsyncIterator[Client]:
    async with asyncio.timeout(PATIENCE), switchboard(**settings) as url, aiohttp.ClientSession() as session:
        yield Client(session, url)


async def test_a_meeting() -> None:
    async with database() as client, client.stream(f"{ROOM}/offer.json") as offers:
        assert await anext(offers) is None
        assert await client.ask("PUT", f"{ROOM}/offer.json", OFFER) == (200, OFFER)
        assert await anext(offers) == OFFER
        async with client.stream(f"{ROOM}/answer.json") as answers:
            assert await anext(answers) is None
            await client.ask("PUT", f"{ROOM}/answer.json", ANSWER)
            assert await anext(answers) == ANSWER
        assert await client.ask("GET", f"{ROOM}.json") == (200, {"offer": OFFER, "answer": ANSWER})
        assert await client.ask("GET", f"{ROOM}/answer.json?print=pretty") == (200, ANSWER)
        assert await client.ask("DELETE", f"{ROOM}.json") == (200, None)
        assert await anext(offers) is None
        assert await client.ask("GET", f"{ROOM}.json") == (200, None)
        assert await metric(client.ws_url, "rooms_open") == 0
        assert await metric(client.ws_url, "room_values_total") == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/rooms.json"),
        ("GET", "/rooms/.json"),
        ("DELETE", "/rooms.json"),
        ("PUT", f"{ROOM}.json"),
        ("PUT", "/rooms/ab12cd/offer.json"),
        ("PUT", f"{ROOM}/other.json"),
        ("PATCH", f"{ROOM}/offer.json"),
        ("POST", f"{ROOM}/offer.json"),
        ("GET", f"{ROOM}/%2e%2e/offer.json"),
    ],
)
async def test_what_is_denied(method: str, path: str) -> None:
    async with database() as client:
        assert await client.ask(method, path, OFFER) == (401, {"error": "Permission denied"})


async def test_a_whole_room_cannot_be_watched() -> None:
    async with database() as client:
        assert (await client.ask("GET", f"{ROOM}.json", headers={"Accept": "text/event-stream"}))[0] == 401


async def test_values_that_are_refused() -> None:
    async with database() as client:
        assert (await client.ask("PUT", f"{ROOM}/offer.json", {"other": 1}))[0] == 400
        assert (await client.ask("PUT", f"{ROOM}/offer.json", OFFER | {"payload": "x" * 65536}))[0] == 413
        assert await client.ask("GET", f"{ROOM}.json") == (200, None)


async def test_expiry_is_pushed() -> None:
    async with database(rooms=RoomLimits(lifetime=0.1)) as client, client.stream(f"{ROOM}/offer.json") as offers:
        assert await anext(offers) is None
        await client.ask("PUT", f"{ROOM}/offer.json", OFFER)
        assert await anext(offers) == OFFER
        assert await anext(offers) is None
        assert await metric(client.ws_url, "rooms_expired_total") == 1


async def test_a_stream_outlives_the_time_for_requests(caplog: pytest.LogCaptureFixture) -> None:
    async with database(handshake=2) as client, client.stream(f"{ROOM}/offer.json") as offers:
        assert await anext(offers) is None
        reader, writer = await asyncio.open_connection("127.0.0.1", int(client.ws_url.rpartition(":")[2]))
        writer.write(b"PUT /rooms/AB12CD/offer.json HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        with contextlib.suppress(ConnectionError):
            await reader.read()  # cut, since it came after the stream and did not end
        writer.close()
        await client.ask("PUT", f"{ROOM}/offer.json", OFFER)
        assert await anext(offers) == OFFER
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_watcher_that_leaves_is_forgotten_at_once() -> None:
    async with database() as client:
        async with client.stream(f"{ROOM}/offer.json") as offers:
            assert await anext(offers) is None
            assert await metric(client.ws_url, "room_streams") == 1
        while await metric(client.ws_url, "room_streams"):
            pass


async def test_limits_of_an_address() -> None:
    rates = RateLimits(connections=1, opens_burst=2, opens_per_minute=0.001, frames_burst=20, frames_per_second=0.001)
    async with database(rates=rates) as client:
        async with client.stream(f"{ROOM}/offer.json") as offers:
            await anext(offers)
            status, _ = await client.ask("GET", f"{ROOM}/offer.json", headers={"Accept": "text/event-stream"})
            assert status == 429
        made = [(await client.ask("PUT", f"/rooms/AAAAA{n}/offer.json", OFFER))[0] for n in range(3)]
        assert made == [200, 200, 429]
        found = {(await client.ask("GET", f"{ROOM}.json"))[0] for _ in range(30)}
        assert found == {200, 429}
        assert await metric(client.ws_url, "rate_limited_total") > 3


async def test_a_watcher_that_does_not_read_is_sent_away() -> None:
    rates = RateLimits(frames_burst=1e6, sockets_burst=1e6)
    large = OFFER | {"payload": "x" * 60_000}
    async with database(rates=rates) as client:
        port = int(client.ws_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /rooms/AB12CD/offer.json HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        await reader.readline()
        while not await metric(client.ws_url, "dropped_total"):
            await client.ask("PUT", f"{ROOM}/offer.json", large)
        writer.transport.abort()


async def test_stopping_ends_the_streams() -> None:
    async with aiohttp.ClientSession() as session:
        async with switchboard() as url:
            client = Client(session, url)
            stack = contextlib.AsyncExitStack()
            offers = await stack.enter_async_context(client.stream(f"{ROOM}/offer.json"))
            assert await anext(offers) is None
        assert [value async for value in offers] == []
        await stack.aclose()


async def test_every_answer_says_that_it_is_the_last() -> None:
    """Else a client sends its next request into a connection that is being closed."""
    async with switchboard() as url, aiohttp.ClientSession() as session:
        for path in ("/healthz", "/rooms/ABCDEF/offer.json", "/rooms.json"):
            async with session.get(url.replace("ws:", "http:") + path) as answer:
                assert answer.headers["Connection"] == "close"
