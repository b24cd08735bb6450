"""The relay of the classic tin-can (docs/protocol.md section 4): two blobs under a code, for ten minutes.

`Relay` is its API. `RelayMeeting` is how two meet there, whoever comes first:
`find` an offer, or leave one with `wait` until it is answered. Both keep
trying, as every place does: a spell of trouble is told once, and
`PlaceUnreachable` is raised when trying again cannot help.

What the relay forgets or mixes up costs nobody the meeting: an offer that is
gone is left again; an answer to an earlier offer is passed over; and when two
came at the same moment, so that each left an offer and one replaced the
other, the one whose offer is gone answers.
"""

from __future__ import annotations

import asyncio
import logging
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tincan.errors import NobodyCame, NoPlaceReachable, PlaceUnreachable, TinCanError
from tincan.meet.events import PlaceReady, PlaceTrouble
from tincan.meet.place import Tell
from tincan.meet.places.http import base_url, explain, proxy_of, read_bounded

if TYPE_CHECKING:
    from aiohttp import ClientSession

logger = logging.getLogger(__name__)

DEFAULT_RELAY: Final = "https://lafeir.com/api"

POLL_INTERVAL: Final = 2.0
"""Seconds between questions for an answer, as the classic client asks."""

LOOK_INTERVAL: Final = 30.0
"""Seconds between looks at whether our own offer is still there."""

REFRESH: Final = 540.0
"""Seconds after which an offer is left again: blobs live for ten minutes."""

ANSWER_TIMEOUT: Final = 10.0
"""Seconds for one question and its whole answer."""

NO_RELAY_GRACE: Final = 10.0
"""Seconds to reach the relay for the first time."""

MAX_BLOB: Final = 128 * 1024
MAX_BODY: Final = MAX_BLOB + 1024
"""Characters of a blob, and bytes of the JSON around it."""

T = TypeVar("T")


class _Offer(msgspec.Struct, frozen=True):
    offer: str


class _KnotTie(msgspec.Struct, frozen=True, rename={"knot_tie": "knot-tie"}):
    knot_tie: str


_offers = msgspec.json.Decoder(_Offer)
_knot_ties = msgspec.json.Decoder(_KnotTie)


class RelayTrouble(PlaceUnreachable):
    """The relay did not do what it was asked for; ``text`` goes on after its name. Trying again may help."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"The relay {name} {text}.")


def relay_url(text: str) -> str:
    """Return the base URL of a relay's API; a bare host is taken to have it under ``/api``."""
    base = base_url(text, "a relay of the classic tin-can")
    return base if urllib.parse.urlsplit(base).path else f"{base}/api"


class Relay:
    """The four requests. Raises `RelayTrouble`, and `PlaceUnreachable` for what will not change."""

    def __init__(self, session: ClientSession, url: str, *, answer_timeout: float = ANSWER_TIMEOUT) -> None:
        self._session = session
        self._base = relay_url(url)
        self._proxy = proxy_of(self._base)
        self._answer_timeout = answer_timeout
        self.name = urllib.parse.urlsplit(self._base).netloc

    async def offer(self, code: str) -> str | None:
        """Return the offer under a code, if there is one."""
        body = await self._get("string", code)
        return None if body is None else self._read(_offers.decode, body).offer

    async def knot_tie(self, code: str) -> str | None:
        """Return the answer under a code, if there is one."""
        body = await self._get("knot-tie", code)
        return None if body is None else self._read(_knot_ties.decode, body).knot_tie

    async def put_offer(self, code: str, blob: str) -> None:
        """Leave an offer under a code."""
        await self._put("string", code, _Offer(blob))

    async def put_knot_tie(self, code: str, blob: str) -> None:
        """Leave an answer under a code."""
        await self._put("knot-tie", code, _KnotTie(blob))

    async def _get(self, what: str, code: str) -> bytes | None:
        status, body = await self._ask("GET", what, code, None)
        return None if status in (204, 404) else body

    async def _put(self, what: str, code: str, content: msgspec.Struct) -> None:
        status, _ = await self._ask("PUT", what, code, msgspec.json.encode(content))
        if status == 404:
            raise PlaceUnreachable(f"There is no relay of the classic tin-can at {self._base}; check --relay.")

    async def _ask(self, method: str, what: str, code: str, content: bytes | None) -> tuple[int, bytes]:
        """Return status and body when the status is 2xx or 404."""
        try:
            async with (
                asyncio.timeout(self._answer_timeout),
                self._session.request(
                    method,
                    f"{self._base}/{what}",
                    params={"code": code},
                    data=content,
                    headers={} if content is None else {"Content-Type": "application/json"},
                    proxy=self._proxy,
                    allow_redirects=False,
                ) as response,
            ):
                status, body = response.status, await read_bounded(response, MAX_BODY)
        except Exception as exc:
            why = explain(exc)
            if why is None:
                raise
            text, final = why
            if final:
                raise PlaceUnreachable(f"The relay {self.name} {text}.") from exc
            raise RelayTrouble(self.name, text) from exc
        if 200 <= status < 300 or status == 404:
            return status, body
        if status == 429 or status >= 500:
            raise RelayTrouble(self.name, f"cannot do it now (HTTP status {status})")
        if 300 <= status < 400:
            raise PlaceUnreachable(f"The relay {self.name} sends us elsewhere; give its real URL with --relay.")
        raise PlaceUnreachable(f"The relay {self.name} refuses us (HTTP status {status}).")

    def _read(self, decode: Callable[[bytes], T], body: bytes) -> T:
        try:
            return decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RelayTrouble(self.name, "says what no relay of the classic tin-can would say") from None


