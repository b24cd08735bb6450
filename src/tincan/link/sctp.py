"""What a link lets into its SCTP (RFC 9260): bounds on what a peer can have it keep or count. Pure.

aiortc's SCTP keeps whatever it is sent, and asserts on, or walks through, what
a good peer never sends. `tincan.link.transports` asks here before or after it
takes a chunk; what the peer gets for `Hostile` is the end of the link.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAX_HELD: Final = 4096
"""Data chunks, of 1,200 bytes, kept while there is no room; more are dropped, and sent again by the peer."""

MAX_UNFINISHED: Final = 16 * 1024 * 1024
"""Bytes of messages that are not complete yet. aiortc's sender is bounded by its congestion window alone."""

MAX_MISORDERED: Final = 16 * 1024
"""Chunks that arrived before one that is missing."""

MAX_PIECES: Final = 1024
"""Pieces of one message: four times what the longest one needs. aiortc walks over them with each new one."""

MAX_CHANNELS: Final = 64
"""Channels that the peer may have open, or opened and not accepted yet; one more ends the link."""

MAX_STREAMS: Final = 4 * MAX_CHANNELS
"""Stream numbers that the peer may ever have used: aiortc keeps something for each."""


class Hostile(ValueError):
    """The peer does what no good one does."""


def check_unfinished(*, pieces: int, misordered: int, window: int, streams: int) -> None:
    """Look at what is kept once a data chunk was taken; raise `Hostile` when it is too much.

    ``pieces`` wait to be put together, ``misordered`` of them came before one
    that is missing, ``window`` is what is left of ours (negative: overdrawn),
    ``streams`` have been used.
    """
    # Where nothing is missing there is one message at most that is not complete.
    if pieces - misordered > MAX_PIECES or window < -MAX_UNFINISHED or misordered > MAX_MISORDERED:
        raise Hostile("the peer sends messages without end")
    if streams > MAX_STREAMS:
        raise Hostile("the peer uses too many streams")


def check_acknowledgement(*, last_sent: int, cumulative: int, gaps: Iterable[tuple[int, int]]) -> None:
    """Look at a SACK (section 3.3.4) before it is taken; raise `Hostile` when it is about what was never sent.

    aiortc counts through every gap: a packet full of gaps where nothing was
    sent would take it seconds. ``last_sent`` and ``cumulative`` are TSNs.
    """
    unacknowledged = (last_sent - cumulative) % 2**32
    acknowledged = sum(max(0, last - first + 1) for first, last in gaps)
    if unacknowledged >= 2**31 or acknowledged > unacknowledged:
        raise Hostile("the peer acknowledges what was never sent")
