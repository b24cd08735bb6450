"""A conversation with the classic tin-can, met at its relay.

Either command that finds an offer under the code answers it; else it leaves
one and waits. Whoever offers opens the one channel there is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final, Literal

from tincan.apps.conversation import Conversation
from tincan.apps.dialects.classic import LABELS, ClassicCodec, Mode, blob, read_blob, string_code
from tincan.apps.dialects.pasted import Kind
from tincan.apps.foreign import ForeignConversation, MakeSound, TextChannel
from tincan.errors import NobodyCame, NoPath, UsageError
from tincan.link.dial import Connected, Tell
from tincan.link.foreign import ForeignDial, foreign_link
from tincan.link.interface import Link
from tincan.meet.events import PeerFound, PlaceTrouble, Waiting
from tincan.meet.phrase import Phrase
from tincan.meet.places.http import http_session
from tincan.meet.places.relay import POLL_INTERVAL, Answered, Relay, RelayMeeting, relay_url
from tincan.nat.servers import IceServer

if TYPE_CHECKING:
    from tincan.apps.dialects.classic_voice import MakeDesk

Ends = tuple[Link, TextChannel]

AFTER_A_DEAD_END: Final = 60.0
"""Seconds to wait for a new offer after one that led nowhere: an earlier run may have left that one."""

_DEAD_END: Final = (
    "The offer found at the relay leads nowhere: an earlier run may have left it, or no path works. "
    "Waiting for a new one."
)


def classic_conversation(
    *,
    mode: Literal["attach", "tap", "talk"],
    secret: str,
    relay: str,
    servers: tuple[IceServer, ...] = (),
    timeout: float = 600.0,
    relay_only: bool = False,
    interval: float = POLL_INTERVAL,
    calls: MakeDesk | None = None,
) -> Conversation:
    """Return a conversation with a classic tin-can, or one of ours that plays it; see `CLASSIC_SECURITY`.

    ``timeout``: seconds to wait for the peer. ``interval``: between questions
    to the relay. ``calls`` makes what handles the voice of ``talk``.
    Raises `UsageError` for a secret or URL that cannot be.
    """
    if not secret.strip():
        raise UsageError("The secret is empty.")
    relay_url(relay)  # nonsense is told before anything starts
    played = Mode(mode)
    dial = _ClassicDial(played, secret, relay, servers, timeout, relay_only, interval)
    return ForeignConversation(dial, ClassicCodec(played), classic_sound(played, calls))


def classic_sound(mode: Mode, calls: MakeDesk | None = None) -> MakeSound | None:
    """Return what makes the sound of a conversation, if it is one for talking. ``calls``: see `ClassicSound`."""
    if mode is not Mode.TALK:
        return None
    from tincan.apps.call.desk import CallDesk
    from tincan.apps.dialects.classic_voice import ClassicSound

    return lambda link, channel: ClassicSound(link, channel, calls or CallDesk)


class _ClassicDial:
    """A `tincan.apps.foreign.Dial`."""

    def __init__(
        self,
        mode: Mode,
        secret: str,
        relay: str,
        servers: tuple[IceServer, ...],
        timeout: float,
        relay_only: bool,
        interval: float,
    ) -> None:
        self._mode = mode
        self._secret = secret
        self._code = string_code(secret)
        self._relay = relay
        self._servers = servers
        self._timeout = timeout
        self._relay_only = relay_only
        self._interval = interval

    @contextlib.asynccontextmanager
    async def __call__(self, tell: Tell) -> AsyncIterator[tuple[Link, TextChannel]]:
        """See `Dial`."""
        tell(Waiting(self._code, Phrase(self._secret)))
        async with contextlib.AsyncExitStack() as stack:
            async with http_session() as session:
                relay = Relay(session, self._relay)
                link, channel = await self._meet(relay, tell, stack)
            tell(Connected(link.status.path.value, relay.name))
            yield link, channel

    async def _meet(self, relay: Relay, tell: Tell, stack: contextlib.AsyncExitStack) -> Ends:
        """Try until there is a link; what it needs stays open on the stack."""
        deadline = asyncio.get_running_loop().time() + self._timeout
        meeting = RelayMeeting(relay, self._code, tell, deadline=deadline, interval=self._interval)
        offer = await meeting.find()
        dead_end: NoPath | None = None
        while True:
            attempt = await stack.enter_async_context(contextlib.AsyncExitStack())
            try:
                if offer is None:
                    outcome = await self._offer(meeting, attempt, lambda: tell(PeerFound(relay.name)))
                else:
                    outcome = await self._answer(offer, meeting, attempt, lambda: tell(PeerFound(relay.name)))
            except NoPath as exc:
                if offer is None or dead_end is not None:
                    raise
                dead_end, spent, offer = exc, offer, None
                meeting.give_up(spent, AFTER_A_DEAD_END)
                tell(PlaceTrouble(relay.name, _DEAD_END))
            except NobodyCame:
                if dead_end is None:
                    raise
                raise dead_end from None
            else:
                if not isinstance(outcome, str):
                    return outcome
                offer = outcome
            await attempt.aclose()

    async def _offer(
        self, meeting: RelayMeeting, attempt: contextlib.AsyncExitStack, found: Callable[[], None]
    ) -> Ends | str:
        """Offer and wait; return the link, or the other one's offer, which came first after all."""
        dial = await attempt.enter_async_context(self._link(offers=True))
        ours = blob(Kind.OFFER, await dial.describe())
        async with dial.reachable():
            outcome = await meeting.wait(ours)
        if not isinstance(outcome, Answered):
            return outcome.blob
        found()
        link = await dial.connect(read_blob(outcome.blob, Kind.ANSWER))
        return link, await dial.open(self._mode.label, reliable=self._mode.reliable)

    async def _answer(
        self, offer: str, meeting: RelayMeeting, attempt: contextlib.AsyncExitStack, found: Callable[[], None]
    ) -> Ends:
        remote = read_blob(offer, Kind.OFFER)
        found()
        dial = await attempt.enter_async_context(self._link(offers=False))
        await meeting.answer(blob(Kind.ANSWER, await dial.describe()))
        link = await dial.connect(remote)
        return link, await dial.accept(*LABELS)

    def _link(self, *, offers: bool) -> contextlib.AbstractAsyncContextManager[ForeignDial]:
        return foreign_link(offers=offers, servers=self._servers, relay_only=self._relay_only)
