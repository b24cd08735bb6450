"""Programs run where they should and can be talked to; the servers of the laboratory serve."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys

import pytest
from aioice import turn

from lab import netlab, stun
from lab.netlab import PATIENCE, Lab
from lab.packets import Address, eventually

pytestmark = pytest.mark.skipif(not netlab.root_available(), reason="needs Linux, root, ip and nft")


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
    script = "import socket, sys; s = socket.create_server((sys.argv[1], 80)); print('up', flush=True); s.accept()"
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
    script = (
        "import socket, sys\n"
        "for name in sys.argv[1:]: print(sorted({found[4][0] for found in socket.getaddrinfo(name, 1)}))"
    )
    done = host.run([sys.executable, "-c", script, "stun.l.google.com", "both.test", "localhost"])
    assert done.stdout.splitlines()[:2] == ["['203.0.113.5']", "['2001:db8:113::6', '203.0.113.6']"], done.stderr
    assert "gaierror" in host.run([sys.executable, "-c", script, "elsewhere.test"]).stderr


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
    closed = asyncio.Event()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Address) -> None:
            answered.set_result(data)

        def connection_lost(self, exc: Exception | None) -> None:
            closed.set()

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
        assert await asyncio.wait_for(answered, PATIENCE) == b"and back"
        relayed = allocation.get_extra_info("sockname")
    finally:
        allocation.close()
        await asyncio.wait_for(closed.wait(), PATIENCE)
    return str(relayed[0]), int(relayed[1])


@pytest.mark.parametrize("secret", [None, "shared"])
def test_turn(lab: Lab, secret: str | None) -> None:
    server = lab.coturn(lab.host(), secret=secret, tls=True)
    client = lab.nat().host()
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
