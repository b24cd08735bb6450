"""Send files: the shell around `SenderCore`.

Three things go on at a time: a thread reads and hashes the next MiB
(`Feeder`), the loop writes the one before, and a task takes what the receiver
says. `send_over` does one transfer over one stream; `send_files` goes on over
a new one when the string is mended.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Sequence
from concurrent.futures import Executor

import msgspec

from tincan.apps.files.events import (
    MAX_TOLD,
    FileDone,
    FileLeftOut,
    FilesEvent,
    Interrupted,
    OfferAccepted,
    Offered,
    Outcome,
    Tell,
)
from tincan.apps.files.feeder import Feeder
from tincan.apps.files.frames import Busy, cut, encode
from tincan.apps.files.manifest import Manifest, describe
from tincan.apps.files.pump import BUFFER, STALL, Meter, Patience, Worker, part, while_busy
from tincan.apps.files.scan import Scanned, Source, scan
from tincan.apps.files.sender import SenderCore
from tincan.apps.files.splitter import Splitter
from tincan.apps.files.states import Sending
from tincan.apps.strings import TiedString
from tincan.errors import IncompleteTransfer, TinCanError
from tincan.link.interface import ChannelClosed, Stream, StreamBroken
from tincan.tasks import settle

MAX_BREAKS = 10
"""Times in a row that a stream may break without anything having moved."""

_WRITE = 64 * 1024
SMALL = 64 * 1024
"""Bytes that are across before a quicker way is found."""

STEP = 256 * 1024
"""Bytes written at once: what `tincan.link.tls` encrypts at once."""

_NOT_RESUMABLE = "The string broke, and what comes from standard input cannot be sent again; start over."


async def send_files(
    string: TiedString,
    looking: Awaitable[Looked],
    tell: Tell,
    *,
    stall: float = STALL,
    executor: Executor | None = None,
) -> Outcome:
    """Send everything over a string, going on where it stopped whenever that is mended.

    ``looking``: what `look` returns, which may have begun while the string was still being tied.

    Raises `PeerRefused` when the receiver declines, `IncompleteTransfer` when
    it cannot be gone on with now. What was left out is in the outcome.
    """
    transfer = _begin(await looking, tell, stall, executor)
    breaks = 0
    while True:
        moved = transfer.moved
        try:
            stream = await string.open_stream(bulk=transfer.bulk)
            try:
                return await transfer.over(stream)
            finally:
                await stream.close()
        except (StreamBroken, ChannelClosed) as exc:
            if not transfer.manifest.resumable and transfer.fed and not transfer.settled:
                raise IncompleteTransfer(_NOT_RESUMABLE) from exc
            breaks = 0 if transfer.moved > moved else breaks + 1
            try:
                await mended(string, breaks, tell, exc)
            except IncompleteTransfer:
                if transfer.settled:  # only the goodbye was not heard
                    return transfer.outcome()
                raise


async def send_over(
    stream: Stream,
    sources: Sequence[Source],
    tell: Tell,
    *,
    stall: float = STALL,
    executor: Executor | None = None,
) -> Outcome:
    """Send everything over one stream, which is the caller's to close; `StreamBroken` when it breaks."""
    transfer = _begin(await look(sources, executor), tell, stall, executor)
    return await transfer.over(stream)


async def mended(string: TiedString, breaks: int, tell: Tell, broken: Exception) -> None:
    """Wait until the string is tied again; `IncompleteTransfer` when that is hopeless."""
    if breaks >= MAX_BREAKS:
        raise IncompleteTransfer(
            "The string breaks again and again; run the same commands later to go on from there."
        ) from broken
    tell(Interrupted())
    try:
        await string.mend()
    except TinCanError as exc:
        text = f"The string broke before everything was there ({str(exc).rstrip('.')}). "
        raise IncompleteTransfer(text + "Run the same commands again to go on from there.") from exc


class Looked(msgspec.Struct, frozen=True):
    """What there is to send."""

    scanned: Scanned
    manifest: Manifest
    offered: Offered


async def look(sources: Sequence[Source], executor: Executor | None = None) -> Looked:
    """Find out what there is to send; raises `UsageError` when there is nothing, or too much."""
    worker, enough = Worker(executor), threading.Event()
    try:
        scanned = await worker.run(scan, sources, enough)
        manifest = await worker.run(scanned.manifest)
        offered = await worker.run(describe, manifest, [tuple(entry.name.split("/")) for entry in manifest.entries])
        return Looked(scanned, manifest, offered)
    finally:
        enough.set()  # whoever interrupts this does not wait until a whole disk has been looked through
        await worker.finish(lambda: None)


def _begin(looked: Looked, tell: Tell, stall: float, executor: Executor | None) -> _Transfer:
    for event in looked.scanned.events():
        tell(event)
    tell(looked.offered)
    return _Transfer(looked.scanned, looked.manifest, tell, stall, executor)


