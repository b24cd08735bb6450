"""``tin-can tete`` as two processes on one machine, on two addresses of its loopback."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from ports import free_ports
from unit.cli.programs import PATIENCE, environment, run, sentence

LOW, HIGH = "127.0.0.1", "127.0.0.2"
STAMP = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")
WARNING = "The peer is not authenticated: anybody on the path could be in the middle. Use --phrase on both ends."

needs_addresses = pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8 on loopback")


class End:
    """One process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def say(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def hear(self, count: int) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.read(count)

    def told(self) -> str:
        """Return the next line on stderr without its date and time."""
        assert self._process.stderr is not None
        line = self._process.stderr.readline().decode().rstrip("\n")
        return STAMP.sub("", line, count=1) if STAMP.match(line) else f"without a date: {line}"

    def ignore(self) -> None:
        """Read nothing of what it tells."""
        assert self._process.stderr is not None
        self._process.stderr.close()

    def code(self) -> int:
        return self._process.wait(PATIENCE)

    def interrupt(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def left(self) -> tuple[int, list[str]]:
        """Wait for the end; return the exit code and the rest of stderr."""
        code = self._process.wait(PATIENCE)
        assert self._process.stderr is not None
        return code, self._process.stderr.read().decode().splitlines()


def ports() -> tuple[str, str]:
    one, two = free_ports(2)
    return str(one), str(two)


@contextlib.contextmanager
def two(
    home: Path,
    *options: list[str],
    stdin: tuple[int | IO[bytes], int | IO[bytes]] = (subprocess.PIPE, subprocess.PIPE),
    **variables: str,
) -> Iterator[tuple[End, End]]:
    """Both ends with these options each: the TLS server first, then the client."""
    one, other = ports()
    lines = (
        ["-myip", LOW, "-peerip", HIGH, "-lport", one, "-rport", other],
        [f"--myip={HIGH}", f"--peerip={LOW}", f"--lport={other}", f"--rport={one}"],
    )
    with contextlib.ExitStack() as stack:
        processes = []
        for line, more, read in zip(lines, options or ([], []), stdin, strict=True):
            process = subprocess.Popen(
                [sys.executable, "-m", "tincan", "tete", *line, *more],
                stdin=read,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(home, **variables),
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(End(process))
        yield processes[0], processes[1]


def met(*ends: End) -> None:
    for end in ends:
        assert [end.told(), end.told()] == [WARNING, "Connected to peer!"]


@needs_addresses
def test_bytes_go_both_ways_and_each_direction_ends_by_itself(tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    (tmp_path / "data").write_bytes(data)
    with open(tmp_path / "data", "rb") as file, two(tmp_path, stdin=(file, subprocess.PIPE)) as (server, client):
        met(server, client)
        assert client.hear(len(data) + 1) == data, "and then the end"
        client.say(data[::-1])
        client.end()
        assert server.hear(len(data) + 1) == data[::-1]
        for end, words in ((client, "Closed connection"), (server, "Peer closed connection")):
            code, rest = end.left()
            assert (code, [STAMP.sub("", line) for line in rest]) == (0, [words])


@needs_addresses
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_in_good_order_on_both_ends(tmp_path: Path, number: signal.Signals, which: int) -> None:
    with two(tmp_path, ["-k"], ["-k=true"]) as ends:
        met(*ends)
        leaving, staying = ends[which], ends[1 - which]
        leaving.say(b"last words")
        assert staying.hear(10) == b"last words"
        leaving.interrupt(number)
        assert leaving.told() == "Closed connection"
        assert staying.told() == "Peer closed connection"
        assert leaving.left() == staying.left() == (0, [])


@needs_addresses
def test_bytes_are_carried_though_nobody_reads_what_is_told(tmp_path: Path) -> None:
    with two(tmp_path) as ends:
        for end in ends:
            end.ignore()
        for end, other in (ends, ends[::-1]):
            end.say(b"for you")
            end.end()
            assert other.hear(8) == b"for you"
        assert [end.code() for end in ends] == [0, 0]


@needs_addresses
def test_the_same_phrase_by_its_quiet_ways(tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text("a phrase that both know\n")
    with two(
        tmp_path, [], ["--phrase-file", str(tmp_path / "phrase")], TIN_CAN_PHRASE="a  phrase that both know"
    ) as ends:
        for end in ends:
            assert end.told() == "Connected to peer!", "and no warning"
            end.say(b"hello")
        for end in ends:
            assert end.hear(5) == b"hello"
            end.end()
        assert [end.left()[0] for end in ends] == [0, 0]


@needs_addresses
def test_a_phrase_from_the_first_line_of_stdin_and_the_rest_for_the_peer(tmp_path: Path) -> None:
    with two(tmp_path, ["-phrase", "the phrase"], ["-phrase-file=-"]) as (server, client):
        client.say(b"the phrase\nthe rest")
        assert server.told() == client.told() == "Connected to peer!"
        assert server.hear(8) == b"the rest"


@needs_addresses
def test_a_wrong_phrase_ends_both_before_anything_is_said(tmp_path: Path) -> None:
    with two(tmp_path, ["-phrase", "right"], ["-phrase", "wrong"]) as ends:
        for end in ends:
            end.say(b"secret")
        for end in ends:
            code, lines = end.left()
            assert code == 5
            assert len(lines) == 1
            assert lines[0].startswith("tin-can: The two ends did not give the same phrase")
            assert end.hear(1) == b""


@needs_addresses
@pytest.mark.parametrize("which", [0, 1])
def test_a_phrase_on_one_end_only_is_told_to_both(tmp_path: Path, which: int) -> None:
    options: tuple[list[str], list[str]] = ([], [])
    options[which].extend(["-phrase", "right"])
    with two(tmp_path, *options) as ends:
        for end in ends:
            end.say(b"secret")
        code, lines = ends[which].left()
        assert code == 5
        assert "does not prove the phrase" in lines[-1]
        code, lines = ends[1 - which].left()
        assert code == 5
        assert "wants a phrase" in lines[-1]
        assert ends[0].hear(1) == ends[1].hear(1) == b""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_an_interruption_while_nobody_is_there_is_one(tmp_path: Path) -> None:
    line = ["-myip", LOW, "-peerip", "127.0.0.9", "-lport", ports()[0]]
    with subprocess.Popen(
        [sys.executable, "-m", "tincan", "tete", *line],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
    ) as process:
        end = End(process)
        assert end.told() == WARNING
        end.interrupt(signal.SIGINT)
        code, lines = end.left()
        assert (code, lines[-1]) == (130, "tin-can: Interrupted.")


# -- what is refused at once -------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "-myip"),
        ("-myip 192.0.2.1 -peerip 192.0.2.1", "the same address"),
        ("-myip 192.0.2.1 -peerip nowhere", "-peerip names is no"),
        ("-myip 192.0.2.1 -peerip 192.0.2.2 -lport 0", "-lport must be"),
        ("-myip 192.0.2.1 -peerip 192.0.2.2 -rport 65536", "-rport must be"),
        ("-myip 192.0.2.1 -peerip 192.0.2.2 -phrase-file /does/not/exist", "cannot be read"),
        ("-myip 192.0.2.1 -peerip 192.0.2.2 -phrase x -phrase-file y", "twice"),
        ("-myip 192.0.2.1 -peerip 192.0.2.2 -phrase=", "empty"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(tmp_path: Path, line: str, says: str) -> None:
    assert says in sentence(run(tmp_path, "tete", *line.split()), 2)


@pytest.mark.parametrize(
    ("line", "says"),
    [("-x", "flag provided but not defined: -x"), ("-k -lport", "flag needs an argument: -lport")],
)
def test_what_go_would_not_take_is_told_as_go_tells_it(tmp_path: Path, line: str, says: str) -> None:
    done = run(tmp_path, "tete", *line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[:3] == [says, "Usage of tete:", "  -h\tshow this list and exit"]


@pytest.mark.parametrize("word", ["-h", "--h", "-help", "--help"])
def test_the_list_of_options(tmp_path: Path, word: str) -> None:
    done = run(tmp_path, "tete", word)
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert lines[0] == "Usage of tete:"
    options = [line.split()[0] for line in lines if line.startswith("  -")]
    assert options == ["-h", "-k", "-lport", "-myip", "-peerip", "-phrase", "-phrase-file", "-rport", "-v"]
    assert "(default 54312)" in done.stderr


def test_two_dashes_end_the_options_as_in_go(tmp_path: Path) -> None:
    assert "-myip" in sentence(run(tmp_path, "tete", "-k", "--", "-x"), 2)


def test_the_start_loads_no_stack_that_it_does_not_need(tmp_path: Path) -> None:
    done = run(tmp_path, "tete", "-h", PYTHONPROFILEIMPORTTIME="1")
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "tincan" in loaded
    assert not loaded & {"aiortc", "aioice", "zeroconf", "websockets", "aiohttp", "textual", "av", "cryptography"}
