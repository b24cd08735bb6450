"""A tied string as the apps that move bytes see it: streams to one peer, and a way to tie it again.

`pipe`, `send`, `receive` and `forward` are written against `TiedString`;
`PhraseString` is the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import secrets
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from tincan.apps.greeting import Again, Received, decode, encode, hello, read_hello
from tincan.errors import NobodyCame, NoPath, NoPlaceReachable, PeerRefused, ProtocolError, TinCanError
from tincan.link.dial import MAX_SERVERS, LinkEvent, Settings, Tell, tie_string
from tincan.link.interface import ChannelClosed, CloseReason, Link, Path, Stream
from tincan.link.punch import Punching
from tincan.link.streams import LinkStream, Streams
from tincan.meet.events import ServersOffered, SideTaken
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, parse
from tincan.nat.servers import IceServer
from tincan.tasks import settle

logger = logging.getLogger(__name__)

GREETING: Final = 10.0
"""Seconds for the peer to greet once the string is tied."""

PUNCHING_SHOWS: Final = 1.0
"""Seconds without a TCP path after which the user is told that bytes go without one."""

MENDING: Final = 120.0
"""Seconds in which two cans that lost each other look for one another again."""


class TiedString(Protocol):
    """A string to one peer that streams travel on.

    A stream that breaks raises `tincan.link.interface.StreamBroken`. Whoever
    can go on where it stopped then calls `mend` and opens a new one.
    """

    @property
    def side(self) -> Side:
        """Which end of the string this is; the two cans have different ones."""

    @property
    def peer(self) -> str:
        """The peer's name, safe to show."""

    async def open_stream(self, *, bulk: bool = False) -> Stream:
        """Open a stream; the peer gets it from `accept_stream`. Raises `ChannelClosed` when the link is gone.

        ``bulk``: it will carry so much that a quicker path is worth looking for at once.
        """

    async def accept_stream(self) -> Stream:
        """Return the next stream that the peer opened. Raises `ChannelClosed` when the link is gone."""

    async def mend(self) -> None:
        """Return once there is a link to the same peer again: at once if it still stands.

        Raises `PeerRefused` when the peer has hung up in good order, and
        `NoPath`, `NobodyCame` or what else `tie_string` raises when it cannot
        be tied again.
        """


class Lost(msgspec.Struct, frozen=True):
    """The link died; the other can is looked for again."""


class Mended(msgspec.Struct, frozen=True):
    """The string is tied again."""

    path: Path


class Carrier(msgspec.Struct, frozen=True):
    """How a stream's bytes go from now on."""

    path: Path
    tcp: bool
    """By punched TCP; otherwise in the link itself, which is slower."""


StringEvent = LinkEvent | Lost | Mended | Carrier
Hear = Callable[[StringEvent], None]


class Servers:
    """The STUN and TURN servers that are known, those that switchboards have named included."""

    def __init__(self, known: Iterable[IceServer]) -> None:
        self.known = tuple(known)

    def hear(self, event: LinkEvent) -> None:
        """Take note of servers that a switchboard offers."""
        if isinstance(event, ServersOffered):
            self.known = tuple(dict.fromkeys((*self.known, *event.servers)))[:MAX_SERVERS]


def punching_for(link: Link, settings: Settings, servers: Servers) -> Punching | None:
    """Return how streams of a link may look for a TCP path."""
    if settings.relay_only:
        return None  # a direct path would show the address that the relay hides
    if link.status.path is Path.LAN:
        return Punching(port_mapping=False)  # nobody outside has to be asked
    return Punching(servers.known)


class _Knot:
    """One link of a string, from the greeting to its end."""

    def __init__(self, link: Link, side: Side, peer: str, streams: Streams, app: str) -> None:
        self.link = link
        self.side = side
        self.peer = peer
        self.streams = streams
        self.app = app
        self.again: bytes | None = None
        self.received: asyncio.Queue[int] = asyncio.Queue(1)
        self.reason: CloseReason | None = None
        self.silent = asyncio.Event()
        """No more notes come."""

    async def listen(self) -> None:
        """Take the peer's notes until the link ends."""
        try:
            while True:
                note = decode(await self.link.control.receive())
                if isinstance(note, Again) and self.side is Side.TAP:
                    self.again = note.secret
                elif isinstance(note, Received) and self.received.empty():
                    self.received.put_nowait(note.count)
        except ChannelClosed:
            self.reason = await self.link.wait_closed()
        finally:
            self.silent.set()


