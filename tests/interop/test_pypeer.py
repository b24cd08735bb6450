"""pypeer 0.1.0, unmodified and on its own screens, behind one NAT, and the other side behind another.

The switchboard is the database. pypeer knows Google's STUN servers only; in the laboratory their names mean ours.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cans import SERVER, Switchboard
from lab.friends import until
from lab.netlab import PATIENCE, Host, Lab, Process, WaitTimeout, root_available

pytestmark = [
    pytest.mark.skipif(not root_available(), reason="the laboratory needs Linux, root, ip and nft"),
    pytest.mark.xdist_group("street"),  # one worker makes the laboratory of the module
]

HERE = Path(__file__).parent
TIN_CAN = [sys.executable, "-m", "tincan"]
PYPEER = [sys.executable, str(HERE / "pypeer_screens.py")]
GOOGLE = ("stun.l.google.com", "stun1.l.google.com", "stun2.l.google.com")
PASSWORD = "a Ü:2"


class Street:
    """A server with a switchboard and STUN, and two houses."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.server = lab.host("server", address=SERVER)
        self.stun = lab.coturn(self.server).stun_url
        chain = "chain pre { type nat hook prerouting priority -100; udp dport 19302 redirect to :3478; }"
        self.server.run(["nft", f"table ip stun {{ {chain}; }}"]).check_returncode()
        self.url = Switchboard(self.server).url.replace("ws:", "http:")
        self.alice = lab.nat("port-restricted").host("alice")
        self.bob = lab.nat("port-restricted").host("bob")
        for host in (self.alice, self.bob):
            host.names(dict.fromkeys(GOOGLE, SERVER))

    def get(self, path: str) -> Any:
        """Return what the database has there."""

        def ask() -> Any:
            connection = http.client.HTTPConnection(SERVER, 8080, timeout=PATIENCE)
            connection.request("GET", path)
            found = json.loads(connection.getresponse().read())
            connection.close()
            return found

        return self.server.call(ask)

    def forgets(self, room: str) -> None:
        """Wait until the database has nothing of a room any more."""
        until(lambda: self.get(f"/rooms/{room}.json") is None)


class Pypeer:
    """pypeer on a host."""

    def __init__(self, street: Street, host: Host) -> None:
        self.process = host.start(PYPEER, env={"PYPEER_URL": street.url, "no_proxy": "*"})

    def do(self, *order: str) -> None:
        self.process.write_line(json.dumps(order))

    def sees(self, kind: str, wanted: str = "", timeout: float = PATIENCE) -> str:
        """Wait until its screen shows something, and return that."""

        def fits(line: str) -> bool:
            shown = json.loads(line)
            return kind in shown and wanted in shown[kind]

        found: str = json.loads(self.process.wait_line(fits, timeout))[kind]
        return found

    def host_room(self, password: str) -> str:
        self.do("host", password)
        return self.sees("room")

    def quit(self) -> None:
        self.do("quit")
        try:
            self.process.wait(10)
        except WaitTimeout:  # now and then it does not come to an end, after a link that ended; not ours to judge
            self.process.signal(9)
            self.process.wait()


class Can:
    """tin-can in the dialect of pypeer on a host."""

    def __init__(self, street: Street, host: Host, command: str, *arguments: str) -> None:
        options = ["--pypeer", "--firebase", street.url, "--stun", street.stun, "--json"]
        self.process: Process = host.start([*TIN_CAN, command, *arguments, *options], env={"no_proxy": "*"})

    def event(self, kind: str, timeout: float = PATIENCE) -> dict[str, Any]:
        line = self.process.wait_line(lambda text: json.loads(text)["event"] == kind, timeout)
        found: dict[str, Any] = json.loads(line)
        return found


@pytest.fixture(scope="module")
def street() -> Iterator[Street]:
    with Lab() as lab:
        yield Street(lab)


