"""The interface of a place: where two cans meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tincan.meet.events import MeetEvent
from tincan.meet.mailbox import Mailbox, Side

Tell = Callable[[MeetEvent], None]
"""Takes an event at once and never blocks."""


class Place(Protocol):
    """Somewhere that offers mailboxes.

    Contract: `open` keeps trying until the place gives a mailbox, telling
    `PlaceTrouble` once for each spell of trouble and `PlaceReady` when it is
    reached. It raises `PeerRefused` when the line is busy and
    `PlaceUnreachable` when trying again cannot help.
    """

    @property
    def name(self) -> str:
        """What users know the place by."""

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> Mailbox:
        """Return this side of the mailbox of a string code (12 hex digits).

        ``tell`` hears of the place from now on; without it, whoever the place
        was made with does.
        """
