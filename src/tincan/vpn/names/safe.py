"""What people call themselves, made into labels of DNS. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from typing import Final

MAX_LABEL: Final = 63
"""Bytes in a label (RFC 1035, section 2.3.4)."""

_SPELLED: Final = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "đ": "d", "ł": "l", "œ": "oe", "þ": "th"})
_RESERVED: Final = frozenset({"localhost", "local", "broadcasthost", "can"})


def label(text: str, *, fallback: str = "friend", taken: Container[str] = ()) -> str:
    """Return a label for a name: a to z, digits and single hyphens (RFC 1123, section 2.1), never one of ``taken``.

    A peer's name is its own choice, and ends up in /etc/hosts and in DNS:
    whatever it is, the result is one harmless word. Letters lose their
    accents, everything else becomes a hyphen. A second bob is ``bob-2``.
    """
    plain = unicodedata.normalize("NFKD", text[: 4 * MAX_LABEL]).casefold().translate(_SPELLED)
    plain = unicodedata.normalize("NFKD", plain)  # folding may have put some together again
    kept = "".join(c if c.isascii() and c.isalnum() else "" if unicodedata.combining(c) else "-" for c in plain)
    name = "-".join(filter(None, kept.split("-")))[:MAX_LABEL].strip("-")
    if not name or name.isdigit() or name in _RESERVED:
        name = f"{fallback}-{name}"[:MAX_LABEL] if name else fallback
    if name not in taken:
        return name
    number = 2
    while (other := f"{name[: MAX_LABEL - 12].rstrip('-')}-{number}") in taken:
        number += 1
    return other


def is_label(text: str) -> bool:
    """Whether a text can be a member's name as it stands."""
    return label(text) == text
