"""The laboratory is what it says it is; shown with real packets."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lab import netlab, stun
from lab.netlab import PATIENCE, Host, Lab
from lab.packets import assert_nothing, eventually, exchange

pytestmark = pytest.mark.skipif(not netlab.root_available(), reason="needs Linux, root, ip and nft")


# Networks


def test_open_hosts_reach_each_other_on_both_families(lab: Lab) -> None:
    a, b = lab.host(), lab.host(address="203.0.113.77")
    assert b.address == "203.0.113.77"
    with a.socket() as near, b.socket(port=7000) as far:
        assert exchange(near, (b.address, 7000), far)[0] == a.address
    with a.socket(family=socket.AF_INET6) as near, b.socket(family=socket.AF_INET6, port=7000) as far:
        assert exchange(near, (b.address6, 7000), far)[0] == a.address6


def test_the_first_packet_to_a_new_host_arrives(lab: Lab) -> None:
    """Without a second attempt to resolve its address, which would be made after an hour."""
    lan = lab.lan("dual")
    first = lan.host()
    first.namespace.sysctl({"net.ipv6.neigh.eth0.retrans_time_ms": 3_600_000})
    with first.socket(family=socket.AF_INET6) as near:
        for _ in range(5):
            host = lan.host()
            with host.socket(family=socket.AF_INET6, port=7000) as far:
                exchange(near, (host.address6, 7000), far)


def test_nothing_leaves_the_lab(lab: Lab) -> None:
    for host in (lab.host(), lab.nat().host()):
        with host.socket(socket.SOCK_STREAM) as sock, pytest.raises(OSError, match=r"unreachable|No route"):
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


def test_delay(lab: Lab) -> None:
    home, server = lab.nat(delay=0.05), lab.host(delay=0.03)
    client = home.host()
    with server.socket(port=7000) as far, client.socket() as near:
        mapped = exchange(near, (server.address, 7000), far)
        exchange(far, mapped, near)  # neighbours are known now
        started = time.monotonic()
        exchange(near, (server.address, 7000), far)
        assert time.monotonic() - started >= 0.08
    with server.socket(socket.SOCK_STREAM, port=80) as listener, client.socket(socket.SOCK_STREAM) as one:
        listener.listen()
        one.connect((server.address, 80))
        other, _ = listener.accept()
        with other:
            # Large segments and their unfinished checksums pass too.
            blob = bytes(1 << 20)
            sender = threading.Thread(target=one.sendall, args=(blob,))
            sender.start()
            other.settimeout(PATIENCE)
            received = 0
            while received < len(blob):
                received += len(other.recv(65536))
            sender.join()


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


def of_the_machine() -> set[str]:
    """Name its own interfaces, but for the taps that other tests make there meanwhile."""
    return {name for _, name in socket.if_nameindex() if not name.startswith("tincantest")}


@pytest.mark.parametrize("interruption", [None, RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_behind(interruption: type[BaseException] | None) -> None:
    expected = pytest.raises(interruption) if interruption else contextlib.nullcontext()
    before = of_the_machine()
    with expected, Lab() as lab:
        prefix = lab.registry.prefix
        inside = lab.nat().host()
        inside.names({"a.test": "203.0.113.5"})
        process = inside.start(["sleep", "1000"])
        daemon = int(inside.start(["sh", "-c", "setsid sleep 1000 & echo $!"]).read_line())
        assert len(leftovers(prefix)) == 5  # internet, router, host; host's files; temporary directory
        assert of_the_machine() == before
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
