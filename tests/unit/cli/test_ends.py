"""How a command ends: the exit code, one sentence, and never a traceback that nobody asked for."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tincan
from tincan import errors
from unit.cli.programs import PATIENCE, environment, run, sentence


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tapp"], "No such command 'tapp'"),
        (["--nope"], "'--nope'"),
        (["tap", "--swichboard", "x"], "Did you mean '--switchboard'? See 'tin-can tap --help'."),
        (["tap", "a", "b"], "unexpected extra argument"),
        (["tap", "--timeout", "soon", "x"], "'soon'"),
        (["tap", "--timeout", "0", "x"], "timeout from option"),
        (["tap", "--plain", "--json", "x"], "exclude each other"),
        (["tap", "--stun", "foo", "x"], "'foo' is not a STUN or TURN URL"),
        (["tap", "--stun", "turn:a", "x"], "--turn"),
        (["tap", "--turn", "turn:a", "x"], "--turn-user"),
        (["tap", "--switchboard", "ftp://x", "x"], "switchboard"),
        (["tap", "--phrase-file", "/does/not/exist"], "/does/not/exist cannot be read"),
        (["tap", "--phrase-file", "x", "phrase"], "twice"),
        (["tap", "--no-lan", "7-guitar-banana"], "no place to meet"),
        (["tap", " "], "empty"),
        (["tap"], "needs a phrase"),
        (["switchboard", "--listen", "nowhere"], "HOST:PORT"),
        (["attach-string", "--log-file", "/does/not/exist", "x"], "cannot be written"),
    ],
)
def test_wrong_usage_is_one_sentence(tmp_path: Path, arguments: list[str], says: str) -> None:
    assert says in sentence(run(tmp_path, *arguments), 2)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("TinCanError", 1),
        ("UsageError", 2),
        ("PlaceUnreachable", 3),
        ("NoPlaceReachable", 3),
        ("NobodyCame", 4),
        ("AuthenticationFailed", 5),
        ("NoPath", 6),
        ("PeerRefused", 7),
        ("ProtocolError", 8),
        ("DeviceMissing", 9),
    ],
)
def test_the_exit_code_of_every_error(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code


def test_no_error_anywhere_has_a_code_that_is_not_in_the_contract() -> None:
    for module in pkgutil.walk_packages(tincan.__path__, "tincan."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    waiting: list[type[errors.TinCanError]] = [errors.TinCanError]
    seen = set()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        seen.add(kind.__name__)
        assert kind.exit_code in range(1, 10), kind
    assert {"ChannelClosed", "MailboxClosed", "NoPath"} <= seen, "the test sees what it is to see"


FAILING = """
import sys, types, click
from tincan.cli import group, main
from tincan.cli.commands import Command
from tincan import errors

@click.command()
@click.option("-v", "--verbose", count=True)
def fail(verbose):
    raise {error}

sys.modules["failing"] = types.SimpleNamespace(fail=fail)
group.COMMANDS = (Command("fail", "", "", "failing:fail"),)
main.run()
"""


def fails(home: Path, error: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that raises this."""
    return run(home, "fail", *arguments, code=FAILING.format(error=error))


def test_the_last_door(tmp_path: Path) -> None:
    said = sentence(fails(tmp_path, "ZeroDivisionError('by \\x1b[31mnothing')"), 1)
    assert "ZeroDivisionError: by \\x1b[31mnothing" in said
    assert "-v" in said


def test_errors_of_ours_say_only_what_they_say(tmp_path: Path) -> None:
    assert sentence(fails(tmp_path, "errors.NoPath('There is no way.')"), 6) == "tin-can: There is no way."


@pytest.mark.parametrize("error", ["ZeroDivisionError('x')", "errors.NoPath('There is no way.')"])
@pytest.mark.parametrize("flag", ["-v", "-vv", "--verbose"])
def test_a_traceback_only_with_v(tmp_path: Path, error: str, flag: str) -> None:
    done = fails(tmp_path, error, flag)
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("tin-can: ")


@pytest.mark.parametrize("error", ["KeyboardInterrupt()", "EOFError()"])
def test_interrupted(tmp_path: Path, error: str) -> None:
    done = fails(tmp_path, error)
    assert done.returncode == 130
    assert done.stderr.strip() == "tin-can: Interrupted."


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_waiting(tmp_path: Path, number: signal.Signals) -> None:
    with waiting(tmp_path) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, err.decode()
        assert out == b""
        assert err.decode().strip() == "tin-can: Interrupted."


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_hung_up_it_ends_without_a_word(tmp_path: Path) -> None:
    """As ssh hangs up on its ProxyCommand at the end of every session, whose stderr is the user's terminal."""
    with waiting(tmp_path) as process:
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=PATIENCE) == (b"", b"")
        assert process.returncode == 130


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_nohup_keeps_it_alive(tmp_path: Path) -> None:
    with waiting(tmp_path, "nohup") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
        assert err.decode().strip().endswith("tin-can: Interrupted."), "by the other one"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_interrupted_while_nobody_reads_stderr(tmp_path: Path) -> None:
    with waiting(tmp_path) as process:
        assert process.stderr is not None
        process.stderr.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


@contextlib.contextmanager
def waiting(home: Path, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """A can that waits for the other one."""
    with subprocess.Popen(
        [*before, sys.executable, "-m", "tincan", "attach-string", "--json", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home),
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "waiting"
        yield process


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_log_that_is_full_is_told_once(tmp_path: Path) -> None:
    done = run(tmp_path, "pipe", "--quiet", "--timeout", "0.5", "--log-file", "/dev/full")
    assert done.returncode == 4
    first, last = done.stderr.splitlines()
    assert first == "tin-can: The log cannot be written any further (No space left on device)."
    assert last.startswith("tin-can: Nobody came")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGPIPE")
def test_nobody_reads_stderr(tmp_path: Path) -> None:
    """What cannot be told is no reason to end, nor to end with another code."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tincan", "pipe", "--timeout", "0.5"],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=writing,
            timeout=PATIENCE,
            env=environment(tmp_path),
        )
    finally:
        os.close(writing)
    assert done.returncode == 4


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGPIPE")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["tap", "--help"], ["config"], ["attach-string", "--json", "--quiet"]]
)
def test_nobody_reads_stdout(tmp_path: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tincan", *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            env=environment(tmp_path),
        )
    finally:
        os.close(writing)
    assert done.returncode in (0, 1)
    assert done.stderr.strip() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", ["", "config", "tap --no-lan 7-guitar-banana"])
def test_started_with_closed_streams(tmp_path: Path, closed: str, arguments: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'"{sys.executable}" -m tincan {arguments} {closed}'],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(tmp_path),
    )
    assert done.returncode == (2 if "tap" in arguments else 0), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
