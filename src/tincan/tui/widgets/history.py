"""The history of a conversation: scrolled, selected and copied by keys or mouse.

One widget draws all lines, because a widget for each of 2,000 messages would
take a tenth of a second for every new one. The lines are made by
`tincan.tui.lines`; only those in the window are drawn.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from tincan.tui.lines import TICK_CELLS, TICKS, Line, extract, lay_out
from tincan.tui.talk import Delivery, Kind, Talk


class History(ScrollView, can_focus=True):
    """Shows the entries of a talk; `show` brings it up to date."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "history--time",
        "history--own",
        "history--peer",
        "history--note",
        "history--tick",
        "history--unsure",
        "history--cursor",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Older", show=False, id="history.up", tooltip="Mark the message above"),
        Binding("down", "move(1)", "Newer", show=False, id="history.down", tooltip="Mark the message below"),
        Binding("enter", "copy", "Copy message", id="history.copy", tooltip="Copy the marked message"),
    ]

    class Copied(Message):
        """The user wants this text on the clipboard."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._talk = Talk()
        self._lines: list[Line] = []
        self._last = 0
        self._touched = 0
        self._cursor: int | None = None
        self._read_up_to = 0
        self._following = True  # the window stays at the end when something comes

    @property
    def unread(self) -> int:
        """Messages of the peer that came while the window showed older ones."""
        newer = takewhile(lambda entry: entry.key > self._read_up_to, reversed(self._talk.entries.values()))
        return sum(entry.kind is Kind.PEER for entry in newer)

    # -- bringing up to date ----------------------------------------------------------

    def show(self, talk: Talk) -> None:
        """Show the entries of this talk."""
        self._talk = talk
        if not self.size.width:
            return  # not laid out yet; `on_resize` comes
        self._forget()
        if talk.touched != self._touched:
            self._touched = talk.touched
            self._lines = [self._renewed(line) for line in self._lines]
        fresh = takewhile(lambda entry: entry.key > self._last, reversed(talk.entries.values()))
        for entry in reversed(list(fresh)):
            self._lines += lay_out(entry, self.size.width)
            self._last = entry.key
        self._arrange()

    def on_resize(self, event: Resize) -> None:
        """Cut everything anew for another width."""
        self._lines = []
        self._last = 0
        self.screen.clear_selection()
        self.show(self._talk)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """See Textual."""
        super().watch_scroll_y(old_value, new_value)
        self._following = self.scroll_offset.y >= self.max_scroll_y
        if self._following:
            self._read_up_to = self._last

    def _forget(self) -> None:
        """Drop the lines of entries that the talk has dropped, and keep the window where it is."""
        oldest = next(iter(self._talk.entries), 0)
        dropped = sum(1 for _ in takewhile(lambda line: line.entry.key < oldest, self._lines))
        if dropped:
            del self._lines[:dropped]
            self.screen.clear_selection()
            self.set_reactive(ScrollView.scroll_y, max(0, self.scroll_y - dropped))

    def _renewed(self, line: Line) -> Line:
        entry = self._talk.entries[line.entry.key]
        if entry is line.entry:
            return line
        return replace(line, entry=entry, tick=TICKS[entry.delivery] if line.first else "")

    def _arrange(self) -> None:
        following = self._following  # the new size may move the window
        self.virtual_size = Size(self.size.width, len(self._lines))
        if following:
            self._following = True
            # By force, since Textual scrolls only what has its scrollbar already.
            self.scroll_end(animate=False, immediate=True, force=True, x_axis=False)
            self._read_up_to = self._last
        self.refresh()

    # -- drawing ----------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """See Textual."""
        number = y + self.scroll_offset.y
        if number >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        line = self._lines[number]
        text = self._styled(line)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(number)) is not None:
            start, end = span
            style = self.screen.get_component_rich_style("screen--selection")
            text.stylize(style, start, len(line.plain) if end == -1 else end)
        strip = Strip(text.render(self.app.console)).crop_extend(0, self.size.width - 3, self.rich_style)
        unsure = line.entry.delivery is Delivery.UNSURE
        look = self.get_component_rich_style("history--unsure" if unsure else "history--tick")
        strip = Strip.join([strip, Strip([Segment(line.tick.rjust(TICK_CELLS) + " ", look)])])
        return strip.crop_extend(0, self.size.width, self.rich_style).apply_offsets(0, number)

    def _styled(self, line: Line) -> Text:
        kind = line.entry.kind
        note = self.get_component_rich_style("history--note")
        name = self.get_component_rich_style(f"history--{kind.value}")
        body = note if kind is Kind.NOTE else self.rich_style
        if line.entry.key == self._cursor and self.has_focus:
            body = self.get_component_rich_style("history--cursor")
        return Text.assemble(
            (f" {line.time}  ", self.get_component_rich_style("history--time")),
            (f"{line.name}  ", name),
            (line.text, body),
            end="",
        )

    # -- selecting and copying --------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """See Textual: what was selected, without the cuts that the window made."""
        start, end = selection
        first = start.y if start is not None else 0
        last = end.y if end is not None else len(self._lines) - 1
        chosen = self._lines[first : last + 1]
        reaches = end.x if end is not None and last < len(self._lines) else None
        return extract(chosen, start.x if start is not None else 0, reaches), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """See Textual."""
        self.refresh()

    def action_move(self, by: int) -> None:
        """Mark the next message in a direction."""
        keys = [entry.key for entry in self._talk.entries.values() if entry.kind is not Kind.NOTE]
        if not keys:
            return
        place = keys.index(self._cursor) + by if self._cursor in keys else len(keys) - 1
        self._cursor = keys[max(0, min(place, len(keys) - 1))]
        rows = [row for row, line in enumerate(self._lines) if line.entry.key == self._cursor]
        if rows:
            region = Region(0, rows[0], 1, min(len(rows), self.size.height))
            self.scroll_to_region(region, animate=False, immediate=True)
        self.refresh()

    def action_copy(self) -> None:
        """Copy the marked message, or the last one."""
        if self._cursor is None or self._cursor not in self._talk.entries:
            self.action_move(0)
        if self._cursor is not None:
            self.post_message(self.Copied(self._talk.entries[self._cursor].text))

    def on_focus(self) -> None:
        """Show the mark."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide the mark."""
        self.refresh()
