"""The receiving end of a transfer, without any input or output; docs/files.md is its wire format.

How to drive a `ReceiverCore`, one for each stream: give everything that comes
to `receive`, and act on what it yields before asking for more. When the state
has become DECIDING, look at ``manifest`` and ``places`` and call `accept` or
`decline`; after `accept` call `have`, `verified` and `failed` for what is
there already, then `ready`. From then on `receive` yields, all checked:

* `Start`: open that file, go on at its offset (0, or one told in a HAVE);
* memoryview: the next bytes of the file that was started;
* `End`: compare the hash (or see its ``problem``), then call `verified` or `failed`;
* `Whole`: all of a small file; compare the hash, then as for `End`;
* `Same`, `Different`: the sender's word on a complete HAVE; call `verified` for the first;
* `Sent`: everything has come; call `done`.

`failed` may be called for any file at any time; what still comes of it is
swallowed. After each of these calls send what `data_to_send` returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tincan.apps.files.frames import (
    MAX_BATCH,
    Accept,
    Busy,
    Control,
    Decline,
    Different,
    Done,
    End,
    Entries,
    Entry,
    Error,
    Failed,
    Have,
    Offer,
    Ready,
    Same,
    Sent,
    Start,
    Verified,
    Whole,
    cut,
    encode,
)
from tincan.apps.files.manifest import Manifest, ManifestReader
from tincan.apps.files.names import System
from tincan.apps.files.splitter import Splitter
from tincan.apps.files.states import Receiving, Step, receiver_step
from tincan.apps.text import visible
from tincan.errors import IncompleteTransfer, ProtocolError

_OPEN, _VERIFIED, _FAILED, _FOLDER, _ENDED = range(5)

Action = Whole | Start | End | Same | Different | Sent | memoryview


class ReceiverCore:
    """The receiver of one manifest over one stream."""

    def __init__(self, system: System) -> None:
        self.manifest = Manifest(b"", (), 0)
        self.places: Sequence[tuple[str, ...]] = ()
        self._system = system
        self._state = Receiving.NEW
        self._splitter = Splitter()
        self._reader: ManifestReader | None = None
        self._entries: Sequence[Entry] = ()
        self._status = bytearray()
        self._haves: dict[int, Have] = {}
        self._current = -1
        self._received = 0
        self._counts = [0, 0]  # verified, failed
        self._outgoing: list[bytes] = []
        self._fresh: list[int] = []

    @property
    def state(self) -> Receiving:
        """How far the transfer is."""
        return self._state

    @property
    def settled(self) -> bool:
        """Whether every file is in place or left out."""
        return self._state in _AGREED and not self._status.count(_OPEN) and not self._status.count(_ENDED)

    def data_to_send(self) -> bytes:
        """Return the bytes to send now; each is returned once."""
        self._flush_verified()
        data, self._outgoing = b"".join(self._outgoing), []
        return data

    # What this side says

    def accept(self) -> None:
        """The user agrees."""
        self._move(Step.ACCEPT)
        self._send(Accept())

    def decline(self, reason: str, *, refused: bool) -> None:
        """The user does not agree (``refused``), or there is no room."""
        self._move(Step.DECLINE)
        self._send(Decline(cut(reason), refused))

    def have(self, have: Have) -> None:
        """Tell what is there already."""
        self._haves[have.index] = have
        self._send(have)

    def ready(self) -> None:
        """That was everything."""
        self._flush_verified()
        self._move(Step.READY)
        self._send(Ready())

    def verified(self, index: int) -> None:
        """This file is in place."""
        self._status[index] = _VERIFIED
        self._counts[0] += 1
        self._fresh.append(index)
        if len(self._fresh) >= MAX_BATCH:
            self._flush_verified()

    def failed(self, index: int, reason: str) -> None:
        """This file is left out."""
        self._count_failed(index)
        self._send(Failed(index, cut(reason)))

    def done(self) -> None:
        """Everything is in place."""
        self._flush_verified()
        self._move(Step.DONE)
        self._send(Done(*self._counts))

    def busy(self) -> bytes:
        """Return what says that this side is alive, to be sent at once."""
        return encode(Busy())

    def fail(self, text: str) -> None:
        """This side cannot go on."""
        if Step.FAILURE not in _OVER.get(self._state, ()):
            self._move(Step.FAILURE)
            self._send(Error(cut(text)))

    # What the peer says

    def receive(self, data: bytes | bytearray | memoryview) -> Iterator[Action]:
        """Take bytes of the stream; yield what is to be done. Raises `ProtocolError`, `IncompleteTransfer`."""
        for frame in self._splitter.split(data):
            if isinstance(frame, Whole):
                if self._take_whole(frame):
                    yield frame
            elif isinstance(frame, memoryview):
                if self._take_data(len(frame)):
                    yield frame
            elif isinstance(frame, Start):
                if self._take_start(frame):
                    yield frame
            elif isinstance(frame, End):
                if self._take_end(frame):
                    yield frame
            else:
                yield from self._take_other(frame)

    def _take_whole(self, frame: Whole) -> bool:
        status = self._check_turn(frame.index)
        if frame.index in self._haves:
            raise ProtocolError("The sender did not compare a file with what is there.")
        if len(frame.content) != self._entries[frame.index].size:
            raise ProtocolError("The sender sent more or less of a file than it said there is.")
        if status != _OPEN:
            return False
        self._status[frame.index] = _ENDED
        return True

    def _take_start(self, frame: Start) -> bool:
        status = self._check_turn(frame.index)
        if frame.offset or self._haves:
            self._check_offset(frame, status)
        self._current, self._received = frame.index, frame.offset
        return status == _OPEN

    def _check_offset(self, frame: Start, status: int) -> None:
        have = self._haves.get(frame.index)
        agreed = have is not None and not have.complete and any(frame.offset == at for at, _ in have.checkpoints)
        if frame.offset and not agreed:
            raise ProtocolError("The sender goes on at a place of a file that was not agreed on.")
        if have is not None and have.complete and not have.replace and status == _OPEN:
            raise ProtocolError("The sender sends a file that is there already.")

    def _take_data(self, count: int) -> bool:
        if self._current < 0:
            raise ProtocolError("The sender sent content that belongs to no file.")
        self._received += count
        size = self._entries[self._current].size
        if self._received > size >= 0:
            raise ProtocolError("The sender sent more of a file than it said there is.")
        return self._status[self._current] == _OPEN

    def _take_end(self, frame: End) -> bool:
        index = frame.index
        if index != self._current:
            raise ProtocolError("The sender ended a file that it had not started.")
        self._current = -1
        if not frame.problem:
            size = self._entries[index].size
            if frame.size != self._received or (size >= 0 and size != self._received) or not frame.digest:
                raise ProtocolError("The sender sent less of a file than it said there is.")
        if self._status[index] != _OPEN:
            return False
        if frame.problem:
            self._count_failed(index)
        else:
            self._status[index] = _ENDED
        return True

    def _take_other(self, frame: Control) -> Iterator[Action]:
        match frame:
            case Offer():
                self._move(Step.OFFER)
                self._reader = ManifestReader(frame)
            case Entries():
                self._take_entries(frame)
            case Same() | Different():
                have = self._haves.get(frame.index)
                if have is None or not have.complete:
                    raise ProtocolError("The sender compared something that is not there.")
                status = self._check_turn(frame.index)
                if status == _OPEN:
                    if isinstance(frame, Different):
                        self._count_failed(frame.index)
                    else:
                        self._status[frame.index] = _ENDED
                    yield frame
            case Sent():
                if self._current >= 0 or self._status.count(_OPEN):
                    raise ProtocolError("The sender says that it has sent everything, but it has not.")
                self._move(Step.SENT)
                yield frame
            case Busy():
                pass
            case Error():
                raise IncompleteTransfer(f"The sender had to stop: {visible(frame.text)}")
            case _:
                raise ProtocolError("The sender sent something that only a receiver may send.")

    def _take_entries(self, frame: Entries) -> None:
        if self._state is not Receiving.LISTING or self._reader is None:
            raise ProtocolError("The sender listed files at the wrong time.")
        self._reader.add(frame)
        if self._reader.complete:
            self.manifest, self.places = self._reader.finish(self._system)
            self._reader = None
            self._entries = self.manifest.entries
            self._status = bytearray(_FOLDER if entry.folder else _OPEN for entry in self._entries)
            self._move(Step.LISTED)

    def _check_turn(self, index: int) -> int:
        """Return the status of a file that may begin now."""
        if self._state is not Receiving.RECEIVING or self._current >= 0:
            raise ProtocolError("The sender began a file before its time.")
        status = self._status[index] if index < len(self._status) else _FOLDER
        if status not in {_OPEN, _FAILED}:
            raise ProtocolError("The sender sent a file that is done already, or was never offered.")
        return status

    def _count_failed(self, index: int) -> None:
        if self._status[index] in {_OPEN, _ENDED}:
            self._status[index] = _FAILED
            self._counts[1] += 1

    def _flush_verified(self) -> None:
        if self._fresh:
            fresh, self._fresh = self._fresh, []
            self._send(Verified(fresh))

    def _send(self, frame: Control) -> None:
        self._outgoing.append(encode(frame))

    def _move(self, step: Step) -> None:
        self._state = receiver_step(self._state, step)


_AGREED = frozenset({Receiving.RECEIVING, Receiving.SETTLING, Receiving.DONE})

_OVER: dict[Receiving, tuple[Step, ...]] = {
    state: (Step.FAILURE,) for state in (Receiving.DONE, Receiving.DECLINED, Receiving.FAILED)
}
