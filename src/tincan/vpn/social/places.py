"""Where friends are met, by the settings of a command: switchboards and the LAN."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from tincan.link.dial import Settings
from tincan.meet.events import MeetEvent
from tincan.vpn.group.interfaces import virtual_interfaces
from tincan.vpn.module.methods import Server
from tincan.vpn.party.line import PartyLine
from tincan.vpn.party.places import MakePart, Places, open_places, server_url


class SocialPlaces:
    """See `tincan.vpn.social.controller.Surroundings`. ``tap``: the network's own interface, which is no LAN."""

    def __init__(
        self, settings: Settings, tell: Callable[[MeetEvent], None], tap: str, others: Sequence[MakePart] = ()
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._tap = tap
        self._others = tuple(others)
        self._open: list[Places] = []

    @contextlib.asynccontextmanager
    async def open_line(self) -> AsyncIterator[PartyLine]:
        """See `Surroundings.open_line`."""
        settings = self._settings
        async with open_places(
            settings.switchboards,
            settings.lan,
            settings.servers,
            self._tell,
            lambda name: name == self._tap or name in virtual_interfaces(),
            self._others,
        ) as places:
            self._open.append(places)
            try:
                yield places.line
            finally:
                self._open.remove(places)

    def servers(self) -> tuple[Server, ...]:
        """See `Surroundings.servers`."""
        if self._open:
            return self._open[0].servers()
        return tuple(Server(server_url(s), s.username, s.credential) for s in self._settings.servers)

    def hurry(self) -> None:
        """See `Surroundings.hurry`."""
        for places in self._open:
            places.hurry()
