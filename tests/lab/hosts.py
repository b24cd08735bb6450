"""Machines of the laboratory: switches, hosts plugged into them, and routers between them."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from lab import wire
from lab.namespaces import LabError, Namespace
from lab.nat import INSIDE, OUTSIDE, Cable, NatRules, black_hole_rules, switch_rules
from lab.priority import keep_time
from lab.processes import PATIENCE, Process

if TYPE_CHECKING:
    from lab.netlab import Lab

P = ParamSpec("P")
T = TypeVar("T")

Family = Literal["ipv4", "ipv6", "dual"]

EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


class Network:
    """A switch with hosts plugged into it, and a gateway at its first address if it has one."""

    def __init__(
        self,
        lab: Lab,
        namespace: Namespace,
        bridge: str,
        prefixes: Sequence[str],
        *,
        gateway: bool,
        multicast: bool = True,
        on_link: bool = True,
    ) -> None:
        """``on_link`` False: hosts reach each other through the gateway, as strangers on the internet do."""
        self.lab = lab
        self.prefixes = [ipaddress.ip_network(prefix) for prefix in prefixes]
        self.multicast = multicast
        self._namespace = namespace
        self._bridge = bridge
        self._gateway = gateway
        self._on_link = on_link
        self._cables: list[Cable] = []
        self._counters = 0
        self._given: set[object] = set()
        self._next_host = 2  # 1 is the gateway
        # A bridge without an address of its own takes a new one with every port, and the neighbours go stale.
        setup = [f"link add {bridge} address 02:00:00:00:00:01 type bridge mcast_snooping 0"]
        if gateway:
            setup += [f"addr add {prefix[1]}/{prefix.prefixlen} dev {bridge}" for prefix in self.prefixes]
        namespace.ip([*setup, f"link set {bridge} up"])
        if not multicast:
            self.apply_cables()

    def host(self, name: str = "", *, address: str | None = None, family: Family = "dual", delay: float = 0) -> Host:
        """Make a host here, with the next free address or the given one; see `Host.join`."""
        host = Host(self.lab, name)
        host.join(self, address=address, family=family, delay=delay)
        return host

    def plug_in(
        self, namespace: Namespace, interface: str, address: str | None, family: Family, delay: float
    ) -> tuple[Cable, list[str]]:
        """Connect a namespace to the switch; returns the cable and the addresses given to it."""
        chosen = self._choose(address, family)
        cable = Cable(f"port{len(self._cables) + 1}")
        self._cables.append(cable)
        if delay:
            cable.wire = self._lay_wire(namespace, interface, cable.port, delay)
        else:
            namespace.ip([_link(interface, cable.port, self._namespace)])
        self._namespace.ip([f"link set {cable.port} master {self._bridge} up"])
        lines = [f"link set {interface} up"]
        for prefix, own in chosen:
            length = prefix.prefixlen if self._on_link else prefix.max_prefixlen
            lines.append(f"addr add {own}/{length} dev {interface}")
            if not self._on_link:
                lines.append(f"route add {prefix[1]}/{length} dev {interface}")
            if self._gateway:
                lines.append(f"route add {EVERYWHERE[prefix.version]} via {prefix[1]} dev {interface}")
            elif prefix.version == 4:  # without a default route multicast needs one of its own
                lines.append(f"route append 224.0.0.0/4 dev {interface}")
        namespace.ip(lines)
        self._wait_usable(namespace, interface, cable.port)
        return cable, [str(own) for _, own in chosen]

    def apply_cables(self) -> None:
        """Make the switch treat its cables as they are now described."""
        self._namespace.nft(switch_rules(self._cables, self.multicast))

    def count_between(self, first: str, second: str) -> Callable[[], int]:
        """Count packets that pass here between two IPv4 addresses, either way, from now on; call the result."""
        self._counters += 1
        table = f"bridge count{self._counters}"
        self._namespace.nft(
            f"table {table} {{\n"
            "counter passed { }\n"
            "chain incoming { type filter hook prerouting priority -200;\n"
            f'iifname "port*" ip saddr {first} ip daddr {second} counter name passed\n'
            f'iifname "port*" ip saddr {second} ip daddr {first} counter name passed\n'
            "}\n}\n"
        )

        def passed() -> int:
            text = self._namespace.nft(f"list counter {table} passed\n")
            return int(text.split("packets ")[1].split()[0])

        return passed

    def _lay_wire(self, namespace: Namespace, interface: str, port: str, delay: float) -> Process:
        """Connect interface and port by a program that takes its time, in a namespace of its own."""
        middle = self.lab.registry.namespace(self.lab.registry.unused_label("wire"))
        middle.ip([_link("near", interface, namespace), _link("far", port, self._namespace)])
        with (
            middle.socket(socket.AF_PACKET, socket.SOCK_RAW) as near,
            middle.socket(socket.AF_PACKET, socket.SOCK_RAW) as far,
        ):
            for sock, end in ((near, "near"), (far, "far")):
                middle.ip([f"link set {end} addrgenmode none", f"link set {end} up"])
                wire.attach(sock, end)
            fds = (near.fileno(), far.fileno())
            argv = [sys.executable, "-I", "-S", wire.__file__, str(fds[0]), str(fds[1]), str(delay)]
            process = Process(middle, argv, pass_fds=fds)
            keep_time(process.pid)
            self.lab.processes.append(process)
            return process

    def _wait_usable(self, namespace: Namespace, interface: str, port: str, timeout: float = PATIENCE) -> None:
        """Wait until the kernel has got round to everything that makes a link carry packets.

        A moment after a link is up its switch port opens, its IPv6 link-local address appears, and its IPv6
        addresses join the groups they are resolved by. What comes before is dropped, and the next attempt to
        resolve the address is made only a second later.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            switch = self._namespace.ip([f"addr show dev {port}", f"addr show dev {self._bridge}"])
            if "state forwarding" in switch and switch.count("state UP") == 2 and "tentative" not in switch:
                host = namespace.ip([f"addr show dev {interface}"])
                if "state UP" in host and "inet6 fe80" in host and "tentative" not in host:
                    return
            time.sleep(0.001)
        raise LabError(f"{interface} of {namespace.name} does not come up")

    def _choose(self, address: str | None, family: Family) -> list[tuple[Any, Any]]:
        while any(prefix[self._next_host] in self._given for prefix in self.prefixes):
            self._next_host += 1
        number, self._next_host = self._next_host, self._next_host + 1
        wanted = [prefix for prefix in self.prefixes if family in ("dual", f"ipv{prefix.version}")]
        if not wanted:
            raise LabError(f"this network has no {family}")
        given = ipaddress.ip_address(address) if address else None
        if given is not None and not any(given in prefix for prefix in wanted):
            raise LabError(f"{given} is not of this network")
        if given is not None:
            self._given.add(given)
        return [(prefix, given if given is not None and given in prefix else prefix[number]) for prefix in wanted]


