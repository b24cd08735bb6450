"""Friends keep their names and places, in a book that is only ever replaced as a whole."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tincan import storage
from tincan.errors import UsageError
from tincan.identity import PublicIdentity
from tincan.vpn.social.book import Book
from tincan.vpn.social.friends import FILE, change, read
from unit.vpn.social.people import person


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    return tmp_path / "tin-can"


def book(*names: str) -> Book:
    made = Book()
    for number, name in enumerate(names):
        made, _ = made.with_friend(person(number + 1).public, name)
    return made


def addresses(made: Book) -> dict[str, str]:
    return {friend.name: str(made.address(friend)) for friend in made.friends}


def test_friends_get_addresses_in_turn() -> None:
    made = book("bob", "Eve", "bob")
    assert str(made.own) == "172.31.0.100"
    assert addresses(made) == {"bob": "172.31.0.101", "eve": "172.31.0.102", "bob-2": "172.31.0.103"}


def test_the_same_one_again_changes_nothing() -> None:
    made = book("bob")
    again, friend = made.with_friend(person(1).public, "robert")
    assert again is made
    assert friend.name == "bob"


def test_a_place_is_free_again_and_others_stay() -> None:
    made = book("bob", "eve").without("bob")
    assert addresses(made) == {"eve": "172.31.0.102"}
    made, carol = made.with_friend(person(9).public, "carol")
    assert str(made.address(carol)) == "172.31.0.101"


def test_renaming() -> None:
    made = book("bob", "eve").renamed("bob.can", "Robert")
    assert addresses(made) == {"robert": "172.31.0.101", "eve": "172.31.0.102"}
    assert made.renamed("robert", "robert") == made
    for new in ("eve", "a b", "", "-x", "x.y"):
        with pytest.raises(UsageError):
            made.renamed("robert", new)
    with pytest.raises(UsageError, match="friend list"):
        made.renamed("bob", "x")


def test_moving_keeps_places() -> None:
    made = book("bob", "eve").moved(IPv4Network("10.8.0.0/16"))
    assert addresses(made) == {"bob": "10.8.0.101", "eve": "10.8.0.102"}
    assert str(made.own) == "10.8.0.100"
    small = made.moved(IPv4Network("10.8.0.0/29"))
    assert addresses(small) == {"bob": "10.8.0.2", "eve": "10.8.0.3"}
    assert str(small.own) == "10.8.0.1"
    with pytest.raises(UsageError, match="full"):
        book(*"abcdef").moved(IPv4Network("10.8.0.0/29"))


def test_keys_like_somebody_elses_are_refused() -> None:
    made = book("bob")
    with pytest.raises(UsageError, match="do not trust"):
        made.with_friend(PublicIdentity(person(1).public.signing, person(2).public.agreeing), "mallory")


def test_what_is_written_is_read(folder: Path) -> None:
    assert read() == Book()
    friend = change(lambda made: made.with_friend(person(1).public, "bob"))
    assert friend.name == "bob"
    assert read() == book("bob")
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600


def test_a_change_that_fails_changes_nothing(folder: Path) -> None:
    change(lambda made: made.with_friend(person(1).public, "bob"))
    with pytest.raises(UsageError):
        change(lambda made: (made.without("eve"), None))
    assert read() == book("bob")


ADD = """
import sys
from tincan.vpn.social.friends import change
from unit.vpn.social.people import person
for number in range(int(sys.argv[1]), int(sys.argv[1]) + 5):
    change(lambda book: book.with_friend(person(number).public, "bob"))
"""


def test_processes_that_add_friends_lose_none(folder: Path) -> None:
    tests = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": tests}
    processes = [subprocess.Popen([sys.executable, "-c", ADD, str(n)], env=environment) for n in (10, 20, 30)]
    assert [process.wait(240) for process in processes] == [0, 0, 0]
    assert len(read().friends) == 15
    assert len({friend.offset for friend in read().friends}) == 15


@pytest.mark.parametrize(
    "change_it",
    [
        lambda c: c | {"version": 2},
        lambda c: c | {"range": "8.8.8.0/24"},
        lambda c: c | {"range": 3},
        lambda c: c | {"more": 1},
        lambda c: c | {"friends": [c["friends"][0], c["friends"][0]]},
        lambda c: c | {"friends": [c["friends"][0] | {"name": "Bob"}]},
        lambda c: c | {"friends": [c["friends"][0] | {"name": "x\n127.0.0.1 bank.example"}]},
        lambda c: c | {"friends": [c["friends"][0] | {"offset": 100}]},
        lambda c: c | {"friends": [c["friends"][0] | {"offset": 65535}]},
        lambda c: c | {"friends": [c["friends"][0] | {"signing": "AAAA"}]},
    ],
)
def test_a_damaged_file_is_told_and_left_alone(folder: Path, change_it: object) -> None:
    change(lambda made: made.with_friend(person(1).public, "bob"))
    content = json.loads((folder / FILE).read_text())
    damaged = json.dumps(change_it(content)).encode()  # type: ignore[operator]
    storage.write(FILE, damaged)
    with pytest.raises(UsageError, match="damaged"):
        read()
    with pytest.raises(UsageError, match="damaged"):
        change(lambda made: made.with_friend(person(2).public, "eve"))
    assert (folder / FILE).read_bytes() == damaged
