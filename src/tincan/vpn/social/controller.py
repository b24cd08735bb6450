"""The controller of the social network: a link to every friend who is there, and to nobody else.

It drives a TinCan module by its API, speaks with friends by letters, and
follows the book of friends: who is added there while the network is up gets a
link, who is removed loses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from tincan.errors import ProtocolError, TinCanError, UsageError
from tincan.identity import Identity
from tincan.tasks import settle
from tincan.vpn.group.interfaces import virtual_interfaces
from tincan.vpn.module.interface import Module
from tincan.vpn.module.methods import Server
from tincan.vpn.names.dns import SUFFIX
from tincan.vpn.names.naming import Naming, naming
from tincan.vpn.party.line import PartyLine
from tincan.vpn.party.links import Links, LinkSettings
from tincan.vpn.party.messages import Message, decode, encode
from tincan.vpn.party.states import PeerNews, PeerState
from tincan.vpn.social import ranges
from tincan.vpn.social.book import Book, Friend
from tincan.vpn.social.friends import FileShelf, Shelf
from tincan.vpn.social.letters import FriendLetters, letters

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between looks into the book."""

GOODBYE: Final = 1.0
"""Seconds for telling friends that one leaves."""

ROUTES: Final = Path("/proc/net/route")


@dataclass(frozen=True)
class SocialSettings:
    """How the network is to be. ``range``: the addresses to use from now on; None: those in the book."""

    range: IPv4Network | None = None
    names: bool = True
    relay_only: bool = False


@dataclass(frozen=True)
class Up:
    """The network is up: this machine has these addresses."""

    tap: str
    ip4: IPv4Address
    ip6: IPv6Address
    network: IPv4Network


@dataclass(frozen=True)
class Moved:
    """This machine uses the range already, so the network has another one from now on."""

    before: IPv4Network
    network: IPv4Network


@dataclass(frozen=True)
class FriendNews:
    """How it stands with a friend has changed."""

    name: str
    ip4: IPv4Address
    state: PeerState
    path: str | None
    rtt: float | None
    reason: str | None


@dataclass(frozen=True)
class Trouble:
    """Something does not work, and the network does without it."""

    text: str


class Surroundings(Protocol):
    """Where friends are met."""

    def open_line(self) -> AbstractAsyncContextManager[PartyLine]:
        """Open another party line."""

    def servers(self) -> tuple[Server, ...]:
        """Return the STUN and TURN servers that are known."""

    def hurry(self) -> None:
        """The network has changed: connect to all places anew."""


DEFAULT: Final = SocialSettings()


def read_routes() -> str:
    """Return the kernel's table of IPv4 routes; empty on a machine without IPv4."""
    try:
        return ROUTES.read_text(encoding="ascii")
    except OSError:
        return ""


SocialEvent: TypeAlias = Up | Moved | FriendNews | Trouble
Tell = Callable[[SocialEvent], None]


