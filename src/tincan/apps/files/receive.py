"""Receive files: the shell around `ReceiverCore`.

The loop reads into one buffer while a thread checks, hashes and writes the
other one (`Taker`). `receive_over` takes one transfer from one stream;
`receive_files` goes on over a new one when the string is mended, and asks its
user only once for the same list of files.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from concurrent.futures import Executor
from pathlib import Path

from tincan.apps.files.events import (
    MAX_TOLD,
    FileDone,
    FileLeftOut,
    FilesEvent,
    OfferAccepted,
    Offered,
    Outcome,
    Tell,
)
from tincan.apps.files.manifest import describe
from tincan.apps.files.names import System
from tincan.apps.files.pump import STALL, Intake, Meter, Patience, Worker, part, while_busy
from tincan.apps.files.question import DECLINED, Decide, Question
from tincan.apps.files.send import mended
from tincan.apps.files.states import Receiving
from tincan.apps.files.taker import Taker
from tincan.apps.files.words import human
from tincan.apps.strings import TiedString
from tincan.apps.text import visible
from tincan.errors import IncompleteTransfer, PeerRefused, ProtocolError, TinCanError
from tincan.link.interface import ChannelClosed, Stream, StreamBroken
from tincan.tasks import settle

HERE = System(windows=os.name == "nt", folded=os.name == "nt" or sys.platform == "darwin")
"""What names are like on this machine."""


async def receive_files(
    string: TiedString,
    target: Path,
    decide: Decide,
    tell: Tell,
    *,
    overwrite: bool = False,
    stall: float = STALL,
    executor: Executor | None = None,
) -> Outcome:
    """Receive one offer over a string, going on where it stopped whenever that is mended.

    Raises `PeerRefused` when the user declines, `IncompleteTransfer` when it
    cannot be gone on with now. What was left out is in the outcome.
    """
    transfer = _Transfer(target, decide, tell, overwrite, stall, executor)
    breaks = 0
    try:
        while True:
            moved = transfer.moved
            try:
                stream = await string.accept_stream()
                try:
                    return await transfer.over(stream)
                finally:
                    await stream.close()
            except (StreamBroken, ChannelClosed) as exc:
                breaks = 0 if transfer.moved > moved else breaks + 1
                try:
                    await transfer.question.unless_declined(mended(string, breaks, tell, exc))
                except IncompleteTransfer:
                    if transfer.settled:  # only the goodbye was not heard
                        return transfer.outcome()
                    if transfer.question.open:
                        raise IncompleteTransfer("The offer was taken back before you answered.") from exc
                    raise
    finally:
        await transfer.question.take_back()


async def receive_over(
    stream: Stream,
    target: Path,
    decide: Decide,
    tell: Tell,
    *,
    overwrite: bool = False,
    stall: float = STALL,
    executor: Executor | None = None,
) -> Outcome:
    """Receive one offer over one stream, which is the caller's to close; `StreamBroken` when it breaks."""
    transfer = _Transfer(target, decide, tell, overwrite, stall, executor)
    try:
        return await transfer.over(stream)
    finally:
        await transfer.question.take_back()


