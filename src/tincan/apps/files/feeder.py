"""The sender's worker: turns files into frames, one buffer of about a MiB at a time.

It runs in a thread, beside the loop that writes the buffer before it. Many
small files go into one buffer and one thread call; large ones are read
straight into it, and hashed there. Written as one generator that pauses
whenever a buffer is full, so that the state of a half-sent file is simply
where it stopped.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Container, Generator, Iterable, Sequence

from tincan.apps.files.frames import (
    AROUND_WHOLE,
    DATA_KIND,
    HEADER,
    MAX_DATA,
    MAX_WHOLE,
    Control,
    Different,
    End,
    Entry,
    Have,
    Same,
    Start,
    cut,
    encode,
    put_around_whole,
    whole_content,
)
from tincan.apps.files.hashing import Hasher, digest_of, hasher
from tincan.apps.files.plain import read_into, why
from tincan.apps.files.sender import Job

ROOM_FOR_FRAMES = 8192
"""What a buffer keeps free for the frames around the content: the longest END and START fit twice."""

SLICE = 16 * MAX_DATA
"""Bytes hashed of what the receiver has, before the loop may say that this side is busy."""

HOT = 128 * 1024
"""Bytes read, and then hashed: few enough that they are still in the processor's own cache."""

PATIENCE = 0.5
"""Seconds to wait for standard input before the loop gets its turn."""

_CHANGED = "it changed while it was read"
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


class _Changed(Exception):
    """The file is not what was offered any more."""


