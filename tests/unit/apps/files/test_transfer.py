"""Whole transfers between two ends in one process, as both users see them."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from tincan.apps.files import (
    Decision,
    FileDone,
    FileLeftOut,
    Interrupted,
    NotSent,
    OfferAccepted,
    Offered,
    Outcome,
    Progress,
    Source,
    look,
    named,
    receive_files,
    receive_over,
    send_files,
    send_over,
)
from tincan.apps.files.scan import scan
from tincan.apps.strings import TiedString
from tincan.errors import IncompleteTransfer, PeerRefused, ProtocolError, UsageError
from tincan.link.memory import MemoryStream
from tincan.tasks import settle
from unit.apps.files.helpers import Cord, Inline, Result, User, contents, noise, not_as_root, through, transfer, tree
from virtualtime import in_virtual_time

SOME = {"a.txt": b"hello", "deep/er/b.bin": noise(300_000), "deep/empty": b"", "big": noise(2_500_000, 2)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tree(tmp_path / "from" / "things", SOME, ["hollow/inside"])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "to"


async def test_a_folder_arrives_as_it_was(source: Path, target: Path) -> None:
    os.chmod(source / "a.txt", 0o4751)
    os.utime(source / "a.txt", ns=(10**18 + 7, 10**18 + 7))
    os.chmod(source / "hollow", 0o555)
    os.utime(source / "deep", ns=(5 * 10**17, 5 * 10**17))
    result = await transfer([source], target)
    sent, received = result.outcomes()
    assert contents(target / "things") == contents(source)
    assert (sent.files, received.files) == (4, 4)
    assert received.bytes == sent.bytes == sum(map(len, SOME.values()))
    assert sent.complete
    assert received.complete
    there = (target / "things/a.txt").stat()
    assert stat.S_IMODE(there.st_mode) == 0o751
    assert there.st_mtime_ns == 10**18 + 7
    assert stat.S_IMODE((target / "things/hollow").stat().st_mode) == 0o555
    assert (target / "things/deep").stat().st_mtime_ns == 5 * 10**17


async def test_users_are_told(source: Path, target: Path) -> None:
    result = await transfer([source], target)
    for user in (result.sender, result.receiver):
        assert {event.name for event in user.saw(FileDone)} == {f"things/{name}" for name in SOME}
        assert len(user.saw(OfferAccepted)) == 1
        assert user.saw(Progress)[-1].done == user.saw(Progress)[-1].total == sum(map(len, SOME.values()))
        assert [event.files for event in user.saw(Offered)] == [4]
    [offer] = result.receiver.offers
    assert (offer.folders, offer.total, offer.more) == (5, sum(map(len, SOME.values())), 0)
    assert [(top.name, top.folder) for top in offer.top] == [("things", True)]


async def test_single_files_and_a_symlink_that_is_named(tmp_path: Path, target: Path) -> None:
    tree(tmp_path, {"one": b"1", "two": b"2"})
    (tmp_path / "alias").symlink_to("two")
    await transfer([tmp_path / "one", tmp_path / "alias"], target)
    assert contents(target) == {"one": b"1", "alias": b"2"}
    assert not (target / "alias").is_symlink()


async def test_symlinks_and_special_files_in_folders_stay_here(source: Path, target: Path) -> None:
    (source / "link").symlink_to("/etc/passwd")
    (source / "round").symlink_to(".")
    os.mkfifo(source / "pipe")
    result = await transfer([source], target)
    sent, _ = result.outcomes()
    assert sent.complete
    assert {(event.count, event.what) for event in result.sender.saw(NotSent)} == {
        (2, "symlinks"),
        (1, "special files"),
    }
    os.unlink(source / "pipe")
    assert set(contents(target / "things")) == set(contents(source)) - {"link", "round/"}


async def test_a_second_time_nothing_travels(source: Path, target: Path) -> None:
    await transfer([source], target)
    sent, received = (await transfer([source], target)).outcomes()
    assert (sent.files, sent.moved, received.moved, sent.complete) == (4, 0, 0, True)


async def test_an_existing_file_with_another_content_is_kept(source: Path, target: Path) -> None:
    tree(target, {"things/a.txt": b"mine!", "things/deep/er/b.bin": b"short"})
    result = await transfer([source], target)
    sent, received = result.outcomes()
    assert (sent.left_out, received.left_out, sent.files) == (2, 2, 2)
    assert (target / "things/a.txt").read_bytes() == b"mine!"
    assert (target / "things/big").read_bytes() == SOME["big"]
    for user in (result.sender, result.receiver):
        assert {event.name for event in user.saw(FileLeftOut)} == {"things/a.txt", "things/deep/er/b.bin"}
        assert all("already" in event.reason for event in user.saw(FileLeftOut))


async def test_overwrite_replaces_it(source: Path, target: Path) -> None:
    tree(target, {"things/a.txt": b"mine!", "things/deep/er/b.bin": b"short", "things/big": SOME["big"]})
    sent, _ = (await transfer([source], target, overwrite=True)).outcomes()
    assert contents(target / "things") == contents(source)
    assert sent.complete
    assert sent.moved == len(SOME["a.txt"]) + len(SOME["deep/er/b.bin"])


async def test_declined(source: Path, target: Path) -> None:
    result = await transfer([source], target, decision=Decision(False, "Not \x1b[31mtoday."))
    assert isinstance(result.sent, PeerRefused)
    assert str(result.sent) == "Not \\x1b[31mtoday."
    assert isinstance(result.received, PeerRefused)
    assert str(result.received) == "Declined; nothing was received."
    assert not target.exists()


@pytest.mark.parametrize("moved", ["deleted", "longer", "shorter", "a symlink"])
async def test_a_file_that_changes_is_left_out_and_the_others_go(source: Path, target: Path, moved: str) -> None:
    def change(_: object) -> None:
        if moved in {"deleted", "a symlink"}:
            (source / "big").unlink(missing_ok=True)
            if moved == "a symlink":
                (source / "big").symlink_to(__file__)
        else:
            os.truncate(source / "big", 3_000_000 if moved == "longer" else 1000)

    a, b = MemoryStream.pair()
    user = User()

    async def decide(offer: Offered) -> Decision:
        change(offer)
        return Decision(True)

    user.decide = decide  # type: ignore[method-assign]
    sent, received = await asyncio.gather(
        send_over(a, [named(str(source))], user.events.append), receive_over(b, target, decide, user.events.append)
    )
    assert (sent.files, sent.left_out, received.files, received.left_out) == (3, 1, 3, 1)
    assert not (target / "things/big").exists()
    assert (target / "things/deep/er/b.bin").read_bytes() == SOME["deep/er/b.bin"]


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="only Linux has files without a size")
async def test_a_file_that_tells_no_size_is_not_sent_as_an_empty_one(target: Path) -> None:
    result = await transfer(["/proc/version"], target)
    sent, received = result.outcomes()
    assert (sent.files, sent.left_out, received.left_out) == (0, 1, 1)
    assert [event.reason for event in result.receiver.saw(FileLeftOut)] == ["it holds more than its size says"]
    assert contents(target) == {}


async def test_names_that_cannot_be_sent_are_told(source: Path, target: Path) -> None:
    (source / "back\\slash").write_bytes(b"x")
    (source / ".x.tin-can-partial").write_bytes(b"x")
    with open(os.fsencode(source) + b"/\xff\xfe", "wb"):
        pass
    result = await transfer([source], target)
    sent, received = result.outcomes()
    assert (sent.left_out, sent.files, received.left_out) == (3, 4, 0)


def test_what_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        named(str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="--as"):
        named("/")
    with pytest.raises(UsageError, match="neither"):
        named(os.devnull)


def test_what_may_not_be_read_is_told_before_anybody_is_met() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        secret = Path(folder, "secret")
        secret.write_bytes(b"x")
        secret.chmod(0)
        with not_as_root(), pytest.raises(UsageError, match="secret cannot be sent: permission denied"):
            named(str(secret))


def test_looking_ends_when_it_is_enough(source: Path) -> None:
    """A person who interrupts, or an offer that is too large already, waits for no more of the disk."""
    enough = threading.Event()
    assert len(scan([named(str(source))], enough).entries) == 9
    enough.set()
    assert [entry.name for entry in scan([named(str(source))], enough).entries] == ["things"]


async def test_two_of_one_name_are_refused(source: Path, tmp_path: Path) -> None:
    a, _ = MemoryStream.pair()
    with pytest.raises(UsageError, match="Two of these"):
        await send_over(a, [named(str(source)), Source(tmp_path, "things")], lambda event: None)


async def test_standard_input(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe" * 100)
    os.close(writing)
    before = os.dup(0)
    os.dup2(reading, 0)
    try:
        sent, received = (await transfer(["-"], target)).outcomes()
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reading)
    assert (target / "stdin").read_bytes() == b"from a pipe" * 100
    assert sent.complete
    assert sent.bytes == received.bytes == 1100


@in_virtual_time
async def test_a_silent_receiver_is_given_up() -> None:
    a, _b = MemoryStream.pair(capacity=10)
    began = asyncio.get_running_loop().time()
    with pytest.raises(IncompleteTransfer, match="60 seconds"):
        await send_over(a, [named(__file__)], lambda event: None, executor=Inline())
    assert 60 <= asyncio.get_running_loop().time() - began < 70


def test_a_silent_sender_is_given_up(tmp_path: Path) -> None:
    @in_virtual_time
    async def silence() -> None:
        _a, b = MemoryStream.pair()
        with pytest.raises(IncompleteTransfer, match="60 seconds"):
            await receive_over(b, tmp_path, User().decide, lambda event: None, executor=Inline())

    silence()


def test_somebody_may_think_for_an_hour(source: Path, target: Path) -> None:
    @in_virtual_time
    async def thinking() -> None:
        async def decide(offer: Offered) -> Decision:
            await asyncio.sleep(3600)
            return Decision(True)

        a, b = MemoryStream.pair()
        sent, received = await asyncio.gather(
            send_over(a, [named(str(source))], lambda event: None, executor=Inline()),
            receive_over(b, target, decide, lambda event: None, executor=Inline()),
        )
        assert sent.complete
        assert received.complete
        assert received.seconds < 60

    thinking()


# -- broken streams ----------------------------------------------------------------


def everything_there(result: Result, source: Path, target: Path) -> None:
    sent, received = result.outcomes()
    assert contents(target / "things") == contents(source)
    assert sent.complete
    assert received.complete
    assert len(result.receiver.offers) == 1
    for user in (result.sender, result.receiver):
        names = [event.name for event in user.saw(FileDone)]
        assert len(names) == len(set(names))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return tree(tmp_path / "from" / "things", {"a": noise(100), "b/c": noise(150_000), "d": b""})


@pytest.mark.parametrize("side", [0, 1])
async def test_broken_anywhere_it_goes_on(small: Path, tmp_path: Path, side: int) -> None:
    # Every byte of the small frames of both sides, then in steps through the content.
    lengths = [*range(1, 420, 7), *range(420, 151_000, 9_973)] if side == 0 else range(1, 60)
    for length in lengths:
        target = tmp_path / f"to{length}"
        broken = [(None, None), (None, None)]
        broken[0] = (length, None) if side == 0 else (None, length)
        result = await through(Cord(lambda opened, b=broken: b[min(opened, 1)]), [small], target)  # type: ignore[misc]
        everything_there(result, small, target)


async def test_many_breaks_in_a_row(source: Path, target: Path) -> None:
    result = await through(Cord(lambda opened: (200_000, None)), [source], target)
    everything_there(result, source, target)
    _, received = result.outcomes()
    assert len(result.sender.saw(Interrupted)) > 5
    # What a break costs is what was in flight, and less than a step of checkpoints.
    assert received.moved < received.bytes + 64 * 1024 * len(result.sender.saw(Interrupted)) + 1


async def test_a_string_that_never_moves_anything_is_given_up(source: Path, target: Path) -> None:
    result = await through(Cord(lambda opened: (50, None)), [source], target)
    assert isinstance(result.sent, IncompleteTransfer)
    assert "again" in str(result.sent)


async def test_a_string_that_cannot_be_mended(source: Path, target: Path) -> None:
    result = await through(Cord(lambda opened: (500_000, None), mends=0), [source], target)
    for side in (result.sent, result.received):
        assert isinstance(side, IncompleteTransfer)
        assert "go on from there" in str(side)
    again = await through(Cord(lambda opened: (None, None)), [source], target)
    _, received = again.outcomes()
    assert contents(target / "things") == contents(source)
    assert received.moved < received.bytes


class Watched(Cord):
    """A string that a test can break at any moment."""

    def __init__(self) -> None:
        super().__init__(lambda opened: (None, None))
        self.streams: list[MemoryStream] = []

    async def open(self) -> MemoryStream:
        self.streams.append(await super().open())
        return self.streams[-1]


class Thinker(User):
    """Somebody who says yes only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer, self.asked_no_more = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def decide(self, offer: Offered) -> Decision:
        self.asked.set()
        try:
            await self.may_answer.wait()
        finally:
            self.asked_no_more.set()
        return await super().decide(offer)


