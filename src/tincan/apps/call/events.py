"""What a call tells its screen: frozen facts, to be rendered and nothing more.

All text is safe to show on one line.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

CAPABILITY: Final = "call"
"""In the hello of a chat that takes calls."""


class EndReason(enum.Enum):
    """Why there is no call (any more). The value is what programs read."""

    LOCAL = "local"
    """This side hung up, or took its call back."""
    PEER = "peer"
    """The peer hung up, or took its call back before it was answered."""
    DECLINED = "declined"
    """The peer declined, or this side did."""
    BUSY = "busy"
    """The peer cannot be asked at the moment."""
    NO_ANSWER = "no-answer"
    LOST = "lost"
    """The string is cut."""


@dataclass(frozen=True)
class CallPlaced:
    """We call; the peer is being asked."""


@dataclass(frozen=True)
class CallOffered:
    """The peer calls. The user's answer goes to `Calls.answer`; until then nothing is heard and nothing recorded."""


@dataclass(frozen=True)
class CallStarted:
    """Both want the call: sound goes both ways from now on, as far as there are devices."""


@dataclass(frozen=True)
class CallEnded:
    """There is no call any more. ``seconds``: how long they talked; None: it never came to that."""

    reason: EndReason
    seconds: float | None = None


@dataclass(frozen=True)
class PeerMuted:
    """The peer has muted its microphone, or opened it again."""

    muted: bool


@dataclass(frozen=True)
class SoundFlows:
    """These devices are used, from now on: told when a call starts and whenever they change.

    Without a microphone one can listen only, without a speaker talk only.
    ``text`` says so in a sentence or two.
    """

    microphone: str | None
    speaker: str | None
    text: str


@dataclass(frozen=True)
class SoundTrouble:
    """No sound flows, or something about it does not work; the call goes on. ``text`` is a sentence."""

    text: str


@dataclass(frozen=True)
class CallStatus:
    """How a call goes: told once a second, and to be had at any time from `Calls.status`.

    Levels are in dBov (0 the loudest, -127 nothing), for needles. ``rtt``,
    ``loss`` (of what we receive, 0 to 1), ``loss_there`` (what the peer reports
    of ours), ``jitter_ms`` and ``mouth_to_ear_ms`` (an estimate, from the peer's
    mouth to our ear) are None until they are known.
    """

    seconds: float
    level: float
    """Of what we say and send."""
    peer_level: float
    muted: bool
    peer_muted: bool
    push_to_talk: bool = False
    """The microphone is open only while the user presses (`Switch.PRESSED`)."""
    speaking: bool = False
    """Our voice goes out at the moment."""
    echo: bool = False
    """Echo cancelling works."""
    noise: bool = False
    """Noise suppression works."""
    microphone: str | None = None
    speaker: str | None = None
    path: str = ""
    """A value of `tincan.link.interface.Path`."""
    rtt: float | None = None
    loss: float | None = None
    loss_there: float | None = None
    jitter_ms: float | None = None
    delay_ms: float | None = None
    """What the playout holds back."""
    mouth_to_ear_ms: float | None = None
    bitrate: int = 0
    redundant: bool = False
    """Every packet is sent twice, because some get lost."""


CallEvent = CallPlaced | CallOffered | CallStarted | CallEnded | PeerMuted | SoundFlows | SoundTrouble | CallStatus
