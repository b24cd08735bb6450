"""What reads ahead of the worker: every byte once, in order, and none changed while somebody works on it."""

from __future__ import annotations

import asyncio
import random

import pytest

from tincan.apps.files.pump import BUFFER, ROOM, Intake
from tincan.link.interface import StreamBroken
from tincan.link.memory import MemoryStream

WITHIN = 120.0


@pytest.mark.parametrize("quick", ["worker", "stream", "neither"])
async def test_what_is_worked_on_stays_as_it_is(quick: str) -> None:
    near, far = MemoryStream.pair(capacity=ROOM + 100_000)
    data = random.Random(1).randbytes(6 * BUFFER)
    rng = random.Random(2)
    found = bytearray()

    async def write() -> None:
        at = 0
        while at < len(data):
            size = rng.randrange(1, 500_000)
            await near.write(data[at : at + size])
            at += size
            if quick == "worker":
                await asyncio.sleep(0.001)
        await near.write_eof()

    async with asyncio.timeout(WITHIN):
        intake = Intake(far)
        tasks = [asyncio.create_task(write()), asyncio.create_task(intake.run())]
        while came := await intake.next():
            before = bytes(came)
            for _ in range(rng.randrange(20)):
                await asyncio.sleep(0 if quick == "worker" else 0.001)
            assert bytes(came) == before  # though reading went on
            found += before
        await asyncio.gather(*tasks)
    assert found == data


async def test_it_reads_no_further_than_two_buffers_ahead() -> None:
    near, far = MemoryStream.pair()
    written = 0

    async def flood() -> None:
        nonlocal written
        while True:
            await near.write(bytes(100_000))
            written += 100_000

    async with asyncio.timeout(WITHIN):
        intake = Intake(far)
        tasks = [asyncio.create_task(flood()), asyncio.create_task(intake.run())]
        assert await intake.next()
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.1)
        assert written <= 2 * (BUFFER + ROOM) + 500_000
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_what_came_before_the_break_comes_first() -> None:
    near, far = MemoryStream.pair()
    async with asyncio.timeout(WITHIN):
        intake = Intake(far)
        reading = asyncio.create_task(intake.run())
        await near.write(b"before")
        near.vanish()
        await reading
        assert bytes(await intake.next()) == b"before"
        with pytest.raises(StreamBroken):
            await intake.next()
