"""The meeting: all places at once, one handshake that counts.

`meet` opens the mailbox of the string code at every place. The attaching can
answers wherever the other one shows up; the tapping can commits itself at the
first place where it finds the attaching one. Only one place may spend the one
guess that a stranger has (`_Try`): the others stand still from then on, and
are left at the end. Once it is spent, there is no end but a confirmed peer or
a failed meeting. That holds for a can without a side of its own, too: it
changes sides (`tincan.meet.turns`) only while the guess is nobody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from tincan.errors import (
    AuthenticationFailed,
    NobodyCame,
    NoPlaceReachable,
    PeerRefused,
    PlaceUnreachable,
    TinCanError,
)
from tincan.meet.events import PeerFound, SideTaken
from tincan.meet.handshake import Handshake, State
from tincan.meet.line import REFUSAL_TIMEOUT, Line
from tincan.meet.mailbox import Mailbox, MailboxClosed, MailboxReset, Side
from tincan.meet.phrase import StringKeys
from tincan.meet.place import Place, Tell
from tincan.meet.watch import NO_PLACE_GRACE, Watch

if TYPE_CHECKING:
    from tincan.meet.turns import End

logger = logging.getLogger(__name__)

CONFIRM_TIMEOUT: Final = 20.0
"""Seconds from the flight to the answer. Somebody who swallows messages would else keep us waiting."""

REOPEN_DELAY: Final = 0.2
"""Seconds before a mailbox that the other side left is opened again: a place that hangs up at once costs no more."""


class _Try:
    """The one guess: the first place that takes it keeps it, and the meeting ends with what it comes to."""

    def __init__(self) -> None:
        self._owner: object = None

    @property
    def taken(self) -> bool:
        """Whether a place has it."""
        return self._owner is not None

    def is_with(self, owner: object) -> bool:
        """Whether this one has it."""
        return self._owner is owner

    async def take(self, owner: object) -> None:
        """Take the guess, or stand still until cancelled when another place has it.

        Taken at the last moment: what follows spends it.
        """
        if self._owner is None:
            self._owner = owner
        if self._owner is not owner:
            await asyncio.Event().wait()


Offer = Callable[[Line], Awaitable[bytes]]
"""Returns the payload of the tapping can's flight (its offer), once it is ready."""


class _Meeting(msgspec.Struct, frozen=True):
    """What the tries at all places have in common."""

    keys: StringKeys
    offer: Offer
    watch: Watch
    tells_side: bool
    the_try: _Try
    outcomes: asyncio.Queue[Line | TinCanError]


async def meet(
    side: Side | None,
    keys: StringKeys,
    places: Sequence[Place],
    *,
    offer: Offer,
    tell: Tell,
    group: asyncio.TaskGroup,
    timeout: float,
    grace: float = NO_PLACE_GRACE,
    rng: random.Random | None = None,
) -> Line:
    """Meet the other can at any of ``places`` within ``timeout`` seconds.

    Without a ``side`` it takes the one that the other can has not, and
    `SideTaken` and the line tell which (`tincan.meet.turns`; ``rng`` is for
    its turns). Leaving the places that were not used is done in ``group`` and
    does not hold up the result. Raises `NoPlaceReachable`, `NobodyCame`,
    `AuthenticationFailed`, or what the last place raised when none is left.
    """
    watch = Watch(tell, grace)
    outcomes: asyncio.Queue[Line | TinCanError] = asyncio.Queue()
    meeting = _Meeting(keys, offer, watch, side is None, _Try(), outcomes)
    if side is None:
        tasks = _in_turns(meeting, places, group, rng or random.SystemRandom())
    else:
        tasks = [group.create_task(_attend(side, meeting, place)) for place in places]
    try:
        async with asyncio.timeout(timeout):
            return await _first(outcomes, len(places), watch)
    except TimeoutError:
        if not watch.was_reached:
            raise NoPlaceReachable(f"{watch.last_trouble} No other place can be reached either.") from None
        raise NobodyCame(
            f"Nobody came within {_minutes(timeout)}. Check that both use the same phrase and share a place "
            "(the same network, or the same switchboard)."
        ) from None
    finally:
        for task in tasks:
            task.cancel()
        while not outcomes.empty():  # a line that was found in the moment of a cancellation
            late = outcomes.get_nowait()
            if isinstance(late, Line):
                await late.close(done=False)


async def _first(outcomes: asyncio.Queue[Line | TinCanError], places: int, watch: Watch) -> Line:
    last: TinCanError = NoPlaceReachable(
        "There is no place to meet: name a switchboard (--switchboard URL) or leave out --no-lan."
    )
    while places:
        try:
            async with asyncio.timeout(watch.patience()):
                outcome = await outcomes.get()
        except TimeoutError:
            if watch.hopeless():
                raise NoPlaceReachable(
                    f"{watch.last_trouble} No other place can be reached either: check the network, "
                    "or name another switchboard."
                ) from None
            continue
        if isinstance(outcome, Line):
            return outcome
        if not isinstance(outcome, PlaceUnreachable):
            raise outcome
        last = NoPlaceReachable(str(outcome))
        places -= 1
    raise last


