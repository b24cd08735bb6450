"""Many connections over one byte stream, without any input or output; docs/forward.md is its wire format.

How to drive a `Mux`: call `receive` with whatever was read from the stream,
and the commands as local sockets wish. After each of these calls, and after
`data_to_send`, take the events with `take_events`; send what `data_to_send`
returns, in order. Bytes in a `Data` event must be used, or copied, before the
next `receive`. When a connection's local end is gone, call `release`.

When `receive` raises `ProtocolError` the stream is of no use any more.

What keeps one connection from harming the others:

* Credit. A side sends no more than the other has promised to hold; the promise
  starts at `WINDOW` and doubles, up to `MAX_WINDOW`, whenever half of it was
  used while the reader kept up. A reader that is slow holds at most its window.
* A purse. All promises together are at most `PURSE`, beyond which a connection
  gets `SMALL_WINDOW` and does not grow: `PURSE` + 2 * `MAX_CONNECTIONS` *
  `SMALL_WINDOW` bytes bound what all slow readers can hold, whatever the peer does.
* Turns. Connections that have something to send send one frame each in turn,
  and small frames about connections overtake data.
"""

from __future__ import annotations

from typing import Final

from tincan.apps.forward.connection import Connection
from tincan.apps.forward.events import Accepted, Asked, Data, Ended, MuxEvent, Refused, Reset, Writable
from tincan.apps.forward.frames import (
    MAX_ID,
    MAX_WHAT,
    Frame,
    FrameReader,
    Kind,
    encode,
    encode_text,
    header,
    text_of,
)
from tincan.apps.forward.outgoing import Outgoing
from tincan.apps.forward.states import State, Step
from tincan.apps.text import visible
from tincan.errors import ProtocolError, UsageError

MAX_CONNECTIONS: Final = 1024
"""Connections that each side may have opened at a time."""

WINDOW: Final = 256 * 1024
"""Bytes that a connection may have on the way, to begin with: as in yamux."""

MAX_WINDOW: Final = 4 * 1024 * 1024
"""What a fast one grows to: 4 MiB fill 320 Mbit/s at a round trip of 100 ms."""

PURSE: Final = 64 * 1024 * 1024
SMALL_WINDOW: Final = 32 * 1024

AHEAD: Final = 256 * 1024
"""Bytes of one connection that wait here for their turn, while there are few connections."""

ALL_AHEAD: Final = 16 * 1024 * 1024  # shared by many connections,
SMALL_AHEAD: Final = 16 * 1024  # of which each has this

MAX_CONTROL: Final = 8 * 1024 * 1024
"""Bytes of small frames that wait. An honest peer can cause about 3 MiB, by opening all it may and not reading."""

FULL: Final = f"The other can has {MAX_CONNECTIONS} connections already; close some and try again."


class TooManyConnections(UsageError):
    """This side has opened as many connections as the protocol lets it."""


