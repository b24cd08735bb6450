"""Morse code as the classic tin-can writes it (ITU-R M.1677-1, the signs that dialect knows). Pure.

Letters are separated by one space, words by `` / ``; case is lost, characters
without a sign are dropped. `decode` is tolerant: any white space separates,
a slash needs none around it, the dots and dashes of typographers count, and a
code that is no sign is shown as it came. A text that is not Morse at all is
not decoded: `decode` returns None.
"""

from __future__ import annotations

import re
from typing import Final

SIGNS: Final = {
    "A": ".-",
    "B": "-...",
    "C": "-.-.",
    "D": "-..",
    "E": ".",
    "F": "..-.",
    "G": "--.",
    "H": "....",
    "I": "..",
    "J": ".---",
    "K": "-.-",
    "L": ".-..",
    "M": "--",
    "N": "-.",
    "O": "---",
    "P": ".--.",
    "Q": "--.-",
    "R": ".-.",
    "S": "...",
    "T": "-",
    "U": "..-",
    "V": "...-",
    "W": ".--",
    "X": "-..-",
    "Y": "-.--",
    "Z": "--..",
    "0": "-----",
    "1": ".----",
    "2": "..---",
    "3": "...--",
    "4": "....-",
    "5": ".....",
    "6": "-....",
    "7": "--...",
    "8": "---..",
    "9": "----.",
    ".": ".-.-.-",
    ",": "--..--",
    "?": "..--..",
    "!": "-.-.--",
    "'": ".----.",
    "/": "-..-.",
    "-": "-....-",
}

_CHARACTERS: Final = {sign: character for character, sign in SIGNS.items()}
_DOTS: Final = "\u00b7\u2022\u2219\u22c5\u2024"
_DASHES: Final = "_\u2010\u2011\u2012\u2013\u2014\u2212"
_TYPOGRAPHY: Final = str.maketrans(dict.fromkeys(_DOTS, ".") | dict.fromkeys(_DASHES, "-") | {"\u2026": "..."})
_MORSE = re.compile(r"[.\-/\s]*")


def encode(text: str) -> str:
    """Return the Morse code of a text; empty when none of its characters has a sign."""
    words = (" ".join(SIGNS[c] for c in word if c in SIGNS) for word in _upper(text).split())
    return " / ".join(word for word in words if word)


def decode(code: str) -> str | None:
    """Return the text of Morse code, in capitals; None for what is not Morse code."""
    code = code.translate(_TYPOGRAPHY)
    if not _MORSE.fullmatch(code):
        return None
    words = ("".join(_CHARACTERS.get(sign, sign) for sign in word.split()) for word in code.split("/"))
    return " ".join(word for word in words if word) or None


def heard_as(text: str) -> str:
    """Return what of a text arrives at the other end."""
    return decode(encode(text)) or ""


def _upper(text: str) -> str:
    """Return capitals, one for each character: a sharp s is dropped, and does not become two letters."""
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in text)
