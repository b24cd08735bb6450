"""What both ends share: a worker thread, patience, reading ahead, and a good end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from tincan.apps.files.events import Progress, Tell
from tincan.apps.files.rate import RateMeter
from tincan.errors import IncompleteTransfer
from tincan.link.interface import Stream

P = ParamSpec("P")
T = TypeVar("T")

BUFFER = 1024 * 1024
"""Bytes that are worked on at a time; two or three such buffers make the pipeline."""

STALL = 60.0
"""Seconds without any progress after which a transfer is given up (it can be gone on with)."""

BUSY = 5.0
"""Seconds of silence after which a side that works on something says so."""

FAREWELL = 5.0
"""Seconds that the last words may take to arrive."""

TOLD = 0.1
"""Seconds between two `Progress` events."""


class Worker:
    """One thread for everything that blocks: disk and hash. Not for two callers at a time."""

    def __init__(self, executor: Executor | None) -> None:
        """``executor``: to be used instead of a thread of its own."""
        self._own = ThreadPoolExecutor(1, "files") if executor is None else None
        self._executor = executor or self._own

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it there. When this is cancelled, the call still runs to its end."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    async def finish(self, close: Callable[[], object]) -> None:
        """Close what the thread works on, after what it does now; and end the thread."""
        await asyncio.shield(self.run(close))
        if self._own is not None:
            self._own.shutdown(wait=False)


class Patience:
    """Gives up when nothing moves for too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._limit: asyncio.Timeout | None = None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Raise `IncompleteTransfer` when `moved` is not called often enough in here."""
        try:
            async with asyncio.timeout(self._seconds) as self._limit:
                yield
        except TimeoutError as exc:
            if self._limit is None or not self._limit.expired():
                raise
            raise IncompleteTransfer(
                f"Nothing moved for {self._seconds:.0f} seconds; run the same commands again to go on from there."
            ) from exc
        finally:
            self._limit = None

    def moved(self) -> None:
        """Something did."""
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._seconds)

    def pause(self) -> None:
        """A person thinks: until `moved`, time does not count."""
        if self._limit is not None:
            self._limit.reschedule(None)


class Meter:
    """Tells of progress, not more often than a screen wants to know."""

    def __init__(self, tell: Tell, total: int | None) -> None:
        self._tell = tell
        self._total = total
        self._clock = asyncio.get_running_loop().time
        self._next = self._clock()
        self._rate: RateMeter | None = None

    def show(self, done: int, name: str, *, now: bool = False) -> None:
        """So much is done."""
        time = self._clock()
        if self._rate is None:
            self._rate = RateMeter(time, done)
        self._rate.add(time, done)
        if now or time >= self._next:
            self._next = time + TOLD
            left = self._rate.seconds_left(time, self._total)
            self._tell(Progress(done, self._total, self._rate.rate(time), left, name))


class Intake:
    """Reads ahead: fills one buffer while the other one is worked on."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._filling = memoryview(bytearray(BUFFER))
        self._spare = memoryview(bytearray(BUFFER))
        self._filled = 0
        self._ended: Exception | None = None
        self._over = False
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Read until the end. What went wrong is raised by `next`, after what came before it."""
        try:
            while True:
                while self._filled == BUFFER:
                    await self._wait()
                data = await self._stream.read(BUFFER - self._filled)
                if not data:
                    break
                self._filling[self._filled : self._filled + len(data)] = data
                self._filled += len(data)
                self._changed.set()
        except Exception as exc:
            self._ended = exc
        self._over = True
        self._changed.set()

    async def next(self) -> memoryview:
        """Return what has come, valid until the next call; nothing at the end."""
        while not self._filled and not self._over:
            await self._wait()
        if not self._filled:
            if self._ended is not None:
                raise self._ended
            return memoryview(b"")
        came = self._filling[: self._filled]
        self._filling, self._spare, self._filled = self._spare, self._filling, 0
        self._changed.set()
        return came

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


async def while_busy(work: Awaitable[T], say: Callable[[], Awaitable[None]]) -> T:
    """Wait for work that may take long, and say now and then that this side is alive."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait([task], timeout=BUSY)
            if done:
                return task.result()
            await say()
    finally:
        if not task.done():
            task.cancel()


async def part(stream: Stream) -> None:
    """End a stream so that the last words arrive: say the end, and wait a little for the peer's."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(FAREWELL):
            await stream.write_eof()
            while await stream.read(BUFFER):
                pass
