"""The real commands in real terminals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")
struct = pytest.importorskip("struct")

PATIENCE = 120.0
"""Seconds after which a test gives up; only a hang takes as long."""

_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_].*?\x1b\\|[ -/]*[0-~])", re.S)
_COLOURS = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


class Terminal:
    """One command in a terminal of its own: what is typed into it, and everything it has written."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.master)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tincan", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=kept | {"HOME": str(home), "TERM": "xterm-256color"} | environment,
            start_new_session=True,
        )
        os.close(slave)
        self.raw = b""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            with self._news:
                self.raw += data
                self._news.notify_all()

    def text(self) -> str:
        return _ESCAPES.sub(b"", self.raw).decode(errors="replace")

    def sees(self, text: str) -> None:
        """Wait until it has written this."""
        with self._news:
            assert self._news.wait_for(lambda: text in self.text(), PATIENCE), self.text()[-3000:]

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def ends(self) -> int:
        """Wait for its end; the terminal must be as it was found."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)  # it reads on until the terminal is nobody's
        assert b"\x1b[?1049l" in self.raw
        assert b"\x1b[?25h" in self.raw  # the cursor is shown
        assert termios.tcgetattr(self.master)[:4] == self.before[:4]
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # nothing is left on the disk


def test_two_people_talk(terminals: list[Terminal], tmp_path: Path) -> None:
    ada = Terminal(tmp_path, "attach-string", "--name", "Ada")
    terminals.append(ada)
    ada.sees("Waiting for the other can ...")
    found = re.search(r"tin-can tap (\d+-[a-z]+(?:-[a-z]+)+)", ada.text())
    assert found
    bob = Terminal(tmp_path, "tap", found[1], "--name", "Bob", NO_COLOR="1")
    terminals.append(bob)
    bob.sees("Ada is here.")
    ada.sees("Bob is here.")
    bob.type("Can you hear me?\r")
    ada.sees("Can you hear me?")
    ada.type("Loud and\nclear.\r")
    bob.sees("Loud and")
    bob.sees("clear.")
    bob.sees("✓✓")
    ada.type("\x03")
    bob.sees("Ada hung up.")
    assert ada.ends() == 130
    assert "Interrupted." in ada.text()
    bob.type("\x1b")
    assert bob.ends() == 0
    assert not _COLOURS.search(bob.raw)
    assert _COLOURS.search(ada.raw)
    assert not re.search(rb"\x1b\][012];", ada.raw + bob.raw)  # the terminal's title is left alone


def test_alone_it_opens_the_start_screen(terminals: list[Terminal], tmp_path: Path) -> None:
    alone = Terminal(tmp_path)
    terminals.append(alone)
    alone.sees("Two cans, one string.")
    alone.type("q")
    assert alone.ends() == 0


def test_an_error_is_told_after_the_screen_is_closed(terminals: list[Terminal], tmp_path: Path) -> None:
    waiting = Terminal(tmp_path, "attach-string", "--timeout", "12")
    terminals.append(waiting)
    assert waiting.ends() == 4
    waiting.sees("tin-can: Nobody came")


def test_a_signal_leaves_the_terminal_as_it_was(terminals: list[Terminal], tmp_path: Path) -> None:
    terminals += [Terminal(tmp_path, "attach-string"), Terminal(tmp_path, "attach-string")]
    for waiting, number in zip(terminals, (signal.SIGTERM, signal.SIGHUP), strict=True):
        waiting.sees("Waiting for the other can ...")
        waiting.process.send_signal(number)
    for waiting in terminals:
        assert waiting.ends() == 130


def test_suspending_and_coming_back(terminals: list[Terminal], tmp_path: Path) -> None:
    alone = Terminal(tmp_path)
    terminals.append(alone)
    alone.sees("Two cans, one string.")
    alone.type("\x1a")
    deadline = time.monotonic() + PATIENCE
    status = Path(f"/proc/{alone.process.pid}/stat")
    if not status.exists():
        pytest.skip("this system has no /proc")
    while status.read_text().rsplit(")", 1)[1].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert b"\x1b[?1049l" in alone.raw
    seen = len(alone.raw)
    alone.process.send_signal(signal.SIGCONT)
    while b"\x1b[?1049h" not in alone.raw[seen:]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    alone.type("q")
    assert alone.ends() == 0


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_terminal_it_prints_the_help_and_loads_no_screens(arguments: list[str]) -> None:
    code = (
        f"import os, sys; sys.argv[1:] = {arguments}; os._exit = sys.exit\n"
        "from tincan.cli.main import run\n"
        "try:\n run()\nfinally:\n print(sorted(m for m in ('textual', 'click', 'asyncio') if m in sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True
    )
    assert "Usage: tin-can COMMAND" in result.stdout
    assert result.stdout.endswith("[]\n")
