"""DataPlane: what the TinCan module knows of the packet path. The seam between the two.

A data plane has one tap and any number of links, each with a number that its
owner chooses. Packets that come out of the tap go to the link that their
destination belongs to, sealed; datagrams that come in by a link are opened,
checked and written to the tap. `tincan.vpn.path.driver` has the real one,
`tincan.vpn.path.memory` one for tests.

Several links to one peer may be there at a time: the addresses belong to the
link of the latest `set_peer`. So a path is changed without a gap: `add_link`
the new one, `set_peer` it, `remove_link` the old one. Or, when the keys stay
and only the route changes, `move_link`.
"""

from __future__ import annotations

import enum
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Protocol

Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

FIRST_BYTE = 0xC0
"""Every datagram of ours begins with this byte or a higher one: 192 to 255 is nobody else's range (RFC 7983)."""

OVERHEAD = 26
"""Bytes that a datagram has more than the packet in it: header 10, tag 16."""

SECRET_LENGTH = 32
"""Bytes of one direction's secret."""

IP_MTU, SWITCH_MTU = 1420, 1400
"""What fits into a UDP datagram over IPv6 on Ethernet, with the frame's own header in switch mode."""

MINIMUM_MTU = 1280
"""IPv6 does not work below (RFC 8200, section 5)."""


class Mode(enum.Enum):
    """What a data plane carries."""

    IP = "ip"
    """IP packets, routed by the peers' addresses."""
    SWITCH = "switch"
    """Ethernet frames, switched by MAC addresses."""


class Cipher(enum.Enum):
    """What seals the datagrams; both ends of a link have the same."""

    AES_128_GCM = "aes-128-gcm"
    CHACHA20_POLY1305 = "chacha20-poly1305"
    """For machines without AES in hardware; `fast_aes` says whether this is one."""


@dataclass(frozen=True)
class LinkKeys:
    """The secrets of one link, `SECRET_LENGTH` bytes a direction. The peer has the same two the other way round.

    They come from the DTLS exporter (RFC 5705) and are never used for two
    links: counters begin at 0, and a nonce must not come twice.
    """

    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)
    cipher: Cipher = Cipher.AES_128_GCM


@dataclass(frozen=True)
class UdpTransport:
    """A UDP socket and where the peer is. The plane duplicates the socket; the caller may close its own after."""

    socket: socket.socket
    remote: tuple[str, int]


@dataclass(frozen=True)
class RelayedTransport:
    """Datagrams go through the caller: out by ``send``, which must not block; in by `DataPlane.received`."""

    send: Callable[[bytes], None]


LinkTransport = UdpTransport | RelayedTransport


@dataclass(frozen=True)
class PlaneSettings:
    """How a data plane is to be. `DataPlane.configure` changes what can be changed while it runs."""

    tap: str = "tincan%d"
    """The interface's name; the kernel puts a number for %d. Not changeable."""
    mode: Mode = Mode.IP
    """Not changeable: another mode is another tap."""
    mtu: int | None = None
    """Of the interface; None: `IP_MTU` or `SWITCH_MTU`. IP packets too large for a link's path are refused (ICMP)."""
    addresses: tuple[Interface, ...] = ()
    """Our own, with the network each is in; the kernel routes these networks to the tap."""
    allow_dhcp: bool = False
    """Let DHCP from and to others pass (switch mode)."""
    allow_ra: bool = False
    """Let other's IPv6 router advertisements and redirects pass (switch mode)."""
    translation: dict[int, dict[str, str]] | None = None
    """IP mode: for each link number what `tincan.vpn.social.translate.Translator.of` takes; None: untranslated."""
    carried: bool = False
    """Somebody else carries packets that no link is for: `Unroutable` is given for each of them, and none is kept."""


