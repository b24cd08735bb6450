"""A person at a terminal: a program on a pseudo-terminal, what is typed, and what stands on the screen.

`Screen` obeys the few control sequences that a line editor needs and refuses every other one, so whatever a
program lets through from somebody else makes a test fail.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

from lab.netlab import PATIENCE, Host, WaitTimeout

COLUMNS, LINES = 80, 24

TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the controlling one, so that Ctrl-C becomes a signal."""


class Garbage(AssertionError):
    """Something reached the screen that a terminal would obey, and that no line editor says."""


class Screen:
    """What a terminal of 80 columns shows of some output; lines never scroll away."""

    def __init__(self, output: str) -> None:
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0
        complete = re.sub(r"\x1b(\[[0-9;?]*)?\Z", "", output)  # more of a sequence is on its way
        for sequence, character in re.findall(r"(\x1b(?:\[[0-9;?]*[ -/]*[@-~]|.))|(.)", complete, re.DOTALL):
            if sequence:
                self._obey(sequence)
            else:
                self._put(character)

    @property
    def lines(self) -> list[str]:
        """The lines, without what is blank at their ends."""
        return ["".join(row).rstrip() for row in self._rows]

    @property
    def cursor(self) -> tuple[int, int]:
        """Line, counted from 0, and column."""
        return self._row, self._column

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._move_to_row(self._row + 1)
        elif character == "\b":
            self._column = max(0, self._column - 1)
        elif character == "\x07":
            pass
        elif character < " " or "\x7f" <= character < "\xa0":
            raise Garbage(repr(character))
        else:
            if self._column == COLUMNS:
                self._move_to_row(self._row + 1)
                self._column = 0
            row = self._rows[self._row]
            row.extend(" " * (self._column - len(row)))
            row[self._column : self._column + 1] = character
            self._column += 1

    def _obey(self, sequence: str) -> None:
        match = re.fullmatch(r"\x1b\[(\??)([0-9]*)([A-Za-z@])", sequence)
        if match is None and not re.fullmatch(r"\x1b\[[0-9;]*m|\x1b[=>]", sequence):
            raise Garbage(repr(sequence))
        if match is None or match[1] or match[3] in "mhl":
            return  # colours and modes
        number, row = int(match[2] or 0), self._rows[self._row]
        some = max(1, number)
        match match[3]:
            case "A":
                self._row = max(0, self._row - some)
            case "B":
                self._move_to_row(self._row + some)
            case "C":
                self._column = min(COLUMNS - 1, self._column + some)
            case "D":
                self._column = max(0, self._column - some)
            case "G":
                self._column = some - 1
            case "K" if number == 0:
                del row[self._column :]
            case "J" if number == 0:
                del row[self._column :]
                del self._rows[self._row + 1 :]
            case "P":
                del row[self._column : self._column + some]
            case "@":
                row[self._column : self._column] = " " * some
            case _:
                raise Garbage(repr(sequence))

    def _move_to_row(self, row: int) -> None:
        self._row = row
        while len(self._rows) <= row:
            self._rows.append([])


class Person:
    """A program with a person in front of it."""

    def __init__(self, host: Host, argv: list[str], env: dict[str, str]) -> None:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._before = self._settings()
        self._output = b""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.process = host.start(
            [sys.executable, "-I", "-S", "-c", TAKE_TERMINAL, *argv],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={"TERM": "xterm", "NO_COLOR": ""} | env,
        )

    @property
    def raw(self) -> str:
        """Everything that the program wrote."""
        with self._changed:
            return self._output.decode(errors="replace")

    @property
    def screen(self) -> Screen:
        """What stands on the screen now."""
        return Screen(self.raw)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, os.fsencode(text))

    def reads(self, text: str, timeout: float = PATIENCE) -> None:
        """Wait until the program has written something."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while text not in self._output.decode(errors="replace"):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise WaitTimeout(f"{text!r} was not written in {timeout:g} s:\n{self._output!r}")

    def sees(self, condition: Callable[[Screen], bool], timeout: float = PATIENCE) -> Screen:
        """Wait until the screen is as it should be."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition(screen := Screen(self._output.decode(errors="replace"))):
                if not self._changed.wait(deadline - time.monotonic()):
                    shown = "\n".join(screen.lines)
                    raise WaitTimeout(f"the screen is not so after {timeout:g} s:\n{shown}\n{self._output!r}")
        return screen

    def sees_line(self, text: str, timeout: float = PATIENCE) -> Screen:
        """Wait until there is a line with this text in it."""
        return self.sees(lambda screen: any(text in line for line in screen.lines), timeout)

    def sees_prompt(self, typed: str = "", prompt: str = "> ") -> Screen:
        """Wait until the last line is the prompt with what was typed, and the cursor behind it."""
        wanted = prompt + typed

        def there(screen: Screen) -> bool:
            row, column = screen.cursor
            last = row == len(screen.lines) - 1
            return last and screen.lines[-1] == wanted.rstrip() and column == len(wanted)

        return self.sees(there)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Return the exit code, once all output is there."""
        status = self.process.wait(timeout)
        self.settings_restored = self._settings() == self._before
        os.close(self._slave)
        self._reader.join(PATIENCE)
        os.close(self._master)
        return status

    def _settings(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def _read(self) -> None:
        with os.fdopen(self._master, "rb", buffering=0, closefd=False) as master:
            while True:
                try:
                    chunk = master.read(65536)
                except OSError:  # every other end is closed
                    return
                with self._changed:
                    self._output += chunk or b""
                    self._changed.notify_all()
