"""The classic tin-can: its string code, its blobs, its URLs, and what is said on its channel. Pure.

Nothing of this is ours to change; docs/protocol.md section 4 says what goes
over the wire. `tincan.apps.dialects.classic_relay` makes a conversation of it.
"""

from __future__ import annotations

import base64
import enum
import hashlib
from typing import Final

import msgspec

from tincan.apps.chat.events import ChatEvent, MessageReceived, PeerHello
from tincan.apps.dialects import morse
from tincan.apps.dialects.morse import heard_as
from tincan.apps.dialects.pasted import DAMAGED, Kind, Pasted, unpack
from tincan.errors import ProtocolError, UsageError
from tincan.link import sdp
from tincan.link.sdp import SessionDescription

__all__ = [
    "CLASSIC_SECURITY",
    "URL",
    "ClassicCodec",
    "Mode",
    "blob",
    "heard_as",
    "is_whole",
    "read_blob",
    "string_code",
    "url",
]

CLASSIC_SECURITY: Final = (
    "Classic tin-can: the relay can read and replace what makes the connection, and so listen in; "
    "the secret's hash, which the relay sees, is fast to guess."
)

URL: Final = "https://daniellafeir.com/can/"

TEXT_LABEL: Final = "tin-can:text"
VOICE_LABEL: Final = "tin-can:voice"
LABELS: Final = (TEXT_LABEL, VOICE_LABEL)

MAX_MORSE: Final = 60_000
"""Characters of one message: some WebRTC stacks take no more than 65,535 bytes."""


class Mode(enum.Enum):
    """Which command of the classic tin-can this side plays."""

    ATTACH = "attach"
    TAP = "tap"
    TALK = "talk"

    @property
    def label(self) -> str:
        """The label of the channel, which the one who offers opens."""
        return VOICE_LABEL if self is Mode.TALK else TEXT_LABEL

    @property
    def reliable(self) -> bool:
        """Whether that channel is ordered and reliable; else unordered with no retransmission."""
        return self is not Mode.TALK


def string_code(secret: str) -> str:
    """Return the code of a secret: 12 hex digits that every relay sees, and that are fast to guess from."""
    try:
        return hashlib.sha256(secret.encode()).hexdigest()[:12]
    except UnicodeEncodeError:
        raise UsageError("The secret is not valid text in this terminal's encoding.") from None


# -- blobs and URLs -----------------------------------------------------------------


class _Json(msgspec.Struct, frozen=True):
    """RTCSessionDescriptionInit, as browsers and their kin write it."""

    type: str
    sdp: str


_decoder = msgspec.json.Decoder(_Json)


def blob(kind: Kind, description: str) -> str:
    """Return a session description as the relay takes it."""
    return base64.b64encode(_json(kind, description)).decode().rstrip("=")


def url(kind: Kind, description: str) -> str:
    """Return a session description as a static link."""
    data = base64.urlsafe_b64encode(_json(kind, description)).decode().rstrip("=")
    return f"{URL}#{kind.letter}={data}"


def read_blob(text: str, kind: Kind) -> SessionDescription:
    """Read a blob of the relay, or what a user pasted; raise `ProtocolError` unless it is a good one of ``kind``."""
    return read_pasted(unpack(text), kind)


def read_pasted(pasted: Pasted, kind: Kind) -> SessionDescription:
    """Read the content of a text that `unpack` took for a classic one."""
    if pasted.ours:
        raise ProtocolError("This URL is of tin-can's own static link; the classic one is expected here.")
    found = _read(pasted.data)
    try:
        kind.check(Kind(found.type))
    except ValueError:
        raise ProtocolError(DAMAGED) from None
    return sdp.read(found.sdp)


def is_whole(pasted: Pasted) -> bool:
    """Whether nothing of it is missing; what it says may still be nonsense."""
    try:
        _read(pasted.data)
    except ProtocolError:
        return False
    return True


def _json(kind: Kind, description: str) -> bytes:
    return msgspec.json.encode(_Json(kind.value, description))


def _read(data: bytes) -> _Json:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolError(DAMAGED) from None


# -- the channel ---------------------------------------------------------------------


class ClassicCodec:
    """The `tincan.apps.foreign.Codec` of the classic tin-can. ``packets`` counts the packets of sound that came."""

    def __init__(self, mode: Mode) -> None:
        self.packets = 0
        self._mode = mode
        self._announced: Mode | None = None
        self._heard = 0

    def start(self, now: float) -> list[bytes | str]:
        """See `Codec.start`."""
        return [] if self._mode is Mode.ATTACH else self._announce(self._mode)

    def say(self, text: str, action: bool) -> list[bytes | str]:
        """See `Codec.say`. Where nothing was announced at the start, the words ``tap`` and ``talk`` do it."""
        if self._mode is Mode.ATTACH and text.strip() in ("tap", "talk"):
            mode = Mode(text.strip())
            if mode is not self._announced:
                return self._announce(mode)
        code = morse.encode(text)
        if not code:
            raise UsageError("Morse code has no sign for any of these characters; nothing was sent.")
        if len(code) > MAX_MORSE:
            raise UsageError("That is too long for one message in Morse code; send it in parts.")
        return [code]

    def receive(self, message: bytes | str, now: float) -> list[ChatEvent]:
        """See `Codec.receive`. What is not Morse is shown as it is: whoever wrote it meant it to be read."""
        if isinstance(message, bytes):
            self.packets += 1  # Opus, 20 ms: nothing for a codec of text (`tincan.apps.dialects.classic_voice`)
            return []
        if message in ("::tap", "::talk"):
            return [PeerHello("peer", f"classic tin-can, {message[2:]}", 0, frozenset())]
        if not message.strip():
            return []
        self._heard += 1
        return [MessageReceived(self._heard, morse.decode(message) or message, False)]

    def idle(self, now: float) -> list[bytes | str]:
        """See `Codec.idle`."""
        return []

    def next_deadline(self) -> float | None:
        """See `Codec.next_deadline`: there are no keep-alives; ICE has its own."""
        return None

    def _announce(self, mode: Mode) -> list[bytes | str]:
        self._announced = mode
        return [f"::{mode.value}"]
