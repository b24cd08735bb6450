"""``tin-can friend`` as processes: two become friends over a phrase, and each keeps a book of its own."""

from __future__ import annotations

import json
import secrets
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unit.cli.programs import PATIENCE, environment, run, sentence


@pytest.fixture
def phrase() -> str:
    """A phrase that nobody else meets at."""
    return f"{10_000_000 + secrets.randbelow(80_000_000)}-guitar-banana"


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    home.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tincan", "friend", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(home, XDG_DATA_HOME=str(home / "data")),
    )


def listed(home: Path) -> list[dict[str, Any]]:
    done = run(home, "friend", "list", "--json", XDG_DATA_HOME=str(home / "data"))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def both_add(tmp_path: Path, phrase: str, *more: str) -> tuple[Path, Path]:
    homes = tmp_path / "alice", tmp_path / "bob"
    cans = [start(home, "add", "--yes", "--json", "--name", home.name.title(), *more, phrase) for home in homes]
    for can in cans:
        out, err = can.communicate(timeout=PATIENCE)
        assert can.returncode == 0, err
        assert json.loads(out.splitlines()[-1])["event"] == "friend"
    return homes


def test_two_become_friends(tmp_path: Path, phrase: str) -> None:
    alice, bob = both_add(tmp_path, phrase)
    [me, friend] = listed(alice)
    [other_me, other_friend] = listed(bob)
    assert (me["event"], me["name"], me["address"]) == ("you", "you", "172.31.0.100")
    assert (friend["event"], friend["name"], friend["address"]) == ("friend", "bob.can", "172.31.0.101")
    assert (other_friend["name"], other_friend["address"]) == ("alice.can", "172.31.0.101")
    for name in ("fingerprint", "uid", "address6"):
        assert friend[name] == other_me[name]
        assert other_friend[name] == me[name]
    files = sorted(path for path in (alice / "data/tin-can").iterdir() if not path.name.endswith(".lock"))
    assert [path.name for path in files] == ["friends.json", "identity.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}

    data = {"XDG_DATA_HOME": str(alice / "data")}
    done = run(alice, "friend", "rename", "bob", "robert", **data)
    assert done.returncode == 0
    assert [entry["name"] for entry in listed(alice)] == ["you", "robert.can"]
    assert "172.31.0.101" in run(alice, "friend", "list", **data).stdout
    assert sentence(run(alice, "friend", "rename", "robert", "Robert!", **data), 2)
    assert sentence(run(alice, "friend", "remove", "bob", **data), 2)
    assert run(alice, "friend", "remove", "robert.can", **data).returncode == 0
    assert len(listed(alice)) == 1


def test_a_name_that_is_taken_is_told_before_anybody_agrees(tmp_path: Path, phrase: str) -> None:
    alice, _ = both_add(tmp_path, phrase)
    carol = start(tmp_path / "carol", "add", "--yes", "--name", "Carol", phrase)
    can = start(alice, "add", "--yes", "--name", "Alice", "--as", "bob", phrase)
    _, err = can.communicate(timeout=PATIENCE)
    assert can.returncode == 2, err
    assert "Another friend is called bob already." in err.splitlines()[-1]
    _, err = carol.communicate(timeout=PATIENCE)
    assert carol.returncode != 0, err
    assert len(listed(alice)) == 2
    assert len(listed(tmp_path / "carol")) == 1


def test_a_pipe_is_no_friend(tmp_path: Path, phrase: str) -> None:
    tmp_path.joinpath("alice").mkdir()
    pipe = subprocess.Popen(
        [sys.executable, "-m", "tincan", "pipe", phrase],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    )
    can = start(tmp_path / "alice", "add", "--yes", phrase)
    _, err = can.communicate(timeout=PATIENCE)
    assert can.returncode == 7, err
    assert "The other can runs tin-can pipe, and this one friend add" in err.splitlines()[-1]
    _, err = pipe.communicate(timeout=PATIENCE)
    assert pipe.returncode == 7
    assert "friend add" in err.splitlines()[-1]
    assert len(listed(tmp_path / "alice")) == 1


def test_nobody_is_asked_without_a_terminal(tmp_path: Path) -> None:
    assert "--yes" in sentence(run(tmp_path, "friend", "add", "1234-guitar-banana"), 2)
    assert sentence(run(tmp_path, "friend", "add", "--yes", "--as", "a b", "1234-guitar-banana"), 2)
    assert not (tmp_path / ".local").exists()


def test_a_damaged_book_is_told(tmp_path: Path) -> None:
    place = tmp_path / "data" / "tin-can"
    place.mkdir(parents=True)
    (place / "friends.json").write_text("{")
    (place / "friends.json").chmod(0o600)
    for arguments in (["list"], ["remove", "x"], ["add", "--yes", "1234-guitar-banana"]):
        done = run(tmp_path, "friend", *arguments, XDG_DATA_HOME=str(tmp_path / "data"))
        assert "damaged" in sentence(done, 2)
