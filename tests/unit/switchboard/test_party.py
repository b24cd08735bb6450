"""Party lines at a switchboard: the core by itself, and the server over real sockets."""

from __future__ import annotations

import base64
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect

from tincan.switchboard.frames import ErrorCode, FrameError, Malformed, TooLarge
from tincan.switchboard.limits import RateLimits
from tincan.switchboard.metrics import Metrics
from tincan.switchboard.party import Effect, Party, PartyLimits, Refused
from tincan.switchboard.party_frames import MAX_BODY, MAX_TOPICS, Enter, Heard, Join, Leave, Send, Welcome, decode
from unit.switchboard.wire import Client, metric, switchboard

ONE, TWO = "1" * 32, "2" * 32


class Desk:
    """A core with members a to d, each at an address of its own; d shares the address of c."""

    def __init__(self, **limits: int) -> None:
        self.metrics = Metrics()
        self.party = Party(PartyLimits(**limits), self.metrics)
        for number, address in enumerate(["A", "B", "C", "C"]):
            self.party.connected(number, address)

    def say(self, number: int, frame: Enter | Join | Leave | Send, *, allowed: bool = True) -> list[Effect]:
        return list(self.party.receive(number, frame, lambda size: allowed))


def test_a_message_reaches_all_others_on_its_topic_and_nobody_else() -> None:
    desk = Desk()
    assert desk.say(0, Enter()) == [(0, Welcome())]
    for number, topics in enumerate([(ONE,), (ONE, TWO), (TWO,), (ONE,)]):
        assert desk.say(number, Join(topics)) == []
    assert sorted(desk.say(0, Send(ONE, b"x")), key=str) == [(1, Heard(ONE, b"x")), (3, Heard(ONE, b"x"))]
    assert desk.say(2, Send(TWO, b"y")) == [(1, Heard(TWO, b"y"))]
    assert desk.say(0, Send(TWO, b"z")) == [(1, Heard(TWO, b"z")), (2, Heard(TWO, b"z"))], "one need not be on it"
    desk.say(1, Leave((ONE,)))
    desk.party.disconnected(3)
    assert desk.say(0, Send(ONE, b"x")) == []
    assert (desk.metrics.party_messages, desk.metrics.party_bytes) == (4, 4)


def test_nothing_is_kept_of_those_who_have_gone() -> None:
    desk = Desk()
    for number in range(4):
        desk.say(number, Join((ONE, TWO)))
    assert (desk.metrics.party_members, desk.metrics.party_topics) == (4, 2)
    for number in range(4):
        desk.party.disconnected(number)
        desk.party.disconnected(number)
    assert (desk.metrics.party_members, desk.metrics.party_topics) == (0, 0)


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"topics": 3}, ErrorCode.FULL), ({"members": 1}, ErrorCode.FULL), ({"topics_per_address": 3}, ErrorCode.RATE)],
)
def test_limits_on_topics(limits: dict[str, int], code: ErrorCode) -> None:
    desk = Desk(**limits)
    assert desk.say(2, Join((ONE, TWO))) == []
    [(number, refused)] = desk.say(3, Join((ONE, TWO)))
    assert number == 3
    assert isinstance(refused, Refused)
    assert refused.code is code
    desk.party.disconnected(3)
    desk.say(2, Leave((ONE, TWO)))
    desk.party.connected(4, "D")
    assert desk.say(4, Join((ONE, TWO))) == [], "what was given back can be had again"


def test_one_connection_is_on_so_many_topics() -> None:
    desk = Desk()
    topics = [f"{n:032x}" for n in range(MAX_TOPICS + 1)]
    desk.say(0, Join(tuple(topics[:-1])))
    assert desk.say(0, Join(tuple(topics[:5]))) == [], "again is no more"
    [(_, refused)] = desk.say(0, Join((topics[-1],)))
    assert isinstance(refused, Refused)