class Host:
    """A machine: a namespace with its loopback up, and whatever it has been plugged into."""

    def __init__(self, lab: Lab, name: str = "", stem: str = "host") -> None:
        self.lab = lab
        self.name = name or lab.registry.unused_label(stem)
        self.namespace = lab.registry.namespace(self.name)
        self.addresses: list[str] = []
        self._plugs: list[tuple[Network, Cable]] = []
        self._names: dict[str, Sequence[str]] = {}
        lab.hosts.append(self)

    @property
    def address(self) -> str:
        """The first IPv4 address, or the first address where there is no IPv4."""
        ordered = sorted(self.addresses, key=lambda address: ":" in address)
        if not ordered:
            raise LabError(f"{self.name} has no address but loopback")
        return ordered[0]

    @property
    def address6(self) -> str:
        """The first IPv6 address."""
        return next(address for address in self.addresses if ":" in address)

    def join(
        self,
        network: Network,
        *,
        interface: str = "",
        address: str | None = None,
        family: Family = "dual",
        delay: float = 0,
    ) -> None:
        """Plug this host into one more network; every packet then takes `delay` seconds, each way."""
        interface = interface or f"eth{len(self._plugs)}"
        cable, addresses = network.plug_in(self.namespace, interface, address, family, delay)
        self._plugs.append((network, cable))
        self.addresses += addresses

    def start(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        stdin: int | IO[bytes] = subprocess.PIPE,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> Process:
        """Start a program here; `env` is added to the environment."""
        process = Process(self.namespace, argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd)
        self.lab.processes.append(process)
        return process

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        input: str | None = None,  # as subprocess.run() calls it
        env: Mapping[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program here to its end; the caller looks at the exit status."""
        process = self.start(argv, env=env)
        if input is not None:
            process.write(input)
        process.close_stdin()
        status = process.wait(timeout)
        return subprocess.CompletedProcess(process.argv, status, process.stdout, process.stderr)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a Python function in a thread on this host: `host.call(asyncio.run, client())`.

        The network is this host's; the files are the machine's, so `names` do not count here.
        """
        return self.namespace.call(function, *args, **kwargs)

    def socket(
        self,
        kind: int = socket.SOCK_DGRAM,
        *,
        family: int = socket.AF_INET,
        port: int = 0,
        timeout: float = PATIENCE,
    ) -> socket.socket:
        """Open a socket on this host, bound to a port on all addresses."""
        sock = self.namespace.socket(family, kind)
        sock.settimeout(timeout)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))
        return sock

    def names(self, entries: Mapping[str, str | Sequence[str]]) -> None:
        """Fix what names mean to the programs on this host; added to what was fixed before.

        Any other name fails at once, since nobody listens where the resolver is pointed.
        """
        self._names |= {name: [value] if isinstance(value, str) else list(value) for name, value in entries.items()}
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        lines += [f"{address} {name}" for name, addresses in self._names.items() for address in addresses]
        self.namespace.write_file("hosts", "\n".join(lines) + "\n")
        if os.path.exists("/etc/resolv.conf"):
            self.namespace.write_file("resolv.conf", "nameserver 127.0.0.1\n")

    def unplug(self) -> None:
        """Swallow everything from and to this host from now on, silently."""
        self._impair(plugged=False)

    def plug(self) -> None:
        """Undo `unplug`."""
        self._impair(plugged=True)

    def lose(self, percent: int) -> None:
        """Lose this share of the packets from and to this host, each way; 0 loses none."""
        self._impair(loss_percent=percent)

    def weather(self, loss: float = 0.0, jitter: float = 0.0, seed: int = 1) -> None:
        """Lose this share of the UDP packets, each way, and delay each by up to so many seconds; the same each time.

        Only for a host that has been plugged in with a delay: the wire does it.
        """
        for _, cable in self._plugs:
            if cable.wire is not None:
                cable.wire.write_line(f"{loss} {jitter} {seed}")

    def swallow(self, port: int) -> None:
        """Never answer on this port again, neither UDP nor TCP, and never refuse either."""
        self.namespace.nft(black_hole_rules(port))

    def _impair(self, **changes: Any) -> None:
        for network, cable in self._plugs:
            for field, value in changes.items():
                setattr(cable, field, value)
            network.apply_cables()


