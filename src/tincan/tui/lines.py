"""Cuts the history into the lines of a window: pure, and remembers what a copy must put together again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from tincan.tui.talk import Delivery, Entry, Kind

TIME: Final = "%H:%M"
NARROW: Final = 70
"""Windows narrower than this get a shorter column for names."""

TICKS: Final = {
    None: "",
    Delivery.SENDING: "\u00b7",
    Delivery.SENT: "\u2713",
    Delivery.DELIVERED: "\u2713\u2713",
    Delivery.UNSURE: "?",
}
TICK_CELLS: Final = 2


@dataclass(frozen=True)
class Line:
    """One line on the screen. ``time`` and ``name`` are blank, but as wide, after the first line of an entry."""

    entry: Entry
    time: str
    name: str
    text: str
    tick: str
    before: str
    """What a copy puts before ``text``, if it has the line above too: nothing, a space, or a line break."""

    first: bool

    @property
    def head(self) -> str:
        """What stands before the text."""
        return f" {self.time}  {self.name}  "

    @property
    def plain(self) -> str:
        """The part of the line that can be selected."""
        return self.head + self.text


def lay_out(entry: Entry, width: int) -> list[Line]:
    """Return the lines of an entry in a window so many cells wide."""
    name_cells = 10 if width >= NARROW else 8
    head_cells = 1 + 5 + 2 + name_cells + 2
    text_cells = max(8, width - head_cells - 1 - TICK_CELLS - 1)
    who, text = entry.who, entry.text
    if entry.kind is not Kind.NOTE and entry.action:
        who, text = "*", f"{entry.who} {entry.text}"
    lines: list[Line] = []
    for piece, before in _wrap(text, text_cells):
        first = not lines
        lines.append(
            Line(
                entry,
                entry.at.strftime(TIME) if first else " " * 5,
                fit(who if first else "", name_cells),
                piece,
                TICKS[entry.delivery] if first else "",
                before,
                first,
            )
        )
    return lines


def fit(text: str, cells: int) -> str:
    """Return text cut or filled up to so many cells, with an ellipsis where it was cut."""
    if cell_len(text) > cells:
        text = set_cell_size(text, cells - 1).rstrip() + "\u2026"
    return set_cell_size(text, cells)


def _wrap(text: str, cells: int) -> Iterator[tuple[str, str]]:
    """Yield the pieces of a text, each with what stood before it."""
    for number, paragraph in enumerate(text.split("\n")):
        position = 0
        before = "\n" if number else ""
        for wrapped in Content(paragraph).wrap(cells) or [Content("")]:
            piece = wrapped.plain.rstrip()
            found = max(paragraph.find(piece, position), position)
            yield piece, before + paragraph[position:found]
            before = ""
            position = found + len(piece)


def extract(lines: Iterable[Line], start: int, end: int | None) -> str:
    """Return the text of selected lines, put together as it was before wrapping.

    ``start`` and ``end`` are characters in the first and the last of them.
    """
    chosen = list(lines)
    text = ""
    for number, line in enumerate(chosen):
        begin = start if number == 0 else 0
        stop = end if number == len(chosen) - 1 and end is not None else len(line.plain)
        part = line.plain[begin:stop]
        if not line.first:
            part = line.text[max(0, begin - len(line.head)) : max(0, stop - len(line.head))]
        elif number:
            text += "\n"
        text += (line.before if number and not line.first else "") + part
    return text
