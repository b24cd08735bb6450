"""The frames of calls on the control channel: one MessagePack map each, beside those of the chat.

Their kinds are not the chat's, so a can that knows no calls ignores them. A
frame that cannot be read is ignored here as well: no call comes of it.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

MAX_FRAME: Final = 512
"""Bytes of a frame that is looked at."""

Number = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]  # exact in a browser's numbers too
Source = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class Invite(msgspec.Struct, frozen=True, omit_defaults=True, tag="call", tag_field="kind"):
    """I call. ``id``: of this invitation, drawn by chance. ``source``: the SSRC that my voice will have."""

    id: Number
    source: Source
    red: bool = False
    """Whether I understand redundant packets (RFC 2198)."""


class Accept(msgspec.Struct, frozen=True, omit_defaults=True, tag="call-accept", tag_field="kind"):
    """I accept the invitation of that id."""

    id: Number
    source: Source
    red: bool = False


class Decline(msgspec.Struct, frozen=True, omit_defaults=True, tag="call-decline", tag_field="kind"):
    """I do not accept it. ``busy``: nobody was asked."""

    id: Number
    busy: bool = False


class HangUp(msgspec.Struct, frozen=True, tag="call-hangup", tag_field="kind"):
    """The call that came of this invitation is over, or the invitation is taken back."""

    id: Number


class Condition(msgspec.Struct, frozen=True, omit_defaults=True, tag="call-condition", tag_field="kind"):
    """How it is on my side of a call. ``delay``: milliseconds that sound takes through my devices, both together."""

    id: Number
    muted: bool = False
    delay: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0


Frame = Invite | Accept | Decline | HangUp | Condition

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Invite | Accept | Decline | HangUp | Condition)


def encode(frame: Frame) -> bytes:
    """Return the frame as it goes over the control channel."""
    return _encoder.encode(frame)


def decode(data: bytes) -> Frame | None:
    """Return the frame, or None for one of others, of a later version, or of nobody who means well."""
    if len(data) > MAX_FRAME:
        return None
    try:
        frame: Frame = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return frame
