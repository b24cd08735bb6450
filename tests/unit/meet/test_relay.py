"""The relay's API and the meeting there: every request as it goes over the wire, and everything that fails."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from tincan.errors import NobodyCame, NoPlaceReachable, PlaceUnreachable, UsageError
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble
from tincan.meet.places import relay as relay_module
from tincan.meet.places.http import http_session
from tincan.meet.places.relay import (
    MAX_BODY,
    Answered,
    Found,
    Relay,
    RelayMeeting,
    RelayTrouble,
    relay_url,
)
from unit.meet.relays import FakeRelay
from virtualtime import in_virtual_time

CODE = "3f9a0c71d2be"


@contextlib.asynccontextmanager
async def client(url: str, answer_timeout: float = 5.0) -> AsyncIterator[Relay]:
    async with http_session() as session:
        yield Relay(session, url, answer_timeout=answer_timeout)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://lafeir.com/api", "https://lafeir.com/api"),
        ("https://lafeir.com/api/", "https://lafeir.com/api"),
        ("lafeir.com", "https://lafeir.com/api"),
        ("http://[::1]:8080", "http://[::1]:8080/api"),
        ("https://example.org/other/base", "https://example.org/other/base"),
    ],
)
def test_urls(given: str, url: str) -> None:
    assert relay_url(given) == url


@pytest.mark.parametrize("given", ["ftp://x/api", "https://", "https://a b/api", "http://x:0", "https://u@x/api"])
def test_what_is_no_url(given: str) -> None:
    with pytest.raises(UsageError):
        relay_url(given)


async def test_the_four_requests_on_the_wire() -> None:
    async with FakeRelay.started() as server, client(server.url) as relay:
        assert await relay.offer(CODE) is None
        await relay.put_offer(CODE, "T0ZGRVI")
        assert await relay.offer(CODE) == "T0ZGRVI"
        assert await relay.knot_tie(CODE) is None
        await relay.put_knot_tie(CODE, "QU5TV0VS")
        assert await relay.knot_tie(CODE) == "QU5TV0VS"
        assert server.requests == [
            ("GET", f"/api/string?code={CODE}", ""),
            ("PUT", f"/api/string?code={CODE}", '{"offer":"T0ZGRVI"}'),
            ("GET", f"/api/string?code={CODE}", ""),
            ("GET", f"/api/knot-tie?code={CODE}", ""),
            ("PUT", f"/api/knot-tie?code={CODE}", '{"knot-tie":"QU5TV0VS"}'),
            ("GET", f"/api/knot-tie?code={CODE}", ""),
        ]


def answering(status: int = 200, body: str = "", **options: object) -> Callable[[web.Request], web.Response]:
    return lambda request: web.Response(status=status, text=body, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, PlaceUnreachable, "refuses us"),
        (403, PlaceUnreachable, "refuses us"),
        (302, PlaceUnreachable, "sends us elsewhere"),
        (429, RelayTrouble, "429"),
        (500, RelayTrouble, "500"),
        (503, RelayTrouble, "503"),
    ],
)
async def test_statuses(status: int, kind: type[PlaceUnreachable], words: str) -> None:
    async with FakeRelay.started() as server, client(server.url) as relay:
        server.override = answering(status, headers={"Location": "http://192.0.2.1/"} if status == 302 else {})
        for ask in (
            relay.offer(CODE),
            relay.knot_tie(CODE),
            relay.put_offer(CODE, "x"),
            relay.put_knot_tie(CODE, "x"),
        ):
            with pytest.raises(PlaceUnreachable, match=words) as caught:
                await ask
            assert type(caught.value) is kind
            assert caught.value.exit_code == 3
            assert str(caught.value).endswith(".")
        assert len(server.requests) == 4, "nothing was followed"


async def test_a_server_that_is_no_relay() -> None:
    async with FakeRelay.started() as server, client(server.url) as relay:
        server.override = answering(404)
        assert await relay.offer(CODE) is None
        with pytest.raises(PlaceUnreachable, match="no relay") as caught:
            await relay.put_offer(CODE, "x")
        assert type(caught.value) is PlaceUnreachable


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", "{}", '{"offer": 7}', "<html>", "[" * 5000, '{"offer": "' + "x" * MAX_BODY + '"}', "\x00"],
)
async def test_bodies_that_make_no_sense(body: str) -> None:
    async with FakeRelay.started() as server, client(server.url) as relay:
        server.override = answering(200, body)
        for ask in (relay.offer(CODE), relay.knot_tie(CODE)):
            with pytest.raises(RelayTrouble, match=r"^The relay 127\.0\.0\.1:\d+ says what .*\.$"):
                await ask


async def test_a_relay_that_hangs() -> None:
    async with FakeRelay.started() as server, client(server.url, answer_timeout=0.05) as relay:
        server.hang = True
        with pytest.raises(RelayTrouble, match="does not answer"):
            await relay.offer(CODE)


async def test_a_relay_that_is_not_there() -> None:
    async with client("http://127.0.0.1:1/api") as relay:
        with pytest.raises(RelayTrouble, match="cannot be reached"):
            await relay.offer(CODE)


# -- the meeting, in virtual time -----------------------------------------------------


class Board:
    """The relay as the meeting sees it, in memory; ``log`` is what was asked, and when."""

    name = "relay.example"

    def __init__(self) -> None:
        self.offer_there: str | None = None
        self.answer_there: str | None = None
        self.trouble: PlaceUnreachable | None = None
        self.log: list[tuple[float, str]] = []

    def _note(self, what: str) -> None:
        self.log.append((asyncio.get_running_loop().time(), what))
        if self.trouble is not None:
            raise self.trouble

    async def offer(self, code: str) -> str | None:
        self._note("offer?")
        return self.offer_there

    async def knot_tie(self, code: str) -> str | None:
        self._note("answer?")
        return self.answer_there

    async def put_offer(self, code: str, blob: str) -> None:
        self._note(f"offer {blob}")
        self.offer_there = blob

    async def put_knot_tie(self, code: str, blob: str) -> None:
        self._note(f"answer {blob}")
        self.answer_there = blob


def meeting(board: Board, told: list[MeetEvent] | None = None, timeout: float = 3600.0) -> RelayMeeting:
    tell = (told if told is not None else []).append
    return RelayMeeting(board, CODE, tell, deadline=asyncio.get_running_loop().time() + timeout)  # type: ignore[arg-type]


def later(delay: float, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(delay, action)


@in_virtual_time
async def test_an_offer_is_left_and_its_answer_found_within_two_seconds() -> None:
    board = Board()
    later(100.5, lambda: setattr(board, "answer_there", "ANSWER"))
    assert await meeting(board).wait("OURS") == Answered("ANSWER")
    assert asyncio.get_running_loop().time() == 102
    asked = [when for when, what in board.log if what == "answer?"]
    assert asked == [0.0, *range(2, 103, 2)]


@in_virtual_time
async def test_an_answer_to_an_earlier_offer_is_passed_over() -> None:
    board = Board()
    board.answer_there = "STALE"
    later(11, lambda: setattr(board, "answer_there", "ANSWER"))
    assert await meeting(board).wait("OURS") == Answered("ANSWER")


@in_virtual_time
async def test_an_offer_that_came_while_ours_was_made_is_answered() -> None:
    board = Board()
    board.offer_there = "THEIRS"
    assert await meeting(board).wait("OURS") == Found("THEIRS")
    assert board.offer_there == "THEIRS"


@in_virtual_time
async def test_of_two_that_came_at_once_one_answers() -> None:
    board = Board()
    waiting = asyncio.create_task(meeting(board).wait("OURS"))
    later(0.5, lambda: setattr(board, "offer_there", "THEIRS"))
    assert await waiting == Found("THEIRS")
    assert asyncio.get_running_loop().time() == 2


@in_virtual_time
async def test_an_offer_that_expires_or_is_forgotten_is_left_again() -> None:
    board = Board()
    later(100, lambda: setattr(board, "offer_there", None))
    later(1300, lambda: setattr(board, "answer_there", "ANSWER"))
    assert await meeting(board).wait("OURS") == Answered("ANSWER")
    left = [when for when, what in board.log if what == "offer OURS"]
    assert left[0] == 0
    assert 100 < left[1] <= 132, "forgotten by the relay"
    assert all(after - before < 600 for before, after in itertools.pairwise(left))
    assert len(left) == 4


@in_virtual_time
async def test_an_offer_that_led_nowhere_is_not_found_again() -> None:
    board = Board()
    board.offer_there = "DEAD"
    meet = meeting(board)
    assert await meet.find() == "DEAD"
    meet.give_up("DEAD", 60)
    assert await meet.find() is None
    with pytest.raises(NobodyCame):
        await meet.wait("OURS")
    assert asyncio.get_running_loop().time() == 60


@in_virtual_time
async def test_nobody_comes() -> None:
    with pytest.raises(NobodyCame) as caught:
        await meeting(Board(), timeout=9).wait("OURS")
    assert caught.value.exit_code == 4
    assert asyncio.get_running_loop().time() == 9


@in_virtual_time
async def test_trouble_is_told_once_a_spell_and_waited_out() -> None:
    board, told = Board(), []
    meet = meeting(board, told)
    assert await meet.find() is None
    for start in (10.0, 100.0):
        later(start, lambda: setattr(board, "trouble", RelayTrouble("relay.example", "does not answer")))
        later(start + 50, lambda: setattr(board, "trouble", None))
    later(200, lambda: setattr(board, "answer_there", "ANSWER"))
    assert await meet.wait("OURS") == Answered("ANSWER")
    trouble = PlaceTrouble("relay.example", "The relay relay.example does not answer; trying again.")
    ready = PlaceReady("relay.example")
    assert told == [ready, trouble, ready, trouble, ready]


@in_virtual_time
async def test_a_relay_that_was_never_reached() -> None:
    board, told = Board(), []
    board.trouble = RelayTrouble("relay.example", "does not answer")
    with pytest.raises(NoPlaceReachable, match="--relay") as caught:
        await meeting(board, told).find()
    assert caught.value.exit_code == 3
    assert asyncio.get_running_loop().time() == relay_module.NO_RELAY_GRACE
    with pytest.raises(NoPlaceReachable):
        await meeting(board, timeout=1).find()


@in_virtual_time
async def test_what_will_not_change_ends_it_at_once() -> None:
    board = Board()
    later(20, lambda: setattr(board, "trouble", PlaceUnreachable("The relay refuses us.")))
    with pytest.raises(PlaceUnreachable, match="refuses us"):
        await meeting(board).wait("OURS")
    assert asyncio.get_running_loop().time() == 20