async def asked_about(
    a: TiedString, b: TiedString, source: Path, target: Path, user: Thinker
) -> tuple[asyncio.Task[Outcome], asyncio.Task[Outcome]]:
    """Begin to send and to receive, and wait until the receiver's user is being asked."""
    sending = asyncio.create_task(send_files(a, look([named(str(source))]), lambda event: None))
    receiving = asyncio.create_task(receive_files(b, target, user.decide, user.events.append))
    await user.asked.wait()
    return sending, receiving


async def test_a_question_is_taken_back_when_the_sender_leaves(source: Path, target: Path) -> None:
    cord, user = Watched(), Thinker()
    a, b = cord.ends()
    async with asyncio.timeout(20):
        sending, receiving = await asked_about(a, b, source, target, user)
        cord.leave()
        await settle(sending)
        with pytest.raises(IncompleteTransfer, match="taken back"):
            await receiving
    assert user.asked_no_more.is_set()
    assert not user.saw(OfferAccepted)
    assert not target.exists()


async def test_a_question_stands_while_the_string_is_mended(source: Path, target: Path) -> None:
    cord, user = Watched(), Thinker()
    a, b = cord.ends()
    async with asyncio.timeout(20):
        sending, receiving = await asked_about(a, b, source, target, user)
        await cord.streams[0].close()
        while len(cord.streams) < 2:
            await asyncio.sleep(0)
        user.may_answer.set()
        assert (await sending).complete
        assert (await receiving).complete
    assert len(user.offers) == 1
    assert len(user.saw(Offered)) == 1
    assert contents(target / "things") == contents(source)


