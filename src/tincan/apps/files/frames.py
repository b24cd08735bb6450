"""The frames of file transfer on the stream: ``u32 length, u8 kind, body``; docs/files.md lists them.

Control frames are MessagePack arrays, decoded as a whole once they are there;
DATA carries bytes of the file that was started last (`tincan.apps.files.splitter`).
WHOLE carries all of a small file at once.

Fields are checked here, by form; whether a frame may come now, and whether it
tells the truth, is the business of the two cores.
"""

from __future__ import annotations

import struct
from typing import Annotated

import msgspec

from tincan.apps.files.hashing import DIGEST
from tincan.errors import ProtocolError

VERSION = 1

HEADER = struct.Struct(">IB")

DATA_KIND = 8
MAX_DATA = 1024 * 1024
"""Bytes in one DATA frame."""

MAX_WHOLE = 64 * 1024
"""Bytes of a file that may come in one frame."""

MAX_ENTRIES = 1_000_000
MAX_MANIFEST = 64 * 1024 * 1024
"""Bytes that all ENTRIES frames of an offer may have together."""

MAX_CHECKPOINTS = 64
MAX_PARTIALS = 256
"""Partial files that are gone on with in one transfer; one is normal, and each costs both sides up to 64 hashes."""

MAX_BATCH = 8192
"""Files that one VERIFIED tells of."""

MAX_TEXT = 500
"""Characters of a reason. Longer ones are cut by the sender and refused by the reader."""

