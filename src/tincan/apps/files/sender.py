"""The sending end of a transfer, without any input or output; docs/files.md is its wire format.

How to drive a `SenderCore`, one for each stream: send what `start` yields,
give every frame of the peer to `receive`. Once the state is SENDING, `jobs`
says what is to be sent; send START, DATA and END for each (or SAME, DIFFERENT
for what the receiver has), telling `sent` before END leaves. A job whose
index is in ``left_out`` by then may be skipped, or ended with a problem. Then
send `finish`, and `receive` until the state is DONE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import msgspec

from tincan.apps.files.events import FileDone, FileLeftOut, FilesEvent
from tincan.apps.files.frames import (
    MAX_PARTIALS,
    Accept,
    Busy,
    Control,
    Decline,
    Done,
    Error,
    Failed,
    Have,
    Ready,
    Sent,
    Verified,
    encode,
)
from tincan.apps.files.manifest import Manifest, offer_frames
from tincan.apps.files.states import Sending, Step, sender_step
from tincan.apps.text import visible
from tincan.errors import IncompleteTransfer, PeerRefused, ProtocolError

_OPEN, _SENT, _VERIFIED, _LEFT_OUT, _FOLDER = range(5)


class Job(msgspec.Struct, frozen=True):
    """A file to send; ``have``: what the receiver says it has of it."""

    index: int
    have: Have | None


class SenderCore:
    """The sender of one manifest over one stream."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._state = Sending.NEW
        self._status = bytearray(_FOLDER if entry.folder else _OPEN for entry in manifest.entries)
        self._haves: dict[int, Have] = {}
        self._left_out: dict[int, str] = {}
        self._verified = 0
        self._last_have = -1
        self._partials = 0

    @property
    def state(self) -> Sending:
        """How far the transfer is."""
        return self._state

    @property
    def left_out(self) -> Mapping[int, str]:
        """The files that will not arrive, with the reason; safe to look at from another thread."""
        return MappingProxyType(self._left_out)

    @property
    def verified(self) -> int:
        """How many files are in place at the receiver."""
        return self._verified

    @property
    def settled(self) -> bool:
        """Whether every file is in place or left out."""
        return self._verified + len(self._left_out) == len(self._status) - self._status.count(_FOLDER)

    def is_verified(self, index: int) -> bool:
        """Whether the receiver has this file in place."""
        return self._status[index] == _VERIFIED

    def start(self) -> Iterator[bytes]:
        """Yield the offer."""
        self._move(Step.OFFER)
        yield from offer_frames(self._manifest)

    def jobs(self) -> list[Job]:
        """Return what is to be sent, in order."""
        return [Job(index, self._haves.get(index)) for index, status in enumerate(self._status) if status == _OPEN]

    def sent(self, results: Iterable[tuple[int, str]]) -> list[FilesEvent]:
        """Take note that END (or SAME, DIFFERENT) was made for these, with its problem or an empty string."""
        events: list[FilesEvent] = []
        for index, problem in results:
            if self._status[index] == _OPEN:
                self._status[index] = _SENT
                if problem:
                    events.append(self._leave_out(index, problem))
        return events

    def finish(self) -> bytes:
        """Say that everything is out."""
        self._move(Step.SENT)
        return encode(Sent())

    def fail(self, text: str) -> bytes:
        """Return what tells the receiver that it cannot go on; nothing when that makes no sense any more."""
        if self._state in {Sending.NEW, Sending.DONE, Sending.DECLINED, Sending.FAILED}:
            return b""
        self._move(Step.FAILURE)
        return encode(Error(text))

    def receive(self, frame: Control | memoryview) -> list[FilesEvent]:
        """Take one frame of the receiver.

        Raises `PeerRefused` when the offer is declined, `IncompleteTransfer`
        when the receiver cannot go on, `ProtocolError` for nonsense.
        """
        match frame:
            case Verified():
                return self._verify(frame.indices)
            case Failed():
                return self._fail_file(frame.index, visible(frame.reason))
            case Have():
                self._take_have(frame)
            case Accept():
                self._move(Step.ACCEPT)
            case Ready():
                self._move(Step.READY)
            case Decline():
                self._move(Step.DECLINE)
                reason = visible(frame.reason)
                raise PeerRefused(reason) if frame.refused else IncompleteTransfer(reason)
            case Done():
                self._take_done(frame)
            case Busy():
                pass
            case Error():
                self._move(Step.FAILURE)
                raise IncompleteTransfer(f"The receiver had to stop: {visible(frame.text)}")
            case _:
                raise ProtocolError("The receiver sent something that only a sender may send.")
        return []

    def _take_have(self, have: Have) -> None:
        if self._state is not Sending.ACCEPTED or have.index <= self._last_have:
            raise ProtocolError("The receiver told at the wrong time what it has.")
        if have.index >= len(self._status) or self._status[have.index] != _OPEN:
            raise ProtocolError("The receiver claims to have something that was not offered.")
        size = self._manifest.entries[have.index].size
        lengths = [length for length, _ in have.checkpoints]
        if lengths != sorted(set(lengths)) or lengths[-1] > size or (have.complete and lengths != [size]):
            raise ProtocolError("The receiver claims to have more of a file than there is.")
        self._partials += not have.complete
        if self._partials > MAX_PARTIALS:
            raise ProtocolError("The receiver claims to have parts of more files than it may go on with.")
        self._last_have = have.index
        self._haves[have.index] = have

    def _verify(self, indices: Iterable[int]) -> list[FilesEvent]:
        known = self._state is Sending.ACCEPTED  # from an earlier stream of this transfer
        early = self._state in {Sending.NEW, Sending.OFFERED}
        expected, count, entries = _OPEN if known else _SENT, len(self._status), self._manifest.entries
        events: list[FilesEvent] = []
        for index in indices:
            if early or index >= count or self._status[index] != expected:
                raise ProtocolError("The receiver confirmed a file that it has not been sent.")
            self._status[index] = _VERIFIED
            self._verified += 1
            events.append(FileDone(entries[index].name, already=known))
        return events

    def _fail_file(self, index: int, reason: str) -> list[FilesEvent]:
        status = self._status[index] if index < len(self._status) else _FOLDER
        if status in {_VERIFIED, _FOLDER} or self._state in {Sending.NEW, Sending.OFFERED}:
            raise ProtocolError("The receiver left out a file that it cannot leave out any more.")
        return [] if status == _LEFT_OUT else [self._leave_out(index, reason)]

    def _leave_out(self, index: int, reason: str) -> FilesEvent:
        self._status[index] = _LEFT_OUT
        self._left_out[index] = reason
        return FileLeftOut(self._manifest.entries[index].name, reason)

    def _take_done(self, frame: Done) -> None:
        if not self.settled or (frame.verified, frame.failed) != (self._verified, len(self._left_out)):
            raise ProtocolError("The receiver says that it is done, but not with every file.")
        self._move(Step.DONE)

    def _move(self, step: Step) -> None:
        self._state = sender_step(self._state, step)