async def test_who_says_no_does_not_wait_for_the_string_to_be_mended(source: Path, target: Path) -> None:
    cord, user = Watched(), Thinker()
    user.decision = Decision(False)
    a, b = cord.ends()
    mending = asyncio.Event()

    async def for_ever() -> None:
        mending.set()
        await asyncio.Event().wait()

    b.mend = for_ever  # type: ignore[method-assign]
    async with asyncio.timeout(20):
        sending, receiving = await asked_about(a, b, source, target, user)
        await cord.streams[0].close()
        await mending.wait()
        user.may_answer.set()
        with pytest.raises(PeerRefused, match="Declined"):
            await receiving
        await settle(sending)


async def test_another_offer_over_a_mended_string_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    """What the user agreed to was the first one."""
    cord, user = Watched(), User()
    a, b = cord.ends()
    other = tree(tmp_path / "other", {"evil": b"x"})
    async with asyncio.timeout(20):
        receiving = asyncio.create_task(receive_files(b, target, user.decide, user.events.append))
        first = asyncio.create_task(send_over(await a.open_stream(), [named(str(source))], lambda event: None))
        while not user.saw(OfferAccepted):
            await asyncio.sleep(0)
        await settle(first)
        await cord.streams[0].close()
        with pytest.raises(IncompleteTransfer, match="something else"):
            await send_over(await a.open_stream(), [named(str(other))], lambda event: None)
        with pytest.raises(ProtocolError, match="something else"):
            await receiving
    assert "other/evil" not in contents(target)
