"""Words between the two data planes of a link: probes of the path's size, their answers, and nothing at all.

The body of a datagram of the kind `wire.CONTROL`: one byte that says what, and
for probe and answer the size in two bytes. A probe is filled up with zeros to
the size it speaks of. What is not understood is ignored, so that more can be added.
"""

from __future__ import annotations

NOTHING, PROBE, ANSWER = 0, 1, 2


def nothing() -> bytes:
    """Give a word that only shows that we are there, in our present epoch."""
    return bytes((NOTHING,))


def probe(size: int) -> bytes:
    """Give a probe that is as large as a packet of `size` bytes."""
    return (bytes((PROBE,)) + size.to_bytes(2, "big")).ljust(size, b"\0")


def answer(size: int) -> bytes:
    """Give the answer to a probe that came."""
    return bytes((ANSWER,)) + size.to_bytes(2, "big")


def read(body: bytes) -> tuple[int, int] | None:
    """Give what is said, and the size; None if it is not understood. A probe counts for as much as has come."""
    if len(body) < 3 or body[0] not in (PROBE, ANSWER):
        return None
    said = int.from_bytes(body[1:3], "big")
    if body[0] == PROBE and said != len(body):
        return None
    return body[0], said
