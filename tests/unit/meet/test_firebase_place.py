"""A room on a database that behaves, and on servers that do not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tincan.errors import PlaceUnreachable, UsageError
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble
from tincan.meet.places.firebase import FirebaseRoom
from tincan.meet.places.http import base_url
from unit.meet.databases import Handler, answering, cuts, floods, hangs, passed_on, server
from unit.switchboard.wire import switchboard

PATIENCE = 120.0
VALUE = {"payload": "token", "timestamp": 1_700_000_000_000}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Told(list[MeetEvent]):
    """Events, and a way to wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def tell(self, event: MeetEvent) -> None:
        self.append(event)
        self._news.set()

    async def trouble(self) -> str:
        """Return the text of the first trouble."""
        while True:
            for event in self:
                if isinstance(event, PlaceTrouble):
                    return event.text
            self._news.clear()
            await self._news.wait()


@contextlib.asynccontextmanager
async def room(url: str) -> AsyncIterator[tuple[FirebaseRoom, Told]]:
    told = Told()
    async with asyncio.timeout(PATIENCE), FirebaseRoom(url, "AB12CD", told.tell) as made:
        yield made, told


async def json_of(made: FirebaseRoom, key: str, count: int) -> list[object]:
    """Return the next values of a stream."""
    found: list[object] = []
    async with contextlib.aclosing(made.stream(key)) as values:
        async for value in values:
            found.append(json.loads(value.json))
            if len(found) == count:
                break
    return found


async def test_a_room_at_our_switchboard() -> None:
    async with switchboard() as url, room(url.replace("ws", "http")) as (made, told):
        watching = asyncio.create_task(json_of(made, "offer", 3))
        while not told:
            await asyncio.sleep(0)
        await made.put("offer", VALUE)
        assert await json_of(made, "offer", 1) == [VALUE]
        await made.put("answer", None)
        await made.delete()
        assert await watching in ([None, VALUE, None], [VALUE, None])
        assert set(told) == {PlaceReady(made.name)}


FINAL = [
    (answering(401, '{"error":"Permission denied"}'), "rules"),
    (answering(403), "rules"),
    (answering(404, "<html>"), "no Firebase database"),
    (answering(400), "400"),
    (answering(423), "423"),
    (answering(307, Location="http://elsewhere.example/rooms/x"), "elsewhere.example"),
    (answering(302, Location="//"), "nowhere"),
]


@pytest.mark.parametrize(("handler", "text"), FINAL)
async def test_what_is_final(handler: Handler, text: str) -> None:
    async with server(handler) as url, room(url) as (made, told):
        with pytest.raises(PlaceUnreachable, match=text) as caught:
            await made.put("offer", VALUE)
        with pytest.raises(PlaceUnreachable, match=text):
            await json_of(made, "offer", 1)
        with pytest.raises(PlaceUnreachable, match=text):
            await made.delete()
        assert str(caught.value).startswith(f"The database {made.name} ")
        assert not told


PASSING = [
    (answering(500), "500"),
    (answering(429), "429"),
    (answering(200, "<html>Please log in</html>"), "Firebase"),
    (answering(200, "\x1f\x8b", **{"Content-Encoding": "gzip"}), "Firebase"),
    (cuts, "broke the connection"),
    (floods, "sense|Firebase"),
]


@pytest.mark.parametrize(("handler", "text"), PASSING)
async def test_what_may_pass(handler: Handler, text: str) -> None:
    """It is told once, and tried again until the server has come to its senses."""
    async with switchboard() as board:
        good = board.replace("ws", "http")
        tries = failures = 0

        async def at_first(request: web.Request) -> web.StreamResponse:
            nonlocal tries
            tries += 1
            if tries <= failures:
                return await handler(request)
            return await passed_on(good, request)

        failures = 2 if handler is cuts else 1
        async with server(at_first) as url, room(url) as (made, told):
            await made.put("offer", VALUE)
            assert [type(event) for event in told] == [PlaceTrouble, PlaceReady]
            assert re.search(text, trouble := await told.trouble())
            assert trouble.endswith("; trying again.")
        tries, failures = 0, 1
        async with server(at_first) as url, room(url) as (made, told):
            assert await json_of(made, "offer", 1) == [VALUE]
            # The head of a flood looks like a stream's, so it counts as reached.
            assert told[-1] == PlaceReady(made.name)
            if handler is not cuts:  # aiohttp itself asks once more then
                assert await told.trouble()


