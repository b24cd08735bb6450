"""Private files: whole, this user's alone, and under sudo those of the user who called it."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tincan import config, storage
from tincan.errors import UsageError
from tincan.vpn.group.control import Question, ask, serving


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    return tmp_path / "tin-can"


def test_what_was_written_is_read(folder: Path) -> None:
    assert storage.read("file") is None
    storage.write("file", b"one")
    storage.write("file", b"two")
    assert storage.read("file") == b"two"
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.listdir(folder) == ["file"]


def test_create_never_replaces(folder: Path) -> None:
    assert storage.create("file", b"one")
    assert not storage.create("file", b"two")
    assert storage.read("file") == b"one"
    assert os.listdir(folder) == ["file"]


def test_a_failed_write_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write("file", b"one")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UsageError, match="No space left"):
        storage.write("file", b"two")
    assert storage.read("file") == b"one"
    assert os.listdir(folder) == ["file"]


def test_what_cannot_be_read_is_told(folder: Path) -> None:
    (folder / "file").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be read"):
        storage.read("file")


def test_a_huge_file_is_none_of_ours(folder: Path) -> None:
    storage.write("file", bytes(storage.MAX_FILE + 1))
    with pytest.raises(UsageError, match="too long"):
        storage.read("file")


ADD = """
from tincan import storage
for _ in range(15):
    with storage.locked("count"):
        storage.write("count", str(int(storage.read("count") or b"0") + 1).encode())
"""


def test_a_lock_keeps_processes_apart(folder: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", ADD]) for _ in range(3)]
    assert [process.wait(240) for process in processes] == [0, 0, 0]
    assert storage.read("count") == b"45"


def test_who_does_not_want_to_wait_is_told(folder: Path) -> None:
    with (
        storage.locked("file"),
        pytest.raises(UsageError, match="up already"),
        storage.locked("file", or_say="It is up already."),
    ):
        pass
    with storage.locked("file", or_say="It is up already."):
        pass


as_root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="sudo makes one root")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that other users may go through, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def home(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    nobody = pwd.getpwnam("nobody")
    home = open_folder / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    entry = pwd.struct_passwd((*nobody[:5], str(home), nobody[6]))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("SUDO_UID", str(nobody.pw_uid))
    return home


@as_root
def test_the_files_are_the_users(home: Path) -> None:
    with storage.locked("file"):
        storage.write("file", b"one")
    assert storage.read("file") == b"one"
    found = home / ".local/share/tin-can"
    assert {path.owner() for path in (found, *found.iterdir())} == {"nobody"}
    assert os.geteuid() == 0


@as_root
def test_so_are_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("TIN_CAN_NAME", raising=False)
    path = home / ".config/tin-can/config.toml"
    assert config.config_path() == path
    assert config.load({})["name"].source == "default"
    path.parent.mkdir(parents=True)
    path.write_text('name = "Ada"\n')
    assert config.load({})["name"].value == "Ada"
    path.unlink()
    secret = home.parent / "secret.toml"
    secret.write_text("of root = ")
    secret.chmod(0o600)
    path.symlink_to(secret)
    with pytest.raises(UsageError, match="Permission denied"):
        config.load({})


@as_root
async def test_the_socket_of_a_network_is_the_users_too(home: Path) -> None:
    async def reply(question: Question) -> object:
        return 1

    storage.write("net/lan.json", b"")
    folder = storage.data_folder() / "net"
    async with serving(folder, "lan", reply):
        found = (folder / "lan.sock").stat()
        assert found.st_uid == pwd.getpwnam("nobody").pw_uid
        assert stat.S_IMODE(found.st_mode) == 0o600
        with storage.as_user():
            assert await ask(folder, "lan", Question("status"), int) == 1
    assert not (folder / "lan.sock").exists()


def test_files_are_taken_away(folder: Path) -> None:
    storage.write("one", b"1")
    storage.remove("one", "two")
    assert os.listdir(folder) == []
    (folder / "three").mkdir()
    with pytest.raises(UsageError, match="cannot be taken away"):
        storage.remove("three")


@as_root
def test_a_link_leads_nowhere_that_the_user_could_not_go(home: Path, open_folder: Path) -> None:
    secret = open_folder / "secret"
    secret.mkdir(mode=0o770)  # root's own group is no way in either
    secret.chmod(0o770)
    (secret / "file").write_bytes(b"of root")
    (home / ".local/share").mkdir(parents=True)
    (home / ".local/share/tin-can").symlink_to(secret)
    with pytest.raises(UsageError, match="cannot be read"):
        storage.read("file")
    with pytest.raises(UsageError, match="cannot be written"):
        storage.write("file", b"of the user")
    assert (secret / "file").read_bytes() == b"of root"
    assert os.geteuid() == 0
