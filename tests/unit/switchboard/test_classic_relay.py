"""The relay that a switchboard is for the classic dialect: the pure core, then the routes on the wire."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.switchboard.dialects.classic import ClassicRelay, Refusal, RelayLimits, What
from tincan.switchboard.limits import RateLimits
from unit.switchboard.wire import http, metric, switchboard

CODE, OTHER = "3f9a0c71d2be", "000000000000"
HERE, THERE = "192.0.2.1", "192.0.2.2"
OFFER, KNOT_TIE = What.OFFER, What.KNOT_TIE


def put(
    relay: ClassicRelay, what: What, text: str, *, code: str = CODE, address: str = HERE, now: float = 0.0
) -> None:
    assert relay.put(what, code, text, address=address, now=now) is None


def test_offer_and_answer_pass() -> None:
    relay = ClassicRelay()
    assert relay.get(OFFER, CODE, now=0) is None
    put(relay, OFFER, "OFFER")
    assert relay.get(OFFER, CODE, now=1) == "OFFER"
    assert relay.get(OFFER, OTHER, now=1) is None
    assert relay.get(KNOT_TIE, CODE, now=1) is None
    put(relay, KNOT_TIE, "ANSWER", address=THERE)
    assert relay.get(OFFER, CODE, now=2) == "OFFER", "nobody has fetched the answer yet"
    assert relay.get(KNOT_TIE, CODE, now=2) == "ANSWER"
    assert relay.get(KNOT_TIE, CODE, now=3) == "ANSWER", "its fetcher may have lost it on the way"


def test_blobs_expire_after_ten_minutes() -> None:
    relay = ClassicRelay()
    put(relay, OFFER, "OFFER")
    put(relay, KNOT_TIE, "ANSWER", now=100)
    assert relay.next_deadline() == 600
    assert relay.get(OFFER, CODE, now=599.9) == "OFFER"
    assert relay.get(OFFER, CODE, now=600) is None
    assert relay.next_deadline() == 700
    relay.expire(700)
    assert len(relay) == 0
    assert relay.next_deadline() is None


def test_an_offer_left_again_lives_longer_and_keeps_its_answer() -> None:
    relay = ClassicRelay()
    put(relay, OFFER, "OFFER")
    put(relay, OFFER, "ANOTHER", code=OTHER, now=1)
    put(relay, KNOT_TIE, "ANSWER", now=300)
    put(relay, OFFER, "OFFER", now=500)
    assert relay.get(OFFER, CODE, now=1000) == "OFFER"
    assert relay.get(OFFER, OTHER, now=1000) is None
    put(relay, KNOT_TIE, "ANSWER", now=1001)
    assert relay.get(KNOT_TIE, CODE, now=1001) == "ANSWER"


def test_another_offer_takes_the_answer_to_the_earlier_one_away() -> None:
    relay = ClassicRelay()
    put(relay, OFFER, "FIRST")
    put(relay, KNOT_TIE, "ANSWER TO FIRST")
    put(relay, OFFER, "SECOND")
    assert relay.get(KNOT_TIE, CODE, now=0) is None


def test_an_offer_whose_answer_was_fetched_is_found_no_more() -> None:
    relay = ClassicRelay()
    put(relay, OFFER, "OFFER")
    put(relay, KNOT_TIE, "ANSWER")
    relay.get(KNOT_TIE, CODE, now=0)
    assert relay.get(OFFER, CODE, now=0) is None
    put(relay, OFFER, "OFFER")
    assert relay.get(OFFER, CODE, now=0) == "OFFER"
    assert relay.get(KNOT_TIE, CODE, now=0) is None


def test_it_is_bounded() -> None:
    relay = ClassicRelay(RelayLimits(blobs=3, blobs_per_address=2, characters=100))
    put(relay, OFFER, "a", code="1" * 12)
    put(relay, OFFER, "a", code="2" * 12)
    assert relay.put(OFFER, "3" * 12, "a", address=HERE, now=0) is Refusal.RATE
    put(relay, OFFER, "b", code="1" * 12)  # in the place of its own
    put(relay, OFFER, "a", code="3" * 12, address=THERE)
    assert relay.put(OFFER, "4" * 12, "a", address="192.0.2.3", now=0) is Refusal.FULL
    assert relay.put(OFFER, "1" * 12, "a" * 99, address=HERE, now=0) is Refusal.FULL
    put(relay, OFFER, "a" * 98, code="1" * 12)
    put(relay, OFFER, "a", code="4" * 12, now=600)  # all others are gone by then
    assert len(relay) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "get", "expire"]),
            st.sampled_from(list(What)),
            st.sampled_from([CODE, OTHER, "111111111111"]),
            st.text("abc", min_size=1, max_size=20),
            st.sampled_from([HERE, THERE]),
            st.floats(0, 400),
        )
    )
)
def test_its_books_are_right_whatever_happens(steps: list[tuple[str, What, str, str, str, float]]) -> None:
    limits = RelayLimits(blobs=4, blobs_per_address=3, characters=40)
    relay, now = ClassicRelay(limits), 0.0
    for step, what, code, text, address, wait in steps:
        now += wait
        if step == "put":
            relay.put(what, code, text, address=address, now=now)
        elif step == "get":
            relay.get(what, code, now=now)
        else:
            relay.expire(now)
        assert len(relay) <= limits.blobs
        deadline = relay.next_deadline()
        assert (deadline is None) == (len(relay) == 0)
        assert deadline is None or now < deadline <= now + 600
    relay.expire(now + 600)
    assert len(relay) == 0
    for address in (HERE, THERE):  # all that was counted was given back
        now += 1200
        for number in range(limits.blobs_per_address):
            put(relay, OFFER, "a" * 13, code=f"{number:012x}", address=address, now=now)


# -- on the wire -----------------------------------------------------------------------


class Client:
    """Requests as a classic client makes them."""

    def __init__(self, url: str) -> None:
        self._base = url.replace("ws://", "http://") + "/api"

    async def ask(
        self, method: str, what: str, body: str | bytes | None = None, *, query: str = f"code={CODE}"
    ) -> str:
        """Return status, a blank, and the body."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self._base}/{what}?{query}", data=body) as response,
        ):
            return f"{response.status} {await response.text()}"