class Router(Host):
    """A home router: one address outside, a private network inside, address translation between."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        outside: Network,
        inside: str,
        rules: Callable[[str], NatRules],
        delay: float = 0,
    ) -> None:
        super().__init__(lab, name, "nat")
        self.join(outside, interface=OUTSIDE, family="ipv4", delay=delay)
        self.network = Network(lab, self.namespace, INSIDE, [inside], gateway=True)
        self.rules = rules(self.address)
        self.namespace.sysctl({"net.ipv4.ip_forward": 1})
        self.namespace.nft(self.rules.render())

    def host(self, name: str = "", *, address: str | None = None, delay: float = 0) -> Host:
        """Make a host behind this router."""
        return self.network.host(name, address=address, delay=delay)

    def block_udp(self, blocked: bool = True) -> None:
        """Stop forwarding UDP, or begin again; translations forget everything."""
        self.rules = dataclasses.replace(self.rules, udp_blocked=blocked)
        self.namespace.nft("flush ruleset\n" + self.rules.render())

    def block_tcp(self, except_to: str) -> None:
        """Stop forwarding TCP to any other address outside; translations forget everything."""
        self.rules = dataclasses.replace(self.rules, tcp_only_to=except_to)
        self.namespace.nft("flush ruleset\n" + self.rules.render())


def _link(name: str, peer: str, peer_namespace: Namespace) -> str:
    return f"link add {name} type veth peer name {peer} netns {peer_namespace.name}"
