"""What must not be seen: in logs, in the process list, in reprs, on the disk."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sys
from pathlib import Path

import pytest

from security.cans import NO_STUN, PATIENCE, TIN_CAN, Can, converse, environment
from security.evil import Board
from tincan.meet.events import Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import StringKeys, derive, parse
from tincan.nat.servers import parse_server
from tincan.switchboard import SwitchboardSettings

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

GENERATED = "417-guitar-banana"
CHOSEN = "the Heron walks over Quicksilver mountains"
SAID = "nobody else reads xyzzyplugh"
TURN_PASSWORD = "hunter2-turn-password"


def forms(secret: bytes) -> list[bytes]:
    """Return how a secret may show up in a text."""
    return [secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"="), repr(secret)[2:-1].encode()]


def secrets_of(phrase: str) -> list[bytes]:
    password = derive(parse(phrase)).password
    words = [word.encode() for word in phrase.replace("-", " ").split() if len(word) > 4]
    return [phrase.encode(), *words, *forms(password)]


@pytest.mark.parametrize("phrase", [GENERATED, CHOSEN], ids=["generated", "chosen"])
async def test_logs_hold_no_secrets(phrase: str, tmp_path: Path) -> None:
    """With -vv and a log file; ICE credentials and addresses may be there (docs/threats.md)."""
    async with Board.running() as board:
        board.code = derive(parse(phrase)).code
        board.extra = {
            "turn": {"urls": ["turn:127.0.0.1:1"], "username": "u", "ttl": 60, "credential": "board-credential"}
        }
        logs = [tmp_path / "attach.log", tmp_path / "tap.log"]
        options = ["--switchboard", board.url, *NO_STUN, "-vv", "--turn", "turn:127.0.0.1:2", "--turn-user", "u"]
        env = {"TIN_CAN_PHRASE": phrase, "TIN_CAN_TURN_PASSWORD": TURN_PASSWORD}
        async with Can.started("attach-string", *options, "--log-file", str(logs[0]), env=env) as attach:
            await attach.event("waiting")
            async with Can.started("tap", *options, "--log-file", str(logs[1]), env=env) as tap:
                await converse(attach, tap)
                await tap.say(SAID)
                await attach.event("message")
                tap.end_input()
                assert (await attach.ended(), await tap.ended()) == (0, 0)
    hidden = [*secrets_of(phrase), SAID.encode(), TURN_PASSWORD.encode(), b"board-credential"]
    written = {str(log): log.read_bytes() for log in logs} | {"attach": attach.stderr, "tap": tap.stderr}
    for name, text in written.items():
        assert b"handshake" in text, name  # the log is there
        for secret in hidden:
            assert secret.lower() not in text.lower(), (name, secret)


async def test_a_failure_with_a_traceback_holds_no_secrets() -> None:
    async with Board.running() as board:
        options = ["--switchboard", board.url, *NO_STUN, "-vv"]
        async with Can.started("attach-string", *options, env={"TIN_CAN_PHRASE": GENERATED}) as attach:
            await attach.event("waiting")
            async with Can.started("tap", *options, env={"TIN_CAN_PHRASE": "417-guitar-cactus"}) as tap:
                assert (await attach.ended(), await tap.ended()) == (5, 5)
    for can in (attach, tap):
        assert b"Traceback" in can.stderr
        for secret in [b"banana", b"cactus", *forms(derive(parse(GENERATED)).password)]:
            assert secret not in can.stderr


def test_reprs_hide_secrets() -> None:
    phrase = parse(GENERATED)
    shown = [
        phrase,
        derive(phrase),
        Waiting("c0de", phrase),
        StringKeys("c0de", b"banana"),
        parse_server("turn:127.0.0.1", "user", "banana"),
        SwitchboardSettings(turn_secret="banana"),
    ]
    for value in shown:
        assert "banana" not in repr(value), type(value)


# -- the process list -----------------------------------------------------------------------------


def process_list(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/comm").read_bytes()


@linux
@pytest.mark.parametrize("way", ["file", "stdin", "environment"])
async def test_quiet_ways_keep_the_phrase_out_of_the_process_list(way: str, tmp_path: Path) -> None:
    file = tmp_path / "phrase"
    file.write_text(GENERATED + "\n")
    arguments = {"file": ["--phrase-file", str(file)], "stdin": ["--phrase-file", "-"], "environment": []}[way]
    env = {"TIN_CAN_PHRASE": GENERATED} if way == "environment" else {}
    async with (
        Board.running() as board,
        Can.started("tap", "--switchboard", board.url, *NO_STUN, *arguments, env=env) as can,
    ):
        if way == "stdin":
            await can.say(GENERATED)
        await can.event("waiting")
        shown = process_list(can.process.pid)
    assert b"tap" in shown
    assert b"banana" not in shown


@linux
async def test_the_prompt_keeps_the_phrase_out_of_the_process_list_and_off_the_disk(tmp_path: Path) -> None:
    outer, inner = os.openpty()
    async with Board.running() as board:
        process = await asyncio.create_subprocess_exec(
            *TIN_CAN,
            "tap",
            "--switchboard",
            board.url,
            *NO_STUN,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=home(tmp_path),
            cwd=tmp_path,
        )
        before = tree(tmp_path)
        try:
            os.close(inner)
            typing = asyncio.create_task(type_phrase(outer))
            async with asyncio.timeout(PATIENCE):
                while not board.seats[Side.TAP].opened:  # under the string code of what was typed
                    await asyncio.sleep(0.02)
            assert b"banana" not in process_list(process.pid)
        finally:
            process.kill()  # no farewell: the screen would wait for its terminal
            await process.wait()
            await typing
            os.close(outer)
    assert tree(tmp_path) == before


async def type_phrase(terminal: int) -> None:
    """Type the phrase once it is asked for, by a prompt or a screen, and read on until the terminal is left."""
    shown, typed = b"", False
    with contextlib.suppress(OSError):
        while data := await asyncio.to_thread(os.read, terminal, 4096):
            shown += data
            if b"Phrase" in shown and not typed:
                typed = True
                os.write(terminal, GENERATED.encode() + b"\r")


# -- the disk ---------------------------------------------------------------------------------------


def home(where: Path) -> dict[str, str]:
    """Return an environment in which everything a program may write by itself goes below a directory."""
    names = {
        "HOME": "home",
        "TMPDIR": "tmp",
        "XDG_CONFIG_HOME": "config",
        "XDG_DATA_HOME": "data",
        "XDG_CACHE_HOME": "cache",
        "XDG_STATE_HOME": "state",
        "XDG_RUNTIME_DIR": "run",
    }
    for name in names.values():
        (where / name).mkdir(exist_ok=True)
    return environment(**{variable: str(where / name) for variable, name in names.items()})


def tree(where: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(where.rglob("*"))}


async def test_a_normal_run_writes_nothing(tmp_path: Path) -> None:
    env = home(tmp_path)
    before = tree(tmp_path)
    async with Board.running() as board:
        where = ("--switchboard", board.url, *NO_STUN)
        async with Can.started("attach-string", GENERATED, *where, env=env) as attach:
            await attach.event("waiting")
            async with Can.started("tap", GENERATED, *where, env=env) as tap:
                await converse(attach, tap)
                tap.end_input()
                assert (await attach.ended(), await tap.ended()) == (0, 0)
    assert tree(tmp_path) == before
