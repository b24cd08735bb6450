"""The receiver's disk: partial files, their verification, and the moment a file gets its name.

A file arrives as ``.NAME.tin-can-partial`` beside its final place, readable
by its owner only and locked where the system has locks, so that two receivers
never write one. It is written front to back, so whatever kills this process
leaves a beginning of the file (or a torn tail, which fails its checkpoint).
It gets its name, without overwriting anything, once the hash of the whole
content agrees.

A partial file that is not the beginning of what arrives is moved aside
(``.NAME.tin-can-partial.old-1`` to ``-3``, the oldest giving way), and removed
when the file that took its place is complete.

Everything here blocks, and runs in one worker thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import msgspec

from tincan.apps.files.folders import HANDLES, NAMELESS, Folder, Folders
from tincan.apps.files.frames import MAX_DATA, MAX_PARTIALS, Entry, Have
from tincan.apps.files.hashing import Hasher, digest_of, hasher
from tincan.apps.files.names import aside_name, partial_name
from tincan.apps.files.partials import MAX_ASIDE, checkpoints, create_partial, open_partial
from tincan.apps.files.plain import LeftOut, as_far_as_it_goes, raise_translated, read_into, translated, why
from tincan.errors import IncompleteTransfer

SLICE = 16 * MAX_DATA
"""Bytes hashed before the loop may say that this side is busy."""

HOT = 128 * 1024
"""Bytes hashed, and then written: few enough that they are still in the processor's own cache."""

CONFLICT = "another file of that name is there already; receiving with --overwrite replaces it"
DAMAGED = "its content was damaged on the way; receive it again"
_OPEN_MODES = os.chmod in os.supports_fd and os.utime in os.supports_fd


class Trouble(msgspec.Struct, frozen=True):
    """A file or folder that `Store.survey` found no place for."""

    index: int
    reason: str


