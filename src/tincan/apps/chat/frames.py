"""The frames of the chat protocol on the wire: one MessagePack map each.

A table of kinds, and two functions. A frame's fields are checked here, by
form; whether it may come now is the business of `protocol.py`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tincan.errors import ProtocolError

VERSION = 1
"""The highest version of the chat protocol spoken here."""

MINIMUM_VERSION = 1
"""The lowest version of the chat protocol spoken here."""

MAX_TEXT = 64 * 1024
"""UTF-8 bytes in one message: half of what a channel message may hold."""

_Count = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]  # exact in a browser's numbers too
_Version = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="kind"):
    """The first frame of each side. ``version``: the highest spoken, ``minimum``: the lowest."""

    version: _Version
    minimum: _Version
    name: str
    agent: str
    capabilities: list[str]


class Message(msgspec.Struct, frozen=True, omit_defaults=True, tag="message", tag_field="kind"):
    """Something said."""

    id: _Count
    text: str
    action: bool = False


class Ack(msgspec.Struct, frozen=True, tag="ack", tag_field="kind"):
    """The message of that id has been taken by the application."""

    id: _Count


class Typing(msgspec.Struct, frozen=True, tag="typing", tag_field="kind"):
    """The sender began or stopped typing."""

    active: bool


class Bye(msgspec.Struct, frozen=True, omit_defaults=True, tag="bye", tag_field="kind"):
    """The sender says no more. ``error``: because of what the receiver of this frame sent."""

    error: str | None = None


Frame = Hello | Message | Ack | Typing | Bye


class _AnyFrame(msgspec.Struct):
    """A frame of which only the kind is looked at."""

    kind: str


_encoder = msgspec.msgpack.Encoder()
_any_decoder = msgspec.msgpack.Decoder(_AnyFrame)
_DECODERS: dict[str, msgspec.msgpack.Decoder[Frame]] = {
    "hello": msgspec.msgpack.Decoder(Hello),
    "message": msgspec.msgpack.Decoder(Message),
    "ack": msgspec.msgpack.Decoder(Ack),
    "typing": msgspec.msgpack.Decoder(Typing),
    "bye": msgspec.msgpack.Decoder(Bye),
}


def encode(frame: Frame) -> bytes:
    """Return the frame as it goes over the control channel."""
    return _encoder.encode(frame)


def decode(data: bytes) -> Frame | None:
    """Return the frame, or None when its kind is not one of the chat's; raise `ProtocolError`."""
    kind = "frame"
    try:
        named = _any_decoder.decode(data).kind
        if named not in _DECODERS:
            return None
        kind = named
        frame = _DECODERS[kind].decode(data)
        _check(frame)
    except UnicodeDecodeError as exc:
        raise ProtocolError("The peer sent a chat frame whose text is not UTF-8.") from exc
    except RecursionError as exc:
        raise ProtocolError("The peer sent a chat frame that is nested too deeply.") from exc
    except ValueError as exc:  # msgspec's errors are, and those of _check
        raise ProtocolError(f"The peer sent a malformed chat {kind}: {exc}.") from exc
    return frame


def _check(frame: Frame) -> None:
    """Check what the types cannot say."""
    if isinstance(frame, Hello) and frame.minimum > frame.version:
        raise ValueError("its lowest version is above its highest")
    if isinstance(frame, Message):
        if not frame.text:
            raise ValueError("it is empty")
        if len(frame.text.encode()) > MAX_TEXT:
            raise ValueError(f"it is longer than {MAX_TEXT} bytes")
