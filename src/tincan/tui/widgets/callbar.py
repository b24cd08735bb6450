"""The bar of a call, below the top line: how long, how loud both are, and how the call goes."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tincan.apps.call.events import CallStatus
from tincan.apps.call.words import devices, duration, quality
from tincan.tui.talk import Talk
from tincan.tui.widgets.plain import Plain
from tincan.tui.words import path_words, round_trip

QUIETEST: Final = -60.0
"""dBov at the left end of a meter."""

CELLS: Final = 12
_FULL, _EMPTY = "\u25ae", "\u25af"


class CallBar(Vertical):
    """Two lines while there is a call, nothing otherwise."""

    def compose(self) -> ComposeResult:
        """See Textual."""
        with Horizontal(id="call-now"):
            yield Plain(id="call-time")
            yield Plain(id="call-own")
            yield Plain(id="call-own-state")
            yield Plain(id="call-peer")
            yield Plain(id="call-peer-state")
            yield Plain(id="call-devices")
        yield Plain(id="call-quality")

    def show(self, talk: Talk) -> None:
        """Show the call as it is now."""
        status = talk.call
        self.display = status is not None or talk.calling
        if status is None:
            self._put(time="calling ..." if talk.calling else "")
            return
        self._put(
            time=duration(status.seconds),
            own=f"you {meter(status.level)}",
            own_state=_own_state(talk, status),
            peer=f"{_short(talk.peer or 'peer')} {meter(status.peer_level)}",
            peer_state="muted" if status.peer_muted else "",
            devices=devices(status),
            quality=", ".join([*_way(talk, status), *quality(status)]),
        )

    def _put(self, **texts: str) -> None:
        for name in ("time", "own", "own_state", "peer", "peer_state", "devices", "quality"):
            self.query_one(f"#call-{name.replace('_', '-')}", Plain).put(texts.get(name, ""))


def meter(level: float) -> str:
    """Return a level as a row of blocks."""
    filled = max(0, min(CELLS, round((level - QUIETEST) / -QUIETEST * CELLS)))
    return _FULL * filled + _EMPTY * (CELLS - filled)


def _own_state(talk: Talk, status: CallStatus) -> str:
    if status.push_to_talk:
        return "talking" if talk.pressed else "hold F3"
    return "muted" if status.muted else ""


def _short(name: str) -> str:
    return name if len(name) <= 10 else f"{name[:9]}\u2026"


def _way(talk: Talk, status: CallStatus) -> list[str]:
    """The path and the round trip; what the call does not know, the string does."""
    rtt = status.rtt if status.rtt is not None else talk.rtt
    path = path_words(status.path or talk.path)
    return [path, *([round_trip(rtt)] if rtt is not None else [])]
