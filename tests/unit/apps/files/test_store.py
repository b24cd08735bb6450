"""The receiver's disk: what is in the way, what is swapped in, what was there before."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import tincan
from tincan.apps.files import FileLeftOut, named, receive_over, send_over
from tincan.apps.files.folders import HANDLES, UNFINISHED
from tincan.apps.files.frames import Entry, Have
from tincan.apps.files.hashing import digest_of
from tincan.apps.files.names import aside_name, partial_name
from tincan.apps.files.partials import checkpoints
from tincan.apps.files.plain import LeftOut, why
from tincan.apps.files.store import Store, Trouble
from tincan.errors import IncompleteTransfer
from tincan.link.memory import MemoryStream
from unit.apps.files.helpers import Inline, User, contents, noise, transfer, tree

needs_handles = pytest.mark.skipif(not HANDLES, reason="this system cannot open files relative to a folder")


def entry(name: str, content: bytes, mode: int = 0o644) -> tuple[Entry, tuple[str, ...]]:
    return Entry(name, len(content), mode, 10**18), tuple(name.split("/"))


def put(store: Store, index: int, content: bytes, offset: int = 0) -> None:
    store.begin(index, offset)
    store.write(memoryview(content)[offset:])
    store.finish(index, digest_of(content))
    store.let_go()


def survey(store: Store) -> list[Have | Trouble]:
    return [found for found in store.survey(lambda index: False) if found is not None]


@pytest.fixture(params=[True, False] if HANDLES else [False], ids=lambda on: "handles" if on else "paths")
def handles(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path, handles: bool) -> None:
    store = Store(tmp_path, [entry("d/x", b"hello")], overwrite=False, handles=handles)
    assert survey(store) == []
    store.begin(0, 0)
    store.write(memoryview(b"hello"))
    partial = tmp_path / "d" / partial_name("x")
    assert contents(tmp_path) == {"d/": b"", f"d/{partial_name('x')}": b"hello"}
    assert partial.stat().st_mode & 0o777 == 0o600
    store.finish(0, digest_of(b"hello"))
    store.close()
    assert contents(tmp_path) == {"d/": b"", "d/x": b"hello"}
    assert (tmp_path / "d/x").stat().st_mtime_ns == 10**18


def test_damaged_content_gets_no_name(tmp_path: Path, handles: bool) -> None:
    store = Store(tmp_path, [entry("x", b"hello")], overwrite=False, handles=handles)
    store.begin(0, 0)
    store.write(memoryview(b"hellO"))
    with pytest.raises(LeftOut, match="damaged"):
        store.finish(0, digest_of(b"hello"))
    store.close()
    assert not (tmp_path / "x").exists()


def in_one(store: Store, content: bytes) -> None:
    store.whole(0, memoryview(content), digest_of(content))


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o444, 0o000])
@pytest.mark.parametrize("name", ["x", "d/x"])
def test_a_small_file_is_put_there_at_once(tmp_path: Path, handles: bool, name: str, mode: int) -> None:
    store = Store(tmp_path, [entry(name, b"hello", mode)], overwrite=False, handles=handles)
    assert survey(store) == []
    in_one(store, b"hello")
    assert contents(tmp_path) == {"d/": b"", "d/x": b"hello"} if name == "d/x" else {"x": b"hello"}
    found = (tmp_path / name).stat()
    assert (found.st_mode & 0o777, found.st_mtime_ns, found.st_nlink) == (mode, 10**18, 1)
    store.close()


def test_a_small_file_that_is_damaged_gets_no_name(tmp_path: Path, handles: bool) -> None:
    store = Store(tmp_path, [entry("x", b"hello")], overwrite=False, handles=handles)
    with pytest.raises(LeftOut, match="damaged"):
        store.whole(0, memoryview(b"hellO"), digest_of(b"hello"))
    store.close()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("there", ["file", "folder", "symlink"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_small_file_takes_nobodys_place(tmp_path: Path, handles: bool, there: str, overwrite: bool) -> None:
    """What appears after the survey: a file is replaced only with --overwrite, nothing is followed."""
    outside = tree(tmp_path / "outside", {"secret": b"mine"})
    target = tmp_path / "to"
    store = Store(target, [entry("x", b"hello")], overwrite=overwrite, handles=handles)
    assert survey(store) == []
    if there == "file":
        (target / "x").write_bytes(b"mine")
    elif there == "folder":
        (target / "x").mkdir()
    else:
        (target / "x").symlink_to(outside / "secret")
    if overwrite and there != "folder":
        in_one(store, b"hello")
        assert not (target / "x").is_symlink()
        assert (target / "x").read_bytes() == b"hello"
    else:
        with pytest.raises(LeftOut):
            in_one(store, b"hello")
        assert there == "folder" or (target / "x").read_bytes() == b"mine"
    store.close()
    assert contents(outside) == {"secret": b"mine"}


def test_a_small_file_takes_the_place_of_what_was_left_of_it(tmp_path: Path, handles: bool) -> None:
    (tmp_path / partial_name("x")).write_bytes(b"")
    store = Store(tmp_path, [entry("x", b"hello")], overwrite=False, handles=handles)
    assert survey(store) == []
    in_one(store, b"hello")
    store.close()
    assert contents(tmp_path) == {"x": b"hello"}


def test_a_small_file_leaves_what_another_receiver_writes(tmp_path: Path, handles: bool) -> None:
    one, two = (Store(tmp_path, [entry("x", b"hello")], overwrite=False, handles=handles) for _ in range(2))
    one.begin(0, 0)
    with pytest.raises(LeftOut, match="another receiver"):
        in_one(two, b"hello")
    two.close()
    one.close()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling"])
def test_a_symlink_in_the_target_is_not_followed(tmp_path: Path, handles: bool, overwrite: bool, kind: str) -> None:
    outside = tree(tmp_path / "outside", {"secret": b"mine!"})
    target = tmp_path / "to"
    target.mkdir()
    leads = {"file": ("x", "secret"), "folder": ("d", "."), "dangling": ("x", "new")}[kind]
    (target / leads[0]).symlink_to(outside / leads[1])
    name = "d/secret" if kind == "folder" else "x"
    store = Store(target, [entry(name, b"evil!")], overwrite=overwrite, handles=handles)
    [trouble] = survey(store)
    assert isinstance(trouble, Trouble)
    store.close()
    assert contents(outside) == {"secret": b"mine!"}


@needs_handles
def test_a_folder_swapped_for_a_symlink_meanwhile_is_not_followed(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside", {"keep": b"mine"})
    target = tmp_path / "to"
    store = Store(target, [entry("d/x", b"one"), entry("d/e/y", b"two")], overwrite=True)
    assert survey(store) == []
    store.begin(0, 0)
    (target / "d").rename(tmp_path / "moved")
    (target / "d").symlink_to(outside)
    store.write(memoryview(b"one"))
    store.finish(0, digest_of(b"one"))
    store.let_go()
    put(store, 1, b"two")
    store.close()
    assert contents(outside) == {"keep": b"mine"}
    assert contents(tmp_path / "moved") == {"x": b"one", "e/": b"", "e/y": b"two"}


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo", "folder"])
def test_what_stands_in_the_place_of_the_partial_is_not_written(tmp_path: Path, handles: bool, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine!")
    target = tmp_path / "to"
    target.mkdir()
    partial = target / partial_name("x")
    {
        "symlink": lambda: partial.symlink_to(victim),
        "hard link": lambda: os.link(victim, partial),
        "fifo": lambda: os.mkfifo(partial),
        "folder": partial.mkdir,
    }[kind]()
    store = Store(target, [entry("x", b"evil!")], overwrite=True, handles=handles)
    survey(store)
    with pytest.raises(LeftOut):
        store.begin(0, 0)
    store.close()
    assert victim.read_bytes() == b"mine!"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path, handles: bool) -> None:
    store = Store(tmp_path, [entry("x", b"hello")], overwrite=False, handles=handles)
    store.begin(0, 0)
    store.write(memoryview(b"hello"))
    (tmp_path / "x").write_bytes(b"mine")
    with pytest.raises(LeftOut, match="already"):
        store.finish(0, digest_of(b"hello"))
    store.close()
    assert (tmp_path / "x").read_bytes() == b"mine"


def test_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", link)
    store = Store(tmp_path, [entry("x", b"hello"), entry("y", b"there")], overwrite=False)
    put(store, 0, b"hello")
    (tmp_path / "y").write_bytes(b"mine")
    with pytest.raises(LeftOut, match="already"):
        put(store, 1, b"there")
    store.close()
    assert (tmp_path / "x").read_bytes() == b"hello"
    assert (tmp_path / "y").read_bytes() == b"mine"


@needs_handles
def test_two_receivers_never_write_one_partial(tmp_path: Path) -> None:
    content = noise(200_000)
    one = Store(tmp_path, [entry("x", content)], overwrite=False)
    two = Store(tmp_path, [entry("x", content)], overwrite=False)
    one.begin(0, 0)
    one.write(memoryview(content)[:100_000])
    assert survey(two) == [Trouble(0, "another receiver is writing it right now")]
    with pytest.raises(LeftOut, match="another receiver"):
        two.begin(0, 0)
    one.write(memoryview(content)[100_000:])
    one.finish(0, digest_of(content))
    one.close()
    two.close()
    assert contents(tmp_path) == {"x": content}


def test_a_partial_is_told_by_its_checkpoints_and_gone_on_with(tmp_path: Path, handles: bool) -> None:
    content = noise(300_000)
    (tmp_path / partial_name("x")).write_bytes(content[:200_000] + b"torn")
    store = Store(tmp_path, [entry("x", content)], overwrite=False, handles=handles)
    [have] = survey(store)
    assert isinstance(have, Have)
    assert [length for length, _ in have.checkpoints] == [65536, 131072, 196608, 200_004]
    assert have.checkpoints[2][1] == digest_of(content[:196608])
    put(store, 0, content, 196608)
    store.close()
    assert contents(tmp_path) == {"x": content}


def test_a_strange_partial_is_kept_until_the_new_file_is_complete(tmp_path: Path) -> None:
    (tmp_path / partial_name("x")).write_bytes(b"something else")
    store = Store(tmp_path, [entry("x", b"hello")], overwrite=False)
    survey(store)
    store.begin(0, 0)
    assert (tmp_path / aside_name("x", 1)).read_bytes() == b"something else"
    store.write(memoryview(b"hello"))
    store.finish(0, digest_of(b"hello"))
    store.close()
    assert contents(tmp_path) == {"x": b"hello"}


def test_only_three_are_kept_aside(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / partial_name("x")).write_bytes(b"%d" % number)
        os.utime(tmp_path / partial_name("x"), ns=(number + 1, number + 1))
        store = Store(tmp_path, [entry("x", b"hello")], overwrite=False)
        store.begin(0, 0)
        store.close()
        (tmp_path / partial_name("x")).unlink()
    assert sorted(contents(tmp_path).values()) == [b"2", b"3", b"4"]


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 10**6, 2**40])
def test_checkpoints_are_few_and_end_at_the_end(size: int) -> None:
    found = checkpoints(size)
    assert len(found) <= 64
    assert found == sorted(set(found))
    assert found[-1:] == ([size] if size else [])


def test_errors_of_the_system_become_words() -> None:
    assert why(OSError(errno.ENOSPC, "x")) == "the disk is full"
    assert why(OSError(errno.EFBIG, "x")) == "it is too large for this file system"
    assert why(OSError(9999, "Strange Thing")) == "strange thing"


# -- whole transfers -----------------------------------------------------------------


async def test_a_folder_that_is_a_file_here_is_left_out(tmp_path: Path) -> None:
    source = tree(tmp_path / "from" / "s", {"d/x": b"1", "e/y": b"2"})
    target = tree(tmp_path / "to", {"s/d": b"a file"})
    result = await transfer([source], target)
    sent, received = result.outcomes()
    assert sent.left_out == 1
    assert {event.name for event in result.receiver.saw(FileLeftOut)} == {"s/d", "s/d/x"}
    assert (target / "s/e/y").read_bytes() == b"2"
    assert (target / "s/d").read_bytes() == b"a file"
    assert not received.complete


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    return place


@pytest.fixture(autouse=True)
def unmounted(tmp_path: Path) -> object:
    yield None
    if os.path.ismount(tmp_path / "disk"):
        subprocess.run(["umount", tmp_path / "disk"], check=True)


async def test_what_does_not_fit_is_declined_beforehand(tmp_path: Path, tiny_disk: Path) -> None:
    tree(tmp_path, {"big": noise(8_000_000)})
    result = await transfer([tmp_path / "big"], tiny_disk)
    for side in (result.sent, result.received):
        assert isinstance(side, IncompleteTransfer)
        assert "room" in str(side)
    assert result.receiver.offers == []


async def test_a_disk_that_fills_up_meanwhile(tmp_path: Path, tiny_disk: Path) -> None:
    tree(tmp_path, {"small": noise(1000), "big": noise(4_500_000)})
    a, b = MemoryStream.pair()
    user = User()

    async def fill(offer: object) -> object:
        (tiny_disk / "other").write_bytes(bytes(3_000_000))
        return user.decision

    sending = send_over(
        a, [named(str(tmp_path / "small")), named(str(tmp_path / "big"))], user.events.append, executor=Inline()
    )
    receiving = receive_over(b, tiny_disk, fill, lambda event: None, executor=Inline())  # type: ignore[arg-type]
    for side in await asyncio.gather(sending, receiving, return_exceptions=True):
        assert isinstance(side, IncompleteTransfer)
        assert "the disk is full" in str(side)
    assert (tiny_disk / "small").stat().st_size == 1000
    kept = (tiny_disk / partial_name("big")).stat().st_size
    assert kept > 1_000_000
    (tiny_disk / "other").unlink()
    sent, received = (await transfer([tmp_path / "small", tmp_path / "big"], tiny_disk)).outcomes()
    assert sent.complete
    assert (tiny_disk / "big").read_bytes() == noise(4_500_000)
    assert received.moved <= 4_500_000 - kept + 2 * 64 * 1024 + 4_500_000 // 63


async def test_killed_between_the_two_names(tmp_path: Path) -> None:
    source = tree(tmp_path / "from" / "s", {"x": b"hello"})
    target = tree(tmp_path / "to", {"s/x": b"hello"})
    os.link(target / "s/x", target / "s" / partial_name("x"))
    sent, _ = (await transfer([source], target)).outcomes()
    assert sent.complete
    assert contents(target / "s") == {"x": b"hello"}


async def test_a_file_too_large_for_the_file_system_is_left_out(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    source = tree(tmp_path / "from" / "s", {"a": b"1", "big": noise(3_000_000), "z": b"2"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        result = await transfer([source], tmp_path / "to")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    sent, received = result.outcomes()
    assert (sent.files, sent.left_out, received.left_out) == (2, 1, 1)
    for user in (result.sender, result.receiver):
        [event] = user.saw(FileLeftOut)
        assert event == FileLeftOut("s/big", "it is too large for this file system")


KILLED = """
import asyncio, os, sys
from pathlib import Path
from tincan.apps.files import Decision, named, receive_over, send_over
from tincan.link.memory import MemoryStream

class Deadly:
    def __init__(self, stream, left):
        self.stream, self.left = stream, left
        self.write, self.write_eof = stream.write, stream.write_eof

    async def read_into(self, buffer):
        count = await self.stream.read_into(buffer[: self.left])
        self.left -= count
        if not self.left:
            await asyncio.sleep(0.02)
            os.kill(os.getpid(), 9)
        return count

async def yes(offer):
    return Decision(True)

async def main():
    a, b = MemoryStream.pair()
    b = Deadly(b, int(sys.argv[3]))
    await asyncio.gather(
        send_over(a, [named(sys.argv[1])], print), receive_over(b, Path(sys.argv[2]), yes, print)
    )

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [200, 50_000, 101_000, 3_000_000, 9_000_000])
async def test_killed_at_any_moment_it_goes_on(tmp_path: Path, after: int) -> None:
    files = {"a": noise(100_000), "big": noise(9_000_000, 2), "z": noise(10)}
    source = tree(tmp_path / "from" / "s", files)
    target = tmp_path / "to"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED, source, target, str(after)],
        env=os.environ | {"PYTHONPATH": str(Path(tincan.__file__).parents[1])},
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL
    sent, received = (await transfer([source], target)).outcomes()
    assert contents(target / "s") == files
    assert sent.complete
    # At most a step of checkpoints, and what the pipeline held, is sent again.
    assert received.moved <= received.bytes - max(0, after - 2_500_000)