async def test_the_four_requests() -> None:
    async with switchboard() as url:
        client = Client(url)
        assert await client.ask("GET", "string") == "404 "
        assert await client.ask("GET", "knot-tie") == "204 "
        assert await client.ask("PUT", "string", '{"offer": "T0ZG+/"}') == "200 {}"
        assert await client.ask("GET", "string") == '200 {"offer":"T0ZG+/"}'
        assert await client.ask("GET", "knot-tie") == "204 "
        assert await client.ask("PUT", "knot-tie", '{"knot-tie": "QU5T"}') == "200 {}"
        assert await client.ask("GET", "knot-tie") == '200 {"knot-tie":"QU5T"}'
        assert await client.ask("GET", "string") == "404 "
        _, metrics = await http(url, "/metrics")
        assert 'tincan_switchboard_classic_blobs_total{kind="offer"} 1' in metrics
        assert 'tincan_switchboard_classic_blobs_total{kind="knot-tie"} 1' in metrics
        assert CODE not in metrics


@pytest.mark.parametrize(
    "query", ["", "code=", "code=3F9A0C71D2BE", "code=3f9a0c71d2b", "code=../../../etc", f"code={CODE}&code={OTHER}"]
)
async def test_codes_that_are_none(query: str) -> None:
    async with switchboard() as url:
        client = Client(url)
        for method in ("GET", "PUT"):
            for what in ("string", "knot-tie"):
                assert (await client.ask(method, what, query=query)).startswith("400 ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"offer": 7}',
        b'{"offer": ""}',
        b'{"offer": "<script>"}',
        b'{"knot-tie": "QU5T"}',
        b'{"offer": ' + b"[" * 5000,
    ],
)
async def test_bodies_that_are_none(body: bytes) -> None:
    async with switchboard() as url:
        client = Client(url)
        assert (await client.ask("PUT", "string", body)).startswith("400 ")
        assert (await client.ask("GET", "string")).startswith("404 ")


async def test_sizes() -> None:
    limit = RelayLimits().blob
    async with switchboard() as url:
        client = Client(url)
        assert (await client.ask("PUT", "string", json.dumps({"offer": "a" * limit}))).startswith("200 ")
        for size in (limit + 1, 10 * limit):
            assert (await client.ask("PUT", "string", json.dumps({"offer": "a" * size}))).startswith("413 ")


async def test_other_methods() -> None:
    async with switchboard() as url:
        for method in ("POST", "DELETE", "HEAD"):
            assert (await Client(url).ask(method, "string")).startswith("405 ")


async def test_one_address_is_limited() -> None:
    async with switchboard(rates=RateLimits(opens_burst=2, opens_per_minute=0.001)) as url:
        client = Client(url)
        statuses = [(await client.ask("PUT", "string", '{"offer": "T0ZG"}'))[:3] for _ in range(3)]
        assert statuses == ["200", "200", "429"]
        assert await metric(url, "rate_limited_total") == 1
    async with switchboard(rates=RateLimits(frames_burst=2, frames_per_second=0.001)) as url:
        client = Client(url)
        assert [(await client.ask("GET", "string"))[:3] for _ in range(3)] == ["404", "404", "429"]


async def test_a_body_that_never_ends_is_cut_off() -> None:
    async with switchboard(handshake=0.1) as url:
        host, _, port = url.removeprefix("ws://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"PUT /api/string?code={CODE} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
        writer.write(head.encode())
        async with asyncio.timeout(120):
            assert await reader.read() == b""
        writer.close()
