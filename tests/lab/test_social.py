"""Two friends behind routers with the same private network, and ordinary programs between them by name.

Alice's and Bob's views differ: to himself each is .100, Alice calls Bob .102 and Bob calls her .101.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.cans import Town, tin_can
from lab.friends import WITHIN, Person, befriend, pair, until
from lab.netlab import Lab, Process, WaitTimeout, root_available

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
TRACEROUTE = shutil.which("traceroute", path="/usr/sbin:/usr/bin")

ELDER_FRIEND = """
from tincan.identity import PublicIdentity
from tincan.vpn.social.friends import change
change(lambda book: book.with_friend(PublicIdentity(bytes([1] * 32), bytes([2] * 32)), "zoe"))
"""

ALICE_CALLS_BOB, BOB_CALLS_ALICE = "172.30.0.102", "172.30.0.101"
OWN = "172.30.0.100"

TRIES, PATIENCE = 10, 3.0
"""How often a datagram is sent, and how many seconds its answer is waited for each time."""


@dataclass
class Friends:
    """The two, with their networks up and linked."""

    lab: Lab
    alice: Person
    bob: Person


@pytest.fixture(scope="module")
def friends() -> Iterator[Friends]:
    if not root_available():
        pytest.skip("the network laboratory needs Linux, root, ip and nft")
    with Lab() as lab:
        alice, bob = pair(Town(lab), before=[ELDER_FRIEND])
        for person in (alice, bob):
            person.up()
        for person, other in ((alice, "bob.can"), (bob, "alice.can")):
            person.event("friend", name=other, state="online")
        yield Friends(lab, alice, bob)


def test_the_range_has_moved_off_the_routers(friends: Friends) -> None:
    """Their LANs are parts of 172.31.0.0/16, where the default range would be."""
    assert friends.alice.friends()["bob.can"]["address"] == ALICE_CALLS_BOB
    assert friends.bob.friends()["alice.can"]["address"] == BOB_CALLS_ALICE


def test_it_is_up_only_once(friends: Friends) -> None:
    process = tin_can(friends.alice.host, "net", "social", "up", *friends.alice.options, env=friends.alice.env)
    assert process.wait(WITHIN) == 2
    assert "tin-can: The social network is up already; end that one first." in process.stderr


def test_ping_by_name(friends: Friends) -> None:
    for person, name, address in (
        (friends.alice, "bob.can", ALICE_CALLS_BOB),
        (friends.bob, "alice.can", BOB_CALLS_ALICE),
    ):
        assert f"from {address}" in person.ping(name, "-4")
        assert "from fd50:" in person.ping(name, "-6")


def test_names_by_dns(friends: Friends) -> None:
    if not shutil.which("dig"):
        pytest.skip("needs dig")
    alice = friends.alice.host

    def dig(*question: str, server: str = OWN) -> str:
        return alice.run(["dig", "+tries=1", "+timeout=120", f"@{server}", *question]).stdout

    assert dig("+short", "bob.can").strip() == ALICE_CALLS_BOB
    assert dig("+short", "bob.can", "AAAA").strip().startswith("fd50:")
    assert dig("+short", "-x", ALICE_CALLS_BOB).strip() == "bob.can."
    assert "status: NXDOMAIN" in dig("eve.can")
    assert "status: REFUSED" in dig("example.com")
    # Bob's name server tells Alice nothing.
    assert "timed out" in alice.run(["dig", "+tries=1", "+timeout=1", f"@{ALICE_CALLS_BOB}", "zoe.can"]).stdout


def test_ssh(friends: Friends, tmp_path: Path) -> None:
    if SSHD is None:
        pytest.skip("needs openssh-server")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port 2222\nListenAddress {OWN}\nHostKey {tmp_path}/host\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path}/user.pub\nPermitRootLogin yes\nUsePAM no\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = friends.bob.host.start([SSHD, "-D", "-e", "-f", str(config)])
    server.wait_line("Server listening", stream="stderr")
    known = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "LogLevel=ERROR"]
    ssh = ["ssh", "-4", "-F", "none", "-i", str(tmp_path / "user"), *known, "-p", "2222", "root@bob.can"]
    payload = "x" * 500_000
    done = friends.alice.host.run([*ssh, "echo $SSH_CONNECTION; cat"], input=payload, timeout=WITHIN)
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.partition("\n")
    assert first.split()[::2] == [BOB_CALLS_ALICE, OWN]  # as Bob sees it
    assert rest == payload


SERVER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("", int(sys.argv[1])))
    print("ready", flush=True)
    while True:
        data, where = sock.recvfrom(65535)
        sock.sendto(data[:int(sys.argv[2])] + b" from " + where[0].encode(), where)
        print(data.decode("latin-1"), flush=True)
"""


