"""The places of a party line as the settings of a command name them, kept up together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeAlias

from tincan.errors import UsageError
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble, ServersOffered
from tincan.meet.place import Tell
from tincan.nat.servers import IceServer
from tincan.vpn.module.methods import MAX_SERVERS, Server
from tincan.vpn.party.lan import LanLine
from tincan.vpn.party.line import PartyLine
from tincan.vpn.party.lines import AllLines
from tincan.vpn.party.switchboard import SwitchboardLine

TELL_AGAIN: Final = 600.0
"""Seconds until the same trouble is told once more."""


class Part(PartyLine, Protocol):
    """A place of its own: a party line that keeps itself up."""

    @property
    def name(self) -> str:
        """What users know the place by."""

    async def run(self) -> None:
        """Stay connected until cancelled."""

    def hurry(self) -> None:
        """The network has changed: look anew."""


MakePart: TypeAlias = Callable[[Tell], Part]
"""Makes a place that tells what becomes of it."""


class Places:
    """Switchboards, the LAN and others as one `line`. Made by `open_places`."""

    def __init__(self, servers: Sequence[IceServer], tell: Callable[[MeetEvent], None]) -> None:
        self._named = tuple(servers)
        self._offered: dict[str, tuple[IceServer, ...]] = {}
        self._tell = tell
        self._told: dict[str, float] = {}
        self._parts: list[Part] = []
        self.troubles: dict[str, str | None] = {}
        """By place: what is wrong with it, or None."""
        self.line = AllLines(())

    def servers(self) -> tuple[Server, ...]:
        """Return the STUN and TURN servers for links: those that were named, and those that were offered."""
        offered = [server for servers in self._offered.values() for server in servers]
        known = dict.fromkeys((*self._named, *offered))
        return tuple(Server(server_url(s), s.username, s.credential) for s in known)[:MAX_SERVERS]

    def hurry(self) -> None:
        """The network has changed: look at all places anew."""
        for part in self._parts:
            part.hurry()

    def add_switchboard(self, url: str) -> None:
        """Take a switchboard in."""
        self.add(SwitchboardLine(url, partial(self.hear, url)))

    def parts(self) -> tuple[Part, ...]:
        """Return all places."""
        return tuple(self._parts)

    def add(self, part: Part) -> None:
        """Take a place in."""
        self._parts.append(part)
        self.troubles.setdefault(part.name, "It has not been reached yet.")
        self.line = AllLines(self._parts)

    def hear(self, source: str, event: MeetEvent) -> None:
        """Take what a place tells."""
        if isinstance(event, PlaceReady):
            self.troubles[event.place] = None
        elif isinstance(event, PlaceTrouble):
            self.troubles[event.place] = event.text
            if not self._is_news(event.text):
                return
        elif isinstance(event, ServersOffered):
            self._offered[source] = event.servers  # the newest logins, in the place of those before
        self._tell(event)

    def _is_news(self, text: str) -> bool:
        """Whether a trouble was not told lately: a place may come and go every few seconds."""
        now = asyncio.get_running_loop().time()
        self._told = {said: at for said, at in self._told.items() if now < at + TELL_AGAIN}
        return self._told.setdefault(text, now) == now


@contextlib.asynccontextmanager
async def open_places(
    switchboards: Sequence[str],
    lan: bool,
    servers: Sequence[IceServer],
    tell: Callable[[MeetEvent], None],
    passed_over: Callable[[str], bool] = lambda name: False,
    others: Sequence[MakePart] = (),
) -> AsyncIterator[Places]:
    """Keep the places up while this lasts. ``passed_over``: interfaces that the LAN is not looked for on."""
    if not switchboards and not lan and not others:
        raise UsageError("There is no place to meet: name a switchboard (--switchboard URL) or leave out --no-lan.")
    places = Places(servers, tell)
    for url in dict.fromkeys(switchboards):
        places.add_switchboard(url)
    if lan:
        places.add(LanLine(partial(places.hear, LanLine.name), passed_over))
    for make in others:
        places.add(make(partial(places.hear, "")))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part.run(), name=f"party line: {part.name}") for part in places.parts()]
        tasks.append(group.create_task(places.line.run(), name="party lines"))
        try:
            yield places
        finally:
            for task in tasks:
                task.cancel()


def server_url(server: IceServer) -> str:
    """Write a server as its URL (RFC 7064, RFC 7065)."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    if server.kind == "stun":
        return f"stun:{host}:{server.port}"
    if server.transport == "tls":
        return f"turns:{host}:{server.port}?transport=tcp"
    return f"turn:{host}:{server.port}?transport={server.transport}"
