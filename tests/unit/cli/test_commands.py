"""The commands at work, as processes: demo, doctor, and a chat through pipes."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from unit.cli.programs import PATIENCE, environment, run


@pytest.fixture
def phrase() -> str:
    """A phrase that nobody else meets at."""
    return f"{10_000_000 + secrets.randbelow(80_000_000)}-guitar-banana"


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tincan", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(home),
    )


def test_demo(tmp_path: Path) -> None:
    # What the user has set for talking to others is nothing to the demo.
    done = run(tmp_path, "demo", TIN_CAN_PHRASE="somebody else's", TIN_CAN_LAN="no")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Hello Alice, can you hear me?" in done.stdout
    assert " s from Bob's Enter" in done.stdout
    assert "path in use: lan" in done.stdout


def test_demo_says_at_once_when_a_can_cannot_start(tmp_path: Path) -> None:
    config = tmp_path / "config" / "tin-can" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("lan = false\n")
    done = run(tmp_path, "demo")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert "See tin-can doctor." in done.stderr.splitlines()[-1]


def test_doctor(tmp_path: Path) -> None:
    done = run(tmp_path, "doctor", PYTHONWARNINGS="default")
    assert done.returncode in (0, 3, 6)
    assert "Traceback" not in done.stderr
    assert all(line[2:5] in ("ok ", "no ", "-- ") for line in done.stdout.splitlines())
    assert "addresses" in done.stdout


def test_doctor_for_programs(tmp_path: Path) -> None:
    done = run(tmp_path, "doctor", "--json", "ws://127.0.0.1:9", PYTHONWARNINGS="default")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(set(finding) == {"about", "good", "text"} for finding in findings)
    [board] = [finding for finding in findings if finding["about"].startswith("switchboard")]
    assert board["good"] is False
    assert done.returncode in (0, 3, 6)
    assert "Traceback" not in done.stderr


def test_a_chat_through_pipes(tmp_path: Path, phrase: str) -> None:
    with start(tmp_path, "attach-string", phrase, "-q") as one, start(tmp_path, "tap", phrase, "-q") as two:
        assert one.stdin is not None
        assert two.stdout is not None
        one.stdin.write("first\n\nsecond \x1b[31m\n")
        one.stdin.flush()
        assert [two.stdout.readline() for _ in range(2)] == ["first\n", "second \\x1b[31m\n"]
        # The end of one's input ends both, and what was typed last still arrives.
        one.stdin.write("last, without an end of line")
        out, err = one.communicate(timeout=PATIENCE)
        assert (one.returncode, out, err) == (0, "", "")
        out, err = two.communicate(timeout=PATIENCE)
        assert (two.returncode, out, err) == (0, "last, without an end of line\n", "")


def test_a_chat_for_programs(tmp_path: Path, phrase: str) -> None:
    with (
        start(tmp_path, "attach-string", phrase, "-q", "--json", "--name", "Ada") as one,
        start(tmp_path, "tap", phrase, "-q", "--json") as two,
    ):
        out, err = one.communicate("hello\n", timeout=PATIENCE)
        assert (one.returncode, err) == (0, "")
        ours = [json.loads(line) for line in out.splitlines()]
        out, err = two.communicate(timeout=PATIENCE)
        assert (two.returncode, err) == (0, "")
        theirs = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in ours] == ["waiting", "meeting", "connected", "delivered", "closed"]
    assert [event["event"] for event in theirs] == ["waiting", "meeting", "connected", "message", "closed"]
    assert (theirs[3]["text"], theirs[3]["from"]) == ("hello", "Ada")
    assert theirs[2]["path"] == ours[2]["path"] == "lan"
    assert (ours[-1]["reason"], theirs[-1]["reason"]) == ("local", "peer")


def test_a_wrong_phrase_for_programs(tmp_path: Path, phrase: str) -> None:
    wrong = phrase.replace("banana", "yodel")
    with (
        start(tmp_path, "attach-string", phrase, "-q", "--json") as one,
        start(tmp_path, "tap", wrong, "-q", "--json") as two,
    ):
        for process in (one, two):
            out, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 5
            last = json.loads(out.splitlines()[-1])
            assert (last["event"], last["code"]) == ("error", 5)
            assert err.strip() == f"tin-can: {last['text']}"


def test_nobody_comes(tmp_path: Path, phrase: str) -> None:
    done = run(tmp_path, "tap", phrase, "--timeout", "10", "--json", "-q")
    assert done.returncode == 4
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["waiting", "error"]
    assert done.stderr.startswith("tin-can: Nobody came within ")
