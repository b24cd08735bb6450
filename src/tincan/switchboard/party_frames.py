"""The frames of a party line at a switchboard: docs/protocol.md, section 7. As in `tincan.switchboard.frames`."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from tincan.switchboard.frames import TurnServer, check_body, read

MAX_BODY: Final = 16 * 1024
MAX_TOPICS: Final = 64
"""Topics of one connection."""

Topic = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_Topics = Annotated[tuple[Topic, ...], msgspec.Meta(max_length=MAX_TOPICS)]


class _Frame(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """What all frames share."""


# -- from a can --


class Enter(_Frame, frozen=True, tag="enter"):
    """The first frame, and again whenever fresh logins for TURN servers are wanted. Answered by `Welcome`."""


class Join(_Frame, frozen=True, tag="join"):
    """Hear these topics from now on."""

    topics: _Topics


class Leave(_Frame, frozen=True, tag="leave"):
    """Hear them no more."""

    topics: _Topics


class Send(_Frame, frozen=True, tag="send"):
    """To everybody else on the topic who is there now."""

    topic: Topic
    body: bytes


ClientFrame: TypeAlias = Enter | Join | Leave | Send


# -- from the switchboard --


class Welcome(_Frame, frozen=True, tag="welcome"):
    """The line is open. With the servers that the switchboard has to offer."""

    stun: tuple[str, ...] = ()
    turn: TurnServer | None = None


class Heard(_Frame, frozen=True, tag="heard"):
    """Somebody sent this to a topic."""

    topic: str
    body: bytes


ServerFrame: TypeAlias = Welcome | Heard

_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


def decode(data: str | bytes) -> ClientFrame:
    """Return the frame in ``data``. Raises `Malformed` or `TooLarge`."""
    frame = read(_decoder, data)
    if isinstance(frame, Send):
        check_body(frame.body, MAX_BODY)
    return frame
