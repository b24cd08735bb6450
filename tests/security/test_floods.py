"""Floods against a real switchboard from one address, while two cans from another one meet and talk."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ports import free_port
from security.cans import PATIENCE, SOURCE, Can, environment, meet
from security.flooder import FLOODS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2")

MIB = 2**20
TESTS = str(Path(__file__).parents[1])


@contextlib.asynccontextmanager
async def switchboard() -> AsyncIterator[tuple[Can, str]]:
    port = free_port()
    async with Can.started("switchboard", "--listen", f"127.0.0.1:{port}", json=False) as process:
        await process.printed(b"listens at", stream="stderr")
        yield process, f"ws://127.0.0.1:{port}"


class Flood:
    """A running flood, and how much it has done."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.done = 0
        self._process = process
        self._begun = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, kind: str, url: str) -> AsyncIterator[Flood]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "security.flooder",
            kind,
            url,
            stdout=asyncio.subprocess.PIPE,
            env=environment(PYTHONPATH=f"{TESTS}:{SOURCE}"),
        )
        flood = cls(process)
        counting = asyncio.create_task(flood._count())
        try:
            async with asyncio.timeout(PATIENCE):
                await flood._begun.wait()
            yield flood
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.gather(process.wait(), counting)

    async def _count(self) -> None:
        assert self._process.stdout is not None
        async for _ in self._process.stdout:
            self.done += 1
            self._begun.set()


@pytest.mark.parametrize("kind", FLOODS)
async def test_two_cans_meet_during_a_flood(kind: str) -> None:
    async with switchboard() as (process, url):
        before = process.memory()
        async with Flood.running(kind, url) as flood:
            at_start = flood.done
            assert await meet(url) == (0, 0)
            assert flood.done > at_start, "the flood was over before the cans met: nothing was tested"
            assert process.memory() - before < 64 * MIB
        assert process.process.returncode is None
        assert b"Traceback" not in process.stderr
