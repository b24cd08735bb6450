"""What `send` and `receive` print: a progress line for people, events for programs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator

from tincan.apps.files import (
    FileDone,
    FileLeftOut,
    FilesEvent,
    NotSent,
    OfferAccepted,
    Offered,
    Outcome,
    Progress,
)
from tincan.apps.text import visible
from tincan.cli.options import MeetingOptions
from tincan.cli.output import JsonOutput, Output

REDRAW = 0.1
"""Seconds between two drawings of the progress line."""

JSON_INTERVAL = 0.5
"""Seconds between two ``progress`` events."""

MAX_NAMED = 20
"""Files left out that a person is told by name; the rest is counted."""


class _Json(JsonOutput):
    """`JsonOutput` with the events of a transfer."""

    def event(self, name: str, /, **fields: object) -> None:
        """Print an event."""
        self._event(name, **fields)


class Screen:
    """Shows the events of one transfer."""

    def __init__(self, options: MeetingOptions, *, sending: bool) -> None:
        self.sending = sending
        self.began = False
        self._json = _Json(quiet=options.quiet) if options.json else None
        self.output: Output = self._json or Output(quiet=options.quiet)
        self._draws = (
            sys.stderr.isatty() and not (options.json or options.quiet) and os.environ.get("TERM", "dumb") != "dumb"
        )
        self._drawn = False
        self._next = 0.0
        self._left_out = 0

    def tell(self, event: FilesEvent) -> None:
        """Show an event."""
        if self._json is not None:
            self._tell_program(self._json, event)
        match event:
            case Progress():
                self._draw(event)
            case OfferAccepted():
                self.began = True
            case Offered() if self.sending:
                self._note(f"Offering {counted(event.files, event.folders)}{total_of(event)} ...")
            case FileLeftOut():
                self._left_out += 1
                if self._left_out <= MAX_NAMED:
                    self._note(f"Left out: {event.name}: {event.reason}.")
                elif self._left_out == MAX_NAMED + 1:
                    self._note("More were left out ...")
            case NotSent():
                self._note(f"Not sent: {event.count} {event.what}.")

    def clear(self) -> None:
        """Take the progress line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False

    def _note(self, text: str) -> None:
        self.clear()
        self.output.note(text)

    def _draw(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._draws and now >= self._next:
            self._next = now + REDRAW
            columns = shutil.get_terminal_size().columns
            sys.stderr.write(f"\r{progress_line(progress, columns - 1)}\x1b[K")
            sys.stderr.flush()
            self._drawn = True

    def _tell_program(self, output: _Json, event: FilesEvent) -> None:
        match event:
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
            case FileDone():
                output.event("file", name=event.name, status="there" if event.already else "done")
            case FileLeftOut():
                output.event("file", name=event.name, status="left-out", reason=event.reason)


def progress_line(progress: Progress, columns: int) -> str:
    """Return the line that is redrawn, not wider than this; the name gives way first."""
    if progress.total is None:
        parts = [human(progress.done)]
    else:
        parts = [f"{100 * progress.done // max(progress.total, 1):3d} %", human(progress.done)]
    parts.append(f"{human(progress.rate)}/s")
    if progress.left is not None:
        parts.append(f"{duration(progress.left)} left")
    line = "  ".join(parts)
    name = visible(progress.name)
    room = columns - len(line) - 2
    if room >= 8 and name:
        if len(name) > room or not name.isascii():
            # Wide characters take two columns; without them the width is certain.
            name = name.encode("ascii", "replace").decode()
            name = name if len(name) <= room else "..." + name[3 - room :]
        line = f"{line}  {name}"
    return line[: max(columns, 0)]


def offer_lines(offer: Offered, peer: str) -> Iterator[str]:
    """Yield what a person has to see to say yes or no."""
    yield f"{visible(peer)} offers {counted(offer.files, offer.folders)}{total_of(offer)}:"
    for top in offer.top:
        size = human(top.size) if offer.total is not None or top.size else "size unknown"
        yield f"  {visible(top.name)}{'/' if top.folder else ''}  ({size})"
    if offer.more:
        yield f"  ... and {offer.more} more"


def summary(outcome: Outcome, sending: bool, where: str) -> str:
    """Return how it went, in one sentence."""
    seconds = max(outcome.seconds, 0.001)
    word = "Sent" if sending else "Received"
    rate = f" ({human(outcome.moved / seconds)}/s)" if outcome.moved else ""
    there = outcome.bytes - outcome.moved
    known = f"; {human(there)} of it was there already" if there > 0 else ""
    return (
        f"{word} {counted(outcome.files, 0)}, {human(outcome.bytes)} in {seconds:.1f} s{rate} "
        f"{where.rstrip('.')}{known}."
    )


def counted(files: int, folders: int) -> str:
    """Return how many there are, in words."""
    text = f"{files} file{'' if files == 1 else 's'}"
    return f"{text} in {folders} folder{'' if folders == 1 else 's'}" if folders else text


def total_of(offer: Offered) -> str:
    """Return how much it is, as an addition to a sentence."""
    return ", size unknown" if offer.total is None else f", {human(offer.total)}"


def human(size: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    if unit == "bytes":
        return "1 byte" if size == 1 else f"{size:.0f} bytes"
    return f"{size:.1f} {unit}" if size < 99.95 else f"{size:.0f} {unit}"


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )
