"""From a phrase to a link, with everything real: two dials in one process meet over loopback or a switchboard."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tincan.errors import AuthenticationFailed, NobodyCame, NoPath, ProtocolError, TinCanError, UsageError
from tincan.link.dial import Connected, LinkEvent, Settings, tie_string
from tincan.link.interface import CloseReason, Link, Path
from tincan.meet.events import PeerFound, PlaceReady, ServersOffered, SideTaken, Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, generate
from tincan.nat.addresses import host_addresses, interfaces
from tincan.nat.servers import IceServer
from unit.link.pairs import only_the_test_is_left
from unit.link.servers import silent_server, turn_server
from unit.switchboard.wire import switchboard

WITHIN = 120.0
HERE = Settings(timeout=WITHIN)


def some_phrase(first: str = "guitar", second: str = "banana") -> Phrase:
    """A phrase that no other test, and no other run of this one, meets at."""
    words = iter((first, second))
    return generate(10_000_000 + secrets.randbelow(80_000_000), lambda _: next(words))


PLACES = ["switchboard", "lan"]
"""Where the endings that are not orderly are tried."""


@contextlib.asynccontextmanager
async def meeting_at(place: str, *, timeout: float = WITHIN) -> AsyncIterator[Settings]:
    """Settings for a place that is there as long as this lasts."""
    if place == "lan":
        yield Settings(timeout=timeout)
        return
    async with switchboard() as url:
        yield Settings(switchboards=(url,), lan=False, timeout=timeout)


class Can:
    """One end: a dial, what it has told, and a link that is kept until it may go."""

    def __init__(self, side: Side | None, phrase: Phrase | None, settings: Settings = HERE) -> None:
        self.heard: list[LinkEvent] = []
        self.link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self.may_go = asyncio.Event()
        self.task = asyncio.create_task(self._run(side, phrase, settings))

    async def _run(self, side: Side | None, phrase: Phrase | None, settings: Settings) -> None:
        async with tie_string(side, phrase, settings, self.heard.append) as link:
            self.link.set_result(link)
            await self.may_go.wait()

    async def tied(self) -> Link:
        """Return the link, or raise what the dial ended with."""
        either: list[asyncio.Future[Any]] = [self.link, self.task]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            await self.task
        return self.link.result()

    async def end(self) -> BaseException | None:
        """Let it go and return what it ended with."""
        self.may_go.set()
        [result] = await asyncio.gather(self.task, return_exceptions=True)
        return result

    async def cancelled(self) -> BaseException | None:
        """Cancel it and return what it ended with."""
        self.task.cancel()
        return await self.end()

    def kinds(self) -> list[type[LinkEvent]]:
        return [type(event) for event in self.heard]

    def event(self, kind: type[LinkEvent]) -> LinkEvent:
        return next(event for event in self.heard if isinstance(event, kind))


async def talk(one: Link, other: Link) -> None:
    await one.control.send(b"hello")
    assert await other.control.receive() == b"hello"
    await other.control.send(b"hello yourself")
    assert await one.control.receive() == b"hello yourself"


async def meet_and_talk(attach: Can, tap: Can) -> tuple[Link, Link]:
    ours, theirs = await asyncio.gather(attach.tied(), tap.tied())
    await talk(ours, theirs)
    return ours, theirs


# -- tying it ----------------------------------------------------------------------


async def test_a_generated_phrase_is_told_and_leads_to_each_other() -> None:
    async with asyncio.timeout(WITHIN):
        attach = Can(Side.ATTACH, None)
        while Waiting not in attach.kinds():
            await asyncio.sleep(0.01)
        waiting = attach.event(Waiting)
        assert isinstance(waiting, Waiting)
        assert waiting.phrase.generated
        tap = Can(Side.TAP, waiting.phrase)
        ours, theirs = await meet_and_talk(attach, tap)
        for can in (attach, tap):
            kinds = can.kinds()
            assert kinds.index(Waiting) < kinds.index(PlaceReady) < kinds.index(PeerFound) < kinds.index(Connected)
            assert can.event(Connected) == Connected(Path.LAN.value, "lan")
        assert await attach.end() is None
        assert await theirs.wait_closed() is CloseReason.PEER
        assert await ours.wait_closed() is CloseReason.LOCAL
        assert await tap.end() is None
    await only_the_test_is_left()


async def test_a_chosen_phrase_and_whoever_comes_first_waits() -> None:
    async with asyncio.timeout(WITHIN):
        phrase = Phrase(f"a phrase of our own {secrets.token_hex(8)}")
        tap = Can(Side.TAP, phrase)
        while PlaceReady not in tap.kinds():
            await asyncio.sleep(0.01)
        attach = Can(Side.ATTACH, phrase)
        await meet_and_talk(attach, tap)
        assert [await tap.end(), await attach.end()] == [None, None]
    await only_the_test_is_left()


@pytest.mark.parametrize("place", PLACES)
async def test_a_wrong_phrase_fails_on_both_sides(place: str) -> None:
    async with asyncio.timeout(WITHIN), meeting_at(place) as settings:
        right = some_phrase()
        wrong = generate(right.nameplate or 0, lambda _: "yodel")
        attach, tap = Can(Side.ATTACH, right, settings), Can(Side.TAP, wrong, settings)
        assert [type(await can.end()) for can in (attach, tap)] == [AuthenticationFailed] * 2
        assert not attach.link.done()
        assert not tap.link.done()
    await only_the_test_is_left()


async def test_no_place_is_a_usage_error() -> None:
    tap = Can(Side.TAP, some_phrase(), Settings(lan=False))
    assert type(await tap.end()) is UsageError
    assert tap.heard == []


@pytest.mark.parametrize("place", PLACES)
async def test_nobody_comes(place: str) -> None:
    async with asyncio.timeout(WITHIN), meeting_at(place, timeout=1.5) as settings:
        cans = [Can(side, some_phrase(), settings) for side in Side]
        assert [type(await can.end()) for can in cans] == [NobodyCame] * 2
    await only_the_test_is_left()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("who", [(Side.TAP,), (Side.ATTACH,), (Side.TAP, Side.ATTACH)])
async def test_relay_only_without_a_relay_is_no_path(place: str, who: tuple[Side, ...]) -> None:
    async with asyncio.timeout(WITHIN), meeting_at(place) as settings:
        phrase = some_phrase()
        cans = [Can(side, phrase, dataclasses.replace(settings, relay_only=side in who)) for side in Side]
        while not all(PeerFound in can.kinds() for can in cans):
            await asyncio.sleep(0.01)
        assert [type(await can.end()) for can in cans] == [NoPath] * 2
    await only_the_test_is_left()


async def test_a_stun_server_that_never_answers_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincan.link.ice.SERVER_TIMEOUT", 2 * WITHIN)
    async with asyncio.timeout(WITHIN):
        with silent_server() as server:
            phrase, settings = some_phrase(), Settings(timeout=WITHIN, servers=(server,))
            attach, tap = (Can(side, phrase, settings) for side in Side)
            await meet_and_talk(attach, tap)
            assert [await tap.end(), await attach.end()] == [None, None]
    await only_the_test_is_left()


# -- whoever comes first -----------------------------------------------------------


def side_of(can: Can) -> Side:
    taken = can.event(SideTaken)
    assert isinstance(taken, SideTaken)
    kinds = can.kinds()
    assert kinds.count(SideTaken) == 1
    assert kinds.index(SideTaken) < kinds.index(PeerFound) < kinds.index(Connected)
    return taken.side


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("apart", [0.0, 0.3, 3.0])
async def test_two_cans_without_a_side(place: str, apart: float) -> None:
    async with asyncio.timeout(WITHIN), meeting_at(place) as settings:
        phrase = some_phrase()
        first = Can(None, phrase, settings)
        await asyncio.sleep(apart)
        second = Can(None, phrase, settings)
        ours, theirs = await meet_and_talk(first, second)
        assert {side_of(first), side_of(second)} == set(Side)
        assert [await first.end(), await second.end()] == [None, None]
        assert {await ours.wait_closed(), await theirs.wait_closed()} == {CloseReason.LOCAL, CloseReason.PEER}
    await only_the_test_is_left()


@pytest.mark.parametrize("place", PLACES)
async def test_a_wrong_phrase_without_a_side(place: str) -> None:
    async with asyncio.timeout(WITHIN), meeting_at(place) as settings:
        right = some_phrase()
        wrong = generate(right.nameplate or 0, lambda _: "yodel")
        cans = [Can(None, phrase, settings) for phrase in (right, wrong)]
        assert [type(await can.end()) for can in cans] == [AuthenticationFailed] * 2
    await only_the_test_is_left()


@pytest.mark.parametrize("side", [None, Side.TAP])
async def test_no_phrase_is_made_up_for_one_that_may_have_to_look(side: Side | None) -> None:
    can = Can(side, None)
    assert type(await can.end()) is UsageError
    assert can.heard == []


@pytest.mark.parametrize("place", PLACES)
async def test_cancelled_while_taking_turns(place: str) -> None:
    """It ends as cancelled, in whatever turn it is, and leaves neither task nor socket."""
    for milliseconds in (0, 100, 1000, 2000):
        async with asyncio.timeout(WITHIN), meeting_at(place) as settings:
            can = Can(None, some_phrase(), settings)
            await asyncio.sleep(milliseconds / 1000)
            assert type(await can.cancelled()) is asyncio.CancelledError
        await only_the_test_is_left()


# -- servers and candidates --------------------------------------------------------


async def test_candidates_of_a_server_offered_late_trickle_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both go through a relay that is known only after the meeting began, and answers after the descriptions."""
    monkeypatch.setattr("tincan.link.ice.SERVER_TIMEOUT", WITHIN)
    secret = "shared with the relay"
    # A candidate on loopback counts only where there is nothing else.
    here = next(a for a in host_addresses(interfaces()) if ":" not in a)
    async with asyncio.timeout(WITHIN), turn_server(secret, here) as (turn, server):
        turn.open.clear()
        url = f"turn:{server.host}:{server.port}"
        async with switchboard(turn_urls=(url,), turn_secret=secret) as board:
            phrase = some_phrase()
            settings = Settings(switchboards=(board,), lan=False, relay_only=True, timeout=WITHIN)
            attach, tap = (Can(side, phrase, settings) for side in Side)
            while not all(PeerFound in can.kinds() for can in (attach, tap)):
                await asyncio.sleep(0.01)
            assert ServersOffered in attach.kinds()
            assert Connected not in attach.kinds()
            turn.open.set()
            ours, theirs = await meet_and_talk(attach, tap)
            assert ours.status.path is theirs.status.path is Path.RELAYED
            assert [await tap.end(), await attach.end()] == [None, None]
        assert turn.given_back == 2
    await only_the_test_is_left()


