"""The laboratory is what it says it is; shown with real packets.

That a packet is dropped is shown without waiting: a second packet that must pass is sent after it along the
same way, and when that one is there and the first is not, the first will not come.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aioice import turn

from lab import netlab, stun
from lab.netlab import Host, Lab

pytestmark = pytest.mark.skipif(not netlab.root_available(), reason="needs Linux, root, ip and nft")

Address = tuple[str, int]


def eventually(condition: Callable[[], bool], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def exchange(
    sender: socket.socket, target: Address, receiver: socket.socket, data: bytes = b"hello"
) -> Address:
    """Send a datagram that must arrive; returns where it seemed to come from."""
    sender.sendto(data, target)
    received, source = receiver.recvfrom(2048)
    assert received == data
    return source[0], source[1]


def assert_nothing(sock: socket.socket) -> None:
    timeout = sock.gettimeout()
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(2048)
    sock.settimeout(timeout)


def connect(client: Host, server: Host, port: int) -> str:
    """Make a TCP connection and send a byte each way; returns the client's address as the server sees it."""
    with server.socket(socket.SOCK_STREAM, port=port) as listener, client.socket(socket.SOCK_STREAM) as near:
        listener.listen()
        near.connect((server.address, port))
        far, source = listener.accept()
        with far:
            far.settimeout(5)
            near.sendall(b"?")
            assert far.recv(1) == b"?"
            far.sendall(b"!")
            assert near.recv(1) == b"!"
        return str(source[0])


