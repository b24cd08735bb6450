"""XMPP by way of a real Prosody: certificates, logins, who is listened to, and what happens when the server goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from lab.cans import tin_can
from lab.friends import WITHIN, Person
from lab.netlab import PATIENCE, Host, Lab
from lab.networks import grouped
from lab.prosody import DOMAIN, PASSWORD, PORT, Authority, Prosody
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble
from tincan.vpn.ipop.effects import Login
from tincan.vpn.ipop.events import Gone, Heard, OverlayEvent, Said, SignedIn, SignedOut
from tincan.vpn.party.line import LineClosed

pytest.importorskip("slixmpp")
A, B, C = ("a1" * 20, "b2" * 20, "c3" * 20)


@pytest.fixture
def server(lab: Lab) -> Host:
    return lab.host("server")


class Node:
    """An overlay and what it told."""

    def __init__(self, server: Host, uid: str, user: str, ca: Path | None, password: str = PASSWORD) -> None:
        from tincan.vpn.ipop.nodes import XmppOverlay
        from tincan.vpn.ipop.xmpp import trust

        self.overlay = XmppOverlay(trust(ca))
        self.login = Login(f"{user}@{DOMAIN}", server.address, PORT, uid, password)
        self.seen: list[OverlayEvent] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Node]:
        tasks = [asyncio.create_task(self.overlay.run(self.login)), asyncio.create_task(self._read())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            self.seen.append(await self.overlay.event())

    async def until(self, event: OverlayEvent | type[OverlayEvent], limit: float = PATIENCE) -> Any:
        """Wait until this was told, and return it."""
        async with asyncio.timeout(limit):
            while True:
                for seen in self.seen:
                    if seen == event or (isinstance(event, type) and isinstance(seen, event)):
                        return seen
                await asyncio.sleep(0.02)


def run(server: Host, what: Callable[[], Any]) -> None:
    server.call(asyncio.run, what())


def test_friends_find_each_other_and_talk(server: Host) -> None:
    authority = Authority(server.lab.registry.directory)
    prosody = Prosody(server, ["alice", "bob", "carol"], friends=["alice", "bob"], certificate=authority.sign(DOMAIN))

    async def talk() -> None:
        ca = authority.file
        alice, bob, carol = (Node(server, u, n, ca) for u, n in ((A, "alice"), (B, "bob"), (C, "carol")))
        async with alice.running(), bob.running(), carol.running():
            await carol.until(SignedIn())
            await alice.until(Heard(B))
            await bob.until(Heard(A))
            text = '{"fpr": "<&>", "con_type": "successor"} \u00e4'
            assert alice.overlay.send(B, "con_req", text)
            assert await bob.until(Said) == Said(A, "con_req", text)
            # Carol is nobody's friend; she knows Alice's address and her uid, and sends as if she were one.
            session = carol.overlay._session
            assert session is not None
            carol.overlay._friends.came(f"alice@{DOMAIN}", f"tincan{A}")
            session._client.send_presence_subscription(pto=f"alice@{DOMAIN}")  # who does not let her in by herself
            assert carol.overlay.send(A, "con_req", "stranger")
            assert not alice.overlay.send(C, "con_req", "nobody there")
            bob.overlay.send(A, "send_msg", "last")
            await alice.until(Said(B, "send_msg", "last"))
            assert [s for s in alice.seen if isinstance(s, Said)] == [Said(B, "send_msg", "last")]
            # The server goes and comes back: both are told, and find each other again.
            prosody.stop()
            assert await alice.until(SignedOut) == SignedOut("The connection to the server was lost.", False)
            await alice.until(Gone(B))
            alice.seen.clear()
            bob.seen.clear()
            prosody.restart()
            await alice.until(Heard(B))
            await bob.until(Heard(A))
        alice.seen.clear()

    run(server, talk)


def test_a_server_that_falls_silent(server: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(server.lab.registry.directory)
    prosody = Prosody(server, ["lab"], certificate=authority.sign(DOMAIN))
    monkeypatch.setattr("tincan.vpn.ipop.xmpp.PING", 1)
    monkeypatch.setattr("tincan.vpn.ipop.xmpp.PING_TIMEOUT", 1)

    async def talk() -> None:
        node = Node(server, A, "lab", authority.file)
        async with node.running():
            await node.until(SignedIn())
            prosody.process.signal(signal.SIGSTOP)
            assert not (await node.until(SignedOut)).final
            node.seen.clear()
            prosody.process.signal(signal.SIGCONT)
            await node.until(SignedIn())

    run(server, talk)


def test_two_nodes_of_one_account(server: Host) -> None:
    authority = Authority(server.lab.registry.directory)
    Prosody(server, ["lab"], certificate=authority.sign(DOMAIN))

    async def talk() -> None:
        one, two = (Node(server, uid, "lab", authority.file) for uid in (A, B))
        async with one.running():
            async with two.running():
                await one.until(Heard(B))
                await two.until(Heard(A))
                assert one.overlay.send(B, "ping", "hello")
                assert await two.until(Said) == Said(A, "ping", "hello")
            await one.until(Gone(B))

    run(server, talk)


def test_what_is_refused(server: Host) -> None:
    authority = Authority(server.lab.registry.directory)
    other = Authority(server.lab.registry.directory, "other")
    Prosody(server, ["alice"], certificate=authority.sign(DOMAIN))

    async def refused(node: Node) -> SignedOut:
        async with node.running():
            return await node.until(SignedOut)  # type: ignore[no-any-return]

    async def tries() -> None:
        wrong = await refused(Node(server, A, "alice", authority.file, "another password"))
        assert wrong == SignedOut("The server does not accept this name and password.", True)
        for ca in (other.file, None):
            untrusted = await refused(Node(server, A, "alice", ca))
            assert "certificate is not trusted" in untrusted.reason
            assert untrusted.final
        elsewhere = Node(server, A, "alice", authority.file)
        elsewhere.login = Login(f"alice@another.{DOMAIN}", server.address, PORT, A, PASSWORD)
        assert isinstance(await refused(elsewhere), SignedOut)
        nobody = Node(server, A, "alice", authority.file)
        nobody.login = Login(nobody.login.username, server.address, PORT + 1, A, PASSWORD)
        unreachable = await refused(nobody)
        assert "cannot be reached" in unreachable.reason
        assert not unreachable.final

    run(server, tries)


def test_a_certificate_for_another_name_is_refused(server: Host) -> None:
    authority = Authority(server.lab.registry.directory)
    Prosody(server, ["alice"], certificate=authority.sign("elsewhere.test"))

    async def tries() -> None:
        node = Node(server, A, "alice", authority.file)
        async with node.running():
            told = await node.until(SignedOut)
        assert "certificate is not trusted" in told.reason

    run(server, tries)


def test_no_password_without_tls(server: Host) -> None:
    Prosody(server, ["alice"], certificate=None)

    async def tries() -> None:
        node = Node(server, A, "alice", None)
        async with node.running():
            told = await node.until(SignedOut)
        assert told == SignedOut("The server offers no way to sign in that is safe: it has no TLS.", True)

    run(server, tries)


class Talker:
    """A party line in the server's rooms."""

    def __init__(self, server: Host, user: str, ca: Path, password: str = PASSWORD) -> None:
        from tincan.vpn.ipop.party import XmppLine
        from tincan.vpn.ipop.xmpp import trust

        self.told: list[MeetEvent] = []
        rooms = f"rooms.{DOMAIN}"
        self.line = XmppLine(f"{user}@{DOMAIN}", password, rooms, trust(ca), self.told.append, host=server.address)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Talker]:
        task = asyncio.create_task(self.line.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def ready(self, count: int = 1) -> None:
        async with asyncio.timeout(PATIENCE):
            while sum(isinstance(event, PlaceReady) for event in self.told) < count:
                await asyncio.sleep(0.02)

    async def hears(self, other: Talker, topic: str, message: bytes) -> None:
        """Wait until what the other says arrives; things said before the room is entered are lost."""
        async with asyncio.timeout(PATIENCE):
            while True:
                await other.line.send(topic, message)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        while (await self.line.receive()) != (topic, message):
                            pass
                        return


def test_a_party_line_in_rooms(server: Host) -> None:
    authority = Authority(server.lab.registry.directory)
    prosody = Prosody(server, ["alice", "bob", "carol"], friends=[], certificate=authority.sign(DOMAIN))
    one, two = "1" * 32, "2" * 32

    async def talk() -> None:
        alice, bob, carol = (Talker(server, name, authority.file) for name in ("alice", "bob", "carol"))
        async with alice.running(), bob.running(), carol.running():
            await alice.line.join(one)  # before there is a connection
            await alice.ready()
            await bob.ready()
            await bob.line.join(one)
            await alice.hears(bob, one, bytes(range(256)) * 64)
            await bob.hears(alice, one, b"and back")
            await carol.ready()
            await carol.line.join(two)
            await carol.hears(alice, two, b"from one who is not on the topic")
            # Nobody hears his own words, nor those of topics that are another's.
            await alice.hears(bob, one, b"last")
            prosody.stop()
            prosody.restart()
            await alice.ready(2)
            await bob.ready(2)
            await alice.hears(bob, one, b"after the server came back")
            bob.line.hurry()
            await bob.ready(3)
            await alice.hears(bob, one, b"after the network changed")
            await alice.line.close()
            with pytest.raises(LineClosed):
                await alice.line.send(one, b"")
            with pytest.raises(LineClosed):
                await alice.line.receive()

    async def refused() -> None:
        wrong = Talker(server, "alice", authority.file, "another password")
        async with wrong.running(), asyncio.timeout(PATIENCE):
            while not wrong.told:
                await asyncio.sleep(0.02)
        text = f"XMPP at {DOMAIN}: The server does not accept this name and password."
        assert wrong.told == [PlaceTrouble(f"xmpp:{DOMAIN}", text)]

    run(server, talk)
    run(server, refused)


def test_a_group_network_meets_in_rooms(lab: Lab) -> None:
    """No switchboard, no LAN, not in each other's roster: two members of a group, an XMPP server, and a ping."""
    server = lab.host("server")
    authority = Authority(lab.registry.directory)
    Prosody(server, ["alice", "bob"], friends=[], certificate=authority.sign(DOMAIN))
    members = grouped([lab.nat().host("alice"), lab.host("bob")], [])
    for member in members:
        member.env["TIN_CAN_XMPP_PASSWORD"] = PASSWORD
        account = f"{member.host.name}@{DOMAIN}"
        options = ["--xmpp", account, "--xmpp-host", server.address, "--xmpp-rooms", f"rooms.{DOMAIN}"]
        member.up("--no-lan", *options, "--xmpp-ca", str(authority.file))
    for member in members:
        member.wait_up()
    alice, bob = members
    alice.sees(bob)
    alice.ping(bob.address)
    for member in members:
        member.down()


def test_friends_of_a_roster_have_a_social_network(lab: Lab) -> None:
    """Who is in the roster becomes a friend, who is not does not, and the network meets in rooms alone."""
    server = lab.host("server")
    authority = Authority(lab.registry.directory)
    Prosody(server, ["alice", "bob", "carol"], friends=["alice", "bob"], certificate=authority.sign(DOMAIN))
    people = {name: Person(lab.host(name), ["--no-lan"]) for name in ("alice", "bob", "carol")}
    adding = {}
    for name, person in people.items():
        person.env["TIN_CAN_XMPP_PASSWORD"] = PASSWORD
        where = ["--xmpp-host", server.address, "--xmpp-rooms", f"rooms.{DOMAIN}", "--xmpp-ca", str(authority.file)]
        person.options += ["--xmpp", f"{name}@{DOMAIN}", *where]
        options = [option for option in person.options if option != "--no-lan"]
        adding[name] = tin_can(person.host, "friend", "roster", "--yes", "--json", *options, env=person.env)
    for name, other in (("alice", "bob"), ("bob", "alice")):
        found = json.loads(adding[name].wait_line('"event": "friend"', timeout=WITHIN))
        assert found["name"] == f"{other}.can"
    for process in adding.values():
        assert process.stop() == 0, process.report()
    alice, bob, carol = people.values()
    assert "bob.can" in alice.friends()
    assert len(carol.friends()) == 1  # herself
    for person in (alice, bob):
        person.up()
    alice.event("friend", name="bob.can", state="online")
    alice.ping("bob.can", "-4")
    for person in (alice, bob):
        person.down()