class _Transfer:
    """One offer, over as many streams as it takes."""

    def __init__(
        self, target: Path, decide: Decide, tell: Tell, overwrite: bool, stall: float, executor: Executor | None
    ) -> None:
        self.moved = 0
        self.question = Question(decide)
        self._target = target
        self._tell = tell
        self._overwrite = overwrite
        self._patience = Patience(stall)
        self._executor = executor
        self._taker = Taker(target, HERE, overwrite=overwrite)
        self._worker = Worker(executor)
        self._meter: Meter | None = None
        self._offer: bytes | None = None
        self._offered: Offered | None = None
        self._agreed = False
        self._in_place: set[str] = set()
        self._left_out: dict[str, FileLeftOut] = {}
        self._began = asyncio.get_running_loop().time()

    @property
    def settled(self) -> bool:
        """Whether everything is in place that can be."""
        return self._taker.core.settled

    async def over(self, stream: Stream) -> Outcome:
        """Do everything over one stream, or as much as that carries."""
        self._taker = Taker(self._target, HERE, overwrite=self._overwrite)
        self._worker = Worker(self._executor)
        intake = Intake(stream)
        reading = asyncio.create_task(intake.run())
        before = self.moved
        try:
            async with self._patience.watching():
                await self._talk(stream, intake)
            last = None
        except StreamBroken:
            raise
        except TinCanError as exc:
            last = exc
        finally:
            self.moved = before + self._taker.moved
            await self._worker.finish(self._taker.close)
            await settle(reading)
        if last is not None:
            await self._complain(stream, str(last))
            raise last
        await part(stream)
        return self.outcome()

    async def _talk(self, stream: Stream, intake: Intake) -> None:
        core = self._taker.core
        while core.state is not Receiving.DONE:
            data = await intake.next()
            if not data:
                raise IncompleteTransfer(
                    "The sender stopped before everything was there; run the same commands again to go on from there."
                )
            self._patience.moved()
            work = self._worker.run(self._taker.take, data)
            answer, events = await while_busy(work, lambda: self._write(stream, intake, core.busy()))
            self._report(events)
            if answer:
                await self._write(stream, intake, answer)
            if core.state is Receiving.DECIDING:
                await self._answer(stream, intake)
            if self._meter is not None:
                self._meter.show(self._taker.progress, self._taker.name)
        if self._meter is not None:
            self._meter.show(self._taker.progress, self._taker.name, now=True)

    async def _answer(self, stream: Stream, intake: Intake) -> None:
        """Ask the user, and tell the sender what is there already."""
        core = self._taker.core
        refusal = await self._refusal(intake)
        if refusal is not None:
            await self._write(stream, intake, core.data_to_send())
            raise refusal
        self._patience.moved()
        names = [entry.name for entry in core.manifest.entries]
        await self._worker.run(self._taker.open, lambda index: names[index] in self._in_place)
        if self._meter is None:
            self._meter = Meter(self._tell, core.manifest.total if core.manifest.resumable else None)
            self._began = asyncio.get_running_loop().time()
            self._tell(OfferAccepted())
        over = False
        while not over:
            look = self._worker.run(self._taker.look)
            over, answer, events = await while_busy(look, lambda: self._write(stream, intake, core.busy()))
            self._report(events)
            await self._write(stream, intake, answer or core.busy())

    async def _refusal(self, intake: Intake) -> TinCanError | None:
        """Ask about room and then the user; when one says no, decline, and return why."""
        manifest = self._taker.core.manifest
        if self._offer is not None and manifest.id != self._offer:
            raise ProtocolError("The sender offers something else than before the string broke; refused.")
        if self._agreed:
            return None
        lacking = await self._worker.run(self._taker.shortage)
        if lacking:
            text = (
                f"There is no room for this at the receiver: it takes {human(lacking)} more. Make room and try again."
            )
            self._taker.core.decline(text, refused=False)
            return IncompleteTransfer(text)
        self._offer = manifest.id
        if self._offered is None:
            self._offered = await self._worker.run(describe, manifest, self._taker.core.places)
            self._tell(self._offered)
        self._patience.pause()
        decision = await self.question.answer(self._offered, intake.over)
        if not decision.accepted:
            self._taker.core.decline(decision.reason, refused=True)
            return PeerRefused(DECLINED)
        self._agreed = True
        return None

    async def _write(self, stream: Stream, intake: Intake, data: bytes) -> None:
        """Send; when that breaks, what the sender said last counts more."""
        try:
            await stream.write(data)
        except StreamBroken:
            while data := bytes(await intake.next()):
                _, events = await self._worker.run(self._taker.take, memoryview(data))
                self._report(events)
            raise
        self._patience.moved()

    async def _complain(self, stream: Stream, text: str) -> None:
        """Tell the sender why this side stops, if it can still hear that."""
        self._taker.core.fail(text)
        last = self._taker.core.data_to_send()
        with contextlib.suppress(TinCanError, TimeoutError):
            if last:
                async with asyncio.timeout(2):
                    await stream.write(last)
        await part(stream)

    def _report(self, events: list[FilesEvent]) -> None:
        """Tell the user, but of each file only once, however many streams it takes."""
        for event in events:
            if isinstance(event, FileDone):
                self._in_place.add(event.name)
                self._left_out.pop(event.name, None)
            elif isinstance(event, FileLeftOut):
                event = FileLeftOut(event.name, visible(event.reason))  # noqa: PLW2901
                if event.name in self._left_out:
                    continue
                self._left_out[event.name] = event
            self._tell(event)

    def outcome(self) -> Outcome:
        """Return how it went."""
        entries = self._taker.core.manifest.entries
        files = [entry for entry in entries if entry.name in self._in_place]
        return Outcome(
            files=len(files),
            folders=sum(entry.folder and entry.name not in self._left_out for entry in entries),
            bytes=self._taker.done if not self._taker.core.manifest.resumable else sum(e.size for e in files),
            moved=self.moved,
            seconds=asyncio.get_running_loop().time() - self._began,
            left_out=len(self._left_out),
            reasons=tuple(self._left_out.values())[:MAX_TOLD],
        )
