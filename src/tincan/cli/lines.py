"""Lines from stdin, from a pipe or from a person, as something asyncio can wait for.

A daemon thread reads, since neither pipes on Windows nor a terminal with
line editing can be waited for otherwise. It hands over one line at a time,
so what nobody takes stays where it came from (back-pressure to the writer).
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import shutil
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final

CHUNK: Final = 16 * 1024
MAX_LINE: Final = 256 * 1024
"""Bytes of one line that are kept. The chat refuses a line long before; the rest is dropped."""


def first_line() -> str:
    """Return stdin's first line without taking a byte of the next one."""
    data = b""
    while len(data) < MAX_LINE:
        byte = os.read(0, 1)
        if not byte or byte == b"\n":
            break
        data += byte
    return data.decode(errors="replace").rstrip("\r")


class Lines:
    """Lines, one after the other; None at the end."""

    def __init__(self, source: Callable[[], Iterator[str]]) -> None:
        self._source = source
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(1)

    def start(self) -> None:
        """Begin to read, from within the running loop."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), name="stdin", daemon=True).start()

    async def next(self) -> str | None:
        """Return the next line without its end, or None when there are no more."""
        return await self._queue.get()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody wants lines any more
            try:
                for line in self._source():
                    asyncio.run_coroutine_threadsafe(self._queue.put(line), loop).result()
            except OSError:
                pass  # a terminal that went away is the end of input
            asyncio.run_coroutine_threadsafe(self._queue.put(None), loop).result()


def piped() -> Iterator[str]:
    """Yield the lines of stdin, which is a pipe or a file. Bytes that are not UTF-8 become U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while True:
        data = os.read(0, CHUNK)
        rest += decoder.decode(data, final=not data)
        *lines, rest = rest.split("\n")
        yield from (line.removesuffix("\r") for line in lines)
        if not data:
            break
        if len(rest) > MAX_LINE:
            rest = rest[:MAX_LINE]
    if rest:
        yield rest


class Terminal:
    """A prompt that stays where it is while messages arrive above it."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._asking = False
        self._lock = threading.Lock()
        self._before = _terminal_state()
        self._dumb = os.environ.get("TERM") == "dumb"

    def lines(self) -> Iterator[str]:
        """Yield what the person types, line by line, with line editing where readline exists."""
        with contextlib.suppress(ImportError):
            import readline

            readline.set_auto_history(True)  # of this process only: nothing is written to disk
        while True:
            self._asking = True
            try:
                line = input(self._prompt)
            except EOFError:
                return
            finally:
                self._asking = False
            yield line

    def show(self, text: str) -> None:
        """Print above the prompt."""
        with self._lock:
            if self._asking:
                typed = _typed()
                sys.stdout.write(f"{self._wipe(typed)}{text}\n{self._prompt}{typed}")
            else:
                sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def restore(self) -> None:
        """Leave the terminal as it was found, with the cursor on a line of its own."""
        if self._asking:
            sys.stdout.write(self._wipe(_typed()))
            if "readline" in sys.modules and not self._dumb:
                sys.stdout.write("\x1b[?2004l")  # bracketed paste, which newer ones switch on while they read
            sys.stdout.flush()
        if self._before is not None:
            import termios

            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def _wipe(self, typed: str) -> str:
        """Return what takes the prompt and what was typed away, on however many rows that stands."""
        if self._dumb:
            return "\n"
        rows = _columns(self._prompt + typed) // shutil.get_terminal_size().columns
        return f"\r\x1b[{rows}A\x1b[J" if rows else "\r\x1b[J"


def _columns(text: str) -> int:
    """How many columns a terminal gives to a text, nearly: wide characters take two, marks none."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _typed() -> str:
    if "readline" in sys.modules:
        import readline

        return readline.get_line_buffer()
    return ""


def _terminal_state() -> Any:
    try:
        import termios

        return termios.tcgetattr(0)
    except ImportError:
        return None
    except Exception:  # termios.error, which exists only where termios does: stdin is no terminal
        return None
