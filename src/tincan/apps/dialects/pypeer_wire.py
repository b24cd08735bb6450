"""pypeer's rooms, tokens and messages. Pure.

A token carries one session description: Fernet over zlib over the JSON of
``{"sdp": ..., "type": ...}``. The key comes from the room and its password by
one SHA-256, so what is said about it in `WEAK_KEYS` is said to the user.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tincan.apps.chat import MAX_TEXT, ChatEvent, MessageReceived
from tincan.errors import AuthenticationFailed, ProtocolError, UsageError
from tincan.link.sdp import MAX_SDP
from tincan.meet.firebase import is_room_name

WEAK_KEYS: Final = (
    "pypeer's rooms are weakly protected: whoever sees the database can try millions of passwords a second, and "
    "read or replace what finds the other one. Use a long random password, or tin-can on both ends without --pypeer."
)

LABEL: Final = "chat"
"""The label of pypeer's data channel."""

PING: Final = "__ping__"
PING_INTERVAL: Final = 15.0

MAX_TOKEN: Final = 64 * 1024
MAX_JSON: Final = 2 * MAX_SDP
"""Bytes of a session description as JSON, where a line end takes four."""

MAX_PASSWORD: Final = 1024

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_TOKEN = re.compile(r"[A-Za-z0-9_=-]+")


@dataclass(frozen=True)
class Room:
    """A room as two people agree on it."""

    name: str
    password: str = field(default="", repr=False)

    @property
    def text(self) -> str:
        """What `parse_room` reads: ``ROOM`` or ``ROOM:PASSWORD``."""
        return f"{self.name}:{self.password}" if self.password else self.name


def parse_room(text: str) -> Room:
    """Read ``ROOM`` or ``ROOM:PASSWORD``; raise `UsageError` when it is neither."""
    name, _, password = text.partition(":")
    name = name.strip()
    if not name.isascii() or not is_room_name(name.upper()):
        raise UsageError("A room of pypeer has six letters or digits; write ROOM or ROOM:PASSWORD.")
    # pypeer's screens cut white space off a password, so nobody there could type it.
    password = password.strip()
    if len(password) > MAX_PASSWORD:
        raise UsageError(f"A room's password has at most {MAX_PASSWORD} characters.")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise UsageError("The room's password is not valid text in this terminal's encoding.") from None
    return Room(name.upper(), password)


def generate_room(choose: Callable[[str], str]) -> str:
    """Make the name of a room; ``choose`` is `secrets.choice` outside of tests."""
    return "".join(choose(_ALPHABET) for _ in range(6))


def room_key(room: Room) -> bytes:
    """Return the Fernet key of a room."""
    digest = hashlib.sha256(f"{room.name}{room.password}".encode()).digest()
    return base64.urlsafe_b64encode(digest)


class _Description(msgspec.Struct, frozen=True):
    sdp: str
    type: str


_decoder = msgspec.json.Decoder(_Description)

_REFUSALS: Final = {
    "offer": "Wrong password for that room ({}). Ask the other one for the password, and for the room again.",
    "answer": "Somebody answered in the room {} with the wrong password, so it was given up. Host another room.",
}


def encode_token(room: Room, sdp: str, kind: str) -> str:
    """Return the token of a session description; ``kind`` is ``offer`` or ``answer``."""
    from cryptography.fernet import Fernet  # only who speaks pypeer's dialect needs it

    packed = zlib.compress(msgspec.json.encode(_Description(sdp, kind)))
    return Fernet(room_key(room)).encrypt(packed).decode()


def decode_token(room: Room, token: str, kind: str) -> str:
    """Return the session description in a token.

    Raises `AuthenticationFailed` when it was made with another password,
    `ProtocolError` when whoever knows the password put something else in it.
    """
    from cryptography.fernet import Fernet, InvalidToken

    if len(token) > MAX_TOKEN:
        raise ProtocolError(f"What is in the room {room.name} is far too long for a token of pypeer.")
    try:
        if not _TOKEN.fullmatch(token):
            raise InvalidToken
        packed = Fernet(room_key(room)).decrypt(token)
    except InvalidToken:
        raise AuthenticationFailed(_REFUSALS[kind].format(room.name)) from None
    nonsense = ProtocolError(f"What the other side left in the room {room.name} is no {kind} of pypeer.")
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(packed, MAX_JSON)
        if not unpacking.eof or unpacking.unused_data:
            raise nonsense
        description = _decoder.decode(data)
    except (zlib.error, msgspec.DecodeError, UnicodeError, RecursionError):
        raise nonsense from None
    if description.type != kind:
        raise nonsense
    return description.sdp


class _Value(msgspec.Struct, frozen=True):
    payload: str
    timestamp: int | float | None = None


_value_decoder = msgspec.json.Decoder(_Value)


def make_value(token: str, milliseconds: int) -> dict[str, object]:
    """Return what is put under a key of the room, at a time of the Unix clock."""
    return {"payload": token, "timestamp": milliseconds}


def token_of(value: bytes) -> str | None:
    """Return the token in a value of the room (JSON); None when there is none, as pypeer sees it too."""
    try:
        return _value_decoder.decode(value).payload or None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


class PypeerCodec:
    """What pypeer says on its channel: bare text, and pings that nobody is shown. See `tincan.apps.foreign.Codec`."""

    def __init__(self) -> None:
        self._heard = 0
        self._deadline: float | None = None

    def start(self, now: float) -> list[bytes | str]:
        """See `Codec.start`."""
        return self.idle(now)

    def say(self, text: str, action: bool) -> list[bytes | str]:
        """See `Codec.say`. pypeer knows no actions; ``* waves`` is how they look elsewhere."""
        text = f"* {text}" if action else text
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise UsageError("The message is not valid text.") from None
        if size > MAX_TEXT:
            raise UsageError(f"A message may have at most {MAX_TEXT // 1024} KiB; this one has {size // 1024}.")
        if not text:
            raise UsageError("The message is empty.")
        if text == PING:
            raise UsageError("pypeer would take that for a sign of life and not show it.")
        return [text]

    def receive(self, message: bytes | str, now: float) -> list[ChatEvent]:
        """See `Codec.receive`. Binary messages mean nothing here, and are passed over."""
        if isinstance(message, bytes) or message == PING:
            return []
        if len(message) > MAX_TEXT or len(message.encode()) > MAX_TEXT:
            raise ProtocolError("The other side sent a message that is far too long.")
        self._heard += 1
        return [MessageReceived(self._heard, message, action=False)]

    def idle(self, now: float) -> list[bytes | str]:
        """See `Codec.idle`."""
        if self._deadline is not None and now < self._deadline:
            return []
        self._deadline = now + PING_INTERVAL
        return [PING]

    def next_deadline(self) -> float | None:
        """See `Codec.next_deadline`."""
        return self._deadline