async def test_a_server_that_hangs_is_told_of_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincan.meet.places.firebase.ANSWER_TIMEOUT", 0.1)
    async with server(hangs) as url:
        for ask in (lambda made: made.put("offer", VALUE), lambda made: json_of(made, "offer", 1)):
            async with room(url) as (made, told):
                task = asyncio.ensure_future(ask(made))
                assert "does not answer" in await told.trouble()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        async with room(url) as (made, _):
            with pytest.raises(PlaceUnreachable, match="does not answer"):
                await made.delete()


async def test_nobody_listens() -> None:
    async with room("http://127.0.0.1:9") as (made, told):
        task = asyncio.create_task(made.put("offer", VALUE))
        assert "cannot be reached (connection refused)" in await told.trouble()
        task.cancel()


async def test_no_such_name() -> None:
    async with room("https://nothing.invalid") as (made, told):
        task = asyncio.create_task(made.put("offer", VALUE))
        assert "cannot be reached (" in await told.trouble()
        task.cancel()


async def test_http_where_https_was_meant() -> None:
    async with server(answering(200)) as url, room(url.replace("http:", "https:")) as (made, _):
        with pytest.raises(PlaceUnreachable, match="TLS"):
            await made.put("offer", VALUE)


async def test_something_that_is_no_http() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read(1)
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        async with room(f"http://127.0.0.1:{port}") as (made, told):
            task = asyncio.create_task(made.put("offer", VALUE))
            assert "makes no sense" in await told.trouble()
            task.cancel()


async def test_a_stream_that_ends_is_asked_for_again() -> None:
    async def one_event(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b'event: put\ndata: {"path":"/","data":1}\n\n', content_type="text/event-stream")

    async with server(one_event) as url, room(url) as (made, told):
        assert await json_of(made, "offer", 3) == [1, 1, 1]
        assert set(told) == {PlaceReady(made.name)}


async def test_a_database_that_revokes_its_permission() -> None:
    async def revokes(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"event: cancel\ndata: null\n\n", content_type="text/event-stream")

    async with server(revokes) as url, room(url) as (made, _):
        with pytest.raises(PlaceUnreachable, match="any more"):
            await json_of(made, "offer", 1)


async def test_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def proxy(request: web.Request) -> web.StreamResponse:
        seen.append(str(request.url))
        return web.json_response(await request.json())

    async with server(proxy) as url:
        monkeypatch.setenv("http_proxy", url)
        async with room("http://database.invalid/base/") as (made, _):
            await made.put("offer", VALUE)
    assert seen == ["http://database.invalid/base/rooms/AB12CD/offer.json"]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("db.example", "https://db.example"),
        (" https://db.example/ ", "https://db.example"),
        ("http://[::1]:8080/a/b/", "http://[::1]:8080/a/b"),
        ("wss://can.example", "https://can.example"),
        ("ftp://db.example", None),
        ("https://", None),
        ("https://me:secret@db.example", None),
        ("https://db.example:0", None),
        ("https://db.example:99999", None),
        ("https://db.example/?auth=x", None),
        ("https://db.example/#x", None),
        ("https://db exam.ple", None),
        ("https://[db", None),
    ],
)
def test_urls(text: str, url: str | None) -> None:
    if url is not None:
        assert base_url(text, "a database") == url
    else:
        with pytest.raises(UsageError):
            base_url(text, "a database")


def test_rooms_that_are_none() -> None:
    with pytest.raises(UsageError):
        FirebaseRoom("db.example", "../../x")