@dataclass(frozen=True)
class LinkStatistics:
    """Counts of one link since it was added. ``bytes``: of packets, without our own headers."""

    packets_out: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    invalid: int = 0
    """Datagrams in that are not sealed with the link's key, or no datagrams of ours."""
    replayed: int = 0
    """Datagrams in that had come before, or far too late."""
    spoofed: int = 0
    """Packets in from an address that is not the peer's."""
    filtered: int = 0
    """Packets in that are not let in: DHCP, router advertisements, malformed ones, foreign destinations."""
    storm: int = 0
    """Frames dropped because there were too many for everybody."""
    too_big: int = 0
    """Packets out that did not fit the path; their senders were told, where there is a way to."""
    unsent: int = 0
    """Datagrams the socket did not take."""
    heard: float | None = None
    """When the last valid datagram came, by time.monotonic; None: never."""
    mtu: int = MINIMUM_MTU
    """The largest packet the path takes, as found."""
    epoch: int = 0
    """How many times our sending key was changed."""


# -- events ------------------------------------------------------------------------


@dataclass(frozen=True)
class Unroutable:
    """A packet came out of the tap that no link is for: an IP packet, or a frame in switch mode without any link.

    Complete, with its checksum, and of the tap's size. Given once a second for each destination at most: the plane
    keeps the first packets for a destination a few seconds and sends them when a link has got it. With
    `PlaneSettings.carried` each packet is given, within reason, and none is kept.
    """

    packet: bytes
    destination: str
    """An IP address, or a MAC address in switch mode."""


@dataclass(frozen=True)
class LinkHeard:
    """The first valid datagram came in on a link."""

    link: int


@dataclass(frozen=True)
class MtuChanged:
    """The largest packet that a link's path takes was found, or became another one."""

    link: int
    mtu: int


@dataclass(frozen=True)
class KeysExhausted:
    """A link's keys must not be used any longer (RFC 9001, section 6.6): nothing goes out; make another link."""

    link: int


PlaneEvent = Unroutable | LinkHeard | MtuChanged | KeysExhausted


class DataPlane(Protocol):
    """A tap with links. Links are named by numbers from 0 to 65535 that the caller chooses.

    All methods raise `tincan.errors.WorldError` once the plane has failed (a
    pump died, the tap is gone), and `ValueError` for a misuse.
    """

    @property
    def tap(self) -> str:
        """The interface's real name."""

    @property
    def settings(self) -> PlaneSettings:
        """As last configured."""

    async def add_link(
        self,
        number: int,
        transport: LinkTransport,
        keys: LinkKeys,
        addresses: tuple[Interface | Network, ...] = (),
    ) -> None:
        """Begin to receive and, once it has addresses (IP mode), to send on a link.

        With ``addresses`` it has them, as by `set_peer`, before the peer hears
        from this end, and so refuses nothing of what the peer then sends.
        """

    async def move_link(self, number: int, transport: LinkTransport) -> None:
        """Send by another transport, with the same keys; the former one is still listened to until the next move."""

    async def remove_link(self, number: int) -> None:
        """Forget a link and its addresses. Unknown numbers are a no-op."""

    async def set_peer(self, number: int, addresses: tuple[Interface | Network, ...]) -> None:
        """Say which addresses a link's peer has, in place of those before.

        IP mode: packets to them go out by this link, and packets from others do
        not come in by it. An interface counts as its one address, a network as all
        of it. Switch mode: nobody else may send as one of them. An address that
        another link has is taken from it.
        """

    async def inject(self, packet: bytes) -> None:
        """Write an IP packet (switch mode: a frame) to the tap as if received; `WorldError` if it is not taken."""

    async def configure(self, settings: PlaneSettings) -> None:
        """Change addresses, MTU, filters or translation. Raises `ValueError` for another tap or mode."""

    def received(self, number: int, datagram: bytes) -> None:
        """Hand in a datagram of a relayed link. What cannot be taken at once is dropped."""

    def events(self) -> AsyncIterator[PlaneEvent]:
        """Give what happens, to one reader. Bounded: a reader that does not read loses events.

        Raises `WorldError` when the plane has failed, ends when it is closed.
        """

    async def statistics(self, only: int | None = None) -> dict[int, LinkStatistics]:
        """Say how each link is doing, or ``only`` one."""


def fast_aes(cpuinfo: str) -> bool:
    """Say whether a machine has AES in hardware, by its /proc/cpuinfo."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return any(name.strip() in {"flags", "Features"} and "aes" in value.split() for name, _, value in lines)
