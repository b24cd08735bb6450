"""A receiver that lies about what it has, or falls silent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from security.transfers import (
    data,
    evil_receiver,
    raw,
)
from tincan.apps.files.frames import (
    HEADER,
    MAX_ENTRIES,
    MAX_PARTIALS,
    Control,
    Decline,
    Done,
    End,
    Failed,
    Have,
    Ready,
    Sent,
    Start,
    Verified,
)
from tincan.apps.files.hashing import digest_of
from tincan.errors import ProtocolError
from unit.apps.files.helpers import noise, transfer, tree

MB = 2**20


# -- receivers ----------------------------------------------------------------------


def have(index: int, *lengths: int, complete: bool = False, content: bytes = b"") -> Have:
    return Have(index, complete, True, [(n, digest_of(content[:n] if content else b"?")) for n in lengths])


SIZE = 200_000
EARLY: dict[str, list[Control | bytes]] = {
    "not offered": [have(2, 5)],
    "far beyond the list": [have(MAX_ENTRIES - 1, 5)],
    "a folder": [have(0, 0)],
    "more than there is": [have(1, SIZE + 1)],
    "complete, but not in size": [have(1, SIZE - 1, complete=True)],
    "not growing": [have(1, 5, 5)],
    "shrinking": [have(1, 6, 5)],
    "65 of them": [have(1, *range(1, 66))],
    "none": [raw(5, [1, False, True, []])],
    "negative": [raw(5, [1, False, True, [[-1, bytes(32)]]])],
    "twice": [have(1, 5), have(1, 6)],
    "after it is ready": [Ready(), have(1, 5)],
    "ready twice": [Ready(), Ready()],
    "accepted twice": [raw(3, [])],
    "declined after all": [Decline("no", True)],
    "in place, but not sent": [Ready(), Verified([1])],
    "in place, but not offered": [Verified([2])],
    "in place twice": [Verified([1, 1])],
    "left out, but not offered": [Failed(7, "no")],
    "left out, but in place": [Verified([1]), Failed(1, "no")],
    "done before its time": [Ready(), Done(1, 0)],
    "a sender's word": [Sent()],
    "content": [data(b"x")],
    "a huge frame": [HEADER.pack(2**32 - 1, 5)],
    "nonsense": [b"GET / HTTP/1.1\r\n\r\n"],
}


@pytest.mark.parametrize("frames", EARLY.values(), ids=EARLY.keys())
async def test_a_receiver_that_lies_is_refused(tmp_path: Path, frames: list[Control | bytes]) -> None:
    source = tree(tmp_path / "s", {"x": noise(SIZE)})
    async with evil_receiver(source) as (mallory, victim):
        await mallory.accept()
        await mallory.say(*frames)
        assert isinstance(await victim.complains(), ProtocolError)


async def test_done_that_counts_wrong_is_refused(tmp_path: Path) -> None:
    source = tree(tmp_path / "s", {"x": b"hi"})
    async with evil_receiver(source) as (mallory, victim):
        await mallory.accept()
        await mallory.say(Ready())
        await mallory.hear(Sent)
        await mallory.say(Verified([1]), Done(2, 0))
        assert isinstance(await victim.complains(), ProtocolError)


async def test_checkpoints_that_do_not_match_cost_only_time(tmp_path: Path) -> None:
    real = noise(SIZE)
    source = tree(tmp_path / "s", {"x": real})
    lengths = range(1000, SIZE, SIZE // 63)
    for claim, place in [
        (have(1, *lengths), 0),
        (Have(1, False, True, [(5000, digest_of(real[:5000])), (9000, bytes(32))]), 5000),
        (Have(1, True, True, [(SIZE, bytes(32))]), 0),
    ]:
        async with evil_receiver(source) as (mallory, victim):
            await mallory.accept()
            await mallory.say(claim, Ready())
            assert await mallory.hear(Start) == Start(1, place)
            assert (await mallory.hear(End)).digest == digest_of(real)
            await mallory.hear(Sent)
            await mallory.say(Verified([1]), Done(1, 0))
            assert (await victim.outcome()).complete


async def test_checkpoints_without_number_do_not_fill_the_senders_memory(tmp_path: Path) -> None:
    source = tree(tmp_path / "s", {f"{number:04}": bytes(100) for number in range(MAX_PARTIALS + 1)})
    async with evil_receiver(source) as (mallory, victim):
        await mallory.accept()
        await mallory.say(*(have(index + 1, *range(1, 65)) for index in range(MAX_PARTIALS + 1)))
        assert isinstance(await victim.complains(), ProtocolError)


@pytest.mark.parametrize("reads", [False, True])
async def test_a_receiver_that_falls_silent_is_given_up(tmp_path: Path, reads: bool) -> None:
    source = tree(tmp_path / "s", {"x": noise(2 * MB)})
    async with evil_receiver(source, stall=3) as (mallory, victim):
        await mallory.accept()
        await mallory.say(Ready())
        if reads:
            await mallory.hear(Sent)
        await asyncio.wait([victim.task])
        assert "Nothing moved for" in str(await victim.complains())
    assert (await transfer([source], tmp_path / "to")).outcomes()[0].complete