class Store:
    """Where one offer goes."""

    def __init__(
        self,
        root: Path,
        entries: list[tuple[Entry, tuple[str, ...]]],
        *,
        overwrite: bool,
        handles: bool = HANDLES,
    ) -> None:
        """``entries``: with their safe places."""
        self._entries = entries
        self._overwrite = overwrite
        try:
            self._folders = Folders(root, handles=handles)
        except OSError as exc:
            raise cannot_open(exc) from exc
        self._spare = memoryview(bytearray(MAX_DATA))
        self._prefixes: dict[int, dict[int, Hasher]] = {}
        self._seen: dict[int, tuple[int, ...]] = {}
        self._handle = -1
        self._digest = hasher()
        self._nameless = handles and NAMELESS

    @staticmethod
    def present(root: Path, parts: tuple[str, ...], size: int) -> int:
        """Return how many bytes of a file are on the disk already, to see whether the rest has room."""
        folder = root.joinpath(*parts[:-1])
        for name in (parts[-1], partial_name(parts[-1])):
            with contextlib.suppress(OSError):
                return min(os.lstat(folder / name).st_size, max(size, 0))
        return 0

    def survey(self, known: Callable[[int], bool]) -> Iterator[Have | Trouble | None]:
        """Make the folders, and yield what is there already and what has no place.

        ``known`` says which files need no look. None comes up now and then
        while long files are hashed.
        """
        for index, (entry, parts) in enumerate(self._entries):
            if known(index):
                continue
            try:
                try:
                    folder = self._folders.at(parts if entry.folder else parts[:-1])
                    if not (entry.folder or folder.fresh):
                        yield from self._look(index, entry, folder, parts[-1])
                except (OSError, OverflowError) as exc:
                    raise_translated(exc)
            except LeftOut as exc:
                yield Trouble(index, str(exc))

    def whole(self, index: int, content: memoryview, digest: bytes) -> None:
        """Take a small file that is here as a whole; `LeftOut` if it cannot get its name."""
        if digest_of(content) != digest:
            raise LeftOut(DAMAGED)
        entry, parts = self._entries[index]
        try:
            folder = self._folders.at(parts[:-1])
            if self._put_nameless(folder, parts[-1], content, entry):
                return
        except (OSError, OverflowError) as exc:
            raise_translated(exc)
        try:
            self.begin(index, 0)
            self.write(content)
            self.finish(index, digest)
        finally:
            self.let_go()

    def _put_nameless(self, folder: Folder, name: str, content: memoryview, entry: Entry) -> bool:
        """Write a file that has no name, and then give it its own: no partial file, no lock, nothing to go on with.

        False when this system, or what is there, wants it the other way.
        """
        if not self._nameless or (not folder.fresh and folder.look(partial_name(name)) is not None):
            return False
        try:
            folder.add(name, content, entry.mode, entry.mtime or None)
        except (FileExistsError, OverflowError):
            return False
        except OSError:
            self._nameless = False
            return False
        return True

    def begin(self, index: int, offset: int) -> None:
        """Open a file to go on with it from ``offset``."""
        parts = self._entries[index][1]
        with translated():
            folder = self._folders.at(parts[:-1])
            if offset:
                self._handle = open_partial(folder, partial_name(parts[-1]))
                if _state(self._handle) != self._seen[index]:
                    raise LeftOut("another receiver has changed its partial file meanwhile; receive it again")
                os.ftruncate(self._handle, offset)
                os.lseek(self._handle, offset, os.SEEK_SET)
                self._digest = self._prefixes[index][offset]
            else:
                self._handle, moved = create_partial(folder, parts[-1])
                if moved:
                    self._prefixes.setdefault(index, {})
                self._digest = hasher()

    def write(self, data: memoryview) -> None:
        """Write the next bytes."""
        try:
            while data:
                hot = data[:HOT]
                self._digest.update(hot)
                data = data[len(hot) :]
                while hot:
                    hot = hot[os.write(self._handle, hot) :]
        except OSError as exc:
            raise_translated(exc)

    def finish(self, index: int, digest: bytes) -> None:
        """Give the file its name if its content is the one; `LeftOut` if not."""
        entry, parts = self._entries[index]
        if self._digest.digest() != digest:
            raise LeftOut(DAMAGED)
        folder, partial = self._folders.at(parts[:-1]), partial_name(parts[-1])
        mtime = entry.mtime or None
        try:
            if _OPEN_MODES:
                with as_far_as_it_goes():
                    os.chmod(self._handle, entry.mode | 0o600)  # one that is killed now must still be gone on with
                    if mtime is not None:
                        os.utime(self._handle, ns=(mtime, mtime))
                os.close(os.dup(self._handle))  # some systems say only now that the disk is full; the lock stays
            else:
                self.let_go()  # Windows renames no open file
                with as_far_as_it_goes():
                    folder.set_file(partial, entry.mode, mtime)
            folder.put(partial, parts[-1], overwrite=self._overwrite)
            if _OPEN_MODES and entry.mode & 0o600 != 0o600:
                with as_far_as_it_goes():
                    os.chmod(self._handle, entry.mode)
            if index in self._prefixes:
                for number in range(1, MAX_ASIDE + 1):
                    folder.remove(aside_name(parts[-1], number))
        except FileExistsError:
            raise LeftOut(CONFLICT) from None
        except (OSError, OverflowError) as exc:
            raise_translated(exc)

    def give_up(self, index: int) -> None:
        """Remove a partial file that is good for nothing: the sender could not read the file at all."""
        parts = self._entries[index][1]
        if self._handle >= 0 and not os.fstat(self._handle).st_size:
            self.let_go()  # Windows removes no open file
            with contextlib.suppress(OSError):
                self._folders.at(parts[:-1]).remove(partial_name(parts[-1]))

    def let_go(self) -> None:
        """Close the file; what has come of it stays to go on with."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with contextlib.suppress(OSError):  # what matters was looked at in `finish`
                os.close(handle)

    def settle(self) -> list[Trouble]:
        """Give the folders their modes and times, the inner ones first; return those that do not take them."""
        troubles = []
        for index in range(len(self._entries) - 1, -1, -1):
            entry, parts = self._entries[index]
            if entry.folder:
                try:
                    with translated(), as_far_as_it_goes():
                        self._folders.settle(parts, entry.mode, entry.mtime or None)
                except LeftOut as exc:
                    troubles.append(Trouble(index, str(exc)))
        self._folders.unmark()
        return troubles

    def close(self) -> None:
        """Close everything."""
        self.let_go()
        self._folders.close()

    def _look(self, index: int, entry: Entry, folder: Folder, name: str) -> Generator[Have | None, None, None]:
        """See whether a file, or a part of it, is there."""
        found = folder.look(name)
        if found is not None and not (
            stat.S_ISREG(found.st_mode) and (self._overwrite or found.st_size == entry.size)
        ):
            raise LeftOut(CONFLICT if stat.S_ISREG(found.st_mode) else "something that is no file has its name")
        partial = partial_name(name)
        wanted = (found is None or self._overwrite) and entry.size > 0 and len(self._prefixes) < MAX_PARTIALS
        if wanted and folder.look(partial) is not None:
            have = yield from self._look_at_partial(index, entry, folder, partial)
            if have is not None:
                yield have
                return
        if found is not None and found.st_size == entry.size:
            if found.st_nlink > 1 and (twin := folder.look(partial)) is not None and os.path.samestat(found, twin):
                folder.remove(
                    partial
                )  # this program was killed between giving the name and taking the other one away
            handle = folder.open(name, os.O_RDONLY)
            try:
                digests = yield from self._hash(handle, [entry.size])
            finally:
                os.close(handle)
            if digests:
                yield Have(index, True, self._overwrite, [(entry.size, digests[0].digest())])

    def _look_at_partial(
        self, index: int, entry: Entry, folder: Folder, partial: str
    ) -> Generator[None, None, Have | None]:
        handle = open_partial(folder, partial)
        try:
            seen = _state(handle)
            lengths = checkpoints(min(os.fstat(handle).st_size, entry.size))
            hashes = yield from self._hash(handle, lengths)
        finally:
            os.close(handle)
        self._prefixes[index] = dict(zip(lengths, hashes, strict=False))
        self._seen[index] = seen
        told = [(length, digest.digest()) for length, digest in self._prefixes[index].items()]
        return Have(index, False, True, told) if told else None

    def _hash(self, handle: int, lengths: list[int]) -> Generator[None, None, list[Hasher]]:
        """Return the hashes of beginnings of these lengths; fewer if the file is shorter."""
        digest, done, found = hasher(), 0, list[Hasher]()
        for length in lengths:
            while done < length:
                data = self._spare[: length - done]
                count = read_into(handle, data)
                if not count:
                    return found
                digest.update(data[:count])
                done += count
                if done % SLICE < count:
                    yield
            found.append(digest.copy())
        return found


def cannot_open(exc: OSError) -> IncompleteTransfer:
    """Return what is to be told of a target folder that cannot be used."""
    return IncompleteTransfer(f"The receiver cannot write to its target folder: {why(exc)}.")


def _state(handle: int) -> tuple[int, ...]:
    status = os.fstat(handle)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