class PhraseString:
    """The `TiedString` of two cans that share a phrase, as an async context manager.

    ``side`` None: whoever comes first waits for the other. Entering it
    returns when the string is tied and both have greeted; it raises what
    `tie_string` and `tincan.apps.greeting.read_hello` raise. When the link is
    lost it is tied again at once, by a secret that the two agreed on while it
    stood, so nobody gets another guess at the phrase.
    """

    def __init__(
        self, side: Side | None, phrase: Phrase | None, settings: Settings, hear: Hear, *, app: str, name: str
    ) -> None:
        self._side = side
        self._phrase = phrase
        self._settings = settings
        self._hear = hear
        self._app = app
        self._name = name
        self._servers = Servers(settings.servers)
        self._knot: _Knot | None = None
        self._over: TinCanError | None = None
        self._changed = asyncio.Event()
        self._watching: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Tie it."""
        self._task = asyncio.create_task(self._run(), name="string")
        try:
            await self._tied()
        except BaseException:
            await settle(self._task)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut it, in good order."""
        await settle(*self._watching, *([self._task] if self._task is not None else []))

    @property
    def side(self) -> Side:
        """See `TiedString.side`."""
        return self._standing().side

    @property
    def peer(self) -> str:
        """See `TiedString.peer`."""
        return self._standing().peer

    async def open_stream(self, *, bulk: bool = False) -> LinkStream:
        """See `TiedString.open_stream`."""
        return self._watch(await self._standing().streams.open(self._app, bulk=bulk))

    async def accept_stream(self) -> LinkStream:
        """See `TiedString.accept_stream`."""
        return self._watch(await self._standing().streams.accept(self._app))

    async def mend(self) -> None:
        """See `TiedString.mend`."""
        await self._tied()

    async def tell_received(self, count: int) -> None:
        """Tell the peer that everything of its stream was taken and passed on; raises `ChannelClosed`."""
        control = self._standing().link.control
        await control.send(encode(Received(count)))
        await control.drain()

    async def wait_received(self) -> int:
        """Return what the peer tells by `tell_received`; raises `ChannelClosed` when the link ends before."""
        knot = self._standing()
        waiting = asyncio.ensure_future(knot.received.get())
        silent = asyncio.ensure_future(knot.silent.wait())  # not the link's end, which may overtake the last note
        try:
            await asyncio.wait([waiting, silent], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done() and not knot.received.empty():
                return knot.received.get_nowait()
            if not waiting.done():
                raise ChannelClosed("The link has ended.")
            return waiting.result()
        finally:
            waiting.cancel()
            silent.cancel()

    # -- inside -------------------------------------------------------------------------

    def _standing(self) -> _Knot:
        """Return the link that stands, or the last one, which says that it has ended."""
        if self._knot is None:
            raise self._over or ChannelClosed("The link has ended.")
        return self._knot

    async def _tied(self) -> None:
        while self._knot is None or self._knot.reason is not None:
            if self._over is not None:
                raise self._over
            await self._changed.wait()

    def _ring(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _run(self) -> None:
        try:
            settings, tell, phrase = self._settings, self._first_tell, self._phrase
            while True:
                again = await self._tie(phrase, settings, tell)
                self._hear(Lost())
                phrase, tell = again, self._later_tell
                # The network itself may be what is away: that no place answers is no reason to give up early.
                settings = dataclasses.replace(settings, timeout=MENDING, grace=MENDING)
        except (NobodyCame, NoPlaceReachable) as exc:
            self._over = exc if self._knot is None else NoPath(_GONE)
        except TinCanError as exc:
            self._over = exc
        except Exception as exc:  # a bug of ours: whoever waits for the string is to hear of it, not of the network
            logger.exception("the string ended unexpectedly")
            self._over = TinCanError(f"Something went wrong inside tin-can ({type(exc).__name__}: {exc}).")
        finally:
            self._over = self._over or NoPath(_GONE)
            self._ring()

    async def _tie(self, phrase: Phrase | None, settings: Settings, tell: Tell) -> Phrase:
        """Tie it and keep it until it is lost; return the phrase to tie it with again."""
        async with tie_string(self._side, phrase, settings, tell) as link:
            side = self._side or Side.ATTACH
            peer = await self._greet(link)
            async with Streams(
                link, side, frozenset([self._app]), punching_for(link, self._settings, self._servers)
            ) as streams:
                knot = _Knot(link, side, peer, streams, self._app)
                if side is Side.ATTACH:
                    knot.again = secrets.token_bytes(32)
                    await link.control.send(encode(Again(knot.again)))
                if self._knot is not None:
                    self._hear(Mended(link.status.path))
                self._knot = knot
                self._ring()
                await knot.listen()
        if knot.reason is CloseReason.BROKEN:
            raise ProtocolError("The peer sent something that the connection could not take; update the older can.")
        if knot.reason is not CloseReason.LOST:
            raise PeerRefused("The other can hung up.")
        if knot.again is None:
            raise NoPath(_GONE)
        return parse(f"again {knot.again.hex()}")

    async def _greet(self, link: Link) -> str:
        try:
            await link.control.send(hello(self._app, self._name))
            async with asyncio.timeout(GREETING):
                return read_hello(await link.control.receive(), self._app)
        except (TimeoutError, ChannelClosed):
            raise NoPath("The other can was reached, but it went away before it greeted. Try again.") from None

    def _first_tell(self, event: LinkEvent) -> None:
        self._later_tell(event)
        self._hear(event)

    def _later_tell(self, event: LinkEvent) -> None:
        if isinstance(event, SideTaken):
            self._side = event.side  # and it stays: mending need not find out again
        self._servers.hear(event)

    def _watch(self, stream: LinkStream) -> LinkStream:
        """Tell how the stream goes, once that is known."""

        async def tell() -> None:
            told = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PUNCHING_SHOWS):
                    await stream.settled()
            while not stream.closed and told is not stream.by_tcp:
                told = stream.by_tcp
                self._hear(Carrier(stream.path, told))
                await stream.settled()

        task = asyncio.create_task(tell(), name="carrier")
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        return stream


_GONE: Final = "The connection to the peer was lost, and it did not come back; run the same commands again."
