"""The relay of the classic tin-can (docs/protocol.md section 4): an offer and an answer under a code. Pure.

Whoever knows a code may read and replace what lies under it; that is how this
dialect is, and why our own cans do not use it unless they are told to. Blobs
are forgotten after ten minutes. Beyond that:

* another offer takes the answer to the earlier one away;
* an offer whose answer has been fetched is spent and found no more, so that
  the same secret can be used again at once. The answer stays, in case its
  fetcher lost it on the way.
"""

from __future__ import annotations

import collections
import enum
import re
from dataclasses import dataclass
from typing import Final

CODE: Final = re.compile(r"[0-9a-f]{12}")
BLOB: Final = re.compile(r"[A-Za-z0-9+/_=-]+")


class What(enum.Enum):
    """The two kinds of blobs."""

    OFFER = "offer"
    KNOT_TIE = "knot-tie"


class Refusal(enum.Enum):
    """Why a blob is not taken."""

    FULL = "full"
    """The relay holds as much as it may."""
    RATE = "rate"
    """This address has left as much as it may."""


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """How much is held, and for how long."""

    lifetime: float = 600
    """Seconds from leaving a blob to its end."""
    blob: int = 64 * 1024
    """Characters of one; an offer with ten candidates has about 3,000."""
    blobs: int = 10_000
    blobs_per_address: int = 64
    characters: int = 64 * 1024 * 1024
    """Of all blobs together."""


@dataclass(slots=True)
class _Blob:
    text: str
    expires: float
    address: str
    spent: bool = False


class ClassicRelay:
    """The blobs of all codes. ``now`` is in seconds of one steady clock; addresses are `address_key`s."""

    def __init__(self, limits: RelayLimits | None = None) -> None:
        self.limits = limits or RelayLimits()
        # In the order of their ends: every new one goes to the back.
        self._blobs: collections.OrderedDict[tuple[What, str], _Blob] = collections.OrderedDict()
        self._of_address: collections.Counter[str] = collections.Counter()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._blobs)

    def put(self, what: What, code: str, text: str, *, address: str, now: float) -> Refusal | None:
        """Keep a blob under a code, in the place of what was there; or say why not."""
        self.expire(now)
        there = self._blobs.get((what, code))
        freed = len(there.text) if there else 0
        if self._characters - freed + len(text) > self.limits.characters:
            return Refusal.FULL
        if there is None and len(self._blobs) >= self.limits.blobs:
            return Refusal.FULL
        if (there is None or there.address != address) and (
            self._of_address[address] >= self.limits.blobs_per_address
        ):
            return Refusal.RATE
        if what is What.OFFER and (there is None or there.spent or there.text != text):
            self._remove((What.KNOT_TIE, code))
        self._remove((what, code))
        self._blobs[what, code] = _Blob(text, now + self.limits.lifetime, address)
        self._of_address[address] += 1
        self._characters += len(text)
        return None

    def get(self, what: What, code: str, *, now: float) -> str | None:
        """Return the blob under a code, if there is one."""
        self.expire(now)
        blob = self._blobs.get((what, code))
        if blob is None or blob.spent:
            return None
        if what is What.KNOT_TIE and (answered := self._blobs.get((What.OFFER, code))) is not None:
            answered.spent = True
        return blob.text

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        return next(iter(self._blobs.values())).expires if self._blobs else None

    def expire(self, now: float) -> None:
        """Forget what is too old."""
        while self._blobs:
            key, blob = next(iter(self._blobs.items()))
            if blob.expires > now:
                return
            self._remove(key)

    def _remove(self, key: tuple[What, str]) -> None:
        blob = self._blobs.pop(key, None)
        if blob is not None:
            self._characters -= len(blob.text)
            self._of_address[blob.address] -= 1
            if not self._of_address[blob.address]:
                del self._of_address[blob.address]
