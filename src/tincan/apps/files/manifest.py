"""What is offered: the list of files and folders, made by one side and checked by the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tincan.apps.files.events import Offered, TopEntry
from tincan.apps.files.frames import (
    MAX_ENTRIES,
    MAX_MANIFEST,
    VERSION,
    Entries,
    Entry,
    Offer,
    body_of,
    encode,
)
from tincan.apps.files.hashing import hasher
from tincan.apps.files.names import System, places
from tincan.errors import ProtocolError, UsageError

PER_FRAME = 200
"""Entries in one ENTRIES frame: with the longest names it still is below its limit."""

MAX_TOP = 10
"""Top-level entries that a person is shown."""


class Manifest(msgspec.Struct, frozen=True):
    """Everything that one transfer is about. ``id`` is the same when everything else is."""

    id: bytes
    entries: Sequence[Entry]
    total: int

    @property
    def resumable(self) -> bool:
        """Whether a second attempt would send the same: not when something comes from a pipe."""
        return all(entry.size >= 0 for entry in self.entries)


def make_manifest(entries: Sequence[Entry]) -> Manifest:
    """Return the manifest of these entries; `UsageError` when there are too many."""
    if len(entries) > MAX_ENTRIES:
        raise UsageError(f"These are more than {MAX_ENTRIES} files and folders; pack them into one file first.")
    digest, size = hasher(), 0
    for frame in _frames(entries):
        body = body_of(frame)
        size += len(body)
        digest.update(body)
    if size > MAX_MANIFEST:
        raise UsageError("The names of these files take more than 64 MiB; pack them into one file first.")
    total = sum(entry.size for entry in entries if entry.size > 0)
    return Manifest(digest.digest(), entries, total)


def offer_frames(manifest: Manifest) -> Iterator[bytes]:
    """Yield what tells the receiver of a manifest."""
    yield encode(Offer(VERSION, manifest.id, len(manifest.entries), manifest.total))
    for frame in _frames(manifest.entries):
        yield encode(frame)


class ManifestReader:
    """Puts a peer's manifest together, and refuses it the moment it lies."""

    def __init__(self, offer: Offer) -> None:
        if offer.version > VERSION:
            raise ProtocolError("The sender speaks a newer file transfer than this side; upgrade this side.")
        if offer.entries == 0:
            raise ProtocolError("The peer offers nothing at all; refused.")
        self._offer = offer
        self._entries: list[Entry] = []
        self._size = 0
        self._total = 0
        self._hasher = hasher()

    @property
    def complete(self) -> bool:
        """Whether all entries are here."""
        return len(self._entries) == self._offer.entries

    def add(self, frame: Entries) -> None:
        """Take more entries."""
        body = body_of(frame)
        self._size += len(body)
        self._hasher.update(body)
        self._entries += frame.entries
        if len(self._entries) > self._offer.entries or self._size > MAX_MANIFEST:
            raise ProtocolError("The peer offers more files than it said; refused.")
        for entry in frame.entries:
            if entry.size > 0:
                self._total += entry.size
            if entry.folder and entry.size:
                raise ProtocolError("The peer offers a folder with a content of its own; refused.")
        if self._total > self._offer.total:
            raise ProtocolError("The peer offers more bytes than it said; refused.")

    def finish(self, system: System) -> tuple[Manifest, list[tuple[str, ...]]]:
        """Return the manifest, and the safe place of each of its entries."""
        if self._total != self._offer.total:
            raise ProtocolError("The peer offers fewer bytes than it said; refused.")
        if self._hasher.digest() != self._offer.id:
            raise ProtocolError("The list of files is not the one whose checksum the peer sent; refused.")
        safe = places(((entry.name, entry.folder) for entry in self._entries), system)
        return Manifest(self._offer.id, self._entries, self._total), safe


def describe(manifest: Manifest, safe: Sequence[tuple[str, ...]]) -> Offered:
    """Return what a person has to know to say yes or no."""
    sizes: dict[str, int] = {}
    folders: set[str] = set()
    files = 0
    for entry, parts in zip(manifest.entries, safe, strict=True):
        top = parts[0]
        sizes[top] = sizes.get(top, 0) + max(entry.size, 0)
        files += not entry.folder
        if entry.folder or len(parts) > 1:
            folders.add(top)
    shown = [
        TopEntry(name, sizes[name], name in folders)
        for name in sorted(sizes, key=lambda name: not name.startswith("."))[:MAX_TOP]
    ]
    total = manifest.total if manifest.resumable else None
    return Offered(files, len(manifest.entries) - files, total, tuple(shown), len(sizes) - len(shown))


def _frames(entries: Sequence[Entry]) -> Iterator[Entries]:
    for begin in range(0, len(entries), PER_FRAME):
        yield Entries(list(entries[begin : begin + PER_FRAME]))