@dataclass(frozen=True)
class Answered:
    """Our offer was answered."""

    blob: str


@dataclass(frozen=True)
class Found:
    """There is an offer of somebody else to answer."""

    blob: str


class RelayMeeting:
    """One meeting under one code. ``deadline`` is in the running loop's time.

    Its methods raise `NobodyCame` at the deadline, `NoPlaceReachable` when
    the relay was not reached in `NO_RELAY_GRACE`, or `PlaceUnreachable`.
    """

    def __init__(
        self, relay: Relay, code: str, tell: Tell, *, deadline: float, interval: float = POLL_INTERVAL
    ) -> None:
        self._relay = relay
        self._code = code
        self._tell = tell
        self._deadline = deadline
        self._interval = interval
        self._hopeless = asyncio.get_running_loop().time() + NO_RELAY_GRACE
        self._reached = False
        self._troubled = False
        self._spent: set[str] = set()

    async def find(self) -> str | None:
        """Return the offer that waits for an answer, if there is one."""
        return self._fresh(await self._patiently(lambda: self._relay.offer(self._code)))

    async def answer(self, blob: str) -> None:
        """Leave an answer."""
        await self._patiently(lambda: self._relay.put_knot_tie(self._code, blob))

    async def wait(self, offer: str) -> Answered | Found:
        """Leave an offer and wait for its answer, or until another one's offer has replaced it."""
        stale = await self._patiently(lambda: self._relay.knot_tie(self._code))
        theirs = await self.find()  # it may have come while our candidates were gathered
        if theirs is not None:
            return Found(theirs)
        loop = asyncio.get_running_loop()
        await self._patiently(lambda: self._relay.put_offer(self._code, offer))
        left, look = loop.time(), loop.time()
        while True:
            await self._pause()
            answer = await self._patiently(lambda: self._relay.knot_tie(self._code))
            if answer is not None and answer != stale:
                return Answered(answer)
            if loop.time() < look:
                continue
            look = loop.time() + LOOK_INTERVAL
            there = await self._patiently(lambda: self._relay.offer(self._code))
            if there != offer and (fresh := self._fresh(there)) is not None:
                return Found(fresh)
            if there != offer or loop.time() - left > REFRESH:
                await self._patiently(lambda: self._relay.put_offer(self._code, offer))
                left = loop.time()

    def give_up(self, offer: str, patience: float) -> None:
        """Never find this offer again: who made it is gone. Wait at most that many seconds for a new one."""
        self._spent.add(offer)
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + patience)

    def _fresh(self, offer: str | None) -> str | None:
        return None if offer in self._spent else offer

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, or no more hope."""
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    found = await ask()
            except TimeoutError:
                raise self._nobody_came() from None
            except RelayTrouble as exc:
                logger.info("relay trouble: %r", exc.__cause__ or exc)
                if not self._reached and asyncio.get_running_loop().time() >= self._hopeless:
                    raise NoPlaceReachable(f"{exc} Check the network, or use another relay (--relay URL).") from exc
                if not self._troubled:
                    self._troubled = True
                    self._tell(PlaceTrouble(self._relay.name, f"{str(exc)[:-1]}; trying again."))
                await self._pause()
                continue
            if self._troubled or not self._reached:
                self._reached, self._troubled = True, False
                self._tell(PlaceReady(self._relay.name))
            return found

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout_at(self._deadline):
                await asyncio.sleep(self._interval)
        except TimeoutError:
            raise self._nobody_came() from None

    def _nobody_came(self) -> TinCanError:
        if not self._reached:
            return NoPlaceReachable(
                f"The relay {self._relay.name} could not be reached in time; check the network, or use another relay."
            )
        return NobodyCame("Nobody came in time. Check that both use the same secret and the same relay.")