def exchange(
    friends: Friends, data: bytes, port: int, *, own_port: int = 0, kept: int = 100
) -> tuple[Process, bytes]:
    """Send a datagram to a service of Bob's; return the service, which prints what it got, and its answer."""
    server = friends.bob.host.start([sys.executable, "-I", "-c", SERVER, str(port), str(kept)])
    server.wait_line("ready")
    with friends.alice.host.socket(port=own_port, timeout=PATIENCE) as sock:
        sock.connect((ALICE_CALLS_BOB, port))
        answer = asked(sock, data)
    return server, answer


def asked(sock: socket.socket, data: bytes) -> bytes:
    """Send a datagram until it is answered: on a busy machine one may be lost."""
    for _ in range(TRIES - 1):
        sock.send(data)
        with contextlib.suppress(TimeoutError):
            return sock.recv(65535)
    sock.send(data)
    return sock.recv(65535)


def test_a_udp_service(friends: Friends) -> None:
    service, answer = exchange(friends, b"hello", 5000)
    assert service.wait_line("").rstrip("\n") == "hello"
    assert answer == f"hello from {BOB_CALLS_ALICE}".encode()


def test_datagrams_in_fragments(friends: Friends) -> None:
    """Larger than any packet on the way: IPv4 takes them apart, and each part is translated."""
    data = bytes(range(65, 91)) * 200
    service, answer = exchange(friends, data, 5001, kept=5000)
    assert service.wait_line("").rstrip("\n") == data.decode()
    assert answer == data[:5000] + f" from {BOB_CALLS_ALICE}".encode()
    friends.alice.ping("bob.can", "-4", "-s", "6000")


def test_sip_says_addresses_that_work_here(friends: Friends) -> None:
    body = f"v=0\r\nc=IN IP4 {OWN}\r\n"
    text = f"INVITE sip:bob@{ALICE_CALLS_BOB} SIP/2.0\r\nContact: <sip:alice@{OWN}>\r\nl: {len(body)}\r\n\r\n{body}"
    service, _ = exchange(friends, text.encode(), 5060, own_port=5060)
    lines = [service.wait_line("").strip() for _ in range(6)]
    assert lines[0] == f"INVITE sip:bob@{OWN} SIP/2.0"
    assert lines[1] == f"Contact: <sip:alice@{BOB_CALLS_ALICE}>"
    assert lines[5] == f"c=IN IP4 {BOB_CALLS_ALICE}"


LISTENER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("", 5353))
    group, own = (socket.inet_aton(text) for text in ("224.0.0.251", sys.argv[1]))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + own)
    print("ready", flush=True)
    data, where = sock.recvfrom(9000)
    print(where[0], socket.inet_ntoa(data[-4:]), flush=True)
"""


def test_mdns_goes_to_friends_and_says_addresses_that_work_there(friends: Friends) -> None:
    listener = friends.bob.host.start([sys.executable, "-I", "-c", LISTENER, OWN])
    listener.wait_line("ready")
    answer = struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0) + b"\x07printer\x05local\0"
    answer += struct.pack("!HHIH", 1, 0x8001, 120, 4) + socket.inet_aton(OWN)
    with friends.alice.host.socket(port=5353) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(OWN))
        for _ in range(TRIES):
            sock.sendto(answer, ("224.0.0.251", 5353))
            with contextlib.suppress(WaitTimeout):
                heard = listener.wait_line("172", timeout=PATIENCE)
                break
    assert heard.split() == [BOB_CALLS_ALICE, BOB_CALLS_ALICE]


def test_errors_of_icmp_reach_the_program_they_are_about(friends: Friends) -> None:
    """Nobody listens: the kernel must recognise its own packet in Bob's answer."""
    with friends.alice.host.socket(timeout=PATIENCE) as sock:
        sock.connect((ALICE_CALLS_BOB, 5999))
        with pytest.raises(ConnectionRefusedError):
            asked(sock, b"hello?")


@pytest.mark.parametrize("how", [[], ["-I"], ["-T"]], ids=["udp", "icmp", "tcp"])
def test_traceroute(friends: Friends, how: list[str]) -> None:
    if TRACEROUTE is None:
        pytest.skip("needs traceroute")
    argv = [TRACEROUTE, "-4", "-n", "-q", "3", "-w", "10", "-m", "3", *how, "bob.can"]
    done = friends.alice.host.run(argv, timeout=WITHIN)
    first, *hops = done.stdout.splitlines()
    assert first.startswith(f"traceroute to bob.can ({ALICE_CALLS_BOB})"), done.stderr
    [hop] = hops
    assert ALICE_CALLS_BOB in hop.split()


