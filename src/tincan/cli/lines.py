"""Lines from stdin, from a pipe or from a person, as something asyncio can wait for.

A daemon thread reads, since neither pipes on Windows nor a terminal with
line editing can be waited for otherwise. It hands over one line at a time,
so what nobody takes stays where it came from (back-pressure to the writer).
"""

from __future__ import annotations

import asyncio
import codecs
import concurrent.futures
import contextlib
import os
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final

CHUNK: Final = 16 * 1024
MAX_LINE: Final = 256 * 1024
"""Bytes of one line that are kept. The chat refuses a line long before; the rest is dropped."""

PROMPTING: Final = 0.2
"""Seconds that the prompt may take to be written; what is shown waits for it."""


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
        # RuntimeError, or a cancelled future: the loop has ended, and nobody wants lines any more.
        with contextlib.suppress(RuntimeError, concurrent.futures.CancelledError):
            try:
                for line in self._source():
                    self._hand_over(line, loop)
            except OSError:
                pass  # a terminal that went away is the end of input
            self._hand_over(None, loop)

    def _hand_over(self, line: str | None, loop: asyncio.AbstractEventLoop) -> None:
        putting = self._queue.put(line)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        except RuntimeError:
            putting.close()  # else Python complains that nobody has run it
            raise


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
        self._steady = True  # the prompt is not just being written
        self._changed = threading.Condition()
        self._before = _terminal_state()
        self._dumb = os.environ.get("TERM") == "dumb"

    def lines(self) -> Iterator[str]:
        """Yield what the person types, line by line, with line editing where readline exists."""
        tells = False
        with contextlib.suppress(ImportError):
            import readline

            readline.set_auto_history(True)  # of this process only: nothing is written to disk
            if "libedit" not in (readline.__doc__ or ""):
                readline.set_pre_input_hook(self._prompted)
                tells = True
        while True:
            with self._changed:
                self._steady = False
            if not tells:
                self._prompted()
            try:
                line = input(self._prompt)
            except EOFError:
                return
            finally:
                with self._changed:
                    self._asking, self._steady = False, True
            yield line

    def _prompted(self) -> None:
        """Take note that the prompt stands there."""
        with self._changed:
            self._asking = self._steady = True
            self._changed.notify_all()

    def show(self, text: str) -> None:
        """Print above the prompt."""
        with self._changed:
            self._changed.wait_for(lambda: self._steady, PROMPTING)
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
        import shutil

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