async def test_a_switchboard_cannot_make_us_ask_everybody() -> None:
    """More servers than are asked: the first few are, and none of them is needed."""
    stun = tuple(f"stun:127.0.0.1:{port}" for port in range(9, 17))
    own = tuple(IceServer("stun", "127.0.0.1", port) for port in range(20, 40))
    async with asyncio.timeout(WITHIN), switchboard(stun=stun) as board:
        phrase = some_phrase()
        settings = Settings(switchboards=(board,), lan=False, servers=own, timeout=WITHIN)
        attach, tap = (Can(side, phrase, settings) for side in Side)
        await meet_and_talk(attach, tap)
        assert [await tap.end(), await attach.end()] == [None, None]
    await only_the_test_is_left()


# -- the end -----------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", [ValueError("mine"), ProtocolError("the app's"), KeyError("x"), OSError(5, "disk")])
async def test_an_exception_in_the_body_comes_out_as_it_is(place: str, error: Exception) -> None:
    async with asyncio.timeout(WITHIN), meeting_at(place) as settings:
        phrase = some_phrase()
        tap = Can(Side.TAP, phrase, settings)

        async def use() -> None:
            async with tie_string(Side.ATTACH, phrase, settings, lambda event: None) as link:
                await link.control.send(b"x")
                raise error

        with pytest.raises(type(error)) as caught:
            await use()
        assert caught.value is error
        theirs = await tap.tied()
        assert await theirs.wait_closed() is CloseReason.PEER
        assert await tap.end() is None
    await only_the_test_is_left()