def test_the_path_mtu_is_found(friends: Friends) -> None:
    """A packet that may not be taken apart and does not fit is refused with the size that would."""
    sizes = set()
    for _ in range(2):
        done = friends.alice.host.run(["ping", "-4", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", "1460", "bob.can"])
        sizes |= {int(size) for size in re.findall(r"mtu ?= ?(\d+)", done.stdout + done.stderr)}
    assert sizes
    assert all(1280 <= size <= 1440 for size in sizes)
    friends.alice.ping("bob.can", "-4", "-M", "do", "-s", str(min(sizes) - 28))


def test_a_download(friends: Friends, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(20_000_000))
    argv = [sys.executable, "-I", "-m", "http.server", "--bind", OWN, "--directory", str(tmp_path), "8000"]
    server = friends.bob.host.start([*argv[:2], "-u", *argv[2:]])
    server.wait_line("Serving")
    done = friends.alice.host.run(
        ["curl", "-4", "-sS", "-o", "/dev/null", "-w", "%{size_download} %{remote_ip}", "http://bob.can:8000/file"],
        timeout=WITHIN,
    )
    assert done.stdout == f"20000000 {ALICE_CALLS_BOB}", done.stderr


def test_only_ones_own_address_is_reached(friends: Friends) -> None:
    """What Alice sends to Bob goes to Bob, whatever address she writes on it; his LAN stays his."""
    router = "172.31.0.1"
    alice = friends.alice.host
    alice.namespace.ip([f"route add 192.0.2.0/24 dev {tap_of(friends.alice)}"])
    with alice.socket(timeout=1) as sock:
        sock.sendto(b"x", ("192.0.2.1", 9))  # no friend has it, so it goes nowhere
        with pytest.raises(TimeoutError):
            sock.recv(10)
    done = friends.bob.host.run(["ping", "-n", "-c", "1", "-W", "5", router])
    assert " 1 received" in done.stdout


def tap_of(person: Person) -> str:
    names = [name for name in person.host.call(socket.if_nameindex) if name[1] not in ("lo", "eth0")]
    assert len(names) == 1
    return names[0][1]


def test_the_hosts_file_and_the_interface_go_with_the_network_and_addresses_stay(friends: Friends) -> None:
    """The last but one: Bob's is killed, and comes back; then Alice's ends in good order."""
    alice, bob = friends.alice, friends.bob
    before = bob.friends()
    assert bob.down(9) == -9
    until(lambda: len(bob.host.call(socket.if_nameindex)) == 2)
    assert "alice.can" in bob.hosts_file.read_text()  # nobody was left to take it away
    bob.up()
    assert bob.hosts_file.read_text().count("# tin-can") == 2
    bob.event("friend", name="alice.can", state="online")
    alice.ping("bob.can", "-4")
    assert bob.friends() == before
    assert alice.down() == 0
    until(lambda: len(alice.host.call(socket.if_nameindex)) == 2)
    assert "tin-can" not in alice.hosts_file.read_text()
    alice.up()
    alice.event("friend", name="bob.can", state="online")
    assert f"from {ALICE_CALLS_BOB}" in alice.ping("bob.can", "-4")


def test_a_friend_who_is_removed_is_cut_off(friends: Friends) -> None:
    """The last: at once, on both sides, though only one has said so, and for ever."""
    alice, bob = friends.alice, friends.bob
    alice.ping("bob.can", "-4")
    alice.run("friend", "remove", "bob")
    alice.event("friend", name="bob.can", state="away")
    until(lambda: "bob.can" not in alice.hosts_file.read_text())
    done = bob.host.run(["ping", "-4", "-n", "-c", "2", "-i", "0.2", "-W", "2", "alice.can"])
    assert " 0 received" in done.stdout
    done = alice.host.run(["ping", "-n", "-c", "1", "-W", "1", ALICE_CALLS_BOB])
    assert " 0 received" in done.stdout


def test_friends_behind_symmetric_nats_go_through_the_relay_that_the_switchboard_offers(lab: Lab) -> None:
    town = Town(lab, offer_turn=True)
    alice, bob = (Person(lab.nat("symmetric").host(name), town.options()) for name in ("alice", "bob"))
    befriend(alice, bob)
    for person in (alice, bob):
        person.up("--no-names")
    assert alice.event("friend", name="bob.can", state="online")["path"] == "relayed"
    address = alice.friends()["bob.can"]["address"]
    assert address == "172.31.0.101"
    assert f"from {address}" in alice.ping(address)
    assert "bob.can" not in alice.hosts_file.read_text()
