"""The packet rules of the laboratory: address translators (RFC 4787) and impaired cables.

How Linux comes by the behaviours. Plain `masquerade` keeps a source port that is free, so one internal
endpoint has one external endpoint whatever the destination: endpoint-independent mapping as long as no two
inside hosts use the same port. Connection tracking lets in only answers: address and port-dependent
filtering. Filtering is widened with a map from the external port to the inside host, filled as packets
leave. `random,fully-random` picks a new port for every connection: address and port-dependent mapping.

What is not accepted is dropped, never refused: a confirmed entry for an unsolicited packet would take the
very tuple that hole punching needs a moment later.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.processes import Process

OUTSIDE = "wan"
INSIDE = "lan"


class NatKind(enum.StrEnum):
    """What a home router does to UDP; TCP is filtered by address and port always."""

    FULL_CONE = "full-cone"
    """Endpoint-independent mapping, endpoint-independent filtering."""
    ADDRESS_RESTRICTED = "address-restricted"
    """Endpoint-independent mapping, address-dependent filtering."""
    PORT_RESTRICTED = "port-restricted"
    """Endpoint-independent mapping, address and port-dependent filtering."""
    SYMMETRIC = "symmetric"
    """Address and port-dependent mapping, address and port-dependent filtering."""


@dataclasses.dataclass(frozen=True)
class NatRules:
    """The ruleset of one router."""

    kind: NatKind
    external_address: str
    inside: str
    udp_blocked: bool = False
    hairpin: bool = False
    tcp_only_to: str | None = None
    """The only address outside that TCP reaches."""

    def __post_init__(self) -> None:
        if self.hairpin and self.kind is NatKind.SYMMETRIC:
            raise ValueError("hairpinning needs endpoint-independent mapping")

    def render(self) -> str:
        """Write the ruleset for `nft -f`."""
        return "\n".join([*self._filter(), *self._translation(), ""])

    def _filter(self) -> Iterator[str]:
        yield "table ip filter {"
        yield "chain input { type filter hook input priority filter; policy drop;"
        yield f'iifname {{ "lo", "{INSIDE}" }} accept'
        yield "ct state established,related accept"
        yield "}"
        yield "chain forward { type filter hook forward priority filter; policy drop;"
        if self.udp_blocked:
            yield "meta l4proto udp drop"
        if self.tcp_only_to is not None:
            yield f'meta l4proto tcp ct state new iifname "{INSIDE}" ip daddr != {self.tcp_only_to} drop'
        yield "ct state established,related accept"
        yield f'iifname "{INSIDE}" accept'
        yield "ct status dnat accept"
        yield "}"
        yield "}"

    def _translation(self) -> Iterator[str]:
        yield "table ip nat {"
        # Key: transport and external port; that the port is the inside host's own is what masquerade sees to.
        yield "map mapped { type inet_proto . inet_service : ipv4_addr; flags dynamic; size 65535; }"
        # Key: remote address and external UDP port.
        yield "map contacted { type ipv4_addr . inet_service : ipv4_addr; flags dynamic; size 65535; }"
        yield "chain before { type nat hook prerouting priority dstnat;"
        if self.kind is NatKind.FULL_CONE:
            yield f'iifname "{OUTSIDE}" meta l4proto udp dnat to meta l4proto . th dport map @mapped'
        if self.kind is NatKind.ADDRESS_RESTRICTED:
            yield f'iifname "{OUTSIDE}" meta l4proto udp dnat to ip saddr . udp dport map @contacted'
        if self.hairpin:
            yield (
                f'iifname "{INSIDE}" ip daddr {self.external_address} meta l4proto {{ tcp, udp }} '
                "dnat to meta l4proto . th dport map @mapped"
            )
        yield "}"
        yield "chain after { type nat hook postrouting priority srcnat;"
        if self.hairpin:  # RFC 4787, REQ-9: the source is shown as its external endpoint
            yield f'ip saddr {self.inside} oifname "{INSIDE}" ct status dnat snat to {self.external_address}'
        if self.kind is NatKind.SYMMETRIC:
            yield f'oifname "{OUTSIDE}" meta l4proto {{ tcp, udp }} masquerade random,fully-random'
        else:
            leaving = f'oifname "{OUTSIDE}" meta l4proto'
            yield f"{leaving} {{ tcp, udp }} update @mapped {{ meta l4proto . th sport : ip saddr }}"
            yield f"{leaving} udp update @contacted {{ ip daddr . udp sport : ip saddr }}"
        yield f'oifname "{OUTSIDE}" masquerade'
        yield "}"
        yield "}"


@dataclasses.dataclass
class Cable:
    """What happens to packets between an interface and the switch it is plugged into, each way."""

    port: str
    plugged: bool = True
    loss_percent: int = 0
    wire: Process | None = None
    """The program that is this cable, if it takes its time."""

    def rules(self, match: str) -> Iterator[str]:
        """Write the rules for one direction."""
        if not self.plugged:
            yield f'{match} "{self.port}" drop'
        elif self.loss_percent:
            yield f'{match} "{self.port}" numgen random mod 100 < {self.loss_percent} drop'


def switch_rules(cables: Iterable[Cable], multicast: bool) -> str:
    """Write the ruleset of a switch.

    Dropping happens in the switch, so the sender notices nothing: a drop in its own output chain would be
    an EPERM from sendto(). Address resolution always passes, or an unplugged host would become "host
    unreachable" to the others after a while, which a real distant host does not.
    """
    resolution = [
        "ether type arp accept",
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    ]
    cables = list(cables)
    incoming = [rule for cable in cables for rule in cable.rules("iifname")]
    outgoing = [rule for cable in cables for rule in cable.rules("oifname")]
    if not multicast:
        incoming.append("meta pkttype { broadcast, multicast } drop")
    lines = [
        "add table bridge switch",
        "delete table bridge switch",
        "table bridge switch {",
        "chain incoming { type filter hook prerouting priority -300;",
        *resolution,
        *incoming,
        "}",
        "chain outgoing { type filter hook postrouting priority 300;",
        *resolution,
        *outgoing,
        "}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def black_hole_rules(port: int) -> str:
    """Write the rules of a host on which this port never answers."""
    return (
        "add table inet black_hole\n"
        "add chain inet black_hole input { type filter hook input priority filter; }\n"
        f"add rule inet black_hole input meta l4proto {{ tcp, udp }} th dport {port} drop\n"
    )
