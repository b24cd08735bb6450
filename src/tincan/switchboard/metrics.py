"""What a switchboard tells its operator: counts, and nothing but counts.

No address, code, nameplate or token gets in here, so none gets out.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass, field

from tincan.switchboard.frames import ErrorCode

CONTENT_TYPE = "text/plain; version=0.0.4"


@dataclass(slots=True)
class Metrics:
    """Counters since the start, and two gauges. Whoever does a thing counts it here."""

    connections: int = 0
    mailboxes: int = 0
    opened: int = 0
    completed: int = 0
    expired: int = 0
    messages: int = 0
    bytes: int = 0
    rate_limited: int = 0
    dropped: int = 0
    rooms: int = 0
    room_watchers: int = 0
    room_values: int = 0
    rooms_expired: int = 0
    party_members: int = 0
    party_topics: int = 0
    party_messages: int = 0
    party_bytes: int = 0
    party_lost: int = 0
    classic_blobs: collections.Counter[str] = field(default_factory=collections.Counter)
    """By kind: what was left at the relay of the classic dialect."""
    errors: collections.Counter[ErrorCode] = field(default_factory=collections.Counter)

    def error(self, code: ErrorCode) -> None:
        """Count an error that a can was told."""
        self.errors[code] += 1
        if code is ErrorCode.RATE:
            self.rate_limited += 1

    def render(self) -> str:
        """Return everything in Prometheus' text format, 0.0.4."""
        rows = [
            ("connections", "gauge", "Cans connected now.", self.connections),
            ("mailboxes_open", "gauge", "Mailboxes that exist now.", self.mailboxes),
            ("opened_total", "counter", "Sides of mailboxes that were opened.", self.opened),
            (
                "meetings_completed_total",
                "counter",
                "Mailboxes that both sides were done with.",
                self.completed,
            ),
            ("expired_total", "counter", "Mailboxes that reached their age.", self.expired),
            ("messages_total", "counter", "Messages taken in.", self.messages),
            ("message_bytes_total", "counter", "Bytes in these messages.", self.bytes),
            ("rate_limited_total", "counter", "Refusals for asking too much.", self.rate_limited),
            ("dropped_total", "counter", "Connections dropped because their can did not read.", self.dropped),
            ("rooms_open", "gauge", "Rooms of pypeer that exist now.", self.rooms),
            ("room_streams", "gauge", "Streams that watch rooms now.", self.room_watchers),
            ("room_values_total", "counter", "Offers and answers put into rooms.", self.room_values),
            ("rooms_expired_total", "counter", "Rooms that reached their age.", self.rooms_expired),
            ("party_members", "gauge", "Connections to party lines now.", self.party_members),
            ("party_topics", "gauge", "Topics of party lines that somebody is on now.", self.party_topics),
            ("party_messages_total", "counter", "Messages taken in on party lines.", self.party_messages),
            ("party_bytes_total", "counter", "Bytes in these messages.", self.party_bytes),
            ("party_lost_total", "counter", "Messages on party lines that were too much.", self.party_lost),
        ]
        lines = []
        for name, kind, text, value in rows:
            lines += _head(name, kind, text)
            lines.append(f"tincan_switchboard_{name} {value}")
        lines += _head("errors_total", "counter", "Errors that cans were told, by code.")
        lines += [f'tincan_switchboard_errors_total{{code="{code.value}"}} {self.errors[code]}' for code in ErrorCode]
        lines += _head("classic_blobs_total", "counter", "Offers and answers of the classic dialect taken in.")
        for kind in ("offer", "knot-tie"):
            lines.append(f'tincan_switchboard_classic_blobs_total{{kind="{kind}"}} {self.classic_blobs[kind]}')
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP tincan_switchboard_{name} {text}", f"# TYPE tincan_switchboard_{name} {kind}"]
