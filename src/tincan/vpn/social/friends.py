"""The file that the book of friends is kept in, this user's alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import msgspec

from tincan import storage
from tincan.errors import UsageError
from tincan.vpn.social.book import Book

FILE: Final = "friends.json"

T = TypeVar("T")

_decoder = msgspec.json.Decoder(Book)


def read() -> Book:
    """Return this user's friends; `UsageError` when the file is damaged."""
    return _decoded(storage.read(FILE))


def _decoded(content: bytes | None) -> Book:
    if content is None:
        return Book()
    try:
        return _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise UsageError(f"{storage.data_folder() / FILE} is damaged, or of a newer tin-can: {exc}.") from None


def change(how: Callable[[Book], tuple[Book, T]]) -> T:
    """Replace the book by another one made of it, and return what came with that."""
    with storage.locked(FILE):
        before = read()
        after, result = how(before)
        if after != before:
            storage.write(FILE, msgspec.json.format(msgspec.json.encode(after)) + b"\n")
        return result


class Shelf(Protocol):
    """Where a book is."""

    def read(self) -> Book:
        """Return the book as it is now; `UsageError` when it is damaged."""

    def change(self, how: Callable[[Book], tuple[Book, T]]) -> T:
        """Replace the book by another one made of it, and return what came with that."""


class FileShelf:
    """The file of this user. It may be looked into often: the same content is the same book."""

    def __init__(self) -> None:
        self._content: bytes | None = None
        self._book = Book()

    def read(self) -> Book:
        """See `Shelf.read`."""
        content = storage.read(FILE)
        if content != self._content:
            self._book, self._content = _decoded(content), content
        return self._book

    def change(self, how: Callable[[Book], tuple[Book, T]]) -> T:
        """See `Shelf.change`."""
        return change(how)


class MemoryShelf:
    """For tests: a book in memory."""

    def __init__(self, book: Book | None = None) -> None:
        self.book = book or Book()

    def read(self) -> Book:
        """See `Shelf.read`."""
        return self.book

    def change(self, how: Callable[[Book], tuple[Book, T]]) -> T:
        """See `Shelf.change`."""
        self.book, result = how(self.book)
        return result