class Mux:
    """One side of the multiplexer. ``odd``: whether the connections it opens have odd ids."""

    def __init__(self, *, odd: bool) -> None:
        self._reader = FrameReader()
        self._connections: dict[int, Connection] = {}
        self._next_id = 1 if odd else 2
        self._peer_next_id = 2 if odd else 1
        self._opened = {True: 0, False: 0}  # how many connections are ours, and the peer's
        self._promised = 0
        self._outgoing = Outgoing()
        self._events: list[MuxEvent] = []

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self._outgoing)

    def data_to_send(self, limit: int) -> bytes:
        """Return frames to send now: all small ones, and about ``limit`` bytes of DATA, the connections in turn."""
        return self._outgoing.take(limit, self._sent)

    def take_events(self) -> list[MuxEvent]:
        """Return what has happened; each event once."""
        events, self._events = self._events, []
        return events

    # Commands

    def open(self, what: bytes, *, carries_data: bool = True) -> int:
        """Ask the peer for a connection; return its id. Raises `TooManyConnections`.

        `Accepted` or `Refused` follows. ``carries_data``: False for one that only
        stands for something, as a listener does; nothing can be sent to us on it.
        """
        if self._opened[True] >= MAX_CONNECTIONS or self._next_id > MAX_ID:
            raise TooManyConnections(f"More than {MAX_CONNECTIONS} connections at a time cannot be forwarded.")
        if len(what) > MAX_WHAT:
            raise UsageError("What is to be forwarded has too long a name.")
        connection = self._add(self._next_id, ours=True)
        self._next_id += 2
        connection.move(Step.OPEN)
        self._outgoing.say(encode(Kind.OPEN, connection.id, what))
        if carries_data:
            self._promise(connection)
        return connection.id

    def accept(self, id: int, text: str = "", *, carries_data: bool = True) -> None:
        """Open a connection that the peer asked for."""
        connection = self._connections.get(id)
        if connection is not None:
            connection.move(Step.ACCEPT)
            self._outgoing.say(encode_text(Kind.ACCEPTED, id, text))
            if carries_data:
                self._promise(connection)
            self._tell_room(connection)

    def refuse(self, id: int, text: str) -> None:
        """Do not open a connection that the peer asked for, and say why."""
        connection = self._connections.get(id)
        if connection is not None:
            connection.move(Step.REFUSE)
            self._outgoing.say(encode_text(Kind.REFUSED, id, text))
            self._forget(connection)

    def room(self, id: int) -> int:
        """Return how many bytes `send` would take now. After a 0 a `Writable` tells when to ask again."""
        connection = self._connections.get(id)
        if connection is None:
            return 0
        room = self._room(connection)
        if room == 0:
            connection.waiting = True
        return room

    def send(self, id: int, data: bytes) -> None:
        """Send at most `room` bytes. On a connection that is reset meanwhile nothing happens."""
        connection = self._connections.get(id)
        if connection is None or not data:
            return
        if len(data) > self._room(connection):
            raise ValueError("more is sent than there is room for")
        connection.push(data)
        self._outgoing.queue(connection)

    def send_eof(self, id: int) -> None:
        """Say, after what was sent, that nothing more comes."""
        connection = self._connections.get(id)
        if connection is not None and connection.may_send:
            connection.move(Step.EOF)
            connection.eof_waits = True
            self._outgoing.queue(connection)

    def consumed(self, id: int, count: int) -> None:
        """So many bytes from `Data` events have been passed on, and no longer take memory."""
        connection = self._connections.get(id)
        if connection is None:
            return
        if (owed := connection.consume(count)) and connection.state in (State.OPEN, State.ENDED):
            owed += self._grow(connection)
            connection.allowance += owed
            self._outgoing.say(header(Kind.WINDOW, id, owed))

    def window(self, id: int) -> int:
        """Return how many bytes of the peer this connection may hold."""
        connection = self._connections.get(id)
        return connection.window if connection is not None else 0

    def release(self, id: int, text: str = "") -> None:
        """The local end is gone. A connection that is not closed in both directions is reset."""
        connection = self._connections.get(id)
        if connection is None:
            return
        connection.released = True
        if connection.state is State.CLOSED:
            self._forget_if_done(connection)
        elif connection.state is State.ASKED:
            self.refuse(id, text)
        else:
            connection.move(Step.RESET)
            self._outgoing.say(encode_text(Kind.RESET, id, text))
            self._forget(connection)

    # The peer

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Take what was read from the stream; raise `ProtocolError` when the peer broke the protocol."""
        for frame in self._reader.feed(data):
            self._take(frame)
        if self._outgoing.size > MAX_CONTROL:
            raise ProtocolError("The peer's forward asks for more and more without reading the answers.")

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.OPEN:
            self._take_open(frame)
            return
        connection = self._connections.get(frame.id)
        if connection is None:
            self._check_known(frame)  # it was closed here while this was on its way
            return
        match frame.kind:
            case Kind.DATA:
                connection.take(len(frame.payload))
                self._events.append(Data(frame.id, memoryview(frame.payload)))
            case Kind.WINDOW:
                connection.add_credit(frame.value)
                self._tell_room(connection)
            case Kind.ACCEPTED:
                connection.move(Step.PEER_ACCEPT)
                self._events.append(Accepted(frame.id, visible(text_of(frame))))
                self._tell_room(connection)
            case Kind.REFUSED:
                connection.move(Step.PEER_REFUSE)
                self._events.append(Refused(frame.id, visible(text_of(frame))))
                self._forget(connection)
            case Kind.EOF:
                connection.move(Step.PEER_EOF)
                self._events.append(Ended(frame.id))
            case Kind.RESET:
                connection.move(Step.PEER_RESET)
                self._events.append(Reset(frame.id, visible(text_of(frame))))
                self._forget(connection)

    def _take_open(self, frame: Frame) -> None:
        if frame.id < self._peer_next_id or self._is_ours(frame.id):
            raise ProtocolError(f"The peer's forward opened a connection with the wrong id {frame.id}.")
        self._peer_next_id = frame.id + 2
        if self._opened[False] >= MAX_CONNECTIONS:
            # Not against the rules: what the peer has closed may still be in use here.
            self._outgoing.say(encode_text(Kind.REFUSED, frame.id, FULL))
            return
        self._add(frame.id, ours=False).move(Step.PEER_OPEN)
        self._events.append(Asked(frame.id, bytes(frame.payload)))

    def _check_known(self, frame: Frame) -> None:
        if frame.id == 0 or frame.id >= (self._next_id if self._is_ours(frame.id) else self._peer_next_id):
            raise ProtocolError(f"The peer's forward sent {frame.kind.name} for a connection that never was.")

    def _is_ours(self, id: int) -> bool:
        return (id - self._next_id) % 2 == 0

    # The books

    def _add(self, id: int, *, ours: bool) -> Connection:
        connection = self._connections[id] = Connection(id, ours=ours)
        self._opened[ours] += 1
        return connection

    def _forget_if_done(self, connection: Connection) -> None:
        if connection.released and connection.state is State.CLOSED and not connection.queued:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        del self._connections[connection.id]
        self._opened[connection.ours] -= 1
        self._promised -= connection.window
        self._outgoing.drop(connection)

    def _sent(self, connection: Connection) -> None:
        self._forget_if_done(connection)
        self._tell_room(connection)

    def _room(self, connection: Connection) -> int:
        if not connection.may_send:
            return 0
        ahead = max(SMALL_AHEAD, min(AHEAD, ALL_AHEAD // len(self._connections)))
        return max(0, min(connection.credit, ahead - connection.pending))

    def _tell_room(self, connection: Connection) -> None:
        if connection.waiting and self._room(connection) > 0:
            connection.waiting = False
            self._events.append(Writable(connection.id))

    def _promise(self, connection: Connection) -> None:
        connection.window = WINDOW if self._promised + WINDOW <= PURSE else SMALL_WINDOW
        connection.allowance = connection.window
        self._promised += connection.window
        self._outgoing.say(header(Kind.WINDOW, connection.id, connection.window))

    def _grow(self, connection: Connection) -> int:
        """Double the window of a connection whose reader keeps up; return by how much it grew."""
        more = min(connection.window, MAX_WINDOW - connection.window)
        if connection.unread * 4 > connection.window or self._promised + more > PURSE:
            return 0
        connection.window += more
        self._promised += more
        return more
