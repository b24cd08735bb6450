"""Whoever comes first: which side a can takes, where, and for how long, when nobody has said which one it is.

A can begins by looking (TAP): whoever comes second finds the first one in no
more time than a can that was told its side. When nobody is there it waits
(ATTACH). Two that came at the same moment must not do the same thing for ever:

* at a switchboard the second one of a side hears that the line is busy, and
  takes the other one. Who waits there stays: it cannot know whether somebody
  has just read its share and spends his one guess on the reply;
* at a door, where the waiting can serves its mailbox itself (the LAN), nobody
  tells. There looking and waiting take turns of random lengths. It does know
  its visitors, and stays as long as there is one.

One rule keeps two cans that share several places from answering each other
crosswise, each with its guess spent where the other one stands still: whoever
looks at the switchboards does not wait at a door. So of any two cans only one
can find the other, wherever that is, until they change.

Nothing here spends a guess: `taken` says that it is spoken for, and from then
on no side changes any more.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, runtime_checkable

from tincan.errors import PeerRefused
from tincan.meet.mailbox import Side
from tincan.meet.place import Place

logger = logging.getLogger(__name__)

Span = tuple[float, float]
"""Seconds: some random time between the two."""

FIRST_LOOK: Final[Span] = (1.2, 2.4)
"""How long the first look takes at a door, and where no switchboard answers. mDNS takes up to a second."""

GLANCE: Final[Span] = (0.8, 1.5)
"""How long it takes at a switchboard that has given a mailbox.

What somebody left there comes with it. The rest is for one who comes at the
same moment, is told that the looking side is taken, and comes back to wait.
"""

SECOND_LOOK: Final[Span] = (8.0, 10.0)
"""How long a switchboard may take to answer somebody whom it has just told that the other side is taken."""

WAIT_TURN: Final[Span] = (1.0, 5.0)
LOOK_TURN: Final[Span] = (1.0, 1.5)
"""The turns at a door. Two waits should differ by more than finding somebody takes, so they vary a lot."""

EAGER: Final = 5
"""Waits of that length. Later ones take twice as long: whoever did not come at once is in no hurry either."""

PAUSE: Final[Span] = (0.02, 0.2)
"""Between hearing that a side is taken and taking the other one: the other can may be about to do the same."""

LATER: Final = 3.0
"""Seconds before a switchboard is asked again whose waiting side is taken, while we wait at another one."""

VISITED: Final = 0.25
"""Seconds after which a can that has a visitor, or must not wait at its door yet, looks again."""

MAX_REFUSALS: Final = 4
"""Refusals in a row after which both ends really are in use. Two cans that get in each other's way need fewer."""


@runtime_checkable
class Door(Protocol):
    """What a `Place` adds where the waiting can serves the mailbox itself, and so knows who has come."""

    def leave(self) -> bool:
        """Let nobody in any more, unless somebody is in: returns whether the place can be left."""


class End(enum.Enum):
    """How one try at a place ended."""

    OVER = "nothing more happens at this place"
    BUSY = "somebody else has that side"
    LEFT = "its turn was over"


Try = Callable[[Side, Place, Callable[[], None]], Awaitable[End]]
"""Tries a place from one side until OVER or BUSY; calls its last argument when the place has given a mailbox."""


