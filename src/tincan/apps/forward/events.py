"""What the multiplexer tells its shell, and what forwarding tells its user: frozen facts.

Texts that the peer wrote have been made visible (`tincan.apps.text`).
"""

from __future__ import annotations

from dataclasses import dataclass

# Of the multiplexer, about the connection ``id``


@dataclass(frozen=True, slots=True)
class Asked:
    """The peer wants a connection; ``what`` says to what. Answer with `Mux.accept` or `Mux.refuse`."""

    id: int
    what: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """The peer has opened the connection that we asked for."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer does not open the connection that we asked for, and says why."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of the peer, valid until the next `Mux.receive`. Say `Mux.consumed` when they have been passed on."""

    id: int
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Writable:
    """There is room to send again, after `Mux.room` was 0."""

    id: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer sends no more on this connection."""

    id: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer has broken the connection. Nothing more can be done with its id."""

    id: int
    text: str


MuxEvent = Asked | Accepted | Refused | Data | Writable | Ended | Reset


# Of forwarding, for the user


@dataclass(frozen=True)
class Listening:
    """A port or path takes connections. ``address``: where; ``there``: at the other can."""

    spec: str
    address: str
    there: bool


@dataclass(frozen=True)
class ConnectionOpened:
    """A connection goes through the string. ``target``: what is dialled."""

    number: int
    target: str


@dataclass(frozen=True)
class ConnectionClosed:
    """It has ended. ``sent``, ``received``: bytes to and from the peer."""

    number: int
    sent: int
    received: int


@dataclass(frozen=True)
class NotForwarded:
    """A connection did not come about, or a listener: because somebody refused it, or it could not be dialled."""

    target: str
    text: str


@dataclass(frozen=True)
class StringBroke:
    """The string broke; connections were reset. It is being tied again."""


@dataclass(frozen=True)
class StringMended:
    """The string is there again."""


ForwardEvent = Listening | ConnectionOpened | ConnectionClosed | NotForwarded | StringBroke | StringMended
