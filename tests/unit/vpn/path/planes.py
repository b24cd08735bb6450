"""Two or three data planes back to back: the cores of both pumps of each, in virtual time, without sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_interface

from tincan.vpn.path.departures import Send
from tincan.vpn.path.incoming import Incoming
from tincan.vpn.path.outgoing import Outgoing
from tincan.vpn.path.plane import Cipher
from tincan.vpn.path.routes import prefix
from tincan.vpn.path.vnet import LENGTH
from tincan.vpn.path.words import Answered, Found, Heard, Learned, Local, Probed, Spent, Wanted

Wire = Callable[[bytes], bool]


def secret(sender: str, receiver: str) -> bytes:
    return f"{sender}>{receiver}".encode().ljust(32, b".")


@dataclass
class Plane:
    """One data plane: both cores, and the words between them."""

    name: str
    switched: bool = False
    largest: int = 1420
    got: list[bytes] = field(default_factory=list)
    """Written to the tap, with vnet headers."""
    told: list[Wanted | Found | Spent] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.outgoing = Outgoing(self.switched, self.largest)
        self.incoming = Incoming(self.switched)
        self.now = 0.0

    def configure(self, *own: str, allow_dhcp: bool = False, allow_ra: bool = False, carried: bool = False) -> None:
        prefixes = [(i.packed, i.network.prefixlen) for i in map(ip_interface, own)]
        self.outgoing.configure(self.largest, prefixes, allow_dhcp, allow_ra, self.now, carried)
        self.incoming.configure(prefixes, allow_dhcp, allow_ra)

    def connect(self, peer: str, cipher: Cipher = Cipher.AES_128_GCM) -> int:
        number = self.numbers[peer] = len(self.numbers) + 1
        self.incoming.add_link(number, secret(peer, self.name), cipher)
        self.outgoing.add_link(number, secret(self.name, peer), cipher, self.now)
        return number

    def peer(self, peer: str, *addresses: str) -> None:
        prefixes = [prefix(ip_interface(address)) for address in addresses]
        self.incoming.set_peer(self.numbers[peer], prefixes)
        self.outgoing.set_peer(self.numbers[peer], prefixes, self.now)

    def exchange_words(self) -> None:
        """Carry the words between the two pumps."""
        for word in self.incoming.words:
            match word:
                case Heard():
                    self.outgoing.heard(word.link, word.epoch, self.now)
                case Probed():
                    self.outgoing.probed(word.link, word.size, self.now)
                case Answered():
                    self.outgoing.answered(word.link, word.size, self.now)
                case Learned():
                    self.outgoing.learned(word.link, word.mac, self.now)
                case Spent():
                    self.outgoing.exhausted(word.link)
        self.incoming.words.clear()
        for event in self.outgoing.events:
            if isinstance(event, Local):
                self.incoming.local(event.mac, self.now)
                continue
            if isinstance(event, Found):
                self.incoming.links[event.link].limit = event.mtu
            self.told.append(event)
        self.outgoing.events.clear()

    def receive(self, peer: str, datagrams: list[bytes], size: int) -> None:
        self.incoming.take(self.numbers[peer], b"".join(datagrams), size, self.now)
        self.got += [b"".join(write) for write in self.incoming.writes()]
        self.exchange_words()


class Net:
    """Planes with a link between any two."""

    def __init__(self, *planes: Plane) -> None:
        self.planes = {plane.name: plane for plane in planes}
        self.lossy: Wire = lambda datagram: True
        self.sent: list[Send] = []
        for plane in planes:
            for other in planes:
                if plane is not other:
                    plane.connect(other.name)

    def settle(self, now: float | None = None) -> None:
        """Let everything arrive."""
        busy = True
        while busy:
            busy = False
            for plane in self.planes.values():
                plane.now = now if now is not None else plane.now
                plane.outgoing.tick(plane.now)
                plane.exchange_words()
                names = {number: name for name, number in plane.numbers.items()}
                for send in plane.outgoing.sends():
                    busy = True
                    self.sent.append(send)
                    assert all(len(d) == send.size for d in send.datagrams[:-1])
                    assert len(send.datagrams[-1]) <= send.size
                    assert send.size * len(send.datagrams) <= 65507
                    kept = [d for d in send.datagrams if self.lossy(d)]
                    if len(kept) == len(send.datagrams):
                        self.planes[names[send.link]].receive(plane.name, kept, send.size)
                    else:
                        for datagram in kept:
                            self.planes[names[send.link]].receive(plane.name, [datagram], len(datagram))
                plane.got += [b"".join(write) for write in plane.outgoing.writes]
                plane.outgoing.writes.clear()
                plane.exchange_words()

    def send(self, name: str, *buffers: bytes) -> None:
        """Let packets come out of a plane's tap, and everything arrive."""
        plane = self.planes[name]
        for buffer in buffers:
            plane.outgoing.take(memoryview(buffer), plane.now)
        self.settle()

    def arrived(self, name: str) -> list[bytes]:
        """Give the packets written to a plane's tap since the last time, without vnet headers."""
        plane = self.planes[name]
        got, plane.got = plane.got, []
        return [written[LENGTH:] for written in got]
