"""What the two pumps and their driver say to each other, over sockets that keep messages whole.

Packed with msgspec. They are all of one user on one machine, and parts of one program: what cannot be read is a bug.
"""

from __future__ import annotations

import msgspec

TAP_GONE = 9
"""Exit code of a pump whose interface was deleted by somebody."""


class Word(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """One message."""


# -- from the in pump to the out pump


class Heard(Word, frozen=True):
    """The peer was heard in this epoch; said of each once."""

    link: int
    epoch: int


class Probed(Word, frozen=True):
    """The peer wants to know that this size came."""

    link: int
    size: int


class Answered(Word, frozen=True):
    """The peer says that this size came."""

    link: int
    size: int


class Learned(Word, frozen=True):
    """A MAC address is behind this link."""

    link: int
    mac: bytes


class Spent(Word, frozen=True):
    """A link's keys must not be used any longer: so much was forged or, to the driver, sealed."""

    link: int


# -- from the out pump to the in pump


class Local(Word, frozen=True):
    """A MAC address is on our side."""

    mac: bytes


class Found(Word, frozen=True):
    """The largest packet that a link's path takes; the driver is told, too."""

    link: int
    mtu: int


# -- from the pumps to the driver (Heard, once a link, Found and Spent as well)


class Wanted(Word, frozen=True):
    """Nobody is known to have this destination."""

    packet: bytes
    destination: bytes


class Relay(Word, frozen=True):
    """Datagrams to send by a relayed link."""

    link: int
    datagrams: list[bytes]


class Done(Word, frozen=True):
    """Orders were carried out up to this one; the figures of links if they were asked for."""

    order: int
    figures: dict[int, dict[str, int | float | None]] = {}
    refused: str = ""
    """What the system said, where it did not let this one be carried out."""


class Failed(Word, frozen=True):
    """The pump is about to end by a defect."""

    why: str


# -- from the driver to the pumps


class AddLink(Word, frozen=True):
    """A new link; its socket comes with the message unless it is relayed (no remote address).

    ``prefixes`` as in `SetPeer`, or none to leave them: as soon as the peer hears from us it sends.
    """

    link: int
    send: bytes
    receive: bytes
    cipher: str
    remote: tuple[str, int] | None
    prefixes: list[tuple[bytes, int]]


class MoveLink(Word, frozen=True):
    """Another transport for a link, as in `AddLink`."""

    link: int
    remote: tuple[str, int] | None


class RemoveLink(Word, frozen=True):
    """No such link any more."""

    link: int


class SetPeer(Word, frozen=True):
    """The addresses of a link's peer."""

    link: int
    prefixes: list[tuple[bytes, int]]


class Configure(Word, frozen=True):
    """The settings."""

    largest: int
    own: list[tuple[bytes, int]]
    allow_dhcp: bool
    allow_ra: bool
    translation: dict[int, dict[str, str]] | None
    carried: bool


class Inject(Word, frozen=True):
    """Write this to the tap."""

    packet: bytes


class Received(Word, frozen=True):
    """A datagram that came by a relayed link."""

    link: int
    datagram: bytes


class Report(Word, frozen=True):
    """Give the figures of these links."""

    links: list[int]


Order = AddLink | MoveLink | RemoveLink | SetPeer | Configure | Inject | Report


class Ask(Word, frozen=True):
    """An order with its number; `Done` has the same."""

    number: int
    order: Order


ToOut = Heard | Probed | Answered | Learned | Spent
ToIn = Local | Found
ToDriver = Heard | Found | Wanted | Spent | Relay | Done | Failed
ToPump = Ask | Received

pack = msgspec.msgpack.Encoder().encode
