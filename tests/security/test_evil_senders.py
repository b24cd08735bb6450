"""A sender that lies about its list of files, or about their contents, and one that falls silent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from security.transfers import (
    Mallory,
    against,
    data,
    evil_sender,
    file,
    folder,
    offer,
    raw,
    whole,
)
from tincan.apps.files import FileLeftOut
from tincan.apps.files.frames import (
    HEADER,
    LIMITS,
    MAX_ENTRIES,
    Control,
    Decline,
    Different,
    End,
    Error,
    Offer,
    Ready,
    Same,
    Sent,
    Start,
    Verified,
    Whole,
    encode,
)
from tincan.apps.files.hashing import digest_of
from tincan.errors import ProtocolError
from unit.apps.files.helpers import contents, noise, transfer, tree

MB = 2**20


# -- lists --------------------------------------------------------------------------


async def test_a_hundred_thousand_entries_cost_little(tmp_path: Path) -> None:
    names = [f"{number % 300:03}/a name of the usual length {number}" for number in range(100_000)]
    async with against("receive", "--to", str(tmp_path / "to"), "--yes") as (mallory, victim):
        wire = offer(*(file(name, 1) for name in names))
        await mallory.say(wire)
        await mallory.hear(Ready)
        peak = int(Path(f"/proc/{victim.process.pid}/status").read_text().split("VmHWM:")[1].split()[0])
        assert peak < 300_000, f"{peak} kB"
        await mallory.say(Error("That was all."))
        await mallory.goodbye()
        await victim.fails(8)


@pytest.mark.parametrize(
    "wire",
    [
        encode(Offer(1, bytes(32), MAX_ENTRIES + 1, 0)),
        offer(*(file(f"{number:04}" + "x/" * 120 + "y" * 250) for number in range(140_000))),
        HEADER.pack(2**32 - 1, 1),
        HEADER.pack(2**32 - 1, 2),
        HEADER.pack(2**32 - 1, 8),
    ],
    ids=["too many", "too long", "a huge offer", "a huge list", "huge data"],
)
async def test_what_is_too_much_is_refused_at_once(tmp_path: Path, wire: bytes) -> None:
    async with against("receive", "--to", str(tmp_path / "to"), "--yes") as (mallory, victim):
        before = victim.memory()
        saying = asyncio.create_task(mallory.say(wire))
        await mallory.goodbye()
        await victim.fails(8)
        assert victim.peak < before + 250 * MB
        saying.cancel()
        await asyncio.wait([saying])
    assert not (tmp_path / "to").exists()


LYING = {
    "total too small": offer(file("a", 5), total=4),
    "total too large": offer(file("a", 5), total=6),
    "negative size": raw(1, [1, bytes(32), 1, 0]) + raw(2, [[["a", -2, 0, 0, False]]]),
    "negative total": raw(1, [1, bytes(32), 1, -1]),
    "a total of 2^62": raw(1, [1, bytes(32), 1, 2**62]),
    "sizes that overflow": offer(file("a", 2**62 - 1), file("b", 2**62 - 1), total=2**62 - 2),
    "fewer entries than said": offer(file("a"), count=2) + encode(Sent()),
    "more entries than said": offer(file("a"), file("b"), count=1),
    "no entries": encode(Offer(1, bytes(32), 0, 0)),
    "another list": encode(Offer(1, bytes(32), 1, 0)) + offer(file("a"))[len(encode(Offer(1, bytes(32), 1, 0))) :],
    "one name twice": offer(file("a"), file("a")),
    "a file that is a folder": offer(file("a"), file("a/b")),
    "a folder with bytes": raw(1, [1, bytes(32), 1, 5]) + raw(2, [[["a", 5, 0, 0, True]]]),
    "two names made the same": offer(file("a\x01"), file("a\x02")),
    "two offers": offer(file("a"), count=2) * 2,
    "a time out of range": raw(1, [1, bytes(32), 1, 0]) + raw(2, [[["a", 0, 0, 2**63, False]]]),
    "nested": raw(1, [1, bytes(32), 1, 0]) + HEADER.pack(MB, 2) + b"\x91" * MB,
    "no list at all": raw(1, [1, bytes(32), 1, 0]) + HEADER.pack(MB, 2) + bytes(MB),
    "a list that claims to be long": raw(1, [1, bytes(32), 1, 0]) + HEADER.pack(6, 2) + b"\x91\xdd\xff\xff\xff\xff",
    "not UTF-8": raw(1, [1, bytes(32), 1, 0]) + HEADER.pack(9, 2) + b"\x91\x91\x95\xa1\xff\x00\x00\x00\xc2",
    "an unknown frame": HEADER.pack(1, 99) + b"x",
    "an empty frame": HEADER.pack(0, 1),
}


@pytest.mark.parametrize("wire", LYING.values(), ids=LYING.keys())
async def test_a_list_that_lies_is_refused_before_anything_is_made(tmp_path: Path, wire: bytes) -> None:
    async with evil_sender(tmp_path / "to") as (mallory, victim):
        await mallory.say(wire)
        assert isinstance(await victim.complains(), ProtocolError)
    assert victim.user.offers == []
    assert not (tmp_path / "to").exists()


async def test_more_than_the_disk_holds_is_declined(tmp_path: Path) -> None:
    async with evil_sender(tmp_path / "to") as (mallory, victim):
        await mallory.say(offer(file("a", 2**61)))
        assert not (await mallory.hear(Decline)).refused
        assert "no room" in str(await victim.complains())


# -- contents -----------------------------------------------------------------------

X = b"12345678"
HASH = digest_of(X)
LYING_CONTENT: dict[str, list[Control | bytes]] = {
    "longer": [Start(0, 0), data(X + b"9")],
    "shorter": [Start(0, 0), data(X[:-1]), End(0, 8, HASH)],
    "shorter, and says so": [Start(0, 0), data(X[:-1]), End(0, 7, digest_of(X[:-1]))],
    "no hash": [Start(0, 0), data(X), End(0, 8, b"")],
    "longer in one piece": [Whole(0, memoryview(X + b"9"), digest_of(X + b"9"))],
    "shorter in one piece": [Whole(0, memoryview(X[:-1]), digest_of(X[:-1]))],
    "a folder in one piece": [Whole(2, memoryview(b""), digest_of(b""))],
    "in one piece within a file": [Start(0, 0), data(X[:4]), Whole(1, memoryview(X), HASH)],
    "in one piece twice": [Whole(0, memoryview(X), HASH)] * 2,
    "content after the end": [whole(0, X), data(X)],
    "content of nothing": [data(X)],
    "a file that is no file": [Start(2, 0)],
    "beyond the list": [Start(3, 0)],
    "far beyond the list": [Start(MAX_ENTRIES - 1, 0)],
    "the same file twice": [whole(0, X), Start(0, 0)],
    "two files at once": [Start(0, 0), data(X[:4]), Start(1, 0)],
    "the end of another file": [Start(0, 0), data(X), End(1, 8, HASH)],
    "from the middle": [Start(0, 4), data(X[4:]), End(0, 8, HASH)],
    "from beyond the end": [Start(0, 9)],
    "nothing is there to be the same": [Same(0)],
    "nothing is there to differ": [Different(0)],
    "all sent, but nothing was": [Sent()],
    "all sent within a file": [Start(0, 0), data(X[:4]), Sent()],
    "a list once more": [offer(file("y"))],
    "a receiver's word": [Verified([0])],
    "a huge control frame": [HEADER.pack(LIMITS[9] + 1, 9)],
    "the stream ends": [Start(0, 0), data(X[:4])],
}


@pytest.mark.parametrize("frames", LYING_CONTENT.values(), ids=LYING_CONTENT.keys())
async def test_content_that_lies_never_gets_a_name(tmp_path: Path, frames: list[Control | bytes]) -> None:
    target = tmp_path / "to"
    async with evil_sender(target) as (mallory, victim):
        await mallory.agree(file("x", 8), file("y", 8), folder("z"))
        await mallory.say(*frames)
        await mallory.stream.write_eof()
        await victim.complains()
    there = {name: content for name, content in contents(target).items() if not name.startswith(".")}
    assert set(there) <= {"x", "z/"}
    assert there.get("x", X) == X
    honest = tree(tmp_path / "honest", {"x": X, "y": X})  # and whatever was left is no hindrance
    sent, _ = (await transfer([honest / "x", honest / "y"], target)).outcomes()
    assert sent.complete
    assert {"x": X, "y": X}.items() <= contents(target).items()


async def test_a_wrong_hash_of_a_small_file_leaves_it_out_and_nothing_behind(tmp_path: Path) -> None:
    async with evil_sender(tmp_path / "to") as (mallory, victim):
        await mallory.agree(file("x", 8), file("y", 8))
        await mallory.say(Whole(0, memoryview(X), bytes(32)), Whole(1, memoryview(X), HASH), Sent())
        outcome = await victim.outcome()
    assert (outcome.files, outcome.left_out) == (1, 1)
    assert "damaged" in victim.user.saw(FileLeftOut)[0].reason
    assert contents(tmp_path / "to") == {"y": X}


async def test_a_wrong_hash_leaves_the_file_out_and_the_next_try_mends_it(tmp_path: Path) -> None:
    real = noise(300_000)
    async with evil_sender(tmp_path / "to") as (mallory, victim):
        await mallory.agree(file("x", len(real)), file("y", 2))
        await mallory.say(whole(0, real[:-1] + b"?", digest_of(real)), whole(1, b"hi"), Sent())
        outcome = await victim.outcome()
    assert (outcome.files, outcome.left_out) == (1, 1)
    assert "damaged" in victim.user.saw(FileLeftOut)[0].reason
    assert not (tmp_path / "to/x").exists()
    honest = tree(tmp_path / "honest", {"x": real})
    assert (await transfer([honest / "x"], tmp_path / "to")).outcomes()[0].complete
    assert contents(tmp_path / "to") == {"x": real, "y": b"hi"}


# -- silence ------------------------------------------------------------------------


async def silent_after(mallory: Mallory, words: int) -> None:
    if words > 0:
        await mallory.say(offer(file("x", 8)))
    if words > 1:
        await mallory.hear(Ready)
        await mallory.say(Start(0, 0), data(X[:4]))


@pytest.mark.parametrize("words", [0, 1, 2])
async def test_a_sender_that_falls_silent_is_given_up_and_can_be_gone_on_with(tmp_path: Path, words: int) -> None:
    async with evil_sender(tmp_path / "to", stall=3 if words > 1 else 0.3) as (mallory, victim):
        await silent_after(mallory, words)
        assert "Nothing moved for" in str(await victim.complains())
    honest = tree(tmp_path / "honest", {"x": X})
    assert (await transfer([honest / "x"], tmp_path / "to")).outcomes()[0].complete
    assert contents(tmp_path / "to") == {"x": X}
