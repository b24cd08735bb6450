"""The receiver's worker: brings what `ReceiverCore` has checked to the `Store`.

Runs in a thread, beside the loop that reads the next MiB. What goes wrong
with one file is that file's trouble; what would hit every file that follows
(a full disk) is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tincan.apps.files.events import FileDone, FileLeftOut, FilesEvent
from tincan.apps.files.frames import Different, End, Have, Same, Start, Whole
from tincan.apps.files.names import System
from tincan.apps.files.plain import LeftOut, free_room
from tincan.apps.files.receiver import ReceiverCore
from tincan.apps.files.states import Receiving
from tincan.apps.files.store import Store, Trouble, cannot_open
from tincan.apps.text import visible

SURVEYED = 1000
"""Files that one call looks at, before the loop has a turn."""

SPARE = 1024 * 1024
"""Bytes that must stay free besides what is received: folders and names take room too."""


class Taker:
    """One offer over one stream, as far as the disk is concerned. Its methods block; one call at a time."""

    def __init__(self, root: Path, system: System, *, overwrite: bool) -> None:
        self.core = ReceiverCore(system)
        self.done = 0
        self.moved = 0
        self.name = ""
        self._root = root
        self._overwrite = overwrite
        self._store: Store | None = None
        self._survey: Iterator[Have | Trouble | None] = iter(())
        self._events: list[FilesEvent] = []
        self._current = -1
        self._base = 0
        self._got = 0

    def take(self, data: memoryview) -> tuple[bytes, list[FilesEvent]]:
        """Take what has come; return what is to be sent, and what has happened."""
        for action in self.core.receive(data):
            if isinstance(action, Whole):
                self._whole(action)
            elif isinstance(action, memoryview):
                self._got += len(action)
                self.moved += len(action)
                self._try(self._current, self._need().write, action)
            elif isinstance(action, Start):
                self._start(action)
            elif isinstance(action, End):
                self._end(action)
            elif isinstance(action, Same):
                self._put_in_place(action.index, already=True)
            elif isinstance(action, Different):
                self._tell_left_out(action.index, visible(action.problem))
            else:
                self._settle()
                self.core.done()
        return self._result()

    def shortage(self) -> int:
        """Return how many bytes of room are lacking for this offer; 0 when it fits."""
        try:
            existing = next(path for path in (self._root, *self._root.absolute().parents) if path.exists())
            free = free_room(existing)
        except OSError as exc:
            raise cannot_open(exc) from exc
        lacking = self.core.manifest.total + SPARE - free
        if lacking <= 0:
            return 0
        return max(0, lacking - self._present())

    def open(self, known: Callable[[int], bool]) -> None:
        """Begin, after the user has agreed. ``known``: what has been put in place over an earlier stream."""
        manifest = self.core.manifest
        pairs = list(zip(manifest.entries, self.core.places, strict=True))
        self._store = Store(self._root, pairs, overwrite=self._overwrite)
        self.core.accept()
        for index, entry in enumerate(manifest.entries):
            if not entry.folder and known(index):
                self.core.verified(index)
                self.done += max(entry.size, 0)
        self._survey = self._store.survey(known)

    def look(self) -> tuple[bool, bytes, list[FilesEvent]]:
        """Look at what is there already; return whether that was everything, and as `take` does."""
        for _ in range(SURVEYED):
            found = next(self._survey, self)
            if found is self:
                self.core.ready()
                return True, *self._result()
            if isinstance(found, Have):
                self.core.have(found)
            elif isinstance(found, Trouble):
                if not self.core.manifest.entries[found.index].folder:
                    self.core.failed(found.index, found.reason)
                self._tell_left_out(found.index, found.reason)
            else:
                break
        return False, *self._result()

    def close(self) -> None:
        """Close what is open; what has come of it stays to go on with."""
        if self._store is not None:
            if self.core.settled and self.core.state is Receiving.RECEIVING:
                self._settle()  # the stream broke before the sender could say that this was all
            self._store.close()

    def _settle(self) -> None:
        for trouble in self._need().settle():
            self._tell_left_out(trouble.index, f"the folder's mode and time: {trouble.reason}")

    def _present(self) -> int:
        """Bytes of this offer that may be on the disk already."""
        total = 0
        for entry, parts in zip(self.core.manifest.entries, self.core.places, strict=True):
            total += 0 if entry.folder else Store.present(self._root, parts, entry.size)
        return total

    def _start(self, start: Start) -> None:
        self._current, self._got = start.index, start.offset
        self._base = self.done
        self.name = self.core.manifest.entries[start.index].name
        self._try(start.index, self._need().begin, start.index, start.offset)

    def _whole(self, whole: Whole) -> None:
        self.name = self.core.manifest.entries[whole.index].name
        self.moved += len(whole.content)
        try:
            self._need().whole(whole.index, whole.content, whole.digest)
        except LeftOut as exc:
            self.core.failed(whole.index, str(exc))
            self._tell_left_out(whole.index, visible(str(exc)))
        else:
            self._put_in_place(whole.index)

    def _end(self, end: End) -> None:
        try:
            if end.problem:
                self._need().give_up(end.index)
                raise LeftOut(end.problem)
            self._need().finish(end.index, end.digest)
        except LeftOut as exc:
            if not end.problem:
                self.core.failed(end.index, str(exc))
            self._tell_left_out(end.index, visible(str(exc)))
        else:
            self._put_in_place(end.index)
        finally:
            self._need().let_go()
            self._got = 0

    def _put_in_place(self, index: int, *, already: bool = False) -> None:
        entry = self.core.manifest.entries[index]
        self.core.verified(index)
        self.done += entry.size if entry.size >= 0 else self._got
        self._events.append(FileDone(entry.name, already))

    @property
    def progress(self) -> int:
        """Bytes of this offer that are here, those of the file on its way included."""
        return self.done + self._got

    def _try(self, index: int, function: Callable[..., None], *arguments: object) -> None:
        try:
            function(*arguments)
        except LeftOut as exc:
            self.core.failed(index, str(exc))
            self._tell_left_out(index, str(exc))
            self._need().let_go()
            self._got = 0

    def _tell_left_out(self, index: int, reason: str) -> None:
        entry = self.core.manifest.entries[index]
        self.done += max(entry.size, 0)
        self._events.append(FileLeftOut(entry.name, reason))

    def _need(self) -> Store:
        if self._store is None:
            raise RuntimeError("nothing has been accepted")
        return self._store

    def _result(self) -> tuple[bytes, list[FilesEvent]]:
        events, self._events = self._events, []
        return self.core.data_to_send(), events
