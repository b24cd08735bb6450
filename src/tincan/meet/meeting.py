"""The meeting: all places at once, one handshake that counts.

`meet` opens the mailbox of the string code at every place. The attaching can
answers wherever the other one shows up; the tapping can commits itself at the
first place where it finds the attaching one. Only one place may spend the one
guess that a stranger has (`_Try`): the others stand still from then on, and
are left at the end. Once it is spent, there is no end but a confirmed peer or
a failed meeting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tincan.errors import (
    AuthenticationFailed,
    NobodyCame,
    NoPlaceReachable,
    PeerRefused,
    PlaceUnreachable,
    TinCanError,
)
from tincan.meet.events import MeetEvent, PeerFound, PlaceReady, PlaceTrouble
from tincan.meet.handshake import Handshake, State
from tincan.meet.mailbox import Mailbox, MailboxClosed, MailboxReset, Side
from tincan.meet.phrase import StringKeys
from tincan.meet.place import Place, Tell

logger = logging.getLogger(__name__)

NO_PLACE_GRACE: Final = 15.0
"""Seconds that no place at all may be reachable before the meeting is given up.

Long enough for a switchboard to be restarted, short enough for somebody who
is not on any network.
"""

REFUSAL_TIMEOUT: Final = 1.0
"""Seconds for telling the peer that the handshake failed."""

CONFIRM_TIMEOUT: Final = 20.0
"""Seconds from the flight to the answer. Somebody who swallows messages would else keep us waiting."""

REOPEN_DELAY: Final = 0.2
"""Seconds before a mailbox that the other side left is opened again: a place that hangs up at once costs no more."""


class Line:
    """The mailbox of one place with the handshake in it: payloads to and from the peer, sealed.

    The tapping can may `send` as soon as its flight is on the way, before the
    peer is confirmed: what it sends can only be opened by somebody who knows
    the phrase.
    """

    def __init__(self, place: str, mailbox: Mailbox, handshake: Handshake) -> None:
        self.place = place
        self.handshake = handshake
        self.first = b""
        """The payload that came with the peer's confirmation."""
        self._mailbox = mailbox
        self._lock = asyncio.Lock()

    async def send(self, payload: bytes) -> None:
        """Seal a payload and leave it in the mailbox; `MailboxClosed` once the handshake has failed."""
        async with self._lock:
            if self.handshake.state is State.FAILED:  # found by whoever reads, while somebody else still sends
                raise MailboxClosed("The handshake has failed.")
            self.handshake.seal(payload)
            await self._flush()

    async def receive(self) -> bytes:
        """Return the peer's next payload.

        Raises `AuthenticationFailed` when what came is not the next envelope
        of the peer, `MailboxClosed` or `MailboxReset` when the place has
        nothing more to give.
        """
        while True:
            payload = await self.step(await self._mailbox.receive())
            if payload is not None:
                return payload

    async def step(self, message: bytes) -> bytes | None:
        """Give one message to the handshake and send what it says to that, a refusal too."""
        try:
            return self.handshake.receive(message)
        finally:
            with contextlib.suppress(TinCanError, OSError, TimeoutError):
                async with asyncio.timeout(REFUSAL_TIMEOUT):
                    await self.flush()

    async def flush(self) -> None:
        """Send what the handshake has to send."""
        async with self._lock:
            await self._flush()

    async def close(self, *, done: bool) -> None:
        """Leave the place."""
        await self._mailbox.close(done=done)

    async def _flush(self) -> None:
        for message in self.handshake.data_to_send():
            await self._mailbox.send(message)


class _Try:
    """The one guess: the first place that takes it keeps it, and the meeting ends with what it comes to."""

    def __init__(self) -> None:
        self._owner: object = None

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


async def meet(
    side: Side,
    keys: StringKeys,
    places: Sequence[Place],
    *,
    offer: Offer,
    tell: Tell,
    group: asyncio.TaskGroup,
    timeout: float,
) -> Line:
    """Meet the other can at any of ``places`` within ``timeout`` seconds.

    Leaving the places that were not used is done in ``group`` and does not
    hold up the result. Raises `NoPlaceReachable`, `NobodyCame`,
    `AuthenticationFailed`, or what the last place raised when none is left.
    """
    watch = _Watch(tell)
    outcomes: asyncio.Queue[Line | TinCanError] = asyncio.Queue()
    the_try = _Try()
    tasks = [group.create_task(_attend(side, keys, place, the_try, offer, watch, outcomes)) for place in places]
    try:
        async with asyncio.timeout(timeout):
            return await _first(outcomes, len(tasks), watch)
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


async def _first(outcomes: asyncio.Queue[Line | TinCanError], places: int, watch: _Watch) -> Line:
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


class _Watch:
    """Passes events on and knows whether any place is, or was, reachable."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.was_reached = False
        self._deadline = asyncio.get_running_loop().time() + NO_PLACE_GRACE
        self.last_trouble = "No place answers."

    def reached(self) -> None:
        self.was_reached = True

    def tell(self, event: MeetEvent) -> None:
        if isinstance(event, PlaceReady):
            self.reached()
        elif isinstance(event, PlaceTrouble):
            self.last_trouble = event.text.replace("; trying again", "")
        self._tell(event)

    def patience(self) -> float | None:
        """Seconds until a meeting without any place is hopeless; None once one was reached."""
        return None if self.was_reached else max(0.0, self._deadline - asyncio.get_running_loop().time())

    def hopeless(self) -> bool:
        return not self.was_reached and asyncio.get_running_loop().time() >= self._deadline


async def _attend(
    side: Side,
    keys: StringKeys,
    place: Place,
    the_try: _Try,
    offer: Offer,
    watch: _Watch,
    outcomes: asyncio.Queue[Line | TinCanError],
) -> None:
    """Keep a mailbox open at one place until the peer is confirmed there, or all is over."""
    try:
        while True:
            mailbox = await place.open(side, keys.code, watch.tell)
            watch.reached()
            line = None
            try:
                line = await _handshakes(side, keys, place.name, mailbox, the_try, offer, watch.tell)
            except MailboxClosed:
                logger.info("the other can left the place before the handshake")
            finally:
                if line is None:
                    with contextlib.suppress(TinCanError, OSError):
                        await mailbox.close(done=False)
            if line is not None:
                outcomes.put_nowait(line)
                return
            await asyncio.sleep(REOPEN_DELAY)
    except TinCanError as exc:
        outcomes.put_nowait(exc)


async def _handshakes(
    side: Side, keys: StringKeys, name: str, mailbox: Mailbox, the_try: _Try, offer: Offer, tell: Tell
) -> Line:
    """Run handshakes in one mailbox until one succeeds; only the first may spend the guess."""
    while True:
        line = Line(name, mailbox, Handshake(side, keys))
        try:
            await _handshake(side, line, mailbox, the_try, offer, tell)
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


async def _handshake(side: Side, line: Line, mailbox: Mailbox, the_try: _Try, offer: Offer, tell: Tell) -> None:
    """Take the handshake to a confirmed peer; what came with the confirmation is in ``line.first``."""
    handshake = line.handshake
    await line.flush()
    while not handshake.confirmed:
        message = await _next(mailbox, handshake)
        if side is Side.ATTACH:
            await the_try.take(mailbox)
        payload = await line.step(message)
        if handshake.state is State.READY:
            await the_try.take(mailbox)
            tell(PeerFound(line.place))
            await line.send(await offer(line))
        elif payload is not None:
            line.first = payload
    if side is Side.ATTACH:
        tell(PeerFound(line.place))


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
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes"
