"""How much the mailboxes may hold, in all and for one address, and how much they hold now.

One mailbox may hold 4 MiB, so a cap on their number alone would leave a
switchboard open to being filled with tens of GiB; bytes are counted too. An
ordinary meeting needs about 10 KiB.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from dataclasses import dataclass

from tincan.switchboard.frames import ErrorCode
from tincan.switchboard.store import MailboxRecord


@dataclass(frozen=True, slots=True)
class MailboxLimits:
    """Limits of the mailboxes. Messages a side and lifetime are the protocol's."""

    lifetime: float = 600
    """Seconds from the making of a mailbox to its end."""
    messages: int = 64
    """Messages that one side may leave."""
    mailboxes: int = 10_000
    mailboxes_per_address: int = 32
    bytes: int = 512 * 1024 * 1024
    bytes_per_address: int = 16 * 1024 * 1024


class Ledger:
    """What is held now, counted as it changes. Begins with what a store already holds."""

    def __init__(self, limits: MailboxLimits, records: Iterable[MailboxRecord]) -> None:
        self._limits = limits
        self._mailboxes = 0
        self._bytes = 0
        self._address_mailboxes: collections.Counter[str] = collections.Counter()
        self._address_bytes: collections.Counter[str] = collections.Counter()
        self._nameplates: collections.Counter[int] = collections.Counter()
        for record in records:
            self.add(record)

    def refuses_mailbox(self, address: str) -> ErrorCode | None:
        """Why ``address`` cannot have one more mailbox, or None when it can."""
        if self._mailboxes >= self._limits.mailboxes:
            return ErrorCode.FULL
        if self._address_mailboxes[address] >= self._limits.mailboxes_per_address:
            return ErrorCode.RATE
        return None

    def refuses_bytes(self, address: str, size: int) -> ErrorCode | None:
        """Why a mailbox of ``address`` cannot take ``size`` more bytes, or None when it can."""
        if self._bytes + size > self._limits.bytes:
            return ErrorCode.FULL
        if self._address_bytes[address] + size > self._limits.bytes_per_address:
            return ErrorCode.RATE
        return None

    def nameplates(self, digits: int) -> int:
        """Return how many nameplates of that many digits are in use."""
        return self._nameplates[digits]

    def add(self, record: MailboxRecord) -> None:
        """Count a mailbox that was made."""
        self._count(record, 1)
        self.add_bytes(record.address, record.size)

    def remove(self, record: MailboxRecord) -> None:
        """Count a mailbox out, with what is in it now."""
        self.add_bytes(record.address, -record.size)
        self._count(record, -1)

    def add_bytes(self, address: str, size: int) -> None:
        """Count ``size`` bytes in (or out, when negative) of a mailbox of ``address``."""
        self._bytes += size
        _change(self._address_bytes, address, size)

    def _count(self, record: MailboxRecord, by: int) -> None:
        self._mailboxes += by
        _change(self._address_mailboxes, record.address, by)
        if record.nameplate is not None:
            self._nameplates[len(str(record.nameplate))] += by


def _change(counter: collections.Counter[str], key: str, by: int) -> None:
    """Count, and forget a key that is back at zero: an address is not kept for longer than needed."""
    counter[key] += by
    if counter[key] == 0:
        del counter[key]
