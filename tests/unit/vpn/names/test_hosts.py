"""Our block comes and goes, and nothing else in the file ever changes."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.errors import DeviceMissing
from tincan.vpn.names.hosts import HostsBlock, alive, own_mark, with_block, without
from tincan.vpn.names.naming import naming

OTHER = b"127.0.0.1 localhost\n# tin-can is nice\n::1 localhost\n"
BOB = [("172.31.0.101", "bob.can")]


def nobody(mark: str) -> bool:
    return False


def everybody(mark: str) -> bool:
    return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_bytes(OTHER)
    return path


def test_it_comes_and_goes(file: Path) -> None:
    os.chmod(file, 0o640)
    block = HostsBlock(file)
    block.set(BOB)
    content = file.read_bytes()
    assert content.startswith(OTHER)
    assert b"\n172.31.0.101 bob.can\n" in content
    block.set([("172.31.0.102", "eve.can")])
    assert b"bob.can" not in file.read_bytes()
    assert file.read_bytes().count(b"eve.can") == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    block.remove()
    assert file.read_bytes() == OTHER
    assert os.listdir(file.parent) == ["hosts"]


def test_without_entries_there_is_no_block(file: Path) -> None:
    block = HostsBlock(file)
    block.set(BOB)
    block.set([])
    assert file.read_bytes() == OTHER


def test_the_dead_are_cleaned_away_and_the_living_stay(file: Path) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    living = f"{sleeper.pid}.{Path(f'/proc/{sleeper.pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    dead = f"{sleeper.pid}.1"  # the pid came again
    file.write_bytes(with_block(with_block(OTHER, living, [("10.0.0.1", "x.can")]), dead, BOB))
    HostsBlock(file).set([("10.0.0.2", "y.can")])
    content = file.read_bytes()
    assert b"x.can" in content
    assert b"bob.can" not in content
    assert alive(living)
    sleeper.communicate()
    assert not alive(living)
    HostsBlock(file).remove()
    assert file.read_bytes() == OTHER


def test_two_processes_do_not_disturb_each_other() -> None:
    content = with_block(with_block(OTHER, "1.1", BOB), "2.2", [("10.0.0.2", "y.can")])
    assert without(content, lambda mark: mark == "2.2") == with_block(OTHER, "2.2", [("10.0.0.2", "y.can")])
    assert without(content, everybody) == content


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"a\n", b"# tin-can 1.1 end\n", b"# tin-can 1.1 begin: \n", b"\n", b"\xff", b"x"])),
    st.lists(st.tuples(st.ip_addresses(v=4).map(str), st.sampled_from(["bob.can", "a-1.can"])), max_size=3),
)
def test_what_was_added_is_what_is_taken_away(lines: list[bytes], entries: list[tuple[str, str]]) -> None:
    content = b"".join(lines)
    added = with_block(content, "7.7", entries)
    assert added.startswith(content)
    assert without(added, lambda mark: mark != "7.7") == content


def test_half_a_block_is_not_ours_to_take() -> None:
    for broken in (b"# tin-can 1.1 begin: x\n10.0.0.1 x\n", b"# tin-can 1.1 begin: x\nx\n# tin-can 2.2 end\n"):
        assert without(broken, nobody) == broken


def test_a_file_that_nothing_can_take_the_place_of(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers /etc/hosts is a mount."""

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "replace", busy)
    block = HostsBlock(file)
    before = file.stat().st_ino
    block.set(BOB)
    assert b"bob.can" in file.read_bytes()
    block.remove()
    assert file.read_bytes() == OTHER
    assert file.stat().st_ino == before
    assert os.listdir(file.parent) == ["hosts"]


def test_a_full_disk_spoils_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeviceMissing, match="No space left"):
        HostsBlock(file).set(BOB)
    assert file.read_bytes() == OTHER
    assert os.listdir(file.parent) == ["hosts"]


def test_a_link_is_followed(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    HostsBlock(link).set(BOB)
    assert link.is_symlink()
    assert b"bob.can" in file.read_bytes()


def test_no_file_is_as_good_as_an_empty_one(tmp_path: Path) -> None:
    HostsBlock(tmp_path / "hosts").set(BOB)
    assert b"bob.can" in (tmp_path / "hosts").read_bytes()
    assert own_mark().encode() in (tmp_path / "hosts").read_bytes()


async def test_naming_does_both_and_ends_both(file: Path) -> None:
    told: list[str] = []
    own = IPv4Address("127.0.0.77")
    async with naming(own, told.append, hosts=file) as names:
        names.set({"bob.can": [IPv4Address("172.31.0.101")]})
        assert b"172.31.0.101 bob.can" in file.read_bytes()
    assert file.read_bytes() == OTHER


async def test_naming_does_without_what_does_not_work(tmp_path: Path) -> None:
    told: list[str] = []
    async with naming(IPv4Address("203.0.113.5"), told.append, hosts=tmp_path / "missing" / "hosts") as names:
        names.set({"bob.can": [IPv4Address("172.31.0.101")]})
        names.set({})
    assert len(told) == 2
