"""What people paste: offers and answers as URLs or as bare base64. Pure.

A terminal wraps long lines, a mail program quotes them, and somebody copies a
little too little. So white space anywhere is no fault, either base64 alphabet
is understood, with padding or without.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from dataclasses import dataclass
from typing import Final

from tincan.errors import ProtocolError

MAX_PASTED: Final = 128 * 1024
"""Characters: a session description of `tincan.link.sdp.MAX_SDP`, in JSON and in base64."""

_OURS = re.compile(r"tin-can:(?P<version>[0-9]{1,4})#(?P<letter>[oa])=(?P<data>.*)", re.IGNORECASE)
_CLASSIC = re.compile(r"https?://[^#]*#(?P<letter>[oa])=(?P<data>.*)", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_QUOTES: Final = "<>\"'`"

DAMAGED: Final = "The text is damaged or cut off; copy the whole URL again, from its first character to its last."


class Kind(enum.Enum):
    """Which of the two descriptions of a meeting."""

    OFFER = "offer"
    ANSWER = "answer"

    @property
    def letter(self) -> str:
        """What a URL calls it."""
        return self.value[0]

    def check(self, found: Kind) -> None:
        """Raise `ProtocolError` unless ``found`` is of this kind."""
        if found is not self:
            article = {Kind.OFFER: "an offer", Kind.ANSWER: "an answer"}
            hint = "this is the one that was made here; " if self is Kind.ANSWER else ""
            raise ProtocolError(
                f"This is {article[found]}, and {article[self]} is needed: {hint}paste the other side's."
            )


@dataclass(frozen=True)
class Pasted:
    """What the text was, before its content is looked at."""

    ours: bool
    """Whether it has our form (`tincan.apps.dialects.static_url`), or the classic one."""

    kind: Kind | None
    """What its URL says; None for bare base64."""

    data: bytes


def unpack(text: str) -> Pasted:
    """Read a URL of either form or bare base64; raise `ProtocolError`."""
    if len(text) > MAX_PASTED:
        raise ProtocolError("The pasted text is far too long for an offer or an answer.")
    bare = "".join(text.split()).strip(_QUOTES)
    if not bare:
        raise ProtocolError("Nothing was pasted; paste the whole URL of the other side.")
    if match := _OURS.fullmatch(bare):
        if match["version"] != "1":
            raise ProtocolError("This URL was made by a newer tin-can; update this one.")
        return Pasted(True, _kind(match["letter"]), _data(match["data"]))
    if match := _CLASSIC.fullmatch(bare):
        return Pasted(False, _kind(match["letter"]), _data(match["data"]))
    return Pasted(False, None, _data(bare))


def _kind(letter: str) -> Kind:
    return Kind.OFFER if letter.lower() == "o" else Kind.ANSWER


def _data(text: str) -> bytes:
    if not _BASE64.fullmatch(text):
        raise ProtocolError(DAMAGED)
    text = text.rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError(DAMAGED) from None


_URL_SAFE: Final = str.maketrans("-_", "+/")
