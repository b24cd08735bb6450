"""The mailboxes of a switchboard: docs/protocol.md, section 1, without a network.

A pure core. The shell numbers its connections and calls, with the time of one
monotonic clock in seconds:

* `Mailboxes.receive` for every frame of a connection;
* `Mailboxes.disconnected` once a connection is gone, whatever the reason;
* `Mailboxes.expire` when `Mailboxes.next_deadline` has come.

Each returns effects: pairs of a connection and what to do with it, in order: a
frame to send, or `HangUp`. After `HangUp` the core has forgotten the
connection, and the shell passes nothing on from it.

The two sides of a mailbox move independently, as `MOVES` says::

    EMPTY --> CONNECTED <--> AWAY       connection lost, come back or taken over
                  |   ^
                  v   |
                  DONE  --> EMPTY       its can left; emptied when the peer is replaced
"""

from __future__ import annotations

import hmac
import logging
import random
from dataclasses import dataclass

from tincan.meet.mailbox import Side
from tincan.meet.nameplate import nameplate_code
from tincan.switchboard import frames
from tincan.switchboard.frames import ErrorCode
from tincan.switchboard.metrics import Metrics
from tincan.switchboard.quotas import Ledger, MailboxLimits
from tincan.switchboard.store import Line, LineState, MailboxRecord, MemoryStore, Store

_log = logging.getLogger(__name__)

_NAME_BYTES = 12
"""Enough that no name ever comes twice and nobody guesses one."""

_NAMEPLATE_DIGITS = range(3, 10)
_NAMEPLATE_TRIES = 16
"""At most half of a range is in use, so this many random numbers all being taken is no accident:
somebody occupies the codes of nameplates by hand. Then the next longer range is used."""

