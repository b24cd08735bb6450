"""Files within a conversation: offered and answered while people go on talking.

Each transfer is a stream of its own, so several run at once and none of them
holds up the chat. What is offered waits for the user's answer; what was
interrupted is gone on with when the same is sent again.

A transfer has its place until somebody has taken the news of its end. So a
peer that offers and takes back without end is slowed down by whoever shows
that, and what waits to be told is bounded: an offer, the latest progress and
the end of each transfer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from tincan.apps.desk_events import DeskEvent, FilesEnded, FilesMoved, FilesOffered
from tincan.apps.desk_source import source_of
from tincan.apps.files import (
    Decision,
    FilesEvent,
    NotSent,
    OfferAccepted,
    Offered,
    Outcome,
    Progress,
    Source,
    receive_over,
    send_over,
)
from tincan.apps.files.events import DECLINED
from tincan.apps.files.plain import why
from tincan.apps.files.words import not_sent_words, stopped_words
from tincan.errors import PeerRefused, TinCanError, UsageError
from tincan.link.interface import ChannelClosed, Stream, StreamBroken

logger = logging.getLogger(__name__)

PURPOSE: Final = "files"

MAX_TRANSFERS: Final = 8
"""Transfers at once in each direction; what the peer offers beyond that is closed unread."""

TOLD_EVERY: Final = 0.5
"""Seconds between two `FilesMoved` of one transfer."""

_UNEXPECTED: Final = "something unexpected went wrong; with --log-file the log says what"


class StreamDesk(Protocol):
    """Where streams come from: `tincan.link.streams.Streams`."""

    async def open(self, purpose: str) -> Stream:
        """Open a stream."""

    async def accept(self, purpose: str) -> Stream:
        """Return the next one that the peer opened; raises `ChannelClosed` at the end."""


@dataclass
class _Transfer:
    """What is known of one transfer."""

    number: int
    sending: bool
    name: str = ""
    offered: bool = False
    accepted: bool = False
    unsent: list[str] = field(default_factory=list)
    next_time: float = 0.0


class FileDesk:
    """Sends what the user names and receives what the user accepts, into ``target``, while `run` runs."""

    def __init__(self, streams: StreamDesk, target: Path) -> None:
        self._streams = streams
        self._target = target
        self._ids = 0
        self._places = {True: 0, False: 0}  # sending, receiving
        self._asked: dict[int, asyncio.Future[Decision]] = {}
        self._news: deque[DeskEvent] = deque()
        self._bell = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Take what the peer offers, until cancelled or until the link and every transfer has ended."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while True:
                    stream = await self._streams.accept(PURPOSE)
                    if self._places[False] >= MAX_TRANSFERS:
                        logger.info("too many files are offered")
                        await stream.close()
                    else:
                        group.create_task(self._receive(stream, self._begin(sending=False)))
            except ChannelClosed:
                pass
            finally:
                self._group = None

    def send(self, path: str) -> str:
        """Offer a file or folder and return its name; how it goes is told. Raises `UsageError`."""
        source = source_of(path)
        if self._group is None:
            raise UsageError("There is no string to send files on.")
        if self._places[True] >= MAX_TRANSFERS:
            raise UsageError("Too many files are on their way; wait for one of them.")
        self._group.create_task(self._send(source, self._begin(sending=True, name=source.name)))
        return source.name

    def answer(self, number: int | None, accepted: bool, reason: str = DECLINED) -> None:
        """Answer an offer, the oldest one if no number is given. Raises `UsageError` when there is none.

        ``reason`` is what the peer is told of one that is not accepted.
        """
        number = next(iter(self._asked), None) if number is None else number
        if number is None or number not in self._asked:
            raise UsageError("Nothing is offered that waits for an answer.")
        asked = self._asked.pop(number)
        if not asked.done():
            asked.set_result(Decision(accepted, reason))

    async def next_event(self) -> DeskEvent:
        """Return what happens next; may be cancelled without losing anything."""
        while not self._news:
            self._bell.clear()
            await self._bell.wait()
        return self._take()

    def rest(self) -> list[DeskEvent]:
        """Return what has happened and was not taken yet."""
        return [self._take() for _ in range(len(self._news))]

    # -- inside -----------------------------------------------------------------------

    def _begin(self, *, sending: bool, name: str = "") -> _Transfer:
        self._ids += 1
        self._places[sending] += 1
        return _Transfer(self._ids, sending, name)

    async def _send(self, source: Source, this: _Transfer) -> None:
        async def work() -> Outcome:
            stream = await self._streams.open(PURPOSE)
            try:
                return await send_over(stream, [source], lambda event: self._hear(this, event))
            finally:
                await stream.close()

        await self._see_through(this, work)

    async def _receive(self, stream: Stream, this: _Transfer) -> None:
        async def decide(offer: Offered) -> Decision:
            return await self._ask(offer, this)

        async def work() -> Outcome:
            try:
                return await receive_over(stream, self._target, decide, lambda event: self._hear(this, event))
            finally:
                await stream.close()

        await self._see_through(this, work)

    async def _ask(self, offer: Offered, this: _Transfer) -> Decision:
        """Wait for the user's answer, until cancelled: then there is nobody to give it to."""
        this.name = offer.top[0].name if offer.top else ""
        this.offered = True
        asked: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._asked[this.number] = asked
        self._tell(FilesOffered(this.number, offer))
        try:
            return await asked
        finally:
            self._asked.pop(this.number, None)

    async def _see_through(self, this: _Transfer, work: Callable[[], Awaitable[Outcome]]) -> None:
        """Do the work of a transfer and tell how it ended; one that fails harms no other."""
        outcome, text = None, stopped_words(sending=this.sending, began=False, accepted=True)
        try:
            outcome = await work()
            text = "; ".join([*_left_out(outcome), *this.unsent])
        except (StreamBroken, ChannelClosed):
            text = stopped_words(sending=this.sending, began=True, accepted=this.accepted)
        except TinCanError as exc:
            text = _in_conversation(exc, this)
        except OSError as exc:
            text = why(exc)
        except Exception:
            logger.exception("a transfer failed")
            text = _UNEXPECTED
        finally:
            self._end(this, outcome, text)

    def _end(self, this: _Transfer, outcome: Outcome | None, text: str) -> None:
        if this.sending or this.offered:
            self._tell(FilesEnded(this.number, this.sending, this.name, outcome, text))
        else:  # nobody has heard of it
            logger.info("a stream for files ended without an offer: %s", text)
            self._places[this.sending] -= 1

    def _hear(self, this: _Transfer, event: FilesEvent) -> None:
        if isinstance(event, OfferAccepted):
            this.accepted = True
        elif isinstance(event, NotSent):
            this.unsent.append(f"{not_sent_words(event)} {'was' if event.count == 1 else 'were'} not sent")
        elif isinstance(event, Progress):
            now = asyncio.get_running_loop().time()
            if now >= this.next_time:
                this.next_time = now + TOLD_EVERY
                self._tell(FilesMoved(this.number, this.sending, event))

    def _tell(self, event: DeskEvent) -> None:
        """Keep an event for whoever takes it; it makes what was told of the same progress before stale."""
        if not isinstance(event, FilesOffered):
            stale = [old for old in self._news if isinstance(old, FilesMoved) and old.id == event.id]
            for old in stale:
                self._news.remove(old)
        self._news.append(event)
        self._bell.set()

    def _take(self) -> DeskEvent:
        event = self._news.popleft()
        if isinstance(event, FilesEnded):
            self._places[event.sending] -= 1
        return event


def _left_out(outcome: Outcome) -> list[str]:
    """Return what is missing and why, of the first file at least."""
    if outcome.complete or not outcome.reasons:
        return []
    more = f", and {outcome.left_out - 1} more" if outcome.left_out > 1 else ""
    return [f"left out: {outcome.reasons[0].name}: {outcome.reasons[0].reason}{more}"]


def _in_conversation(exc: TinCanError, this: _Transfer) -> str:
    """Return an error's sentence with the advice that fits here: there is no command to run again."""
    if isinstance(exc, PeerRefused) and not this.sending:
        return "you declined it"
    again = "/send the same again" if this.sending else "let the other one send the same again"
    return str(exc).replace("run the same commands again", again)