async def _attend(side: Side, meeting: _Meeting, place: Place) -> None:
    """Keep a mailbox open at one place until the peer is confirmed there, or all is over."""
    try:
        meeting.outcomes.put_nowait(await _wait(side, meeting, place, lambda mailbox: None))
    except TinCanError as exc:
        meeting.outcomes.put_nowait(exc)


def _in_turns(
    meeting: _Meeting, places: Sequence[Place], group: asyncio.TaskGroup, rng: random.Random
) -> list[asyncio.Task[None]]:
    """Attend all places from both sides by turns."""
    from tincan.meet.turns import End, Turns  # most cans know their side

    async def attempt(side: Side, place: Place, opened: Callable[[], None]) -> End:
        mailboxes: list[Mailbox] = []

        def got(mailbox: Mailbox) -> None:
            mailboxes.append(mailbox)
            opened()

        try:
            meeting.outcomes.put_nowait(await _wait(side, meeting, place, got))
        except PeerRefused as exc:
            if not any(map(meeting.the_try.is_with, mailboxes)):
                return End.BUSY
            meeting.outcomes.put_nowait(exc)
        except TinCanError as exc:
            meeting.outcomes.put_nowait(exc)
        return End.OVER

    async def attend(place: Place) -> None:
        try:
            await turns.attend(place)
        except PeerRefused as exc:
            meeting.outcomes.put_nowait(exc)

    turns = Turns(group, attempt, lambda: meeting.the_try.taken, rng)
    return [group.create_task(turns.keep_time()), *(group.create_task(attend(place)) for place in places)]


async def _wait(side: Side, meeting: _Meeting, place: Place, opened: Callable[[Mailbox], None]) -> Line:
    """Wait on one side of a place, in one mailbox after another, for a confirmed peer."""
    tell = meeting.watch.tell
    if meeting.tells_side:
        from tincan.meet.turns import Door

        if isinstance(place, Door):  # turns at it would tell the same again and again
            tell = meeting.watch.tell_once
    while True:
        mailbox = await place.open(side, meeting.keys.code, tell)
        meeting.watch.reached()
        opened(mailbox)
        line = None
        try:
            line = await _handshakes(side, meeting, place.name, mailbox)
            return line
        except MailboxClosed:
            logger.info("the other can left the place before the handshake")
        finally:
            if line is None:
                with contextlib.suppress(TinCanError, OSError):
                    await mailbox.close(done=False)
        await asyncio.sleep(REOPEN_DELAY)


async def _handshakes(side: Side, meeting: _Meeting, name: str, mailbox: Mailbox) -> Line:
    """Run handshakes in one mailbox until one succeeds; only the first may spend the guess."""
    while True:
        line = Line(name, side, mailbox, Handshake(side, meeting.keys))
        try:
            await _handshake(line, mailbox, meeting)
            return line
        except (AuthenticationFailed, PeerRefused):
            raise  # the end of the meeting: no other place gets the guess
        except TinCanError as exc:
            if line.handshake.spent:
                raise AuthenticationFailed(
                    "The line was cut in the middle of the handshake, so it cannot be told whether the phrase "
                    "was right. Agree on a new phrase and try again."
                ) from exc
            if not isinstance(exc, MailboxReset):
                raise


async def _handshake(line: Line, mailbox: Mailbox, meeting: _Meeting) -> None:
    """Take the handshake to a confirmed peer; what came with the confirmation is in ``line.first``."""
    handshake = line.handshake
    await line.flush()
    while not handshake.confirmed:
        message = await _next(mailbox, handshake)
        if line.side is Side.ATTACH:
            await meeting.the_try.take(mailbox)
        payload = await line.step(message)
        if handshake.state is State.READY:
            await meeting.the_try.take(mailbox)
            _tell_found(line, meeting)
            await line.send(await meeting.offer(line))
        elif payload is not None:
            line.first = payload
    if line.side is Side.ATTACH:
        _tell_found(line, meeting)


def _tell_found(line: Line, meeting: _Meeting) -> None:
    if meeting.tells_side:
        meeting.watch.tell(SideTaken(line.side))
    meeting.watch.tell(PeerFound(line.place))


async def _next(mailbox: Mailbox, handshake: Handshake) -> bytes:
    try:
        async with asyncio.timeout(CONFIRM_TIMEOUT if handshake.spent else None):
            return await mailbox.receive()
    except TimeoutError:
        raise AuthenticationFailed(
            "The other can did not confirm the phrase in time: it left, or somebody in between swallows messages. "
            "Agree on a new phrase and try again."
        ) from None


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return "1 second" if seconds == 1 else f"{seconds:g} seconds"
    return f"{seconds / 60:.0f} minutes"


__all__ = ["CONFIRM_TIMEOUT", "NO_PLACE_GRACE", "REFUSAL_TIMEOUT", "Line", "meet"]
