"""XMPP by way of a real Prosody: certificates, logins, who is listened to, and what happens when the server goes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from lab.netlab import Host, Lab
from lab.prosody import DOMAIN, PASSWORD, PORT, Authority, Prosody
from tincan.vpn.ipop.effects import Login
from tincan.vpn.ipop.events import Gone, Heard, OverlayEvent, Said, SignedIn, SignedOut

pytest.importorskip("slixmpp")
A, B, C = ("a1" * 20, "b2" * 20, "c3" * 20)


@pytest.fixture
def server(lab: Lab) -> Host:
    return lab.host("server")


class Node:
    """An overlay and what it told."""

    def __init__(self, server: Host, uid: str, user: str, ca: Path | None, password: str = PASSWORD) -> None:
        from tincan.vpn.ipop.xmpp import XmppOverlay, trust

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

    async def until(self, event: OverlayEvent | type[OverlayEvent], limit: float = 30) -> Any:
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
            session._friends.came(f"alice@{DOMAIN}", f"tincan{A}")
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