class Social:
    """The controller. `run` does everything."""

    def __init__(
        self,
        module: Module,
        identity: Identity,
        places: Surroundings,
        tell: Tell,
        settings: SocialSettings = DEFAULT,
        shelf: Shelf | None = None,
        routes: Callable[[], str] = read_routes,
    ) -> None:
        self._module = module
        self._identity = identity
        self._places = places
        self._tell = tell
        self._settings = settings
        self._shelf = shelf or FileShelf()
        self._routes = routes
        self._ip6 = ranges.ip6_of(identity.public)
        self._tap = ""
        self._book: Book | None = None
        self._known: dict[str, Friend] = {}
        """All friends there were since the start, by uid: news of one who is gone have a name too."""
        self._letters: FriendLetters | None = None
        self._naming: Naming | None = None
        self._names = contextlib.AsyncExitStack()
        self._troubles: set[str] = set()
        self._look = asyncio.Event()
        self._links = Links(
            module,
            identity.public.uid,
            secrets.token_bytes(8),
            self._say,
            self._hear_news,
            settings=self._link_settings(),
            on_network_change=self._hear_network,
        )

    async def run(self) -> None:
        """Work until cancelled; raises what the module or the book of friends cannot do without."""
        self._tap = (await self._module.identity()).tap
        await self._module.ignore_interfaces(sorted(virtual_interfaces() - {self._tap}))
        book = self._arranged(self._shelf.read(), self._settings.range)
        async with self._names, letters(self._identity, self._places.open_line, self._hear) as self._letters:
            await self._apply(book)
            running = asyncio.create_task(self._links.run(), name="links")
            try:
                while not running.done():
                    await self._follow(running)
                running.result()
            finally:
                with contextlib.suppress(TimeoutError, TinCanError):
                    async with asyncio.timeout(GOODBYE):
                        await self._links.leave()
                await settle(running)

    async def _follow(self, running: asyncio.Task[None]) -> None:
        """Wait a moment, and apply what is new in the book or around this machine."""
        looking = asyncio.create_task(self._look.wait())
        await asyncio.wait([running, looking], timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
        await settle(looking)
        self._look.clear()
        try:
            book = self._arranged(self._shelf.read())
        except UsageError as exc:
            self._trouble(str(exc))  # and go on with what was there
        else:
            if book != self._book and not running.done():
                await self._apply(book)

    def _arranged(self, book: Book, wanted: IPv4Network | None = None) -> Book:
        """Return the book with a range that is free on this machine; another one is written down."""
        used = ranges.routed(self._routes(), {self._tap})
        if wanted is not None and any(wanted.overlaps(other) for other in used):
            raise UsageError(f"This machine is in a network that overlaps {wanted}; choose another --range.")
        network = wanted or ranges.choose(book.network, used)
        if network == book.network:
            return book

        def move(current: Book) -> tuple[Book, Book]:
            moved = current.moved(network)
            return moved, moved

        arranged = self._shelf.change(move)
        if wanted is None:
            self._tell(Moved(book.network, network))
        return arranged

    async def _apply(self, book: Book) -> None:
        """Make everything as the book has it."""
        assert self._letters is not None  # noqa: S101 - run has made them
        before, self._book = self._book, book
        self._known |= {friend.uid: friend for friend in book.friends}
        peers = {friend.uid: (str(book.address(friend)), str(friend.ip6)) for friend in book.friends}
        self._links.set_peers(peers)  # first of all, whoever is no friend any more loses the link
        if before is None or before.network != book.network:
            await self._module.set_addresses(f"{book.own}/{book.network.prefixlen}", f"{self._ip6}/64")
            await self._names.aclose()
            if self._settings.names:
                self._naming = await self._names.enter_async_context(naming(book.own, self._trouble))
        await self._module.set_translation(str(book.own), {uid: addresses[0] for uid, addresses in peers.items()})
        await self._letters.set_friends(friend.public for friend in book.friends)
        if self._naming is not None:
            self._naming.set({f"{f.name}.{SUFFIX}": (book.address(f), f.ip6) for f in book.friends})
        if before is None or before.network != book.network:
            self._tell(Up(self._tap, book.own, self._ip6, book.network))
        if before is not None:
            self._links.announce()

    # -- what comes from elsewhere -----------------------------------------------------

    async def _say(self, to: str | None, message: Message) -> None:
        if self._letters is not None:
            await self._letters.say(to, encode(message))

    def _hear(self, uid: str, payload: bytes) -> None:
        self._links.settings = self._link_settings()  # a switchboard may have offered others meanwhile
        try:
            self._links.heard(uid, decode(payload))
        except ProtocolError as exc:
            logger.info("%s: %s", uid, exc)

    def _hear_network(self) -> None:
        self._places.hurry()
        self._look.set()

    def _hear_news(self, news: PeerNews) -> None:
        friend, book = self._known.get(news.peer), self._book
        if friend is not None and book is not None:
            reason = news.reason if friend in book.friends else "It is no friend any more."
            self._tell(FriendNews(friend.name, book.address(friend), news.state, news.path, news.rtt, reason))

    def _trouble(self, text: str) -> None:
        if text not in self._troubles:
            self._troubles.add(text)
            self._tell(Trouble(text))

    def _link_settings(self) -> LinkSettings:
        return LinkSettings(self._places.servers(), self._settings.relay_only)
