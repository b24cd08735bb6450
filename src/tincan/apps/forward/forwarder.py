"""Forwarding from the first local door to the goodbye, over a string that may break and be tied again.

Local doors are opened before anybody is met, and stay open while the string
is mended. All connections share one stream at a time: the attaching side
opens it, the tapping side accepts it. When it breaks, connections are reset
(their bytes on the way are lost, and nobody could tell which), the string is
mended, and the next stream begins with new connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from tincan.apps.forward.addresses import Forwarding
from tincan.apps.forward.answers import Answers
from tincan.apps.forward.doors import Door, Hall
from tincan.apps.forward.events import Listening, NotForwarded, StringBroke, StringMended
from tincan.apps.forward.ledger import Ledger, Tell
from tincan.apps.forward.requests import Listen
from tincan.apps.forward.rules import Rule, own_targets
from tincan.apps.forward.session import Session
from tincan.apps.strings import TiedString
from tincan.errors import PeerRefused
from tincan.link.interface import ChannelClosed, Stream, StreamBroken
from tincan.meet.mailbox import Side

BREATH: Final = 1.0
"""Seconds before the next try when a stream broke as soon as it was there: else two cans could spin."""


@dataclass(frozen=True)
class Plan:
    """What the user asks for: ``-L``, ``-R``, ``--allow`` and ``--allow-listen``."""

    local: tuple[Forwarding, ...] = ()
    remote: tuple[Forwarding, ...] = ()
    allow: tuple[Rule, ...] = ()
    allow_listen: tuple[Rule, ...] = ()


class Forwarder:
    """Carries out a plan; an async context manager whose doors are open while it is entered."""

    def __init__(self, plan: Plan, tell: Tell) -> None:
        self._plan = plan
        self._tell = tell
        ledger = Ledger(tell)
        self._hall = Hall(ledger)
        self._answers = Answers(self._hall, ledger, (*plan.allow, *own_targets(plan.remote)), plan.allow_listen)
        self._doors: list[Door] = []

    async def __aenter__(self) -> Self:
        """Open the local doors, all or none; raise what `tincan.apps.forward.listening.bind` does."""
        try:
            for wish in self._plan.local:
                door = Door(wish.at, wish.target, wish.transport, self._hall)
                await door.open()
                self._doors.append(door)
                self._tell(Listening(wish.text, str(door.address), there=False))
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all doors."""
        self._close()

    async def run(self, string: TiedString) -> None:
        """Forward until the peer hangs up. Cancelled, say goodbye to it first."""
        loop = asyncio.get_running_loop()
        heard: Callable[[Session], None] = self._hall.let_in
        while True:
            began = loop.time()
            try:
                first = string.side is Side.ATTACH
                stream = await (string.open_stream() if first else string.accept_stream())
                await self._serve(stream, odd=first, heard=heard)
                return
            except (StreamBroken, ChannelClosed):
                pass  # mended below, outside of what it broke in
            self._tell(StringBroke())
            if loop.time() - began < BREATH:
                await asyncio.sleep(BREATH)
            try:
                await string.mend()
            except PeerRefused:
                return  # it has hung up in good order
            heard = self._heard_again

    def _heard_again(self, session: Session) -> None:
        """The string is mended: a link that stands may be one whose peer has just died."""
        self._tell(StringMended())
        self._hall.let_in(session)

    async def _serve(self, stream: Stream, *, odd: bool, heard: Callable[[Session], None]) -> None:
        session = Session(stream, odd=odd, answer=self._answers.answer, heard=heard)
        for wish in self._plan.remote:
            request = Listen(str(wish.at), str(wish.target), wish.transport)
            session.open(request, _Wish(wish, self._tell), carries_data=False)
        try:
            try:
                await session.run()
            finally:
                self._hall.let_in(None)
            await session.leave()
        except asyncio.CancelledError:
            await session.leave()
            raise
        finally:
            await stream.close()

    def _close(self) -> None:
        for door in self._doors:
            door.close()
        self._doors.clear()
        self._answers.close()
        self._hall.close()


class _Wish:
    """A ``-R`` as an `End`: it carries nothing, and lasts as long as the peer listens."""

    def __init__(self, wish: Forwarding, tell: Tell) -> None:
        self._wish = wish
        self._tell = tell

    def accepted(self, text: str) -> None:
        """The peer listens, at the address in the text."""
        self._tell(Listening(self._wish.text, text, there=True))

    def data(self, payload: memoryview) -> None:
        """Never happens: no credit is given."""

    def writable(self) -> None:
        """Nothing is sent."""

    def ended(self) -> None:
        """See `lost`."""

    def lost(self, text: str) -> None:
        """The peer does not listen, or not any more."""
        if text:
            self._tell(NotForwarded(self._wish.text, text))
