"""What a controller can ask of a module: a table of methods, their parameters and their results.

Parameters are checked by their types alone (msgspec), and by `__post_init__`
where a type does not say enough. Bytes are base64 in JSON. docs/linkd.md
describes each method; a test compares.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from tincan.link.description import MAX_CANDIDATES
from tincan.link.description import Candidate as IceCandidate
from tincan.link.description import Description as IceDescription
from tincan.vpn.module.states import State
from tincan.vpn.path.plane import MINIMUM_MTU

Mode: TypeAlias = Literal["ip", "switch"]

MAX_MESSAGE: Final = 64 * 1024
"""Bytes in one message to the other controller."""

MAX_PACKET: Final = 65_535 + 18
MAX_PEERS: Final = 1024
MAX_ADDRESSES: Final = 64
MAX_SERVERS: Final = 16

Peer = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[!-~]+\Z")]
"""What a controller calls a peer: printable ASCII without spaces. The module does not look into it."""

LinkNumber = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Mtu = Annotated[int, msgspec.Meta(ge=576, le=9000)]
_Text = Annotated[str, msgspec.Meta(max_length=512)]
_Fingerprint = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}\Z")]


class Candidate(msgspec.Struct, frozen=True):
    """One ICE candidate over UDP (RFC 8445 section 5.1)."""

    kind: Annotated[str, msgspec.Meta(max_length=16)]
    """``host``, ``srflx`` or ``relay``; others are passed over."""

    address: Annotated[str, msgspec.Meta(max_length=64)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    foundation: Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9+/]+\Z")]
    priority: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]

    @classmethod
    def of(cls, c: IceCandidate) -> Candidate:
        """Return ICE's own form as the API's."""
        return cls(c.kind, c.address, c.port, c.foundation, c.priority)

    def ice(self) -> IceCandidate:
        """Return the form that ICE takes."""
        return IceCandidate(self.kind, self.address, self.port, self.foundation, self.priority)


Candidates = Annotated[tuple[Candidate, ...], msgspec.Meta(max_length=MAX_CANDIDATES)]


class Description(msgspec.Struct, frozen=True):
    """How one end of a link is reached and recognised. For the other end only: it holds an ICE password."""

    ufrag: Annotated[str, msgspec.Meta(min_length=4, max_length=256, pattern=r"^[A-Za-z0-9+/]+\Z")]
    pwd: Annotated[str, msgspec.Meta(min_length=22, max_length=256, pattern=r"^[A-Za-z0-9+/]+\Z")]
    fingerprint: _Fingerprint
    """SHA-256 of the DTLS certificate, as RFC 8122 writes it."""

    candidates: Candidates = ()
    complete: bool = False
    """Whether no more candidates follow."""

    @classmethod
    def of(cls, d: IceDescription) -> Description:
        """Return the link's own form as the API's."""
        return cls(
            d.ufrag, d.pwd, fingerprint_text(d.fingerprint), tuple(map(Candidate.of, d.candidates)), d.complete
        )

    def ice(self) -> IceDescription:
        """Return the form that a link takes."""
        return IceDescription(
            ufrag=self.ufrag,
            pwd=self.pwd,
            fingerprint=bytes.fromhex(self.fingerprint.replace(":", "")),
            candidates=tuple(c.ice() for c in self.candidates),
            complete=self.complete,
        )


def fingerprint_text(digest: bytes) -> str:
    """Write a fingerprint as RFC 8122 does: ``AB:CD:...``."""
    return ":".join(f"{byte:02X}" for byte in digest)


class Server(msgspec.Struct, frozen=True):
    """A STUN or TURN server."""

    url: _Text
    """``stun:HOST[:PORT]``, ``turn[s]:HOST[:PORT][?transport=udp|tcp]``."""

    username: _Text | None = None
    credential: _Text | None = None


# -- parameters ----------------------------------------------------------------------


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters, or a result that says no more than that it was done."""


class SetAddresses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses of the tap, with their networks (``100.64.0.7/10``); what is None is taken away."""

    ip4: _Text | None = None
    ip6: _Text | None = None
    mtu: Mtu | None = None

    def __post_init__(self) -> None:
        if self.ip4 is not None:
            _check("ip4", ipaddress.IPv4Interface, self.ip4)
        if self.ip6 is not None:
            _check("ip6", ipaddress.IPv6Interface, self.ip6)
            if self.mtu is not None and self.mtu < MINIMUM_MTU:
                raise ValueError(f"with IPv6 the mtu is {MINIMUM_MTU} or more")


class SetMode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """IP packets or Ethernet frames. Only before the first link: both ends must agree."""

    mode: Mode
    allow_dhcp: bool = False
    allow_ra: bool = False


class SetTranslation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rewrite IPv4 packets on arrival (SocialVPN); ``own`` None: do not, or no more."""

    own: _Text | None
    """The address that this machine has on its own tap."""

    peers: Annotated[dict[Peer, _Text], msgspec.Meta(max_length=MAX_PEERS)] = {}
    """Each peer's address as this machine sees it."""

    def __post_init__(self) -> None:
        for address in (*([] if self.own is None else [self.own]), *self.peers.values()):
            _check("own and peers", ipaddress.IPv4Address, address)


class CreateLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open sockets and look for candidates of a new link to a peer. Exactly one end is ``controlling``."""

    peer: Peer
    controlling: bool
    servers: Annotated[tuple[Server, ...], msgspec.Meta(max_length=MAX_SERVERS)] = ()
    relay_only: bool = False


class ConnectLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The peer's description has come: connect. The answer comes at once, the outcome as an event."""

    link: LinkNumber
    description: Description


class AddCandidates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Candidates of the peer that came after its description.

    ``ufrag``: of the description they belong to; those of another one are
    passed over, as after a restart.
    """

    link: LinkNumber
    candidates: Candidates = ()
    complete: bool = False
    ufrag: _Text | None = None


class RestartLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Begin the link anew beside the one in use; both ends do, and `connect_link` follows on both."""

    link: LinkNumber
    controlling: bool | None = None
    servers: Annotated[tuple[Server, ...], msgspec.Meta(max_length=MAX_SERVERS)] | None = None


class TrimLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take a link down, or all of a peer. One that is not there is none taken down."""

    link: LinkNumber | None = None
    peer: Peer | None = None

    def __post_init__(self) -> None:
        if (self.link is None) == (self.peer is None):
            raise ValueError("name a link or a peer, and only one of them")


class SetPeer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The addresses that a peer may send from, and that are sent to it; before or after its link is made."""

    peer: Peer
    addresses: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MAX_ADDRESSES)] = ()
    """``100.64.0.9`` or whole networks (``10.9.0.0/16``). None: nothing goes to or comes from this peer."""

    def __post_init__(self) -> None:
        for address in self.addresses:
            _check("addresses", ipaddress.ip_network, address)


class GetState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every link, or those of one peer."""

    peer: Peer | None = None
    statistics: bool = False


class InjectPacket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A packet (a frame in switch mode) for the tap, as if it had come over a link."""

    packet: Annotated[bytes, msgspec.Meta(min_length=14, max_length=MAX_PACKET)]


class SendMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to the other controller over a link's control channel: reliable, in order."""

    link: LinkNumber
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_MESSAGE)]


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events are told on this connection from now on; None: all."""

    events: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=64)] | None = None


class IgnoreInterfaces(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Interfaces that new links do not use; a module's own tap is never used."""

    names: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=15)], ...], msgspec.Meta(max_length=64)
    ]


# -- results -------------------------------------------------------------------------


class Identity(msgspec.Struct, frozen=True):
    """What a module is."""

    version: str
    fingerprint: str
    """Of the certificate that all its links show; another one each time it starts."""

    tap: str
    mac: str | None
    """In switch mode."""

    mode: Mode
    addresses: tuple[str, ...]
    mtu: int


class LinkMade(msgspec.Struct, frozen=True):
    """A link's number and this end's description, for the peer's `connect_link`."""

    link: int
    description: Description


class Trimmed(msgspec.Struct, frozen=True):
    """How many links were taken down."""

    links: int


class Statistics(msgspec.Struct, frozen=True):
    """Counters of one link since it was made, its restarts included; bytes of packets as they are on the tap."""

    packets_in: int = 0
    packets_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    invalid: int = 0
    """Datagrams that were not sealed by the peer."""

    replayed: int = 0
    spoofed: int = 0
    """Packets from an address that is not the peer's."""

    filtered: int = 0
    storm: int = 0
    too_big: int = 0
    """Packets that did not fit the path; their senders were told."""

    unsent: int = 0
    mtu: int = 0
    """The largest packet that the path takes; not a counter, as ``heard``."""

    heard: float | None = None
    """Seconds since something of the peer's came."""


class LinkState(msgspec.Struct, frozen=True):
    """One link. ``path``, ``rtt`` (seconds) and ``since`` (seconds ago) where they are known."""

    link: int
    peer: str
    state: State
    path: str | None = None
    rtt: float | None = None
    since: float | None = None
    reason: str | None = None
    restarting: bool = False
    local: str | None = None
    """The address in use here, and the peer's, as ICE found them."""

    remote: str | None = None
    statistics: Statistics | None = None


class ModuleState(msgspec.Struct, frozen=True):
    """All that was asked for."""

    links: tuple[LinkState, ...]


METHODS: Final[dict[str, tuple[type[msgspec.Struct], type[msgspec.Struct]]]] = {
    "identity": (Nothing, Identity),
    "set_addresses": (SetAddresses, Nothing),
    "set_mode": (SetMode, Nothing),
    "set_translation": (SetTranslation, Nothing),
    "ignore_interfaces": (IgnoreInterfaces, Nothing),
    "create_link": (CreateLink, LinkMade),
    "connect_link": (ConnectLink, Nothing),
    "add_candidates": (AddCandidates, Nothing),
    "restart_link": (RestartLink, LinkMade),
    "trim_link": (TrimLink, Trimmed),
    "set_peer": (SetPeer, Nothing),
    "state": (GetState, ModuleState),
    "inject_packet": (InjectPacket, Nothing),
    "send_message": (SendMessage, Nothing),
    "subscribe": (Subscribe, Nothing),
}
"""Name, parameters, result. `subscribe` belongs to a connection; the others to the module."""


def _check(field: str, kind: type | object, text: str) -> None:
    try:
        kind(text)  # type: ignore[operator]
    except ValueError:
        raise ValueError(f"{field}: {text!r} is not an address of that kind") from None
