"""A room on a Firebase Realtime Database (docs/protocol.md section 3), for the dialect of pypeer.

`FirebaseRoom.put` and `FirebaseRoom.stream` keep trying, as every place does:
a spell of trouble is told once, and `PlaceUnreachable` is raised when trying
again cannot help. The loop of asyncio and the caller's timeout end them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import urllib.parse
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import msgspec

from tincan.errors import PlaceUnreachable, ProtocolError, UsageError
from tincan.meet.events import PlaceReady, PlaceTrouble
from tincan.meet.firebase import KEYS, MAX_EVENT, EventStream, Value, is_room_name, read_event
from tincan.meet.place import Tell
from tincan.meet.places.http import base_url, explain, http_session, proxy_of, read_bounded

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT: Final = 10.0
"""Seconds for the whole answer to a PUT or DELETE, and for the head of a stream."""

SILENCE_LIMIT: Final = 70.0
"""Seconds without a byte after which a stream is asked for anew; Firebase sends a keep-alive every 30."""

FIRST_RETRY: Final = 0.2
LAST_RETRY: Final = 3.0
"""Seconds between tries: the first, doubling up to the last, each with up to a third of jitter."""

_REFUSED = "does not let us use rooms there ({}); its rules must allow to read and write below rooms/"


class _Failure(Exception):
    """The server answered with something else than what was asked for. ``final``: and always will."""

    def __init__(self, text: str, *, final: bool) -> None:
        super().__init__(text)
        self.final = final


class FirebaseRoom:
    """One room. An async context manager that holds the connections to the database."""

    def __init__(self, url: str, room: str, tell: Tell = lambda event: None) -> None:
        if not is_room_name(room):
            raise UsageError("A room has six capital letters or digits.")
        self._base = f"{base_url(url, 'a Firebase Realtime Database')}/rooms/{room}"
        self._tell = tell
        self._session: ClientSession | None = None
        self._stack = contextlib.AsyncExitStack()
        self._troubled = False
        self._delay = FIRST_RETRY

    async def __aenter__(self) -> Self:
        """Load what speaks HTTP; the database is asked nothing yet."""
        self._session = await self._stack.enter_async_context(http_session())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._stack.aclose()

    @property
    def name(self) -> str:
        """What users know the place by."""
        return urllib.parse.urlsplit(self._base).netloc

    async def put(self, key: str, value: object) -> None:
        """Set one of `KEYS` to a value, or take it away with None; keep trying until that is done."""
        while True:
            with self._enduring():
                async with asyncio.timeout(ANSWER_TIMEOUT), self._ask("PUT", f"/{_known(key)}.json", value) as answer:
                    if await _json(answer) != value:  # a database answers with what it has stored
                        raise _Failure("answered, but not as a Firebase database does", final=False)
                self._reached()
                return
            await self._pause()

    async def stream(self, key: str) -> AsyncGenerator[Value, None]:
        """Yield what stands under one of `KEYS`: what is there now, and again after each change. Never ends."""
        path = f"/{_known(key)}.json"
        while True:
            with self._enduring():
                async with contextlib.AsyncExitStack() as stack:
                    async with asyncio.timeout(ANSWER_TIMEOUT):
                        answer = await stack.enter_async_context(self._ask("GET", path, stream=True))
                    self._reached()
                    events = EventStream()
                    with contextlib.suppress(TimeoutError):  # silence is no trouble while asking again works
                        async for chunk in answer.content.iter_any():
                            for event in events.feed(chunk):
                                value = read_event(event)
                                if value is not None:
                                    yield value
                logger.info("the stream has ended; asking again")
            await self._pause()

    async def delete(self) -> None:
        """Delete the room. Tries once; raises `PlaceUnreachable`."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT), self._ask("DELETE", ".json"):
                pass
        except Exception as exc:
            text, _ = _judge(exc)
            raise PlaceUnreachable(f"The database {self.name} {text}.") from exc

    # -- one request -----------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _ask(
        self, method: str, path: str, value: object = None, *, stream: bool = False
    ) -> AsyncIterator[ClientResponse]:
        import aiohttp

        if self._session is None:
            raise RuntimeError("the room is not open")
        url = self._base + path
        headers = {"Accept": "text/event-stream" if stream else "application/json"}
        async with self._session.request(
            method,
            url,
            data=msgspec.json.encode(value) if method == "PUT" else None,
            headers=headers | ({"Content-Type": "application/json"} if method == "PUT" else {}),
            allow_redirects=False,
            proxy=proxy_of(url),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=self._session.timeout.connect, sock_read=SILENCE_LIMIT if stream else None
            ),
        ) as answer:
            _check(answer, stream=stream)
            yield answer

    # -- trouble -----------------------------------------------------------------

    @contextlib.contextmanager
    def _enduring(self) -> Iterator[None]:
        """Tell of a failure that may pass, and raise `PlaceUnreachable` for one that will not."""
        try:
            yield
        except Exception as exc:
            text, final = _judge(exc)
            if final:
                raise PlaceUnreachable(f"The database {self.name} {text}.") from exc
            logger.info("database trouble: %s", text)
            if not self._troubled:
                self._troubled = True
                self._tell(PlaceTrouble(self.name, f"The database {self.name} {text}; trying again."))

    def _reached(self) -> None:
        self._troubled = False
        self._delay = FIRST_RETRY
        self._tell(PlaceReady(self.name))

    async def _pause(self) -> None:
        await asyncio.sleep(self._delay * (1 + random.random() / 3))  # noqa: S311 - jitter
        self._delay = min(self._delay * 2, LAST_RETRY)


def _known(key: str) -> str:
    if key not in KEYS:
        raise ValueError(f"rooms have no {key!r}")
    return key


def _check(answer: ClientResponse, *, stream: bool) -> None:
    """Raise `_Failure` when an answer is not what was asked for."""
    status = answer.status
    if status in (200, 204) and not (stream and answer.content_type != "text/event-stream"):
        return
    if status == 200:
        raise _Failure("answered, but not as a Firebase database does", final=False)
    if status in (401, 403):
        raise _Failure(_REFUSED.format(status), final=True)
    if status == 404:
        raise _Failure("answers, but there is no Firebase database at that address (404)", final=True)
    if 300 <= status < 400:
        # Nobody sends what we write somewhere else; whoever means it names that place.
        place = urllib.parse.urlsplit(answer.headers.get("Location", "")).netloc
        raise _Failure(f"sends us elsewhere ({place or 'nowhere'}), which is not followed", final=True)
    if status == 429 or status >= 500:
        raise _Failure(f"cannot serve us at the moment ({status})", final=False)
    raise _Failure(f"refuses what we ask ({status})", final=True)


async def _json(answer: ClientResponse) -> object:
    if answer.status == 204:
        raise ValueError("no answer")
    return msgspec.json.decode(await read_bounded(answer, MAX_EVENT))


def _judge(exc: Exception) -> tuple[str, bool]:
    """Return what is wrong with the database, as the end of a sentence, and whether that is final."""
    if isinstance(exc, PlaceUnreachable):
        return "does not let us watch the room any more", True
    if isinstance(exc, _Failure):
        return str(exc), exc.final
    if isinstance(exc, ProtocolError | msgspec.DecodeError | UnicodeError | RecursionError):
        return "says what no Firebase database would say", False
    found = explain(exc)
    if found is None:
        raise exc
    return found
