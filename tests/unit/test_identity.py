"""An identity lasts, is this user's alone, and is named by its keys."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from tincan import storage
from tincan.errors import UsageError
from tincan.identity import FILE, PublicIdentity, identity_of, own_identity


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    return tmp_path / "tin-can"


def test_it_is_made_once_and_stays(folder: Path) -> None:
    first = own_identity()
    assert own_identity().public == first.public
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert [entry.name for entry in folder.iterdir()] == [FILE]


def test_two_processes_that_make_one_agree(folder: Path) -> None:
    found: list[PublicIdentity] = []
    threads = [threading.Thread(target=lambda: found.append(own_identity().public)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_names_are_of_both_keys(folder: Path) -> None:
    one = identity_of(bytes(32), bytes([1] * 32)).public
    other = identity_of(bytes(32), bytes([2] * 32)).public
    assert one.signing == other.signing
    assert one.uid != other.uid
    assert one.fingerprint != other.fingerprint
    assert len(one.uid) == 40
    assert [len(group) for group in one.fingerprint.split("-")] == [4] * 5


def test_known_names() -> None:
    public = identity_of(bytes(range(32)), bytes(range(32, 64))).public
    # RFC 8032 and RFC 7748 define the keys; the names are those every release must show for them.
    assert public.uid == "c82c59db3bc926b4905e48f4ce03e83bccd62e5d"
    assert public.fingerprint == "zawf-twz3-zetl-jec6-jd2m"


def test_both_compute_the_same_secret() -> None:
    one, other = identity_of(bytes(32), bytes([1] * 32)), identity_of(bytes(32), bytes([2] * 32))
    assert one.secret_with(other.public) == other.secret_with(one.public)
    with pytest.raises(ValueError):
        one.secret_with(PublicIdentity(bytes(32), bytes(32)))  # a point of small order


def test_signatures() -> None:
    one, other = identity_of(bytes(32), bytes(32)), identity_of(bytes([1] * 32), bytes(32))
    signature = one.sign(b"label message")
    assert one.public.verify(signature, b"label message")
    assert not one.public.verify(signature, b"label massage")
    assert not other.public.verify(signature, b"label message")
    assert not one.public.verify(b"short", b"label message")
    assert not PublicIdentity(bytes([255] * 32), bytes(32)).verify(signature, b"label message")


def test_a_private_key_is_not_shown() -> None:
    assert "private" not in repr(identity_of(bytes(32), bytes(32))).lower()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"version":2,"signing":"","agreeing":""}', b"[" * 99])
def test_a_damaged_file_is_left_alone(folder: Path, content: bytes) -> None:
    storage.write(FILE, content)
    with pytest.raises(UsageError, match="damaged"):
        own_identity()
    assert (folder / FILE).read_bytes() == content


def test_a_file_that_others_can_read_is_refused(folder: Path) -> None:
    own_identity()
    os.chmod(folder / FILE, 0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        own_identity()


def test_a_file_of_another_version_is_named(folder: Path) -> None:
    own_identity()
    content = json.loads((folder / FILE).read_text())
    storage.write(FILE, json.dumps(content | {"version": 2}).encode())
    with pytest.raises(UsageError, match="newer"):
        own_identity()
