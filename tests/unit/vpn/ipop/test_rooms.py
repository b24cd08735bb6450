"""Rooms and rosters by what their account would hear; no server. `tests/lab/test_xmpp.py` has the real thing."""

from __future__ import annotations

import asyncio
import base64
import ssl

import pytest

from tincan.errors import AuthenticationFailed, NoPlaceReachable
from tincan.link.interface import ChannelClosed
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble
from tincan.vpn.ipop.events import SignedOut
from tincan.vpn.ipop.party import MAX_VISITED, XmppLine
from tincan.vpn.ipop.roster import MAX_FRAME, MAX_PEERS, MAX_UNREAD, RESOURCE, Roster
from tincan.vpn.party.line import MAX_MESSAGE

ONE, TWO = "1" * 32, "2" * 32


class Speaker:
    """An account that writes down what it is to do."""

    def __init__(self) -> None:
        self.did: list[tuple[str, ...]] = []

    def ask(self, to: str, kind: str, data: str) -> None:
        self.did.append(("ask", to, kind, data))

    def enter(self, room: str, nick: str) -> None:
        self.did.append(("enter", room))

    def leave(self, room: str, nick: str) -> None:
        self.did.append(("leave", room))

    def say(self, room: str, text: str) -> None:
        self.did.append(("say", room, text))


def line(told: list[MeetEvent]) -> XmppLine:
    return XmppLine("a@can.test", "secret", "rooms.can.test", ssl.create_default_context(), told.append)


def room(topic: str) -> str:
    return f"tin-can-{topic}@rooms.can.test"


async def test_topics_are_rooms() -> None:
    told: list[MeetEvent] = []
    it, account = line(told), Speaker()
    await it.join(ONE)
    await it.send(ONE, b"lost: nobody is signed in")
    it.signed_in(account)
    await it.join(ONE)
    await it.send(ONE, b"a")
    await it.send(TWO, b"b")
    await it.send(TWO, b"c")
    await it.join(TWO)  # in there already, to speak
    await it.leave(ONE)
    await it.leave(ONE)
    assert account.did == [
        ("enter", room(ONE)),
        ("say", room(ONE), "YQ=="),
        ("enter", room(TWO)),
        ("say", room(TWO), "Yg=="),
        ("say", room(TWO), "Yw=="),
        ("leave", room(ONE)),
    ]
    it.signed_out(SignedOut("Gone.", False))
    it.signed_out(SignedOut("Gone.", False))
    it.signed_in(again := Speaker())
    assert again.did == [("enter", room(TWO))]
    name = "xmpp:can.test"
    trouble = PlaceTrouble(name, "XMPP at can.test: Gone. It is tried again.")
    assert told == [PlaceReady(name), trouble, PlaceReady(name)]


async def test_only_so_many_rooms_are_visited() -> None:
    it, account = line([]), Speaker()
    it.signed_in(account)
    for number in range(MAX_VISITED + 2):
        await it.send(f"{number:032x}", b"")
    assert [what for what, *_ in account.did].count("leave") == 2


async def test_what_is_heard() -> None:
    it = line([])
    await it.join(ONE)
    good = base64.b64encode(b"good").decode()
    for place, text in (
        (room(TWO), good),
        (room(ONE).replace("rooms", "evil"), good),
        ("nonsense", good),
        (room(ONE), "no base64!"),
        (room(ONE), "\u00e4"),
        (room(ONE), base64.b64encode(bytes(MAX_MESSAGE + 1)).decode()),
        (room(ONE), good),
    ):
        it.spoken(place, "somebody", text)
    assert await it.receive() == (ONE, b"good")
    assert not it.asked("b@can.test", "x", "y", "z")
    it.presence("b@can.test", "x", True)


# -- rosters ---------------------------------------------------------------------------


def roster() -> Roster:
    return Roster("Me@Can.test", "secret", ssl.create_default_context(), host="192.0.2.1", port=5222)


async def test_channels_to_friends() -> None:
    it, account = roster(), Speaker()
    it.signed_in(account)
    it.presence("bob@can.test", RESOURCE + "1", True)
    it.presence("bob@can.test", "another program", True)
    it.presence("me@can.test", RESOURCE + "2", True)  # we are no friend of ours
    channel = await it.accept()
    assert channel.who == "bob@can.test"
    await channel.send(b"hello")
    assert account.did == [("ask", f"bob@can.test/{RESOURCE}1", "friend", "aGVsbG8=")]
    with pytest.raises(ValueError, match="too long"):
        await channel.send(bytes(MAX_FRAME + 1))
    assert it.asked("bob@can.test", RESOURCE + "1", "friend", "YQ==")
    assert await channel.receive() == b"a"
    assert not it.asked("bob@can.test", RESOURCE + "1", "other", "YQ==")
    assert not it.asked("bob@can.test", "x", "friend", "YQ==")
    it.presence("bob@can.test", RESOURCE + "1", False)
    with pytest.raises(ChannelClosed):
        await channel.receive()
    with pytest.raises(ChannelClosed):
        await channel.send(b"")


async def test_a_friend_who_says_too_much_or_nonsense() -> None:
    it = roster()
    for number, text in ((1, "YQ=="), (2, "no base64!")):
        for _ in range(MAX_UNREAD + 5):
            it.asked("bob@can.test", f"{RESOURCE}{number}", "friend", text)
    flood, nonsense = await it.accept(), await it.accept()
    for _ in range(MAX_UNREAD):
        assert await flood.receive() == b"a"
    for channel in (flood, nonsense):
        with pytest.raises(ChannelClosed):
            await channel.receive()


async def test_there_is_a_limit_of_sessions() -> None:
    it = roster()
    for number in range(MAX_PEERS + 5):
        it.presence("bob@can.test", f"{RESOURCE}{number}", True)
    for _ in range(MAX_PEERS):
        await it.accept()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await it.accept()


@pytest.mark.parametrize(("final", "error"), [(True, AuthenticationFailed), (False, NoPlaceReachable)])
async def test_a_login_that_fails(monkeypatch: pytest.MonkeyPatch, final: bool, error: type[Exception]) -> None:
    async def refuse(account: object, context: object, listener: Roster) -> None:
        listener.signed_out(SignedOut("No.", final))

    monkeypatch.setattr("tincan.vpn.ipop.roster.keep", refuse)
    with pytest.raises(error, match=r"XMPP: No\."):
        await roster().run()