_UNKNOWN = -1
_Index = Annotated[int, msgspec.Meta(ge=0, lt=MAX_ENTRIES)]
_Bytes = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
_Size = Annotated[int, msgspec.Meta(ge=_UNKNOWN, lt=2**62)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_ENTRIES)]
_Time = Annotated[int, msgspec.Meta(gt=-(2**62), lt=2**62)]
_Mode = Annotated[int, msgspec.Meta(ge=0, le=0o777)]
_Digest = Annotated[bytes, msgspec.Meta(min_length=DIGEST, max_length=DIGEST)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One file or folder. ``size``: -1 where nobody knows it yet; ``mtime``: nanoseconds since 1970."""

    name: str
    size: _Size
    mode: _Mode
    mtime: _Time
    folder: bool = False


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """The first frame. ``id``: BLAKE3 of the bodies of the ENTRIES frames that follow."""

    version: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    id: _Digest
    entries: _Count
    total: _Bytes


class Entries(msgspec.Struct, frozen=True, array_like=True):
    """Part of the manifest."""

    entries: Annotated[list[Entry], msgspec.Meta(min_length=1)]


class Accept(msgspec.Struct, frozen=True, array_like=True):
    """The receiver's user agrees. What is there already is told next."""


class Decline(msgspec.Struct, frozen=True, array_like=True):
    """The receiver does not want it, or has no room: ``refused`` says which."""

    reason: _Text
    refused: bool


class Have(msgspec.Struct, frozen=True, array_like=True):
    """Content is there already: ``complete`` under its name, else a part of it.

    ``checkpoints``: lengths with the BLAKE3 of that much, growing.
    ``replace``: send it when it differs.
    """

    index: _Index
    complete: bool
    replace: bool
    checkpoints: Annotated[list[tuple[_Bytes, _Digest]], msgspec.Meta(min_length=1, max_length=MAX_CHECKPOINTS)]


class Ready(msgspec.Struct, frozen=True, array_like=True):
    """The receiver has told everything that is there."""


class Start(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The DATA that follows is this file's, from ``offset`` on."""

    index: _Index
    offset: _Bytes


class End(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The file that was started last has ended, or has a ``problem`` and is not complete."""

    index: _Index
    size: _Bytes
    digest: Annotated[bytes, msgspec.Meta(max_length=DIGEST)]
    problem: _Text = ""


class Whole(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """START, DATA and END in one, for a small file. ``content``: a view of what was given to the splitter."""

    index: _Index
    content: memoryview
    digest: _Digest


class Same(msgspec.Struct, frozen=True, array_like=True):
    """The complete content that the receiver has is the one."""

    index: _Index


class Different(msgspec.Struct, frozen=True, array_like=True):
    """It is not the one, and was not to be replaced; or ``problem``: the sender cannot tell."""

    index: _Index
    problem: _Text = ""


class Verified(msgspec.Struct, frozen=True, array_like=True):
    """These files are complete, verified and in place."""

    indices: Annotated[list[_Index], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class Failed(msgspec.Struct, frozen=True, array_like=True):
    """This file will not be taken; nothing more of it need be sent."""

    index: _Index
    reason: _Text


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """The sender has nothing more."""


class Done(msgspec.Struct, frozen=True, array_like=True):
    """The receiver is done too: so many files in place, so many left out."""

    verified: _Count
    failed: _Count


class Busy(msgspec.Struct, frozen=True, array_like=True):
    """Nothing to say, but alive: a long file is being hashed."""


class Error(msgspec.Struct, frozen=True, array_like=True):
    """It cannot go on, for this reason."""

    text: _Text


Control = (
    Offer | Entries | Accept | Decline | Have | Ready | Start | End | Same | Different
    | Verified | Failed | Sent | Done | Busy | Error | Whole
)  # fmt: skip

_KILO = 1024
_TABLE: dict[int, tuple[type[Control], int]] = {
    1: (Offer, _KILO),
    2: (Entries, 1024 * _KILO),
    3: (Accept, _KILO),
    4: (Decline, 4 * _KILO),
    5: (Have, 8 * _KILO),
    6: (Ready, _KILO),
    7: (Start, _KILO),
    9: (End, 4 * _KILO),
    10: (Same, _KILO),
    11: (Different, 4 * _KILO),
    12: (Verified, 64 * _KILO),
    13: (Failed, 4 * _KILO),
    14: (Sent, _KILO),
    15: (Done, _KILO),
    16: (Busy, _KILO),
    17: (Error, 4 * _KILO),
    18: (Whole, MAX_WHOLE + _KILO),
}
"""Number, frame, and how many bytes it may have."""

MAX_CONTROL = max(limit for _, limit in _TABLE.values())

_encoder = msgspec.msgpack.Encoder()
_decoders = {kind: msgspec.msgpack.Decoder(frame) for kind, (frame, _) in _TABLE.items()}
LIMITS = {kind: limit for kind, (_, limit) in _TABLE.items()} | {DATA_KIND: MAX_DATA}
"""How many bytes a frame of each kind may have."""
KINDS: dict[type, int] = {frame: kind for kind, (frame, _) in _TABLE.items()}
"""The number of each frame."""


def encode(frame: Control) -> bytes:
    """Return a control frame as it goes over the stream."""
    body = _encoder.encode(frame)
    return HEADER.pack(len(body), KINDS[type(frame)]) + body


_WHOLE_HEAD = struct.Struct(">IBBBIBI")  # header; array of 3; uint 32; bin 32
_WHOLE_TAIL = struct.Struct(f">BB{DIGEST}s")  # bin 8
AROUND_WHOLE = _WHOLE_HEAD.size + _WHOLE_TAIL.size
"""Bytes of a WHOLE that are not content."""


def whole_content(view: memoryview, place: int, size: int) -> memoryview:
    """Return where in a buffer the content of a WHOLE has to be that begins at ``place``."""
    return view[place + _WHOLE_HEAD.size : place + _WHOLE_HEAD.size + size]


def put_around_whole(view: memoryview, place: int, index: int, size: int, digest: bytes) -> int:
    """Write what is around the content that is there already; return where the frame ends."""
    end = place + AROUND_WHOLE + size
    length, kind = end - place - HEADER.size, KINDS[Whole]
    _WHOLE_HEAD.pack_into(view, place, length, kind, 0x93, 0xCE, index, 0xC6, size)
    _WHOLE_TAIL.pack_into(view, end - _WHOLE_TAIL.size, 0xC4, DIGEST, digest)
    return end


def body_of(frame: Entries) -> bytes:
    """Return what the manifest's id is made of."""
    return _encoder.encode(frame)


def cut(text: str) -> str:
    """Return a reason short enough to go into a frame."""
    return text.encode(errors="replace").decode()[:MAX_TEXT]


def decode(kind: int, body: memoryview) -> Control:
    """Return the frame of a body; raise `ProtocolError` when it is malformed."""
    try:
        return _decoders[kind].decode(body)
    except UnicodeDecodeError as exc:
        raise ProtocolError("The peer sent a frame whose text is not UTF-8.") from exc
    except RecursionError as exc:
        raise ProtocolError("The peer sent a frame that is nested too deeply.") from exc
    except ValueError as exc:  # msgspec's errors are
        name = _TABLE[kind][0].__name__.upper()
        raise ProtocolError(f"The peer sent a malformed {name}: {exc}.") from exc
