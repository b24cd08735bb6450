"""How a long text reaches us: in pasted lines, or in a file.

A terminal in its canonical mode loses what is longer than 4,095 characters in
one line, so several lines are taken, and files.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from tincan.apps.dialects import classic, static_url
from tincan.apps.dialects.pasted import MAX_PASTED, unpack
from tincan.apps.dialects.static_news import ReadAnswer
from tincan.errors import ProtocolError, UsageError

TERMINAL_LINE: Final = 4095
"""Characters that a terminal in its canonical mode takes in one line (termios(3))."""

FILE_INTERVAL: Final = 0.3
"""Seconds between looks at a file that is waited for."""


def is_whole(text: str) -> bool:
    """Whether this is all of an offer or an answer, of either form; which of them is another matter."""
    try:
        pasted = unpack(text)
    except ProtocolError:
        return False
    return static_url.is_whole(pasted) if pasted.ours else classic.is_whole(pasted)


class Paste:
    """Collects pasted lines. Pure."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, line: str) -> str | None:
        """Take a line; return the whole text once it is there, or when an empty line says that this is all.

        Raises `ProtocolError` when the terminal has cut the line off. After
        either it begins anew.
        """
        if line.strip():
            self._text += line.strip() + "\n"
            if not is_whole(self._text) and len(self._text) <= MAX_PASTED:
                if len(line) < TERMINAL_LINE:
                    return None
                self._text = ""
                raise ProtocolError(
                    f"The terminal cut the line off after {TERMINAL_LINE:,} characters; "
                    "give the text in a file (--file PATH), or in several lines."
                )
        text, self._text = self._text, ""
        return text or None


def read_file(path: str) -> str:
    """Return what a file holds, with `UsageError` when it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_PASTED + 1).decode()
    except OSError as exc:
        raise UsageError(f"{path} cannot be read ({exc.strerror}).") from exc
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text.") from None


def from_file(path: str) -> ReadAnswer:
    """Return what brings the answer from a file, which may come to be, or be overwritten, later."""
    last = ""

    async def read_answer() -> str:
        nonlocal last
        while True:
            if await asyncio.to_thread(Path(path).exists):
                text = await asyncio.to_thread(read_file, path)
                if text != last and is_whole(text):
                    last = text
                    return text
            await asyncio.sleep(FILE_INTERVAL)

    return read_answer
