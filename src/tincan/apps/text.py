"""Make text that a peer wrote safe to show on a terminal.

A terminal obeys its input: an escape sequence can move the cursor, rewrite
what stood there or fill the clipboard; a bidi control can make a line read
backwards; an invisible character can make two names look the same. So every
character that does not simply show itself is replaced by a visible escape
(``\\n``, ``\\x1b``, ``\\u202e``, ``\\U000e0041``), and nothing is ever removed.

Decisions:

* A backslash stays a backslash. Doubling it would alter ordinary text (paths,
  regular expressions), and what the escapes must be is harmless, not
  reversible; whoever needs to tell a real newline from a backslash and an n
  reads the exact text (``--json``). It also makes `visible` idempotent.
* U+200D, the zero-width joiner, stays between two emoji, because a family or
  a profession is one picture made of several joined by it; anywhere else it
  is shown. Variation selectors stay after what they can vary, one each.
* Combining marks stay, eight in a row at most. Living scripts stack four or
  five; a flood of them paints over the lines above and below. The rest of the
  run, and a mark with nothing of the peer's before it to stand on, is escaped.
"""

from __future__ import annotations

from unicodedata import category

MAX_MARKS = 8
"""Combining marks in a row that are shown as they are."""

MAX_NAME = 64
"""Characters in a name."""

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# Characters that show nothing although their category promises something:
# joiners and fillers of Korean, Khmer, Mongolian, the empty Braille pattern,
# and the musical notehead without a head.
_HIDDEN_CHARACTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159")

_ZERO_WIDTH_JOINER = "\u200d"

# What an emoji selector may follow besides symbols: key caps, and a few signs
# that are letters or punctuation by category.
_EMOJI_BASES = frozenset("#*0123456789\u00a9\u00ae\u203c\u2049\u2122\u2139\u3030\u303d")

_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def visible(text: str, *, multiline: bool = False) -> str:
    """Return text with everything that does not show itself replaced by a visible escape.

    The result is one line, unless ``multiline``, which keeps newlines (and
    makes CR LF one of them). Printable text comes back unchanged; what has
    been made visible once is not changed again.
    """
    if text.isascii() and text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n") if multiline else [text]
    return "\n".join(_visible_line(line) for line in lines)


def visible_name(text: str, *, fallback: str = "peer") -> str:
    """Return a peer's name for itself on one line: visible, trimmed, at most 64 characters.

    White space of any kind becomes single spaces; an empty name becomes ``fallback``.
    """
    # Cut before escaping too: a name may come as a megabyte.
    shown = visible(" ".join(text.split())[:MAX_NAME])[:MAX_NAME]
    # The cut may have separated a joiner from what it joined.
    return shown.rstrip(" " + _ZERO_WIDTH_JOINER) or fallback


def _visible_line(text: str) -> str:
    """Escape one line; ``before`` is the last character shown as it is, "" after an escape."""
    shown: list[str] = []
    before = ""
    in_emoji = False
    marks = 0
    for place, character in enumerate(text):
        kind = category(character)
        if _is_selector(character):
            keep = _may_vary(before, character)
        elif character == _ZERO_WIDTH_JOINER:
            keep = in_emoji and _is_emoji(text[place + 1 : place + 2])
        elif kind in ("Mn", "Me", "Mc"):
            marks += 1
            keep = before != "" and marks <= MAX_MARKS and character not in _HIDDEN_CHARACTERS
        else:
            keep = kind not in _HIDDEN_CATEGORIES and character not in _HIDDEN_CHARACTERS
            marks = 0
            in_emoji = keep and _is_emoji(character)
        if keep:
            shown.append(character)
            before = character
        else:
            shown.append(_escape(character))
            before = ""
            in_emoji = False
    return "".join(shown)


def _is_emoji(character: str) -> bool:
    """A symbol of the kind that emoji are made of; the arrows at U+2190 are the first of them."""
    return character >= "\u2190" and category(character) in ("So", "Sm", "Sk")


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _may_vary(base: str, selector: str) -> bool:
    """Whether the selector changes how the base looks; elsewhere it is only a hiding place."""
    if selector in ("\ufe0e", "\ufe0f"):
        return base in _EMOJI_BASES or _is_emoji(base)
    return "\u3400" <= base <= "\u9fff" or "\uf900" <= base <= "\ufaff" or "\U00020000" <= base <= "\U0003ffff"


def _escape(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
