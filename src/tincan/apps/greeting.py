"""What two cans that move bytes tell each other on the control channel, without any input or output.

They greet each other as in a chat (docs/chat.md), with one capability that
names what they are here for; so a `pipe` that meets a chat says so, instead
of waiting for bytes that never come. Then `Again` may follow, and `Received`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tincan import __version__
from tincan.apps.capabilities import COMMANDS, mismatch
from tincan.apps.chat.frames import MINIMUM_VERSION, VERSION, Hello
from tincan.apps.chat.frames import decode as decode_chat
from tincan.apps.chat.frames import encode as encode_chat
from tincan.apps.text import visible_name
from tincan.errors import PeerRefused, ProtocolError

__all__ = ["COMMANDS", "Again", "Note", "Received", "decode", "encode", "hello", "read_hello"]


class Again(msgspec.Struct, frozen=True, tag="again", tag_field="kind"):
    """How to find each other again after the link was lost: a phrase that nobody can guess, for one use."""

    secret: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Received(msgspec.Struct, frozen=True, tag="received", tag_field="kind"):
    """The sender has taken everything of a stream, so many bytes, and passed it on."""

    count: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


Note = Again | Received

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Again | Received)


def hello(app: str, name: str) -> bytes:
    """Return the first frame of a can that is here for ``app``, a key of `COMMANDS`."""
    agent = f"tin-can/{__version__}"
    return encode_chat(Hello(VERSION, MINIMUM_VERSION, visible_name(name), agent, [app]))


def read_hello(frame: bytes, app: str) -> str:
    """Return the peer's name from its first frame.

    Raises `ProtocolError` for anything else, and `PeerRefused` when it is
    here for something else than ``app``.
    """
    greeting = decode_chat(frame)
    if not isinstance(greeting, Hello):
        raise ProtocolError("The other can did not greet; update the older one.")
    if (text := mismatch(app, greeting.capabilities)) is not None:
        raise PeerRefused(text)
    return visible_name(greeting.name)


def encode(note: Note) -> bytes:
    """Return the frame of a note."""
    return _encoder.encode(note)


def decode(frame: bytes) -> Note | None:
    """Return a note, or None for a frame that is none of ours."""
    try:
        note: Note = _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return note