class Observers(contextlib.ExitStack):
    """Two servers on the internet that see where a host's datagrams come from."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.first, self.second = (self.enter_context(lab.host().socket(port=7000)) for _ in range(2))
        self.where = [(host.address, 7000) for host in lab.hosts[-2:]]

    def mapping(self, sock: socket.socket) -> tuple[Address, Address]:
        return exchange(sock, self.where[0], self.first), exchange(sock, self.where[1], self.second)


# Address translation


def test_port_restricted_nat(lab: Lab) -> None:
    home = lab.nat("port-restricted")
    with Observers(lab) as seen, home.host("a").socket() as a, home.host("b").socket() as b:
        for sock in (a, b):
            first, second = seen.mapping(sock)
            assert first == second, "endpoint-independent mapping"
            assert first == (home.address, sock.getsockname()[1])
        mapped = seen.mapping(a)[0]
    with Observers(lab) as seen, lab.hosts[1].socket() as a:
        mapped = exchange(a, seen.where[0], seen.first)
        seen.second.sendto(b"unsolicited", mapped)  # another address
        with lab.hosts[-2].socket() as other_port:
            other_port.sendto(b"unsolicited", mapped)
        for _ in range(2):
            assert exchange(seen.first, mapped, a) == seen.where[0]
        assert_nothing(a)


def test_two_port_restricted_nats_can_be_punched(lab: Lab) -> None:
    homes = lab.nat("port-restricted"), lab.nat("port-restricted")
    with homes[0].host().socket(port=5000) as a, homes[1].host().socket(port=6000) as b:
        a.sendto(b"lost", (homes[1].address, 6000))
        assert exchange(b, (homes[0].address, 5000), a) == (homes[1].address, 6000)
        assert exchange(a, (homes[1].address, 6000), b) == (homes[0].address, 5000)
        assert_nothing(b)


def test_symmetric_nat(lab: Lab) -> None:
    home = lab.nat("symmetric")
    with Observers(lab) as seen, home.host().socket() as a:
        # A random port is the same as the one before once in 64,512 times.
        mappings = {endpoint for _ in range(3) for endpoint in seen.mapping(a)}
        assert len(mappings) == 2, "one endpoint per destination, and it stays"
        first, second = seen.mapping(a)
        assert first[0] == second[0] == home.address
        seen.second.sendto(b"unsolicited", first)
        for _ in range(2):
            exchange(seen.first, first, a)
        assert_nothing(a)


def test_full_cone_nat(lab: Lab) -> None:
    home = lab.nat("full-cone")
    with Observers(lab) as seen, home.host().socket() as a, home.host().socket() as b:
        mapped_a, mapped_b = (exchange(sock, seen.where[0], seen.first) for sock in (a, b))
        assert exchange(seen.second, mapped_a, a) == seen.where[1], "endpoint-independent filtering"
        assert exchange(seen.second, mapped_b, b) == seen.where[1]
        assert seen.mapping(a) == (mapped_a, mapped_a)


def test_address_restricted_nat(lab: Lab) -> None:
    home = lab.nat("address-restricted")
    with Observers(lab) as seen, home.host().socket() as a, lab.hosts[0].socket():
        mapped = exchange(a, seen.where[0], seen.first)
        seen.second.sendto(b"unsolicited", mapped)
        first_server = next(host for host in lab.hosts if host.address == seen.where[0][0])
        with first_server.socket(port=7001) as other_port:
            for _ in range(2):
                exchange(other_port, mapped, a)
        assert_nothing(a)


def test_hairpinning(lab: Lab) -> None:
    for home, passes in ((lab.nat(hairpin=True), True), (lab.nat(), False)):
        with Observers(lab) as seen, home.host().socket() as a, home.host().socket() as b:
            mapped_a, mapped_b = seen.mapping(a)[0], seen.mapping(b)[0]
            if passes:
                assert exchange(a, mapped_b, b) == mapped_a
                assert exchange(b, mapped_a, a) == mapped_b
            else:
                a.sendto(b"never", mapped_b)
                exchange(a, (lab.hosts[-1].address, b.getsockname()[1]), b)
                assert_nothing(b)


def test_hairpinning_needs_endpoint_independent_mapping(lab: Lab) -> None:
    with pytest.raises(ValueError, match="mapping"):
        lab.nat("symmetric", hairpin=True)


def test_tcp_passes_outwards_only(lab: Lab) -> None:
    home, server = lab.nat(), lab.host()
    inside = home.host()
    assert connect(inside, server, 80) == home.address
    with server.socket(socket.SOCK_STREAM, timeout=0.3) as sock, pytest.raises(TimeoutError):
        sock.connect((home.address, 80))


def test_tcp_simultaneous_open_through_two_nats(lab: Lab) -> None:
    homes = lab.nat(), lab.nat()
    a, b = (home.host().socket(socket.SOCK_STREAM, port=5000) for home in homes)
    with a, b:
        b.setblocking(False)
        assert b.connect_ex((homes[0].address, 5000)) != 0
        a.connect((homes[1].address, 5000))
        b.settimeout(5)
        a.sendall(b"hello")
        assert b.recv(5) == b"hello"


def test_udp_blocked(lab: Lab) -> None:
    home, server = lab.nat(udp_blocked=True), lab.host()
    inside = home.host()
    with server.socket(port=7000) as listener, inside.socket() as sock:
        sock.sendto(b"never", (server.address, 7000))
        assert connect(inside, server, 443) == home.address
        assert_nothing(listener)
        home.block_udp(False)
        exchange(sock, (server.address, 7000), listener)
        home.block_udp()
        sock.sendto(b"never", (server.address, 7000))
        assert connect(inside, server, 443) == home.address
        assert_nothing(listener)


def test_double_nat(lab: Lab) -> None:
    provider = lab.nat("port-restricted")
    home = lab.nat("port-restricted", behind=provider)
    inside = home.host()
    assert home.address in ipaddress.ip_network("10.0.0.0/8").compressed or home.address.startswith("10.")
    with Observers(lab) as seen, inside.socket() as sock:
        first, second = seen.mapping(sock)
        assert first == second == (provider.address, sock.getsockname()[1])
    assert connect(inside, lab.hosts[-1], 80) == provider.address


def test_two_homes_with_the_same_private_network(lab: Lab) -> None:
    homes = [lab.nat(inside="10.9.9.0/24") for _ in range(2)]
    inside = [home.host() for home in homes]
    assert inside[0].address == inside[1].address
    with Observers(lab) as seen, inside[0].socket() as a, inside[1].socket() as b:
        assert seen.mapping(a)[0][0] == homes[0].address
        assert seen.mapping(b)[0][0] == homes[1].address


# Networks


def test_open_hosts_reach_each_other_on_both_families(lab: Lab) -> None:
    a, b = lab.host(), lab.host(address="203.0.113.77")
    assert b.address == "203.0.113.77"
    with a.socket() as near, b.socket(port=7000) as far:
        assert exchange(near, (b.address, 7000), far)[0] == a.address
    with a.socket(family=socket.AF_INET6) as near, b.socket(family=socket.AF_INET6, port=7000) as far:
        assert exchange(near, (b.address6, 7000), far)[0] == a.address6


def test_the_first_packet_to_a_new_host_arrives(lab: Lab) -> None:
    lan = lab.lan("dual")
    with lan.host().socket(family=socket.AF_INET6) as near:
        for _ in range(5):
            host = lan.host()
            with host.socket(family=socket.AF_INET6, port=7000, timeout=0.5) as far:
                exchange(near, (host.address6, 7000), far)


def test_nothing_leaves_the_lab(lab: Lab) -> None:
    for host in (lab.host(), lab.nat().host()):
        with host.socket(socket.SOCK_STREAM) as sock, pytest.raises(OSError, match="unreachable|No route"):
            sock.connect(("198.51.100.1", 80))


def multicast_receiver(host: Host) -> socket.socket:
    sock = host.socket(port=5353)
    group = socket.inet_aton("224.0.0.251") + socket.inet_aton(host.address)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    return sock


def test_multicast_passes_on_a_lan(lab: Lab) -> None:
    lan = lab.lan()
    a, b = lan.host(), lan.host()
    with multicast_receiver(b) as far, a.socket() as near:
        assert exchange(near, ("224.0.0.251", 5353), far)[0] == a.address


def test_multicast_passes_behind_a_router(lab: Lab) -> None:
    home = lab.nat()
    a, b = home.host(), home.host()
    with multicast_receiver(b) as far, a.socket() as near:
        assert exchange(near, ("224.0.0.251", 5353), far)[0] == a.address


def test_multicast_does_not_pass_on_the_internet(lab: Lab) -> None:
    a, b = lab.host(), lab.host()
    with multicast_receiver(b) as far, a.socket() as near:
        near.sendto(b"never", ("224.0.0.251", 5353))
        exchange(near, (b.address, 5353), far)
        assert_nothing(far)


def test_ipv6_only_lan(lab: Lab) -> None:
    lan = lab.lan("ipv6")
    a, b = lan.host(), lan.host()
    shown = re.findall(r"inet ([0-9.]+)", a.run(["ip", "-4", "addr"]).stdout)
    assert shown == ["127.0.0.1"]
    assert a.address == a.address6
    assert "tentative" not in a.run(["ip", "-6", "addr"]).stdout
    with a.socket(family=socket.AF_INET6) as near, b.socket(family=socket.AF_INET6, port=5353) as far:
        assert exchange(near, (b.address6, 5353), far)[0] == a.address6
        index = b.call(socket.if_nametoindex, "eth0")
        group = socket.inet_pton(socket.AF_INET6, "ff02::fb") + struct.pack("@I", index)
        far.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        near.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, a.call(socket.if_nametoindex, "eth0"))
        exchange(near, ("ff02::fb", 5353), far)


def test_ipv6_only_host_on_the_internet(lab: Lab) -> None:
    host = lab.host(family="ipv6")
    assert host.addresses == ["2001:db8:113::2"]
    with host.socket() as sock, pytest.raises(OSError, match="unreachable"):
        sock.sendto(b"never", ("203.0.113.1", 7000))


def test_isolated_host_has_only_loopback(lab: Lab) -> None:
    host = lab.isolated("alone")
    assert [name for _, name in host.call(socket.if_nameindex)] == ["lo"]
    with host.socket() as sock, host.socket(port=7000) as listener:
        assert exchange(sock, ("127.0.0.1", 7000), listener)[0] == "127.0.0.1"
        with pytest.raises(OSError, match="unreachable"):
            sock.sendto(b"never", ("203.0.113.2", 7000))
    with pytest.raises(netlab.LabError, match="loopback"):
        _ = host.address


def test_host_on_two_networks(lab: Lab) -> None:
    host = lab.host()
    lan = lab.lan()
    host.join(lan)
    assert len(host.addresses) == 3
    with lan.host().socket() as near, host.socket(port=7000) as far:
        exchange(near, (host.addresses[-1], 7000), far)


# Impairments


def test_unplugging_is_silent_and_can_be_undone(lab: Lab) -> None:
    a, b = lab.nat().host(), lab.host()
    with a.socket() as near, b.socket(port=7000) as far:
        mapped = exchange(near, (b.address, 7000), far)
        for cut in (a, b):
            cut.unplug()
            near.sendto(b"never", (b.address, 7000))
            far.sendto(b"never", mapped)
            cut.plug()
            exchange(near, (b.address, 7000), far)
            exchange(far, mapped, near)
        assert_nothing(near)
        assert_nothing(far)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_loss(lab: Lab) -> None:
    a, b = lab.host(), lab.host()
    with a.socket() as near, b.socket(port=7000) as far:
        b.lose(30)
        for number in range(200):
            near.sendto(b"%d" % number, (b.address, 7000))
        b.lose(0)
        near.sendto(b"end", (b.address, 7000))
        arrived = 0
        while far.recv(2048) != b"end":
            arrived += 1
    assert 100 < arrived < 180  # 140 expected; the bounds are six standard deviations away


def test_black_hole(lab: Lab) -> None:
    a, b = lab.host(), lab.host()
    where = lab.black_hole(b, 3478)
    with a.socket(timeout=0.2) as sock:
        sock.connect(where)
        sock.send(b"never answered")
        with pytest.raises(TimeoutError):  # and not a refusal
            sock.recv(2048)
    with a.socket() as sock, pytest.raises(TimeoutError):
        stun.mapped_address(sock, where, timeout=0.2)
    with a.socket() as near, b.socket(port=3479) as far:
        exchange(near, (b.address, 3479), far)


# Servers


def test_coturn_answers_stun(lab: Lab) -> None:
    server = lab.coturn(lab.host(), ipv6=True)
    home = lab.nat()
    with home.host().socket() as sock:
        mapped = stun.mapped_address(sock, (server.address, server.port))
        assert mapped == (home.address, sock.getsockname()[1])
    open_host = lab.host()
    with open_host.socket(family=socket.AF_INET6) as sock:
        assert stun.mapped_address(sock, (server.addresses[1], server.port))[0] == open_host.address6


async def relay(server: netlab.TurnServer, transport: str, peer: Address) -> Address:
    """Allocate a relayed address, send a datagram through it and wait for the answer."""
    answered = asyncio.get_running_loop().create_future()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Address) -> None:
            answered.set_result(data)

    username, password = server.credentials()
    context = None
    if transport == "tls":
        context = ssl.create_default_context(cafile=server.certificate)
    where = (server.address, server.tls_port if context else server.port)
    allocation, _ = await turn.create_turn_endpoint(
        Receiver, where, username, password, ssl=context, transport="udp" if transport == "udp" else "tcp"
    )
    try:
        allocation.sendto(b"through the relay", peer)
        assert await asyncio.wait_for(answered, 5) == b"and back"
        relayed = allocation.get_extra_info("sockname")
    finally:
        allocation.close()
    return str(relayed[0]), int(relayed[1])


@pytest.mark.parametrize("secret", [None, "shared"])
def test_turn(lab: Lab, secret: str | None) -> None:
    server = lab.coturn(lab.host(), secret=secret, tls=True)
    client = lab.nat(udp_blocked=False).host()
    peer = lab.host()
    for transport in ("udp", "tcp", "tls"):
        with peer.socket(port=7000) as sock:

            def answer(sock: socket.socket = sock) -> Address:
                data, source = sock.recvfrom(2048)
                assert data == b"through the relay"
                sock.sendto(b"and back", source)
                return source[0], source[1]

            async def both(transport: str = transport) -> tuple[Address, Address]:
                seen = asyncio.get_running_loop().run_in_executor(None, answer)
                return await relay(server, transport, (peer.address, 7000)), await seen

            relayed, source = client.call(asyncio.run, both())
            assert relayed == source
            assert relayed[0] == server.address


def test_turn_refuses_a_wrong_password(lab: Lab) -> None:
    server = lab.coturn(lab.host(), password="right")
    server.password = "wrong"
    client = lab.host()
    with pytest.raises(Exception, match="401"):
        client.call(asyncio.run, relay(server, "udp", (client.address, 7000)))


# Programs


def test_lines_in_and_out(lab: Lab) -> None:
    process = lab.isolated().start(
        [
            "sh",
            "-c",
            'echo "$GREETING"; echo oops >&2; while read -r line; do echo "got $line"; done; exit 3',
        ],
        env={"GREETING": "ready"},
    )
    assert process.read_line() == "ready"
    assert process.wait_line("oo", stream="stderr") == "oops"
    for text in ("one", "two", "three"):
        process.write_line(text)
    assert process.wait_line(lambda line: line.endswith("two")) == "got two"
    assert process.read_line() == "got three"
    with pytest.raises(netlab.WaitTimeout, match="no line on stdout"):
        process.wait_line("never", timeout=0.05)
    process.close_stdin()
    assert process.wait() == 3
    with pytest.raises(netlab.WaitTimeout, match=r"(?s)ended without.*exit status 3.*got three.*oops"):
        process.wait_line("never")
    assert process.stdout == "ready\ngot one\ngot two\ngot three\n"
    assert process.stderr == "oops\n"


def test_signals_and_binary_output(lab: Lab) -> None:
    host = lab.isolated()
    process = host.start(["cat"])
    blob = bytes(range(256)) * 4096
    process.write(blob)
    eventually(lambda: process.stdout_bytes == blob)
    with pytest.raises(netlab.WaitTimeout, match="still running"):
        process.wait(0.05)
    process.signal(signal.SIGINT)
    assert process.wait() == -signal.SIGINT
    assert host.start(["sleep", "1000"]).stop() == -signal.SIGTERM


def test_a_program_runs_on_its_host(lab: Lab) -> None:
    host = lab.host()
    script = (
        "import socket, sys; s = socket.create_server((sys.argv[1], 80)); print('up', flush=True); s.accept()"
    )
    process = host.start([sys.executable, "-c", script, host.address])
    process.wait_line("up")
    with lab.host().socket(socket.SOCK_STREAM) as sock:
        sock.connect((host.address, 80))
    assert process.wait() == 0
    done = host.run(["sh", "-c", "cat; echo bad >&2; exit 4"], input="good\n")
    assert (done.returncode, done.stdout, done.stderr) == (4, "good\n", "bad\n")


def test_fixed_names(lab: Lab) -> None:
    host = lab.isolated()
    host.names({"stun.l.google.com": "203.0.113.5", "both.test": ["203.0.113.6", "2001:db8:113::6"]})
    script = "import socket, sys\nfor n in sys.argv[1:]: print(sorted({a[4][0] for a in socket.getaddrinfo(n, 1)}))"
    done = host.run([sys.executable, "-c", script, "stun.l.google.com", "both.test", "localhost"])
    assert done.stdout.splitlines()[:2] == ["['203.0.113.5']", "['2001:db8:113::6', '203.0.113.6']"], (
        done.stderr
    )
    started = time.monotonic()
    assert "gaierror" in host.run([sys.executable, "-c", script, "elsewhere.test"]).stderr
    assert time.monotonic() - started < 5


# Tidiness


def leftovers(prefix: str) -> list[Path]:
    places = (Path("/run/netns"), Path("/etc/netns"), Path("/tmp"))
    return [path for place in places for path in place.glob(f"{prefix}-*")]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie nobody has collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("interruption", [None, RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_behind(interruption: type[BaseException] | None) -> None:
    expected = pytest.raises(interruption) if interruption else contextlib.nullcontext()
    before = socket.if_nameindex()
    with expected, Lab() as lab:
        prefix = lab.registry.prefix
        inside = lab.nat().host()
        inside.names({"a.test": "203.0.113.5"})
        process = inside.start(["sleep", "1000"])
        daemon = int(inside.start(["sh", "-c", "setsid sleep 1000 & echo $!"]).read_line())
        assert len(leftovers(prefix)) == 5  # internet, router, host; host's files; temporary directory
        assert socket.if_nameindex() == before
        if interruption:
            raise interruption
    assert leftovers(prefix) == []
    assert process.returncode == -signal.SIGKILL
    eventually(lambda: not alive(daemon))


def test_nothing_is_left_behind_by_a_killed_lab() -> None:
    script = (
        "import sys, time; sys.path[:] = eval(sys.argv[1])\n"
        "from lab.netlab import Lab\n"
        "lab = Lab(); host = lab.host(); process = host.start(['sleep', '1000'])\n"
        "print(lab.registry.prefix, process.pid, flush=True); time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, repr(sys.path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        prefix, pid = owner.stdout.readline().decode().split()
        assert leftovers(prefix)
        owner.kill()
    eventually(lambda: not leftovers(prefix) and not alive(int(pid)))


def test_labs_side_by_side() -> None:
    with Lab() as one, Lab() as two:
        assert one.host("same").address == two.host("same").address
        with one.host().socket() as near, one.hosts[0].socket(port=7000) as far:
            exchange(near, (one.hosts[0].address, 7000), far)
        with pytest.raises(netlab.LabError, match="already"):
            one.host("same")


def test_two_nats_are_made_quickly() -> None:
    started = time.monotonic()
    with Lab() as lab:
        lab.host("server")
        lab.nat().host("alice")
        lab.nat().host("bob")
    assert time.monotonic() - started < 3  # about 0.15 s on an idle machine
