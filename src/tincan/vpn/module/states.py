"""What becomes of a link: a table, and the one door that changes a state and logs it."""

from __future__ import annotations

import enum
import logging
from typing import Final

logger = logging.getLogger(__name__)


class State(enum.StrEnum):
    """How a link is."""

    NEW = "new"
    """Waits for the peer's description."""
    CONNECTING = "connecting"
    ONLINE = "online"
    """Packets flow; a restart may be under way beside."""
    OFFLINE = "offline"
    """Was online and is lost, until it is restarted or trimmed."""
    FAILED = "failed"
    """Could not be made: no path, or the wrong peer. Until it is restarted or trimmed."""


class Happening(enum.Enum):
    """What happens to a link."""

    CONNECTED = "connected with a description"
    CAME_UP = "came up"
    WAS_LOST = "was lost"
    COULD_NOT = "could not be made"


TABLE: Final = {
    (State.NEW, Happening.CONNECTED): State.CONNECTING,
    (State.NEW, Happening.COULD_NOT): State.FAILED,
    (State.CONNECTING, Happening.CONNECTED): State.CONNECTING,
    (State.CONNECTING, Happening.CAME_UP): State.ONLINE,
    (State.CONNECTING, Happening.COULD_NOT): State.FAILED,
    # A restart goes on beside the strand in use, which its failure leaves alone.
    (State.ONLINE, Happening.CONNECTED): State.ONLINE,
    (State.ONLINE, Happening.CAME_UP): State.ONLINE,
    (State.ONLINE, Happening.COULD_NOT): State.ONLINE,
    (State.ONLINE, Happening.WAS_LOST): State.OFFLINE,
    (State.OFFLINE, Happening.CONNECTED): State.CONNECTING,
    (State.OFFLINE, Happening.CAME_UP): State.ONLINE,
    (State.OFFLINE, Happening.COULD_NOT): State.FAILED,
    (State.FAILED, Happening.CONNECTED): State.CONNECTING,
    (State.FAILED, Happening.COULD_NOT): State.FAILED,
}


def follow(link: int, state: State, happening: Happening) -> State:
    """Return the state that follows; `KeyError` where the table has none."""
    after = TABLE[state, happening]
    logger.info("link %d %s: %s -> %s", link, happening.value, state.value, after.value)
    return after
