"""The frames of docs/protocol.md, section 1: one table each way.

What a can sends is data from a stranger: `decode` gives a frame whose every
field has the right form, or raises `Malformed` or `TooLarge`, and nothing
else. Unknown fields are ignored, an unknown ``type`` is malformed. Types are
strict: ``1.0`` and ``true`` are no integers, ``null`` is no text.

The form of a field stands in its annotation, so the structs below are the
whole definition. ``body`` is bytes here and base64 on the wire.
"""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar, TypeVar

import msgspec

from tincan.errors import ProtocolError
from tincan.meet.mailbox import MAX_MESSAGE, Side

MAX_FRAME = 48 * 1024
"""Bytes in one frame: a body of `MAX_MESSAGE` is 43.7 KiB in base64, the rest is room for the JSON."""

# \Z and not $: the latter would let a line end through.
Code = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{12}\Z")]
Token = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{22,64}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0)]

F = TypeVar("F")


class ErrorCode(enum.Enum):
    """Why a switchboard ends a conversation."""

    BUSY = "busy"
    RATE = "rate"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    EXPIRED = "expired"
    FULL = "full"
    CLOSING = "closing"


class FrameError(ProtocolError):
    """A frame that is refused. Its text never repeats what was in the frame."""

    code: ClassVar[ErrorCode] = ErrorCode.MALFORMED


class Malformed(FrameError):
    """A frame that is no JSON object of a known type, or with a field of the wrong form."""


class TooLarge(FrameError):
    """A frame over `MAX_FRAME` bytes, or a body over `MAX_MESSAGE` bytes."""

    code: ClassVar[ErrorCode] = ErrorCode.TOO_LARGE


class _Frame(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """What all frames share."""


# -- from a can --


class Open(_Frame, frozen=True, tag="open"):
    """Take one side of a mailbox. ``code`` None: with a fresh nameplate (attach only)."""

    side: Side
    code: Code | None
    token: Token
    resume: str | None = None
    seen: Count = 0


class Send(_Frame, frozen=True, tag="send"):
    """Leave message ``seq`` (from 0) for the other side.

    ``mailbox``, which a can may leave out, names the incarnation that the
    message is meant for: one that was under way during a `Reset` is then
    recognised, and not taken for the first one of the next incarnation.
    """

    seq: Count
    body: bytes
    mailbox: str | None = None


class Close(_Frame, frozen=True, tag="close"):
    """Leave. ``done``: this side has what it needs; else it gives up."""

    done: bool


ClientFrame = Open | Send | Close


# -- from the switchboard --


class TurnServer(msgspec.Struct, frozen=True):
    """A TURN server and a login for it that is good for ``ttl`` seconds."""

    urls: tuple[str, ...]
    username: str
    credential: str
    ttl: int


class Opened(_Frame, frozen=True, tag="opened"):
    """The side is taken. ``mailbox`` names this incarnation of the mailbox."""

    mailbox: str
    nameplate: str | None = None
    stun: tuple[str, ...] = ()
    turn: TurnServer | None = None


class Message(_Frame, frozen=True, tag="message"):
    """Message ``seq`` of the other side."""

    seq: int
    body: bytes


class Reset(_Frame, frozen=True, tag="reset"):
    """The other side is a new can; the mailbox is empty and has a new name."""

    mailbox: str


class Gone(_Frame, frozen=True, tag="gone"):
    """The other side gave up."""


class Error(_Frame, frozen=True, tag="error"):
    """The end of the conversation, and why: ``text`` is one plain sentence."""

    code: ErrorCode
    text: str


ServerFrame = Opened | Message | Reset | Gone | Error

_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_encoder = msgspec.json.Encoder()


def decode(data: str | bytes) -> ClientFrame:
    """Return the frame in ``data``, the content of one text message.

    Raises `Malformed` or `TooLarge`.
    """
    frame = read(_decoder, data)
    if isinstance(frame, Send):
        check_body(frame.body, MAX_MESSAGE)
    return frame


def read(decoder: msgspec.json.Decoder[F], data: str | bytes) -> F:
    """Return the frame in ``data``, of the kinds that ``decoder`` knows; raises as `decode` does."""
    try:
        raw = data.encode() if isinstance(data, str) else data
        if len(raw) > MAX_FRAME:
            raise TooLarge(f"A frame is at most {MAX_FRAME} bytes.")
        return decoder.decode(raw)
    # RecursionError: brackets nested thousands deep. UnicodeError: half a surrogate pair.
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        # Without its cause: that one quotes parts of the frame.
        raise Malformed("The frame is not what the protocol says.") from None


def check_body(body: bytes, most: int) -> None:
    """Raise `TooLarge` for a message that is longer than it may be."""
    if len(body) > most:
        raise TooLarge(f"A message is at most {most} bytes.")


def encode(frame: msgspec.Struct) -> str:
    """Return a frame of a switchboard as the content of one text message."""
    return _encoder.encode(frame).decode()