class _Transfer:
    """One manifest on its way, over as many streams as it takes."""

    def __init__(
        self, scanned: Scanned, manifest: Manifest, tell: Tell, stall: float, executor: Executor | None
    ) -> None:
        self.manifest = manifest
        self.moved = 0
        self.fed = False
        self._scanned = scanned
        self._tell = tell
        self._executor = executor
        self._patience = Patience(stall)
        self._meter = Meter(tell, manifest.total if manifest.resumable else None)
        self._core = SenderCore(manifest)
        self._reported: set[str] = set()
        self._reasons = list(scanned.left_out)
        self._done = 0
        self._accepted = False
        self._ready = asyncio.Event()
        self._began = asyncio.get_running_loop().time()

    @property
    def bulk(self) -> bool:
        """Whether it is so much that the bytes should go the quickest way."""
        return self.manifest.total > SMALL

    @property
    def settled(self) -> bool:
        """Whether the receiver has everything in place that it will have."""
        return self._core.settled and self._core.state in {Sending.SENDING, Sending.SENT, Sending.DONE}

    def outcome(self) -> Outcome:
        """Return how it went."""
        entries = self.manifest.entries
        files = [entry for index, entry in enumerate(entries) if self._core.is_verified(index)]
        return Outcome(
            files=len(files),
            folders=sum(entry.folder for entry in entries),
            bytes=sum(entry.size for entry in files) if self.manifest.resumable else self._done,
            moved=self.moved,
            seconds=asyncio.get_running_loop().time() - self._began,
            left_out=len(self._scanned.left_out) + len(self._core.left_out),
            reasons=tuple(self._reasons[:MAX_TOLD]),
        )

    async def over(self, stream: Stream) -> Outcome:
        """Do everything over one stream, or as much as that carries."""
        self._core = SenderCore(self.manifest)
        self._ready = asyncio.Event()
        self._done = 0
        listening = asyncio.create_task(self._listen(stream))
        try:
            async with self._patience.watching():
                await self._talk(stream, listening)
        except StreamBroken:
            raise
        except TinCanError as exc:
            await self._complain(stream, str(exc))
            raise
        finally:
            await settle(listening)
        await part(stream)
        return self.outcome()

    async def _talk(self, stream: Stream, listening: asyncio.Task[None]) -> None:
        """Write what there is to write, unless the listener has the last word."""
        writing = asyncio.create_task(self._write(stream))
        try:
            await asyncio.wait([writing, listening], return_when=asyncio.FIRST_COMPLETED)
            if writing.done() and not listening.done():
                broken = writing.exception()
                if broken is not None and not isinstance(broken, StreamBroken):
                    raise broken
                # Why it broke may still be on its way to be read.
                await listening
                if broken is not None:
                    raise broken
            listening.result()
            await writing
        finally:
            await settle(writing)

    async def _listen(self, stream: Stream) -> None:
        splitter = Splitter()
        while self._core.state is not Sending.DONE:
            data = await stream.read(_WRITE)
            if not data:
                raise IncompleteTransfer(
                    "The receiver stopped before everything was there; run the same commands again to go on."
                )
            self._patience.moved()
            for frame in splitter.split(data):
                self._report(self._core.receive(frame))
            if self._core.state is Sending.OFFERED:
                self._patience.pause()  # a person is asked
            elif self._core.state is Sending.SENDING:
                self._ready.set()
            if not self._accepted and self._core.state is not Sending.OFFERED:
                self._accepted = True
                self._began = asyncio.get_running_loop().time()
                self._tell(OfferAccepted())

    async def _write(self, stream: Stream) -> None:
        batch = bytearray()
        for frame in self._core.start():
            batch += frame
            if len(batch) >= STEP:
                await stream.write(batch)
                self._patience.moved()
                batch = bytearray()
        await stream.write(batch)
        if self._core.state is Sending.OFFERED:
            self._patience.pause()
        await self._ready.wait()
        await self._feed(stream)
        await stream.write(self._core.finish())
        self._patience.moved()

    async def _feed(self, stream: Stream) -> None:
        """The pipeline: one buffer is written while the next one is filled."""
        worker = Worker(self._executor)
        jobs = self._core.jobs()
        feeder = Feeder(self.manifest.entries, self._scanned.paths, jobs, self._core.left_out)
        sizes = self.manifest.entries
        self._done = self.manifest.total - sum(max(sizes[job.index].size, 0) for job in jobs)
        buffers = [memoryview(bytearray(BUFFER)) for _ in range(2)]
        filling: asyncio.Task[tuple[int, int, int, list[tuple[int, str]]]] | None = None
        self.fed = True
        try:
            filling = asyncio.create_task(worker.run(feeder.fill, buffers[0]))
            while True:
                used, content, skipped, results = await while_busy(filling, lambda: self._say_busy(stream))
                self._report(self._core.sent(results))
                ready, buffers = buffers[0], buffers[::-1]
                finished = feeder.finished
                if not finished:
                    filling = asyncio.create_task(worker.run(feeder.fill, buffers[0]))
                self.moved += content  # before it is written: some of it will have gone when that breaks
                for begin in range(0, used, STEP):  # each step counts as a sign of life, on a slow line too
                    await stream.write(ready[begin : min(begin + STEP, used)])
                    self._patience.moved()
                if not used and not finished:
                    await self._say_busy(stream)
                self._done += content + skipped
                self._meter.show(self._done, feeder.name, now=finished)
                if finished:
                    break
        finally:
            if filling is not None:
                await settle(filling)
            await worker.finish(feeder.close)

    async def _say_busy(self, stream: Stream) -> None:
        await stream.write(encode(Busy()))
        self._patience.moved()

    async def _complain(self, stream: Stream, text: str) -> None:
        """Tell the receiver why this side stops, if it can still hear that."""
        last = self._core.fail(cut(text))
        with contextlib.suppress(TinCanError, TimeoutError):
            if last:
                async with asyncio.timeout(2):
                    await stream.write(last)
        await part(stream)

    def _report(self, events: Sequence[FilesEvent]) -> None:
        """Tell the user, but of each file only once, however many streams it takes."""
        for event in events:
            if isinstance(event, FileDone | FileLeftOut):
                if event.name in self._reported:
                    continue
                self._reported.add(event.name)
                if isinstance(event, FileLeftOut):
                    self._reasons.append(event)
            self._tell(event)