@pytest.mark.parametrize("place", PLACES)
async def test_cancelled_while_the_link_is_used(place: str) -> None:
    async with asyncio.timeout(WITHIN), meeting_at(place) as settings:
        phrase = some_phrase()
        attach, tap = (Can(side, phrase, settings) for side in Side)
        _, theirs = await meet_and_talk(attach, tap)
        assert type(await attach.cancelled()) is asyncio.CancelledError
        assert await theirs.wait_closed() is CloseReason.PEER
        assert await tap.end() is None
    await only_the_test_is_left()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("side", list(Side))
async def test_cancelled_in_any_phase(place: str, side: Side) -> None:
    """Wherever it is by then: it ends as cancelled, and leaves neither task nor socket."""
    for milliseconds in (0, 1, 3, 6, 9, 12, 16, 20, 25, 30, 45, 80):
        async with asyncio.timeout(WITHIN), meeting_at(place) as settings:
            phrase = some_phrase()
            cans = {each: Can(each, phrase, settings) for each in Side}
            await asyncio.sleep(milliseconds / 1000)
            assert type(await cans[side].cancelled()) is asyncio.CancelledError
            # Whoever was in the middle of the handshake has learnt meanwhile that its peer is gone.
            assert isinstance(await cans[side.other].cancelled(), asyncio.CancelledError | TinCanError)
        await only_the_test_is_left()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("event", [Waiting, PlaceReady, PeerFound, Connected])
@pytest.mark.parametrize("side", list(Side))
async def test_cancelled_at_an_event(place: str, side: Side, event: type[LinkEvent]) -> None:
    """The moments between the phases, which no delay hits for sure."""
    async with asyncio.timeout(WITHIN), meeting_at(place) as settings:
        phrase = some_phrase()
        other = Can(side.other, phrase, settings)

        async def use() -> None:
            this = asyncio.current_task()
            assert this is not None

            def tell(told: LinkEvent) -> None:
                if isinstance(told, event):
                    this.cancel()

            async with tie_string(side, phrase, settings, tell):
                await asyncio.Event().wait()

        using = asyncio.create_task(use())
        with pytest.raises(asyncio.CancelledError):
            await using
        assert isinstance(await other.cancelled(), asyncio.CancelledError | TinCanError)
    await only_the_test_is_left()