class Turns:
    """The sides of one can at all its places. `keep_time`, and `attend` for every place, run side by side."""

    def __init__(self, group: asyncio.TaskGroup, attempt: Try, taken: Callable[[], bool], rng: random.Random) -> None:
        self.side = Side.TAP
        """Its side at the switchboards."""
        self._group = group
        self._attempt = attempt
        self._taken = taken
        self._rng = rng
        self._clock = asyncio.get_running_loop().time
        self._first = self._clock() + self._some(FIRST_LOOK)
        self._until = self._first
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._trying: dict[asyncio.Task[End], tuple[Side, Place]] = {}
        self._holding: set[str] = set()
        self._refusals: Counter[str] = Counter()

    async def keep_time(self) -> None:
        """End the looks at the switchboards when their time is over; runs until the guess is taken."""
        while not self._taken():
            self._news.clear()
            if self.side is Side.TAP and self._clock() >= self._until:
                self._become(Side.ATTACH)
            elif self.side is Side.TAP:
                await self._sleep(self._until - self._clock(), self._news)
            else:
                await self._news.wait()

    async def attend(self, place: Place) -> None:
        """Try a place until it is over there; raises `PeerRefused` when the line is in use for good."""
        if isinstance(place, Door):
            await self._at_door(place)
        else:
            await self._at_switchboard(place)

    # -- places ----------------------------------------------------------------------

    async def _at_switchboard(self, place: Place) -> None:
        while True:
            side = self.side
            end = await self._turn(side, place, None)
            if end is End.OVER:
                return
            if end is End.LEFT:
                continue
            await self._refused(place)
            if self.side is not side:
                continue
            if side is Side.ATTACH and self._stays(place):
                await self._sleep(LATER, self._changed)
            elif not self._become(side.other):
                await self._sleep(VISITED, self._changed)

    def _stays(self, place: Place) -> bool:
        """Whether to go on waiting at other switchboards although this one says that the line is busy.

        The other can, refused where we wait, may be reading our share there,
        so it has time to show up. Still, of two that wait, each at the
        switchboard where it was first, one must give in, and both know which:
        the one that has not got the place whose name comes first.
        """
        if any(name < place.name for name in self._holding):
            self._refusals[place.name] = 0
            return True
        return bool(self._holding) and self._refusals[place.name] == 1

    async def _at_door(self, place: Place) -> None:
        side, until, waits = Side.TAP, self._first, 0
        while True:
            end = await self._turn(side, place, until)
            if end is End.OVER:
                return
            if end is End.BUSY:
                await self._refused(place)
            else:
                self._refusals[place.name] = 0
            side = side.other if self.side is Side.ATTACH else Side.TAP
            if side is Side.ATTACH:
                waits += 1
            turn = self._some(LOOK_TURN if side is Side.TAP else WAIT_TURN)
            until = self._clock() + turn * (2 if waits > EAGER and side is Side.ATTACH else 1)

    async def _turn(self, side: Side, place: Place, until: float | None) -> End:
        """Try one side of a place to the end, until a change of side ends it, or the time is over."""
        task = self._group.create_task(self._running(side, place))
        self._trying[task] = side, place
        try:
            while not task.done():
                left = None if until is None else max(0.0, until - self._clock())
                done, _ = await asyncio.wait([task], timeout=left)
                if done or until is None:
                    continue
                if self._may_end(side, place):
                    task.cancel()
                    until = None  # leaving takes a moment
                else:
                    until = self._clock() + VISITED
        finally:
            del self._trying[task]
            self._holding.discard(place.name)
            task.cancel()
        return End.LEFT if task.cancelled() else task.result()

    async def _running(self, side: Side, place: Place) -> End:
        def opened() -> None:
            if isinstance(place, Door):
                return
            self._refusals[place.name] = 0
            if side is Side.ATTACH:
                self._holding.add(place.name)
            else:
                self._until = min(self._until, self._clock() + self._some(GLANCE))
                self._news.set()

        return await self._attempt(side, place, opened)

    def _may_end(self, side: Side, place: Place) -> bool:
        """Whether a turn at a door may end now; when it may, nobody is let in any more."""
        if self._taken():
            return False
        if side is Side.TAP:
            return self.side is Side.ATTACH
        return not isinstance(place, Door) or place.leave()

    # -- sides -----------------------------------------------------------------------

    def _become(self, side: Side) -> bool:
        """Take the other side at the switchboards, if that is allowed now."""
        waiting = [place for tried, place in self._trying.values() if tried is Side.ATTACH]
        if self._taken():
            return False
        if side is Side.TAP and not all(place.leave() for place in waiting if isinstance(place, Door)):
            return False
        logger.info("side: %s -> %s", self.side.value, side.value)
        self.side = side
        self._until = self._clock() + self._some(SECOND_LOOK)
        for task, (tried, place) in self._trying.items():
            # A look at a door may last: only who looks at the switchboards must not wait at a door.
            if tried is not side and not (isinstance(place, Door) and tried is Side.TAP):
                task.cancel()
        self._news.set()
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    async def _refused(self, place: Place) -> None:
        """Count a refusal, and let a moment pass, in which the other can may be quicker."""
        self._refusals[place.name] += 1
        if self._taken():
            await asyncio.Event().wait()  # the meeting ends elsewhere, and ends this
        if self._refusals[place.name] >= MAX_REFUSALS:
            raise PeerRefused("The line is busy: two others are on that string already. Agree on another phrase.")
        await self._sleep(self._some(PAUSE), self._changed)

    def _some(self, span: Span) -> float:
        return self._rng.uniform(*span)

    @staticmethod
    async def _sleep(seconds: float, unless: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(seconds):
                await unless.wait()
        except TimeoutError:
            pass


__all__ = ["MAX_REFUSALS", "Door", "End", "Turns"]
