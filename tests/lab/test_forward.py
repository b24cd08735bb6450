"""Real `forward` in the laboratory: a web server, datagrams, refusals, and a line that dies, between two NATs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.bytes_cans import ByteCan, digest
from lab.cans import SECRET, Town
from lab.netlab import PATIENCE, Host, Lab

Ends = tuple[ByteCan, ByteCan]


class Site:
    """A web server on a host's loopback, with one file of its own."""

    def __init__(self, host: Host, port: int, folder: Path) -> None:
        folder.mkdir()
        self.file = folder / "page"
        self.file.write_bytes(os.urandom(3_000_000))
        server = ["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port)]
        host.start([sys.executable, *server]).wait_line("Serving HTTP")


def fetch(host: Host, port: int, to: Path) -> int:
    """Get the page at a port of the loopback; return curl's exit code."""
    command = ["curl", "-s", "-m", "120", "--noproxy", "*", "-o", str(to), f"http://127.0.0.1:{port}/page"]
    return host.run(command).returncode


def fetches(host: Host, port: int, site: Site) -> bool:
    """Whether the page comes as it is."""
    to = site.file.with_name(f"copy-{port}")
    with contextlib.suppress(FileNotFoundError):
        to.unlink()
    return fetch(host, port, to) == 0 and digest(to) == digest(site.file)


def tied(town: Town, near: list[str], far: list[str]) -> Ends:
    """Start `forward` on both hosts and wait until they are connected."""
    found = []
    for host, arguments in zip(town.hosts, (near, far), strict=True):
        found.append(ByteCan(host, "forward", SECRET, *arguments, *town.options()))
    for can in found:
        can.event("connected")
    return found[0], found[1]


def interrupted(ends: Ends) -> None:
    """Ctrl-C at the first ends both, with nothing left behind."""
    ends[0].process.signal(signal.SIGINT)
    assert ends[0].wait() == 130
    assert ends[1].wait() == 0, ends[1].process.report()
    assert "Traceback" not in ends[0].process.stderr + ends[1].process.stderr


@pytest.fixture
def town(lab: Lab) -> Town:
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    return Town(lab)


def test_both_directions_and_several_ports_at_once(town: Town, tmp_path: Path) -> None:
    alice, bob = town.hosts
    sites = [Site(bob, 8000, tmp_path / "a"), Site(bob, 8001, tmp_path / "b"), Site(alice, 9000, tmp_path / "c")]
    wishes = ["-L", "8080:127.0.0.1:8000", "-L", "8081:localhost:8001", "-R", "9090:localhost:9000"]
    ends = tied(town, wishes, ["--allow", "127.0.0.1:8000", "--allow", "localhost:*", "--allow-listen", "9090"])
    for can in ends:
        while not (told := can.event("stream"))["tcp"]:
            pass  # what takes its time goes another way meanwhile
        assert told == {"event": "stream", "path": "direct-tcp", "tcp": True}
    while len(ends[0].events("listening")) < 3:
        ends[0].event("listening")
    assert fetches(alice, 8080, sites[0])
    assert fetches(alice, 8081, sites[1])
    assert fetches(bob, 9090, sites[2])
    interrupted(ends)
    assert {told["target"] for told in ends[0].events("open")} == {
        "127.0.0.1:8000",
        "localhost:8001",
        "localhost:9000",
    }
    assert not ends[0].events("refused") + ends[1].events("refused")
    assert fetch(alice, 8080, tmp_path / "none") == 7  # nobody listens there any more
    assert fetch(bob, 9090, tmp_path / "none") == 7


@contextlib.contextmanager
def udp_echo(host: Host, port: int) -> Iterator[None]:
    """Give back every datagram that comes to a port of the host's loopback."""
    sock = host.socket(port=port, timeout=0.2)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                datagram, sender = sock.recvfrom(65536)
                sock.sendto(datagram, sender)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sock.close()


def test_datagrams_keep_their_borders(town: Town) -> None:
    alice, bob = town.hosts
    with udp_echo(bob, 5301):
        ends = tied(town, ["-u", "-L", "5300:127.0.0.1:5301"], ["--allow", "127.0.0.1:5301"])
        with alice.socket() as one, alice.socket() as other:
            for size in (1, 1400, 9000):
                for number, sock in enumerate((one, other)):
                    sock.sendto(bytes([number]) * size, ("127.0.0.1", 5300))
                for number, sock in enumerate((one, other)):
                    assert sock.recvfrom(65536) == (bytes([number]) * size, ("127.0.0.1", 5300))
        interrupted(ends)


def test_what_is_not_allowed_is_refused_and_both_are_told(town: Town, tmp_path: Path) -> None:
    alice, bob = town.hosts
    site = Site(bob, 8000, tmp_path / "a")
    Site(bob, 8001, tmp_path / "b")
    near = ["-L", "8080:127.0.0.1:8000", "-L", "8081:127.0.0.1:8001", "-R", "9090:127.0.0.1:8000"]
    ends = tied(town, near, ["--allow", "127.0.0.1:8000"])
    for can, what in ((ends[0], "must be started with"), (ends[1], "to allow it, add")):
        told = can.event("refused")
        assert f"{what} --allow-listen 9090." in told["text"]
    assert fetch(alice, 8081, tmp_path / "none") in {52, 56}  # an empty answer, or a reset
    said = []
    for can, what in ((ends[0], "must be started with"), (ends[1], "to allow it, add")):
        told = can.event("refused")
        assert told["target"] == "127.0.0.1:8001"
        assert f"{what} --allow 127.0.0.1:8001." in told["text"]
        said.append((can, told["text"]))
    assert fetch(bob, 9090, tmp_path / "none") == 7
    assert fetches(alice, 8080, site)
    interrupted(ends)
    assert all(text in can.process.stderr for can, text in said)


def test_a_line_that_dies_and_comes_back_while_the_listeners_stay(town: Town, tmp_path: Path) -> None:
    alice, bob = town.hosts
    sites = Site(bob, 8000, tmp_path / "a"), Site(alice, 9000, tmp_path / "b")
    wishes = ["-L", "8080:127.0.0.1:8000", "-R", "9090:127.0.0.1:9000"]
    ends = tied(town, wishes, ["--allow", "127.0.0.1:8000", "--allow-listen", "9090"])
    assert fetches(alice, 8080, sites[0])
    with alice.call(socket.create_connection, ("127.0.0.1", 8080), PATIENCE) as idle:
        while len(ends[1].events("open")) < 2:
            ends[1].event("open")
        alice.unplug()
        for can in ends:
            can.event("reconnecting")
        alice.plug()
        for can in ends:
            can.event("reconnected")
        idle.settimeout(PATIENCE)
        with pytest.raises(ConnectionResetError):
            idle.recv(1)
    assert fetches(alice, 8080, sites[0])
    assert fetches(bob, 9090, sites[1])
    interrupted(ends)
    assert [told["spec"] for told in ends[0].events("listening") if "there" not in told] == [wishes[1]]