def test_what_an_address_may_not_send_is_lost() -> None:
    desk = Desk()
    desk.say(1, Join((ONE,)))
    assert desk.say(0, Send(ONE, b"x"), allowed=False) == []
    assert desk.metrics.party_lost == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"type":"joined"}',
        '{"type":"join","topics":["G"]}',
        '{"type":"join","topics":["' + "1" * 31 + '"]}',
    ],
)
def test_frames_of_the_wrong_form(text: str) -> None:
    with pytest.raises(Malformed):
        decode(text)


def test_large_frames_and_junk() -> None:
    body = base64.b64encode(bytes(MAX_BODY + 1)).decode()
    with pytest.raises(TooLarge):
        decode(f'{{"type":"send","topic":"{ONE}","body":"{body}"}}')
    chance = random.Random(3)
    for _ in range(2000):
        with contextlib.suppress(FrameError):
            decode(bytes(chance.randrange(256) for _ in range(chance.randrange(60))))


# -- over real sockets --


@contextlib.asynccontextmanager
async def member(url: str, *topics: str) -> AsyncIterator[Client]:
    async with connect(url + "/v1/party", proxy=None, close_timeout=1) as socket:
        client = Client(socket)
        await client.say(type="enter")
        assert (await client.hear())["type"] == "welcome"
        if topics:
            await client.say(type="join", topics=topics)
            await client.say(type="enter")  # its answer says that the topics are joined
            await client.hear()
        yield client


async def test_members_hear_each_other_over_a_real_server() -> None:
    async with switchboard() as url, member(url, ONE) as a, member(url, ONE) as b, member(url, TWO) as c:
        await a.say(type="send", topic=ONE, body=base64.b64encode(b"\xff" * MAX_BODY).decode())
        assert base64.b64decode((await b.hear())["body"]) == b"\xff" * MAX_BODY
        await b.say(type="send", topic=TWO, body="")
        assert await c.hear() == {"type": "heard", "topic": TWO, "body": ""}
        assert await metric(url, "party_members") == 3
        assert await metric(url, "party_messages_total") == 2


async def test_servers_are_offered() -> None:
    settings = {"stun": ("stun:s:1",), "turn_urls": ("turn:t:1",), "turn_secret": "x"}
    async with switchboard(**settings) as url, connect(url + "/v1/party", proxy=None) as socket:
        client = Client(socket)
        await client.say(type="enter")
        welcome = await client.hear()
        assert welcome["stun"] == ["stun:s:1"]
        assert welcome["turn"]["urls"] == ["turn:t:1"]


async def test_a_frame_of_the_wrong_form_ends_it() -> None:
    async with switchboard() as url, member(url) as a:
        await a.say(type="open")
        assert await a.error() == "malformed"


async def test_a_flood_costs_its_own_connection() -> None:
    async with switchboard(rates=RateLimits(frames_burst=20, frames_per_second=0.001)) as url, member(url, ONE) as a:
        for _ in range(30):
            await a.say(type="send", topic=ONE, body="")
        assert await a.error() == "rate"


async def test_who_does_not_read_loses_messages_and_no_more() -> None:
    body = base64.b64encode(bytes(MAX_BODY)).decode()
    rates = RateLimits(frames_burst=10_000, party_bytes_burst=1e9)
    async with (
        switchboard(rates=rates) as url,
        member(url, ONE) as a,
        connect(url + "/v1/party", proxy=None, max_queue=1, close_timeout=0.1) as deaf,
    ):
        await deaf.send('{"type":"enter"}')
        await deaf.send(f'{{"type":"join","topics":["{ONE}"]}}')
        lost = 0
        for _ in range(60):
            for _ in range(50):
                await a.say(type="send", topic=ONE, body=body)
            await a.say(type="enter")
            await a.hear()
            if lost := await metric(url, "party_lost_total"):
                break
        assert lost > 0
        assert await metric(url, "party_members") == 2
