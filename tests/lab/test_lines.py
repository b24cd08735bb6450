"""The contract of stdin, stdout and exit codes (docs/cli.md), with real processes on one machine."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path

import pytest

from lab.cans import SECRET, TIN_CAN, Can, converse, hang_up, meet, settings, tin_can
from lab.netlab import Host, Lab, Process

LIMIT = 64 * 1024  # bytes in one message


@pytest.fixture
def desk(lab: Lab) -> Host:
    return lab.isolated("desk")


def plain_pair(desk: Host, *options: str) -> tuple[Process, Process]:
    """Start two cans as they are in a pipe, and wait until they are connected."""
    waiting = tin_can(desk, "attach-string", SECRET, *options)
    tapping = tin_can(desk, "tap", SECRET, *options)
    for process in (waiting, tapping):
        process.wait_line("Connected", stream="stderr")
    return waiting, tapping


def test_what_is_piped_in_is_delivered_before_the_end(desk: Host) -> None:
    a = Can(desk, "attach-string", SECRET)
    a.event("waiting")
    shell = desk.start(["/bin/sh", "-c", f"echo hi | {shlex.join([*TIN_CAN, 'tap', SECRET])}"], env=settings())
    assert shell.wait() == 0
    assert shell.stdout == ""
    assert a.event("message")["text"] == "hi"
    assert a.wait() == 0


def test_the_end_waits_for_the_acknowledgement(desk: Host) -> None:
    a, b = meet(desk, desk)
    converse(a, b)
    a.process.signal(signal.SIGSTOP)
    b.say("are you awake?")
    b.process.close_stdin()
    with pytest.raises(TimeoutError):
        b.wait(1)
    a.process.signal(signal.SIGCONT)
    assert b.wait() == 0
    assert a.event("message")["text"] == "are you awake?"
    assert a.wait() == 0


def test_thousands_of_lines_arrive_complete_and_in_order(desk: Host) -> None:
    lines = [f"{number} {'x' * (number % 200)}" for number in range(3000)]
    waiting = tin_can(desk, "attach-string", SECRET)
    tapping = tin_can(desk, "tap", SECRET)
    tapping.write("\n".join(lines))  # the last one without an end
    tapping.close_stdin()
    assert tapping.wait() == 0
    assert waiting.wait() == 0
    assert waiting.stdout.splitlines() == lines


def test_both_may_pipe_at_once(desk: Host) -> None:
    lines = [f"line {number}" for number in range(1000)]
    pair = tin_can(desk, "attach-string", SECRET), tin_can(desk, "tap", SECRET)
    for process in pair:
        process.write("\n".join(lines) + "\n")
    for process in pair:
        process.wait_line(f"^{lines[-1]}$")
    for process in pair:
        process.close_stdin()
    for process in pair:
        assert process.wait() == 0
        assert process.stdout.splitlines() == lines


def test_long_lines(desk: Host) -> None:
    waiting, tapping = plain_pair(desk)
    longest = "ä" * (LIMIT // 2)
    tapping.write("\n".join([longest, longest + ".", "x" * 1_000_000, "", "after it"]) + "\n")
    tapping.close_stdin()
    assert tapping.wait() == 0
    assert waiting.wait() == 0
    assert waiting.stdout.splitlines() == [longest, "after it"]
    refused = [line for line in tapping.stderr.splitlines() if line.startswith("Not sent: ")]
    assert len(refused) == 2
    assert all(f"at most {LIMIT} can be sent" in line for line in refused)


def test_what_is_not_text_is_shown_escaped(desk: Host) -> None:
    waiting, tapping = plain_pair(desk)
    tapping.write("\x1b[31mred\x07\ttab \u202eevil \\ ümläut ✓\r\n".encode() + b"\xff\xfe not UTF-8\n")
    tapping.close_stdin()
    assert tapping.wait() == 0
    assert waiting.wait() == 0
    assert waiting.stdout_bytes.decode().split("\n") == [
        r"\x1b[31mred\x07\ttab \u202eevil \ ümläut ✓",
        "\ufffd\ufffd not UTF-8",
        "",
    ]
    for process in (waiting, tapping):
        assert "\x1b" not in process.stderr


FIELDS = {
    "waiting": {"code"},
    "meeting": {"place"},
    "connected": {"path", "place", "seconds"},
    "message": {"text", "id", "from"},
    "delivered": {"id"},
    "closed": {"reason"},
    "error": {"code", "text"},
}


def test_json_events(desk: Host) -> None:
    a, b = meet(desk, desk)
    for number in range(5):
        b.say(f"\x1b[31m ünï {number}")
    for _ in range(5):
        b.event("delivered")
    a.say("answer")
    a.event("delivered")
    hang_up(a, b)
    for can, first in ((a, FIELDS["waiting"] | {"phrase"}), (b, FIELDS["waiting"])):
        assert can.process.stdout.isascii()
        assert "\x1b" not in can.process.stdout
        kinds = [event["event"] for event in can.events]
        assert kinds[:3] == ["waiting", "meeting", "connected"]
        assert kinds[-1] == "closed"
        for event in can.events:
            wanted = first if event["event"] == "waiting" and "phrase" in event else FIELDS[event["event"]]
            assert set(event) - {"event", "phrase"} == wanted - {"phrase"}
    assert "phrase" in a.events[0]
    heard = [event for event in a.events if event["event"] == "message"]
    assert [event["text"] for event in heard] == [f"\x1b[31m ünï {number}" for number in range(5)]
    assert {event["from"] for event in heard} == {"desk"}
    delivered = [event["id"] for event in b.events if event["event"] == "delivered"]
    assert delivered == [event["id"] for event in heard]
    assert delivered == sorted(set(delivered))


def test_quiet_ways_to_give_the_phrase(desk: Host, tmp_path: Path) -> None:
    file = tmp_path / "phrase"
    file.write_text(f"{SECRET}\nnot this\n")
    a = Can(desk, "attach-string", "--phrase-file", str(file))
    b = Can(desk, "tap", "--phrase-file", "-")
    b.process.write(f"{SECRET}\nhello\n")
    assert a.event("message")["text"] == "hello"
    hang_up(a, b)
    again = [Can(desk, command, env={"TIN_CAN_PHRASE": SECRET}) for command in ("attach-string", "tap")]
    converse(*again)
    hang_up(*again)
    for can in (a, b, *again):
        assert SECRET not in can.error + can.process.stdout


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ("tap x --plain --json", "--plain and --json"),
        ("tap x --no-such-option", "--no-such-option"),
        ("attach-string one two", "two"),
        ("no-such-command", "no-such-command"),
        ("tap", "phrase"),
        ("tap x --timeout 0", "timeout"),
        ("tap x --timeout soon", "timeout"),
        ("tap x --switchboard http://", "http://"),
        ("tap x --stun turn:example.org", "--stun"),
        ("tap x --turn turn:example.org", "--turn-user"),
        ("tap 7-guitar-banana --no-lan", "no place to meet"),
        ("tap x --phrase-file y", "twice"),
        ("tap --phrase-file /does/not/exist", "/does/not/exist"),
    ],
)
def test_wrong_usage(desk: Host, words: str, about: str) -> None:
    assert_refused(tin_can(desk, *words.split()), about)


@pytest.mark.parametrize("command", ["attach-string", "tap"])
@pytest.mark.parametrize("phrase", ["", "   "], ids=["empty", "blank"])
def test_an_empty_phrase(desk: Host, command: str, phrase: str) -> None:
    assert_refused(tin_can(desk, command, phrase), "phrase")


def assert_refused(process: Process, about: str) -> None:
    process.close_stdin()
    assert process.wait() == 2
    assert process.stdout == ""
    assert process.stderr.startswith("tin-can: ")
    assert process.stderr.count("\n") == 1
    assert about in process.stderr


def test_a_reader_that_has_enough_ends_both(desk: Host) -> None:
    """As in ``tin-can attach-string ... | head -1``."""
    reading, writing = os.pipe()
    waiting = tin_can(desk, "attach-string", SECRET, stdout=writing)
    os.close(writing)
    tapping = Can(desk, "tap", SECRET)
    with os.fdopen(reading, "rb") as reader:
        tapping.say("one")
        assert reader.readline() == b"one\n"
    tapping.say("two")
    assert waiting.wait() == 0
    assert tapping.wait() == 0
    assert "Traceback" not in waiting.stderr
    assert "Broken" not in waiting.stderr
