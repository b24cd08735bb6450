"""What `send` and `receive` print: a progress line for people, events for programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from tincan.apps.files import (
    FileDone,
    FileLeftOut,
    FilesEvent,
    NotSent,
    OfferAccepted,
    Offered,
    Progress,
)
from tincan.apps.files.words import counted, not_sent_words, progress_words, total_of
from tincan.apps.text import visible
from tincan.cli.options import MeetingOptions
from tincan.cli.output import JsonOutput, Output

REDRAW = 0.1
"""Seconds between two drawings of the progress line."""

JSON_INTERVAL = 0.5
"""Seconds between two ``progress`` events."""

MAX_NAMED = 20
"""Files left out that a person is told by name; the rest is counted."""


@contextlib.contextmanager
def _read_or_not(stream: TextIO) -> Iterator[None]:
    """Go on when nobody reads what is told any more: a script may want the phrase only, and still the transfer."""
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Json(JsonOutput):
    """`JsonOutput` with the events of a transfer.

    Small files end by the hundred, so their lines are written together.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._waiting: list[str] = []

    def file(self, name: str, status: str) -> None:
        """Print that a file is in place: now, but after those that are told of in the same turn of the loop."""
        import json

        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(f'{{"event": "file", "name": {json.dumps(name)}, "status": "{status}"}}')

    def _flush(self) -> None:
        if self._waiting:
            text = "\n".join(self._waiting)
            self._waiting.clear()
            with _read_or_not(sys.stdout):
                super()._line(text)

    def _line(self, text: str) -> None:
        self._flush()
        with _read_or_not(sys.stdout):
            super()._line(text)

    def note(self, text: str) -> None:
        """See `Output.note`."""
        with _read_or_not(sys.stderr):
            super().note(text)

    def event(self, name: str, /, **fields: object) -> None:
        """Print an event."""
        self._event(name, **fields)


class _Lines(Output):
    """`Output` that makes room for what it says where the progress line was."""

    def __init__(self, clear: Callable[[], None], *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._clear = clear

    def note(self, text: str) -> None:
        """See `Output.note`."""
        self._clear()
        with _read_or_not(sys.stderr):
            super().note(text)


class Screen:
    """Shows the events of one transfer."""

    def __init__(self, options: MeetingOptions, *, sending: bool) -> None:
        self.sending = sending
        self.resumable = False
        """Whether the transfer has begun, and can be gone on with if it is interrupted."""
        self._json = _Json(quiet=options.quiet) if options.json else None
        self.output: Output = self._json or _Lines(self.clear, quiet=options.quiet)
        self._draws = (
            sys.stderr.isatty()
            and not (options.json or options.quiet)
            and os.environ.get("TERM", "dumb" if os.name == "posix" else "") != "dumb"
        )
        self._drawn = False
        self._next = 0.0
        self._left_out = 0
        self._size_known = True

    def tell(self, event: FilesEvent) -> None:
        """Show an event."""
        if self._json is not None:
            self._tell_program(self._json, event)
        match event:
            case FileDone():
                pass  # the one that comes by the thousand goes first
            case Progress():
                self._draw(event)
            case OfferAccepted():
                self.resumable = self._size_known
            case Offered():
                self._size_known = event.total is not None
                if self.sending:
                    self.output.note(f"Offering {counted(event.files, event.folders)}{total_of(event)} ...")
            case FileLeftOut():
                self._left_out += 1
                if self._left_out <= MAX_NAMED:
                    self.output.note(f"Left out: {event.name}: {event.reason}.")
                elif self._left_out == MAX_NAMED + 1:
                    self.output.note("More were left out ...")
            case NotSent():
                self.output.note(f"Not sent: {not_sent_words(event)}.")

    def clear(self) -> None:
        """Take the progress line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False

    def _draw(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._draws and now >= self._next:
            self._next = now + REDRAW
            sys.stderr.write(f"\r{progress_line(progress, _columns() - 1)}\x1b[K")
            sys.stderr.flush()
            self._drawn = True

    def _tell_program(self, output: _Json, event: FilesEvent) -> None:
        match event:
            case FileDone():
                output.file(event.name, "there" if event.already else "done")
            case Progress():
                now = time.monotonic()
                if now >= self._next:
                    self._next = now + JSON_INTERVAL
                    left = None if event.left is None else round(event.left, 1)
                    output.event(
                        "progress",
                        name=event.name,
                        done=event.done,
                        total=event.total,
                        rate=round(event.rate),
                        left=left,
                    )
            case Offered():
                output.event(
                    "offer",
                    files=event.files,
                    folders=event.folders,
                    total=event.total,
                    names=[top.name for top in event.top],
                    more=event.more,
                )
            case NotSent():
                output.event("not-sent", count=event.count, what=event.what)
            case FileLeftOut():
                output.event("file", name=event.name, status="left-out", reason=event.reason)


def _columns() -> int:
    """Return how wide the terminal is that the progress line goes to."""
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return 80


def progress_line(progress: Progress, columns: int) -> str:
    """Return the line that is redrawn, not wider than this; the name gives way first."""
    line = progress_words(progress)
    name = visible(progress.name)
    room = columns - len(line) - 2
    if room >= 8 and name:
        if len(name) > room or not name.isascii():
            # Wide characters take two columns; without them the width is certain.
            name = name.encode("ascii", "replace").decode()
            name = name if len(name) <= room else "..." + name[3 - room :]
        line = f"{line}  {name}"
    return line[: max(columns, 0)]