MOVES = {
    LineState.EMPTY: {LineState.CONNECTED},
    LineState.CONNECTED: {LineState.AWAY, LineState.DONE},
    LineState.AWAY: {LineState.CONNECTED},
    LineState.DONE: {LineState.CONNECTED, LineState.EMPTY},
}


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection, after what was sent to it before."""


Effect = tuple[int, frames.ServerFrame | HangUp]


class _Refused(Exception):
    """A frame that is answered with an error."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Mailboxes:
    """All mailboxes of one switchboard.

    ``rng`` makes names and nameplates; outside of tests it is `random.SystemRandom`.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        store: Store | None = None,
        limits: MailboxLimits | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._rng = rng
        self._store: Store = MemoryStore() if store is None else store
        self._limits = limits or MailboxLimits()
        self._metrics = metrics or Metrics()
        self._ledger = Ledger(self._limits, self._store)
        self._seats: dict[int, tuple[str, Side]] = {}

    def __len__(self) -> int:
        return len(self._store)

    def receive(self, connection: int, frame: frames.ClientFrame, *, address: str, now: float) -> list[Effect]:
        """Take one frame of ``connection``, which comes from ``address`` (an `address_key`)."""
        was_seated = connection in self._seats
        effects = self.expire(now)
        if was_seated and connection not in self._seats:
            return effects  # its mailbox has just expired
        try:
            if isinstance(frame, frames.Open):
                effects += self._open(connection, frame, address, now)
            elif isinstance(frame, frames.Send):
                effects += self._send(connection, frame)
            else:
                effects += self._close(connection, done=frame.done)
        except _Refused as refusal:
            self.disconnected(connection)
            effects += [(connection, frames.Error(refusal.code, refusal.text)), (connection, HangUp())]
        self._metrics.mailboxes = len(self._store)
        return effects

    def disconnected(self, connection: int) -> None:
        """Take note that ``connection`` is gone. Its side waits for it to come back."""
        seat = self._seats.pop(connection, None)
        if seat is not None:
            record = self._record(seat[0])
            self._move(record, seat[1], LineState.AWAY)
            self._store.put(record)

    def next_deadline(self) -> float | None:
        """Return when `expire` must be called next, if at all."""
        oldest = next(iter(self._store), None)
        return None if oldest is None else oldest.expires

    def expire(self, now: float) -> list[Effect]:
        """Delete the mailboxes whose time is over and tell the cans in them."""
        effects: list[Effect] = []
        while (oldest := next(iter(self._store), None)) is not None and oldest.expires <= now:
            for connection in self._delete(oldest):
                error = frames.Error(ErrorCode.EXPIRED, "The mailbox was open for too long and is deleted.")
                effects += [(connection, error), (connection, HangUp())]
            self._metrics.expired += 1
        self._metrics.mailboxes = len(self._store)
        return effects

    # -- the three frames --

    def _open(self, connection: int, frame: frames.Open, address: str, now: float) -> list[Effect]:
        if connection in self._seats:
            raise _Refused(ErrorCode.MALFORMED, "A connection opens one mailbox.")
        if frame.code is None and frame.side is Side.TAP:
            raise _Refused(ErrorCode.MALFORMED, "A nameplate is given to the attaching side only.")
        nameplate = None
        record = None if frame.code is None else self._store.get(frame.code)
        if record is None:
            code = frame.code
            if code is None:
                nameplate, code = self._free_nameplate()
            record = self._make(code, nameplate, address, now)
        effects = self._take(record, frame, connection)
        self._store.put(record)
        self._metrics.opened += 1
        shown = None if nameplate is None else str(nameplate)
        seen = frame.seen if frame.resume == record.name else 0
        theirs = record.lines[frame.side.other].messages
        effects.append((connection, frames.Opened(record.name, shown)))
        effects += [(connection, frames.Message(seq, theirs[seq])) for seq in range(seen, len(theirs))]
        return effects

    def _take(self, record: MailboxRecord, frame: frames.Open, connection: int) -> list[Effect]:
        """Seat ``connection`` and return what others must hear of it."""
        line, other = record.lines[frame.side], record.lines[frame.side.other]
        effects: list[Effect] = []
        same_can = hmac.compare_digest(line.token, frame.token)
        if not same_can and line.state is LineState.CONNECTED:
            raise _Refused(ErrorCode.BUSY, "The line is busy: somebody else is on this side of it.")
        if frame.resume == record.name and frame.seen > len(other.messages):
            raise _Refused(ErrorCode.MALFORMED, "More messages were seen than there are.")
        if line.connection is not None:
            # The can has noticed before us that its old connection is dead.
            effects.append((line.connection, HangUp()))
            del self._seats[line.connection]
        elif not same_can and line.state is not LineState.EMPTY:
            self._reset(record, frame.side)
            if other.connection is not None:
                effects.append((other.connection, frames.Reset(record.name)))
        line.token = frame.token
        self._move(record, frame.side, LineState.CONNECTED, connection)
        return effects

    def _send(self, connection: int, frame: frames.Send) -> list[Effect]:
        record, side = self._seat(connection)
        line, other = record.lines[side], record.lines[side.other]
        count = len(line.messages)
        if frame.seq < count or frame.mailbox not in (None, record.name):
            return []  # sent again after a reconnection, or meant for what a reset has wiped out
        if frame.seq > count:
            raise _Refused(ErrorCode.MALFORMED, "A message is missing before this one.")
        if count >= self._limits.messages:
            raise _Refused(ErrorCode.TOO_LARGE, f"A side may leave {self._limits.messages} messages.")
        _refuse(self._ledger.refuses_bytes(record.address, len(frame.body)))
        line.messages.append(frame.body)
        self._ledger.add_bytes(record.address, len(frame.body))
        self._store.put(record)
        self._metrics.messages += 1
        self._metrics.bytes += len(frame.body)
        return [] if other.connection is None else [(other.connection, frames.Message(frame.seq, frame.body))]

    def _close(self, connection: int, *, done: bool) -> list[Effect]:
        record, side = self._seat(connection)
        effects: list[Effect] = [(connection, HangUp())]
        del self._seats[connection]
        self._move(record, side, LineState.DONE)
        if not done:
            for other in self._delete(record):
                effects += [(other, frames.Gone()), (other, HangUp())]
        elif record.lines[side.other].state is LineState.DONE:
            self._delete(record)
            self._metrics.completed += 1
        else:
            self._store.put(record)
        return effects

    # -- mailboxes --

    def _make(self, code: str, nameplate: int | None, address: str, now: float) -> MailboxRecord:
        _refuse(self._ledger.refuses_mailbox(address))
        record = MailboxRecord(code, self._new_name(), now + self._limits.lifetime, address, nameplate)
        self._store.put(record)
        self._ledger.add(record)
        return record

    def _delete(self, record: MailboxRecord) -> list[int]:
        """Forget a mailbox; return the connections that were in it."""
        self._store.delete(record.code)
        self._ledger.remove(record)
        connections = [line.connection for line in record.lines.values() if line.connection is not None]
        for connection in connections:
            del self._seats[connection]
        return connections

    def _reset(self, record: MailboxRecord, side: Side) -> None:
        """Begin anew, since another can takes ``side``. The mailbox does not become younger."""
        self._ledger.add_bytes(record.address, -record.size)
        record.name = self._new_name()
        for line in record.lines.values():
            line.messages.clear()
        if record.lines[side.other].state is LineState.DONE:
            # Its can has finished with the one that was replaced. Whoever comes
            # next on that side replaces nobody, so there is no second reset.
            self._move(record, side.other, LineState.EMPTY)

    def _move(self, record: MailboxRecord, side: Side, new: LineState, connection: int | None = None) -> None:
        """Change one side's state: the only place that does."""
        line: Line = record.lines[side]
        if line.state is not new:
            if new not in MOVES[line.state]:
                raise RuntimeError(f"no move from {line.state} to {new}")
            _log.debug("%s side: %s -> %s", side.value, line.state.value, new.value)
        line.state = new
        line.connection = connection
        if connection is not None:
            self._seats[connection] = (record.code, side)
        if new is LineState.EMPTY:
            line.token = ""

    def _seat(self, connection: int) -> tuple[MailboxRecord, Side]:
        if connection not in self._seats:
            raise _Refused(ErrorCode.MALFORMED, "The first frame must be open.")
        code, side = self._seats[connection]
        return self._record(code), side

    def _record(self, code: str) -> MailboxRecord:
        record = self._store.get(code)
        if record is None:
            raise RuntimeError("the store has lost a mailbox that is in use")
        return record

    def _new_name(self) -> str:
        return self._rng.randbytes(_NAME_BYTES).hex()

    def _free_nameplate(self) -> tuple[int, str]:
        for digits in _NAMEPLATE_DIGITS:
            lowest = 10 ** (digits - 1)
            size = 9 * lowest
            if self._ledger.nameplates(digits) * 2 >= size:
                continue
            for _ in range(_NAMEPLATE_TRIES):
                number = lowest + self._rng.randrange(size)
                code = nameplate_code(number)
                if self._store.get(code) is None:
                    return number, code
        raise _Refused(ErrorCode.FULL, _QUOTA_TEXTS[ErrorCode.FULL])


_QUOTA_TEXTS = {
    ErrorCode.FULL: "This switchboard is full. Try again in a few minutes, or use another one.",
    ErrorCode.RATE: "Too much is open from this address. Try again in a few minutes.",
}


def _refuse(code: ErrorCode | None) -> None:
    if code is not None:
        raise _Refused(code, _QUOTA_TEXTS[code])
