"""What a meeting tells while it lasts, and whether any of its places was ever reached."""

from __future__ import annotations

import asyncio
from typing import Final

from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble
from tincan.meet.place import Tell

NO_PLACE_GRACE: Final = 15.0
"""Seconds that no place at all may be reachable before the meeting is given up.

Long enough for a switchboard to be restarted, short enough for somebody who
is not on any network.
"""


class Watch:
    """Passes events on and knows whether any place is, or was, reachable."""

    def __init__(self, tell: Tell, grace: float = NO_PLACE_GRACE) -> None:
        """``grace``: seconds that no place at all may be reachable."""
        self._tell = tell
        self._told: set[MeetEvent] = set()
        self.was_reached = False
        self._deadline = asyncio.get_running_loop().time() + grace
        self.last_trouble = "No place answers."

    def reached(self) -> None:
        """Take note that a place gave a mailbox."""
        self.was_reached = True

    def tell(self, event: MeetEvent) -> None:
        """Pass an event on."""
        if isinstance(event, PlaceReady):
            self.reached()
        elif isinstance(event, PlaceTrouble):
            self.last_trouble = event.text.replace("; trying again", "")
        self._tell(event)

    def tell_once(self, event: MeetEvent) -> None:
        """Pass an event on, unless the same was told in this way before."""
        if event not in self._told:
            self._told.add(event)
            self.tell(event)

    def patience(self) -> float | None:
        """Seconds until a meeting without any place is hopeless; None once one was reached."""
        return None if self.was_reached else max(0.0, self._deadline - asyncio.get_running_loop().time())

    def hopeless(self) -> bool:
        """Whether the grace is over and no place was ever reached."""
        return not self.was_reached and asyncio.get_running_loop().time() >= self._deadline