def converse(pypeer: Pypeer, can: Can) -> None:
    assert can.event("connected")["path"] == "direct-udp"
    pypeer.sees("screen", "MessagingScreen")
    can.process.write_line("one way, ümläut ✓")
    assert pypeer.sees("line", "one way") == "Peer: one way, ümläut ✓"
    pypeer.do("say", "ja ß")
    assert can.event("message")["text"] == "ja ß"
    can.process.write_line("x" * 30_000)
    pypeer.sees("line", " 30006 characters")


def test_pypeer_hosts_and_we_join(street: Street) -> None:
    pypeer = Pypeer(street, street.alice)
    room = pypeer.host_room(PASSWORD)
    can = Can(street, street.bob, "tap", f"{room.lower()}:{PASSWORD}")
    converse(pypeer, can)
    street.forgets(room)
    assert "error" in street.get("/rooms.json")
    pypeer.quit()
    assert can.event("closed")["reason"] == "peer"
    assert can.process.wait() == 0, can.process.report()


def test_we_host_and_pypeer_joins(street: Street) -> None:
    pypeer = Pypeer(street, street.alice)
    can = Can(street, street.bob, "attach-string")
    room = can.event("waiting")["code"]
    wait_for_offer(street, room)
    pypeer.do("join", room, "")
    converse(pypeer, can)
    street.forgets(room)
    can.process.close_stdin()
    assert can.process.wait() == 0, can.process.report()
    assert "connection lost" in pypeer.sees("toast", "OFFLINE")
    pypeer.quit()


def test_our_wrong_password(street: Street) -> None:
    pypeer = Pypeer(street, street.alice)
    room = pypeer.host_room(PASSWORD)
    wrong = Can(street, street.bob, "tap", f"{room}:{PASSWORD}x")
    assert "rong password" in wrong.event("error")["text"]
    assert wrong.process.wait() == 5
    right = Can(street, street.bob, "tap", f"{room}:{PASSWORD}")
    right.event("connected")
    right.process.close_stdin()
    assert right.process.wait() == 0
    pypeer.quit()


def test_the_wrong_password_of_pypeer(street: Street) -> None:
    can = Can(street, street.bob, "attach-string", f"PWD001:{PASSWORD}")
    pypeer = Pypeer(street, street.alice)
    wait_for_offer(street, "PWD001")
    pypeer.do("join", "PWD001", PASSWORD.upper())
    assert "Check your password" in pypeer.sees("toast", "AUTH")
    assert set(street.get("/rooms/PWD001.json")) == {"offer"}
    pypeer.do("again", PASSWORD)
    converse(pypeer, can)
    pypeer.quit()
    assert can.process.wait() == 0, can.process.report()


def test_pypeer_with_pypeer(street: Street) -> None:
    host, joiner = Pypeer(street, street.alice), Pypeer(street, street.bob)
    room = host.host_room(PASSWORD)
    joiner.do("join", room, PASSWORD)
    for pypeer in (host, joiner):
        pypeer.sees("screen", "MessagingScreen")
    host.do("say", "one way")
    assert joiner.sees("line", "one way") == "Peer: one way"
    joiner.do("say", "ja")
    assert host.sees("line", "ja") == "Peer: ja"
    street.forgets(room)
    host.quit()
    joiner.quit()


def test_a_room_that_is_given_up_is_deleted(street: Street) -> None:
    interrupted = Can(street, street.alice, "attach-string", "GONE01")
    late = Can(street, street.bob, "attach-string", "GONE02:x", "--timeout", "10")
    for room in ("GONE01", "GONE02"):
        wait_for_offer(street, room)
    interrupted.process.signal(signal.SIGTERM)
    assert interrupted.process.wait() == 130
    assert late.event("error")["code"] == 4
    assert late.process.wait() == 4
    for room in ("GONE01", "GONE02"):
        street.forgets(room)


def wait_for_offer(street: Street, room: str) -> None:
    """Read the database's stream until the offer is there."""

    def listen() -> None:
        connection = http.client.HTTPConnection(SERVER, 8080, timeout=PATIENCE)
        connection.request("GET", f"/rooms/{room}/offer.json", headers={"Accept": "text/event-stream"})
        answer = connection.getresponse()
        while b"payload" not in answer.readline():
            pass
        connection.close()

    street.server.call(listen)
