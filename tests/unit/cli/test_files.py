"""``send`` and ``receive`` before they meet anybody, and what they print."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tincan.apps.files import FileDone, FileLeftOut, OfferAccepted, Offered, Outcome, Progress, TopEntry
from tincan.apps.files.words import counted, duration, human, offer_words, summary
from tincan.cli.filescreen import Screen, progress_line
from tincan.cli.options import MeetingOptions
from tincan.link.dial import Settings
from unit.cli.programs import run, sentence


def test_what_does_not_exist_is_told_before_meeting_anybody(tmp_path: Path) -> None:
    assert "nothing-there" in sentence(run(tmp_path, "send", str(tmp_path / "nothing-there")), 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["receive", "7-guitar-banana"], "--yes"),
        (["receive", "--yes"], "phrase"),
        (["receive", "--yes", "--to", "/dev/null", "7-guitar-banana"], "not a folder"),
        (["receive", "--yes", "--to", "/nowhere/at/all", "7-guitar-banana"], "does not exist"),
        (["receive", "--yes", "--to", "/dev/null/x", "7-guitar-banana"], "cannot be used"),
        (["receive", "--yes", "--to", "x" * 300, "7-guitar-banana"], "too long"),
        (["receive", "--yes", "--pypeer", "room"], "text"),
        (["send", "/etc/hostname", "/usr/../etc/hostname"], "Two of these"),
        (["send", "-", "--phrase-file", "-"], "both"),
        (["send", "/etc/hostname", "-", "--as", "x"], "--as"),
        (["send", "/etc/hostname", "--as", "../x"], "--as"),
        (["send", "/dev/null"], "neither"),
        (["send"], "PATH"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_wrong_use_is_one_sentence(tmp_path: Path, arguments: list[str], says: str) -> None:
    assert says in sentence(run(tmp_path, *arguments), 2)


def test_an_offer_is_shown_with_visible_names() -> None:
    tops = (TopEntry("photos", 1_234_567, True), TopEntry("a\x1b[2J\u202eb", 12, False))
    assert list(offer_words(Offered(3, 1, 1_234_579, tops, 4), "Eve")) == [
        "Eve offers 3 files in 1 folder, 1.2 MB:",
        "  photos/  (1.2 MB)",
        "  a\\x1b[2J\\u202eb  (12 bytes)",
        "  ... and 4 more",
    ]
    assert "size unknown" in next(iter(offer_words(Offered(1, 0, None, (), 0), "Eve")))


@pytest.mark.parametrize("columns", [10, 20, 40, 79, 200])
def test_the_progress_line_is_never_too_wide(columns: int) -> None:
    for name in ("short", "very/long/" * 30, "日本" * 40, "\x1b[31m"):
        line = progress_line(Progress(5 * 10**8, 10**9, 3e8, 1.7, name), columns)
        assert len(line) <= columns
        assert line.isascii()
        assert "\x1b" not in line
    assert (
        progress_line(Progress(5 * 10**8, 10**9, 3e8, 1.7, "x.bin"), 79) == " 50 %  500 MB  300 MB/s  2 s left  x.bin"
    )
    assert progress_line(Progress(10, None, 0.0, None, ""), 79) == "10 bytes  0 bytes/s"


def test_numbers_as_people_say_them() -> None:
    assert [human(size) for size in (0, 1, 999, 1000, 99_940, 123_456, 1.5e9, 5e15)] == [
        "0 bytes", "1 byte", "999 bytes", "1.0 kB", "99.9 kB", "123 kB", "1.5 GB", "5000 TB",
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (0, 59, 61, 3600, 7325)] == [
        "0 s",
        "59 s",
        "1 min 01 s",
        "1 h 00 min",
        "2 h 02 min",
    ]
    assert (counted(1, 0), counted(3, 2)) == ("1 file", "3 files in 2 folders")


def test_the_summary_is_one_sentence() -> None:
    outcome = Outcome(files=3, folders=0, bytes=1_200_000_000, moved=1_200_000_000, seconds=4.1, left_out=0)
    assert summary(outcome, False, "into /x") == "Received 3 files, 1.2 GB in 4.1 s (293 MB/s) into /x."
    resumed = Outcome(files=1, folders=0, bytes=1000, moved=400, seconds=1.0, left_out=0)
    assert summary(resumed, True, "to Eve") == (
        "Sent 1 file, 1.0 kB in 1.0 s (400 bytes/s) to Eve; 600 bytes of it was there already."
    )


async def test_programs_hear_of_files_in_order_and_in_the_same_turn(capsys: pytest.CaptureFixture[str]) -> None:
    options = MeetingOptions(Settings(), "", None, plain=False, json=True, quiet=True, verbose=0, log_file=None)
    screen = Screen(options, sending=False)

    def heard() -> list[tuple[str, str]]:
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [(event["name"], event["status"]) for event in events if event["event"] == "file"]

    screen.tell(FileDone('a"\u202e\n'))
    screen.tell(FileDone("b", already=True))
    screen.tell(FileLeftOut("c", "full"))
    assert heard() == [('a"\u202e\n', "done"), ("b", "there"), ("c", "left-out")]
    screen.tell(FileDone("d"))
    await asyncio.sleep(0)
    assert heard() == [("d", "done")]


@pytest.mark.parametrize("total", [1000, None])
def test_nobody_is_told_to_go_on_with_what_comes_from_a_pipe(total: int | None) -> None:
    options = MeetingOptions(Settings(), "", None, plain=True, json=False, quiet=True, verbose=0, log_file=None)
    screen = Screen(options, sending=True)
    screen.tell(Offered(1, 0, total, (), 0))
    assert not screen.resumable
    screen.tell(OfferAccepted())
    assert screen.resumable is (total is not None)
