"""Lines from stdin: a real pipe into a real process, and the thread that reads it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tincan.cli.lines import CHUNK, MAX_LINE, Lines
from unit.cli.programs import run

READ = "import json\nfrom tincan.cli.lines import piped\nfor line in piped(): print(json.dumps(line))\n"


def lines_of(home: Path, data: bytes) -> list[str]:
    done = run(home, code=READ, stdin=data)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\n", ["one"]),
        (b"one", ["one"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\n\none\n", ["", "", "one"]),
        (b"a\rb\n", ["a\rb"]),
        (b"\xff\xfe\n\xc3\n", ["\ufffd\ufffd", "\ufffd"]),
        (b"cut \xe2\x82", ["cut \ufffd"]),
        ("h\u00e9 \u4f60 \U0001f600\n".encode(), ["h\u00e9 \u4f60 \U0001f600"]),
        (b"a\x00b\n", ["a\x00b"]),
    ],
)
def test_lines(tmp_path: Path, data: bytes, lines: list[str]) -> None:
    assert lines_of(tmp_path, data) == lines


def test_characters_and_line_ends_across_chunks(tmp_path: Path) -> None:
    """Every position of a four-byte character, and of CR LF, at the border between two reads."""
    for shift in range(5):
        first = "x" * (CHUNK - shift)
        assert lines_of(tmp_path, f"{first}\U0001f600\r\nend\n".encode()) == [f"{first}\U0001f600", "end"]
    first = "x" * (CHUNK - 1)
    assert lines_of(tmp_path, f"{first}\r\nend".encode()) == [first, "end"]


def test_a_giant_line_is_bounded_and_the_next_one_is_whole(tmp_path: Path) -> None:
    giant, after = lines_of(tmp_path, b"g" * (4 * MAX_LINE) + b"\nafter it\n")
    assert MAX_LINE <= len(giant) <= MAX_LINE + CHUNK
    assert after == "after it"


def test_the_first_line_takes_no_byte_of_the_next(tmp_path: Path) -> None:
    code = "import os\nfrom tincan.cli.lines import first_line\nprint(repr(first_line()), os.read(0, 100))\n"
    for data, shown in (
        (b"phrase\nrest\n", "'phrase' b'rest\\n'"),
        (b"phrase\r\nrest", "'phrase' b'rest'"),
        (b"phrase", "'phrase' b''"),
        (b"", "'' b''"),
    ):
        assert run(tmp_path, code=code, stdin=data).stdout.strip() == shown


async def test_lines_come_one_by_one_and_then_none() -> None:
    lines = Lines(lambda: iter(["one", "two"]))
    lines.start()
    async with asyncio.timeout(120):
        assert [await lines.next() for _ in range(3)] == ["one", "two", None]


async def test_what_nobody_takes_is_not_read() -> None:
    """At most one line waits, one is held by the reader: the rest stays in the pipe."""
    given: list[int] = []
    ended = threading.Event()

    def source() -> Iterator[str]:
        for number in range(10):
            given.append(number)
            yield str(number)
        ended.set()

    lines = Lines(source)
    lines.start()
    async with asyncio.timeout(120):
        assert await lines.next() == "0"
        while len(given) < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(given) <= 3
        assert [await lines.next() for _ in range(10)] == [*map(str, range(1, 10)), None]
    assert ended.wait(120)


async def test_a_terminal_that_goes_away_is_the_end() -> None:
    def source() -> Iterator[str]:
        yield "last"
        raise OSError(5, "Input/output error")

    lines = Lines(source)
    lines.start()
    async with asyncio.timeout(120):
        assert [await lines.next(), await lines.next()] == ["last", None]


def test_a_loop_that_ends_first_is_no_trouble(tmp_path: Path) -> None:
    """The conversation is over while stdin still has lines: nothing of that is printed."""
    done = run(
        tmp_path,
        stdin="line\n" * 1000,
        code="""
import asyncio, threading
from tincan.cli.lines import Lines, piped

async def main():
    lines = Lines(piped)
    lines.start()
    await lines.next()
    await asyncio.sleep(0.05)

asyncio.run(main())
[thread.join(120) for thread in threading.enumerate() if thread.name == "stdin"]
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
