"""Floods against a real switchboard from one address, while two cans from another one meet and talk."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from security.cans import SOURCE, Can, environment, meet
from security.flooder import FLOODS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2")

USUAL = 6.0
"""Seconds for two cans to meet, talk and leave; about one on an idle machine."""

MIB = 2**20
TESTS = str(Path(__file__).parents[1])


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


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
            async with asyncio.timeout(15):
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
            at_start, started = flood.done, time.monotonic()
            assert await meet(url) == (0, 0)
            seconds = time.monotonic() - started
            assert flood.done > at_start, "the flood was over before the cans met: nothing was tested"
            print(f"{kind}: {seconds:.2f} s, {flood.done - at_start} things done meanwhile")
            assert seconds < USUAL
            assert process.memory() - before < 64 * MIB
        assert process.process.returncode is None
        assert b"Traceback" not in process.stderr