class Feeder:
    """Makes the frames for a list of jobs. One thread at a time may call `fill`."""

    def __init__(
        self, entries: Sequence[Entry], paths: Sequence[str], jobs: Iterable[Job], left_out: Container[int]
    ) -> None:
        """``left_out``: files that need not be sent any more; looked at again before every piece."""
        self.finished = False
        self.name = ""
        self._entries = entries
        self._paths = paths
        self._left_out = left_out
        self._results: list[tuple[int, str]] = []
        self._content = self._skipped = 0
        self._view = memoryview(b"")
        self._used = 0
        self._handle = -1
        self._spare = memoryview(bytearray(MAX_DATA))
        self._steps = self._work(jobs)

    def fill(self, buffer: memoryview) -> tuple[int, int, int, list[tuple[int, str]]]:
        """Fill a buffer; return how much is used, how much of that is content, what need not travel, and the ends.

        A file ends with an empty string, or with what is wrong with it. May
        use nothing of the buffer when it had to hash; `finished` says whether
        there is more to come.
        """
        self._view, self._used, self._results = buffer, 0, []
        self._content = self._skipped = 0
        try:
            next(self._steps)
        except StopIteration:
            self.finished = True
        self._view = memoryview(b"")
        return self._used, self._content, self._skipped, self._results

    def close(self) -> None:
        """Close what is open."""
        self._steps.close()

    def _work(self, jobs: Iterable[Job]) -> Generator[None, None, None]:
        for job in jobs:
            if job.index in self._left_out:
                self._skipped += max(self._entries[job.index].size, 0)
                # The receiver still has to see an end of it.
                yield from self._put(Start(job.index, 0))
                yield from self._put(End(job.index, 0, b"", "it was left out"))
                continue
            size = self._entries[job.index].size
            if job.have is None and 0 <= size <= MAX_WHOLE:
                if len(self._view) - self._used < size + AROUND_WHOLE:
                    yield
                if self._send_whole(job.index, size):
                    continue
            try:
                yield from self._send(job)
            finally:
                self._close()

    def _send_whole(self, index: int, size: int) -> bool:
        """Put a small file into one frame. When anything about it is unusual, do nothing: `_send` finds out what."""
        self.name = self._entries[index].name
        room = whole_content(self._view, self._used, size + 1)  # one byte more, so that a file that has more shows
        try:
            handle = os.open(self._paths[index], _OPEN_FLAGS)
            try:
                count = read_into(handle, room)
                status = os.fstat(handle)
            finally:
                os.close(handle)
        except OSError:
            return False
        if count != size or not _is(status, self._entries[index]):
            return False
        self._used = put_around_whole(self._view, self._used, index, size, digest_of(room[:size]))
        self._content += size
        self._results.append((index, ""))
        return True

    def _close(self) -> None:
        if self._handle > 0:
            os.close(self._handle)
        self._handle = -1

    def _send(self, job: Job) -> Generator[None, None, None]:
        self.name = self._entries[job.index].name
        started = False
        read = 0
        try:
            before = self._open(job.index)
            digest, offset = hasher(), 0
            if job.have is not None:
                digest, offset, over = yield from self._compare(job.index, job.have)
                if over:
                    return
            yield from self._put(Start(job.index, offset))
            started, read = True, offset
            self._skipped += offset
            problem = ""
            size = self._entries[job.index].size
            while read != size and not problem:
                count = yield from self._piece(digest, size - read if size >= 0 else MAX_DATA)
                read += count
                if job.index in self._left_out:
                    problem = "it was left out"
                elif not count and size >= 0:
                    problem = _CHANGED
                elif not count:
                    break
            if before is not None and not problem:
                if _differs(before, os.fstat(self._handle)):
                    problem = _CHANGED
                elif read_into(self._handle, self._spare[:1]):
                    problem = "it holds more than its size says"  # /proc is full of such files
        except _Changed as exc:
            problem = str(exc)
        except OSError as exc:
            problem = f"the sender cannot read it: {why(exc)}"
        if job.have is not None and job.have.complete and not started:
            yield from self._put(Different(job.index, cut(problem)), job.index, problem)
            return
        if not started:
            yield from self._put(Start(job.index, 0))
        self._skipped += max(self._entries[job.index].size - read, 0)
        yield from self._put(
            End(job.index, read, b"" if problem else digest.digest(), cut(problem)), job.index, problem
        )

    def _open(self, index: int) -> os.stat_result | None:
        path = self._paths[index]
        if not path:
            self._handle = 0
            return None
        self._handle = os.open(path, _OPEN_FLAGS)
        status = os.fstat(self._handle)
        if not _is(status, self._entries[index]):
            raise _Changed("it changed after it was offered")
        return status

    def _piece(self, digest: Hasher, wanted: int) -> Generator[None, None, int]:
        """Read the next bytes straight into the buffer, behind a header; return how many."""
        while self._handle == 0 and not _readable(0 if self._used else PATIENCE):
            yield  # what is there goes out, and the loop can stop this
        room = len(self._view) - self._used - HEADER.size
        if room < min(wanted, MAX_DATA // 2) + ROOM_FOR_FRAMES:
            yield
        begin = self._used + HEADER.size
        room = min(len(self._view) - begin - ROOM_FOR_FRAMES, MAX_DATA, wanted)
        target = self._view[begin : begin + room]
        count = 0
        while came := read_into(self._handle, target[count : count + HOT]):
            digest.update(target[count : count + came])
            count += came
            if count == room or self._handle == 0:
                break  # what comes from a pipe goes on as it comes
        if count:
            HEADER.pack_into(self._view, self._used, count, DATA_KIND)
            self._used = begin + count
            self._content += count
        return count

    def _compare(self, index: int, have: Have) -> Generator[None, None, tuple[Hasher, int, bool]]:
        """Hash the beginning; return the hash and place to go on from, and whether nothing is to be sent."""
        digest: Hasher = hasher()
        best: tuple[Hasher, int] = hasher(), 0
        done = 0
        spare = self._spare
        for length, theirs in have.checkpoints:
            while done < length:
                count = read_into(self._handle, spare[: length - done])
                if not count:
                    raise _Changed(_CHANGED)
                digest.update(spare[:count])
                done += count
                if done % SLICE < count:
                    yield
            if digest.digest() != theirs:
                break
            best = digest.copy(), length
        if have.complete and best[1] == self._entries[index].size and best[0].digest() == have.checkpoints[-1][1]:
            self._skipped += best[1]
            yield from self._put(Same(index), index)
            return digest, 0, True
        if have.complete and not have.replace:
            problem = "another file of that name is there already; receiving with --overwrite replaces it"
            self._skipped += self._entries[index].size
            yield from self._put(Different(index, problem), index, problem)
            return digest, 0, True
        place = 0 if have.complete else best[1]
        os.lseek(self._handle, place, os.SEEK_SET)
        return (hasher(), 0, False) if place == 0 else (*best, False)

    def _put(self, frame: Control, ended: int = -1, problem: str = "") -> Generator[None, None, None]:
        data = encode(frame)
        if len(self._view) - self._used < len(data):
            yield
        self._view[self._used : self._used + len(data)] = data
        self._used += len(data)
        if ended >= 0:
            self._results.append((ended, problem))


def _readable(seconds: float) -> bool:
    """Whether standard input has something, or its end; on Windows one can only go and see."""
    return os.name == "nt" or bool(select.select([0], [], [], seconds)[0])


def _is(status: os.stat_result, entry: Entry) -> bool:
    """Whether it still is what was offered."""
    return stat.S_ISREG(status.st_mode) and status.st_size == entry.size and status.st_mtime_ns == entry.mtime


def _differs(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
