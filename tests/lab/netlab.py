"""A network laboratory: `Lab` makes hosts, LANs and home routers out of network namespaces.

The internet is 203.0.113.0/24 and 2001:db8:113::/64, one switch. An open host is plugged into it and has
public addresses. A router has one public address and a private 10.x network with hosts behind it. A LAN is
a switch alone. No namespace is connected to the machine, so nothing can leave; a packet to any other
address is answered "host unreachable" at once. Needs Linux, root, `ip` and `nft`; coturn for `Lab.coturn`.

    with Lab() as lab:
        server = lab.host("server")
        alice = lab.nat("port-restricted").host("alice")
        bob = lab.nat("symmetric").host("bob")
        listener = alice.start(["some-program", "--listen"])
        listener.wait_line("ready", timeout=5)
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from lab.coturn import TurnServer, start_coturn
from lab.hosts import Family, Host, Network, Router
from lab.namespaces import LabError, Registry, root_available
from lab.nat import NatKind, NatRules
from lab.processes import PATIENCE, Process, WaitTimeout

__all__ = [
    "PATIENCE",
    "Family",
    "Host",
    "Lab",
    "LabError",
    "NatKind",
    "Network",
    "Process",
    "Router",
    "TurnServer",
    "WaitTimeout",
    "root_available",
]

INTERNET_4 = "203.0.113.0/24"
INTERNET_6 = "2001:db8:113::/64"


class Lab:
    """A laboratory of its own for one test or one measurement; a context manager that removes all it made."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.hosts: list[Host] = []
        self.processes: list[Process] = []
        self._internet: Network | None = None
        self._private = 0
        self._lans = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the programs and remove the namespaces."""
        try:
            self.registry.close()  # kills first, so that nobody keeps a pipe open below
        finally:
            for process in self.processes:
                process.close()

    @property
    def internet(self) -> Network:
        """The small internet; multicast and broadcast do not pass, as on the large one."""
        if self._internet is None:
            core = self.registry.namespace("internet")
            prefixes = [INTERNET_4, INTERNET_6]
            self._internet = Network(self, core, "core", prefixes, gateway=True, multicast=False, on_link=False)
            core.sysctl(
                {
                    "net.ipv4.ip_forward": 1,
                    "net.ipv6.conf.all.forwarding": 1,
                    "net.ipv4.conf.all.send_redirects": 0,
                    "net.ipv4.icmp_ratelimit": 0,  # every stray packet shall get its answer
                    "net.ipv6.icmp.ratelimit": 0,
                }
            )
            core.ip(["route add unreachable 0.0.0.0/0", "route add unreachable ::/0"])
        return self._internet

    def host(self, name: str = "", *, address: str | None = None, family: Family = "dual", delay: float = 0) -> Host:
        """Make an open host: plugged into the internet, public address, nothing filtered."""
        return self.internet.host(name, address=address, family=family, delay=delay)

    def isolated(self, name: str = "") -> Host:
        """Make a host with nothing but loopback."""
        return Host(self, name)

    def lan(self, family: Family = "ipv4") -> Network:
        """Make a switch without a router; multicast passes."""
        self._lans += 1
        prefixes = {"ipv4": f"10.200.{self._lans}.0/24", "ipv6": f"fd00:113:{self._lans}::/64"}
        chosen = list(prefixes.values()) if family == "dual" else [prefixes[family]]
        switch = self.registry.namespace(self.registry.unused_label("lan"))
        return Network(self, switch, "lan", chosen, gateway=False)

    def nat(
        self,
        kind: NatKind | str = NatKind.PORT_RESTRICTED,
        *,
        name: str = "",
        behind: Router | None = None,
        inside: str | None = None,
        udp_blocked: bool = False,
        hairpin: bool = False,
        delay: float = 0,
    ) -> Router:
        """Make a home router on the internet, or behind another one.

        `inside` is its private network, a 10.x/24 of its own if not given; two routers may have the same.
        `delay` is what its line to the internet takes, in seconds, each way.
        """
        self._private += 1
        outside = behind.network if behind else self.internet
        prefix = inside or f"10.{self._private}.0.0/24"
        return Router(
            self,
            name,
            outside,
            prefix,
            lambda address: NatRules(NatKind(kind), address, prefix, udp_blocked, hairpin),
            delay,
        )

    def black_hole(self, host: Host, port: int) -> tuple[str, int]:
        """Make a port of a host swallow UDP and TCP silently; returns its address and port."""
        host.swallow(port)
        return host.address, port

    def coturn(
        self,
        host: Host,
        *,
        username: str = "user",
        password: str = "password",
        secret: str | None = None,
        tls: bool = False,
        ipv6: bool = False,
        timeout: float = PATIENCE,
    ) -> TurnServer:
        """Start coturn on a host and wait until it answers.

        STUN and TURN over UDP and TCP on port 3478, with `tls` also on 5349; long-term credentials, or
        those made from `secret` (use-auth-secret). On the IPv4 address, with `ipv6` or without any IPv4 on
        the IPv6 one too.
        """
        addresses = [a for a in host.addresses if ipv6 or ":" not in a] or host.addresses
        server = TurnServer(addresses, username, password, secret)
        if tls:
            server.make_certificate(self.registry.directory, host.name)
        start_coturn(host, server, self.registry.directory, timeout)
        return server

    def report(self) -> str:
        """Say what every program wrote, for the message of a failed test."""
        return "\n\n".join(process.report() for process in self.processes)