async def test_thousands_of_empty_files(tmp_path: Path) -> None:
    source = tmp_path / "from" / "many"
    for folder in range(100):
        (source / str(folder)).mkdir(parents=True)
        base = os.open(source / str(folder), os.O_RDONLY)
        for number in range(20):
            os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=base))
        os.close(base)
    result = await transfer([source], tmp_path / "to")
    sent, received = result.outcomes()
    assert (sent.files, received.files, received.folders) == (2000, 2000, 101)


def folder(name: str, mode: int) -> tuple[Entry, tuple[str, ...]]:
    return Entry(name, 0, mode, 1_000_000_000, True), tuple(name.split("/"))


def test_a_folder_that_an_earlier_run_made_gets_its_mode_and_loses_its_mark(tmp_path: Path) -> None:
    offer = [folder("d", 0o755), entry("d/x", b"one")]
    killed = Store(tmp_path, offer, overwrite=False)
    assert survey(killed) == []
    killed.close()
    assert (tmp_path / "d" / UNFINISHED).exists()
    store = Store(tmp_path, offer, overwrite=False)
    assert survey(store) == []
    put(store, 1, b"one")
    assert store.settle() == []
    store.close()
    assert os.listdir(tmp_path / "d") == ["x"]
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("before", "offered", "after"), [(0o700, 0o777, 0o700), (0o755, 0o700, 0o700), (0o755, 0o000, 0o700)]
)
def test_a_peer_opens_no_folder_that_was_there_before_and_shuts_none(
    tmp_path: Path, before: int, offered: int, after: int
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh").chmod(before)
    store = Store(tmp_path, [folder(".ssh", offered)], overwrite=True)
    assert survey(store) == []
    assert store.settle() == []
    store.close()
    assert stat.S_IMODE((tmp_path / ".ssh").stat().st_mode) == after
