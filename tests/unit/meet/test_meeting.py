"""Two cans, and strangers, at all places at once. Virtual time: see `virtualtime`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence

import msgspec
import pytest

from tincan.errors import (
    AuthenticationFailed,
    NobodyCame,
    NoPlaceReachable,
    PeerRefused,
    PlaceUnreachable,
    TinCanError,
)
from tincan.meet.events import MeetEvent, PeerFound, PlaceTrouble
from tincan.meet.handshake import Handshake
from tincan.meet.mailbox import MailboxClosed, MailboxReset, Side
from tincan.meet.meeting import CONFIRM_TIMEOUT, NO_PLACE_GRACE, REFUSAL_TIMEOUT, Line, meet
from tincan.meet.phrase import StringKeys
from tincan.meet.place import Place
from tincan.tasks import plain_errors
from unit.meet.places import KEYS, WRONG, MemoryPlace, ReadyPlace, ScriptedMailbox, ScriptedPlace, of_kind
from virtualtime import after, in_virtual_time, run

OFFER = b"the offer"


async def offer(line: Line) -> bytes:
    return OFFER


def ignore(event: MeetEvent) -> None:
    pass


class Can:
    """One can that goes to a meeting."""

    def __init__(self, side: Side, places: Sequence[Place], keys: StringKeys = KEYS, timeout: float = 600) -> None:
        self.events: list[MeetEvent] = []
        self._side, self._places, self._keys, self._timeout = side, places, keys, timeout

    async def meet(self) -> Line:
        """Return the line; the places that were left have been told so by then."""
        with plain_errors():
            async with asyncio.TaskGroup() as group:
                line = await meet(
                    self._side,
                    self._keys,
                    self._places,
                    offer=offer,
                    tell=self.events.append,
                    group=group,
                    timeout=self._timeout,
                )
        return line


def tapping(*places: Place, keys: StringKeys = KEYS, timeout: float = 600) -> Can:
    return Can(Side.TAP, places, keys, timeout)


def attaching(*places: Place, keys: StringKeys = KEYS, timeout: float = 600) -> Can:
    return Can(Side.ATTACH, places, keys, timeout)


async def both(attach: Can, tap: Can) -> tuple[Line, Line]:
    """Let both meet. The attaching can must answer before the tapping one is done."""

    async def answer() -> Line:
        line = await attach.meet()
        await line.send(b"the answer")
        return line

    with plain_errors():
        async with asyncio.TaskGroup() as group:
            attached, tapped = group.create_task(answer()), group.create_task(tap.meet())
    return attached.result(), tapped.result()


async def outcomes(*cans: Can) -> list[Line | BaseException]:
    return await asyncio.gather(*(can.meet() for can in cans), return_exceptions=True)


def kind_of(message: bytes) -> str:
    return str(msgspec.msgpack.decode(message)["kind"])


# -- two cans ----------------------------------------------------------------------


@in_virtual_time
async def test_the_payloads_of_flight_and_answer_are_the_first() -> None:
    place = MemoryPlace()
    attached, tapped = await both(attaching(place), tapping(place))
    assert attached.first == OFFER
    assert tapped.first == b"the answer"
    assert attached.place == tapped.place == "memory"


@in_virtual_time
async def test_the_line_carries_payloads_both_ways() -> None:
    place = MemoryPlace()
    attached, tapped = await both(attaching(place), tapping(place))
    await asyncio.gather(*(attached.send(b"to tap %d" % n) for n in range(9)))
    await tapped.send(b"to attach")
    assert [await tapped.receive() for _ in range(9)] == [b"to tap %d" % n for n in range(9)]
    assert await attached.receive() == b"to attach"


@in_virtual_time
async def test_the_line_ends_with_its_mailbox() -> None:
    place = MemoryPlace()
    attached, tapped = await both(attaching(place), tapping(place))
    await attached.close(done=False)
    with pytest.raises(MailboxClosed):
        await tapped.receive()


@in_virtual_time
async def test_both_hear_once_that_the_peer_is_found() -> None:
    place = MemoryPlace()
    attach, tap = attaching(place), tapping(place)
    await both(attach, tap)
    for can in attach, tap:
        assert of_kind(can.events, PeerFound) == [PeerFound("memory")]


@pytest.mark.parametrize("early", [Side.ATTACH, Side.TAP])
@pytest.mark.parametrize("wait", [0.0, 14.0, 300.0])
def test_whoever_comes_first_waits(early: Side, wait: float) -> None:
    place = MemoryPlace()

    class Late(Can):
        async def meet(self) -> Line:
            await asyncio.sleep(wait)
            return await super().meet()

    cans = {side: (Can if side is early else Late)(side, [place]) for side in Side}
    run(both(cans[Side.ATTACH], cans[Side.TAP]))


@in_virtual_time
async def test_the_place_where_the_peer_is_wins_and_the_others_are_left() -> None:
    shared, attach_only, tap_only = MemoryPlace("shared"), MemoryPlace("a"), MemoryPlace("t")
    attached, tapped = await both(attaching(attach_only, shared), tapping(shared, tap_only))
    assert attached.place == tapped.place == "shared"
    assert shared.inside.keys() == {Side.ATTACH, Side.TAP}
    assert not attach_only.inside
    assert not tap_only.inside


@in_virtual_time
async def test_a_peer_at_all_places_is_met_at_one() -> None:
    places = [MemoryPlace(name) for name in "abc"]
    attached, tapped = await both(attaching(*places), tapping(*reversed(places)))
    assert attached.place == tapped.place
    assert [place.name for place in places if place.inside] == [attached.place]


@in_virtual_time
async def test_leaving_slow_places_does_not_hold_up_the_result() -> None:
    slow, place = ScriptedMailbox(slow_to_close=30.0), MemoryPlace()
    clock = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        group.create_task(tapping(place).meet())
        places = [ScriptedPlace(slow), place]
        line = await meet(Side.ATTACH, KEYS, places, offer=offer, tell=ignore, group=group, timeout=60)
        assert clock.time() == 0
        await line.send(b"the answer")
    assert slow.closed == [False]
    assert clock.time() == 30


@in_virtual_time
async def test_a_meeting_that_is_cancelled_leaves_all_places() -> None:
    places = [MemoryPlace(name) for name in "abc"]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            await tapping(*places).meet()
    assert [place.opened for place in places] == [1, 1, 1]
    assert not any(place.inside for place in places)


# -- places ------------------------------------------------------------------------


@in_virtual_time
async def test_nobody_came_because_no_place_was_there_yet() -> None:
    with pytest.raises(NoPlaceReachable):
        await tapping(ScriptedPlace(5.0, ScriptedMailbox()), timeout=1.0).meet()


def late_place() -> ScriptedPlace:
    return ScriptedPlace(5.0, ScriptedMailbox())


@pytest.mark.parametrize(
    ("make", "timeout"),
    [*itertools.product([MemoryPlace, ReadyPlace], [1.0, 90.0, 600.0]), (late_place, 90.0), (late_place, 600.0)],
)
def test_nobody_came(make: type[MemoryPlace], timeout: float) -> None:
    async def main() -> None:
        with pytest.raises(NobodyCame) as caught:
            await tapping(make(), timeout=timeout).meet()
        assert caught.value.exit_code == 4
        assert asyncio.get_running_loop().time() == timeout
        assert ("second" in str(caught.value)) == (timeout < 120)

    run(main())


@in_virtual_time
async def test_no_place_can_be_reached() -> None:
    can = attaching(ScriptedPlace(name="one"), ScriptedPlace(name="two"))

    async def hopeless() -> None:
        with pytest.raises(NoPlaceReachable, match=r"^The place two is gone\. No other place") as caught:
            await can.meet()
        assert caught.value.exit_code == 3

    assert await after(hopeless()) == NO_PLACE_GRACE
    assert of_kind(can.events, PlaceTrouble)


@in_virtual_time
async def test_a_place_within_the_grace_is_soon_enough() -> None:
    late = ScriptedPlace(NO_PLACE_GRACE - 0.1, ScriptedMailbox())

    async def patient() -> None:
        with pytest.raises(NobodyCame):
            await attaching(late, ScriptedPlace(), timeout=60).meet()

    assert await after(patient()) == 60


@pytest.mark.parametrize("count", [1, 3])
def test_places_that_cannot_help_end_the_meeting_at_once(count: int) -> None:
    async def main() -> None:
        places = [ScriptedPlace(PlaceUnreachable(f"Place {n} says no.")) for n in range(count)]
        with pytest.raises(NoPlaceReachable, match="says no"):
            await tapping(*places).meet()
        assert asyncio.get_running_loop().time() == 0

    run(main())


@in_virtual_time
async def test_one_place_that_cannot_help_leaves_the_others() -> None:
    place = MemoryPlace()
    unreachable = ScriptedPlace(PlaceUnreachable("No."))
    attached, _ = await both(attaching(unreachable, place), tapping(place))
    assert attached.place == "memory"


@in_virtual_time
async def test_a_place_that_breaks_before_the_guess_leaves_the_others() -> None:
    broken, place = ScriptedMailbox(), MemoryPlace()
    broken.put(PlaceUnreachable("It does not understand us."))
    attached, _ = await both(attaching(ScriptedPlace(broken), place), tapping(place))
    assert attached.place == "memory"
    assert broken.closed == [False]


@in_virtual_time
async def test_a_meeting_without_places() -> None:
    with pytest.raises(NoPlaceReachable, match="There is no place to meet"):
        await tapping().meet()


@in_virtual_time
async def test_a_busy_line_ends_the_meeting() -> None:
    place = MemoryPlace()
    with plain_errors():
        async with asyncio.TaskGroup() as group:
            first = group.create_task(tapping(place).meet())
            await asyncio.sleep(1)
            with pytest.raises(PeerRefused) as caught:
                await tapping(ScriptedPlace(), place).meet()
            assert caught.value.exit_code == 7
            first.cancel()


@in_virtual_time
async def test_a_line_that_turns_busy_ends_the_meeting() -> None:
    mailbox = ScriptedMailbox()
    mailbox.put(PeerRefused("The line is busy."))
    with pytest.raises(PeerRefused):
        await tapping(ScriptedPlace(mailbox), MemoryPlace()).meet()


# -- one guess ---------------------------------------------------------------------


@in_virtual_time
async def test_the_wrong_phrase_fails_at_both_ends() -> None:
    place = MemoryPlace()
    attached, tapped = await outcomes(attaching(place), tapping(place, keys=WRONG))
    for outcome in attached, tapped:
        assert isinstance(outcome, AuthenticationFailed)
        assert outcome.exit_code == 5
    assert asyncio.get_running_loop().time() == 0
    assert not place.inside


@in_virtual_time
async def test_the_wrong_phrase_fails_at_all_places() -> None:
    places = [MemoryPlace(name) for name in "abc"]
    attached, tapped = await outcomes(attaching(*places), tapping(*places, keys=WRONG))
    assert isinstance(attached, AuthenticationFailed)
    assert isinstance(tapped, AuthenticationFailed)
    assert not any(place.inside for place in places)


def flight_of_a_stranger(share: bytes) -> bytes:
    """A guess at the phrase of an attaching can."""
    stranger = Handshake(Side.TAP, WRONG)
    stranger.receive(share)
    stranger.seal(b"forged")
    [flight] = stranger.data_to_send()
    return flight


@pytest.mark.parametrize("slow_to_close", [0.0, 0.5])
def test_an_attaching_can_judges_one_guess_over_all_places(slow_to_close: float) -> None:
    async def main() -> None:
        mailboxes = [ScriptedMailbox(slow_to_close=slow_to_close) for _ in range(3)]

        async def guess(mailbox: ScriptedMailbox, wait: float) -> None:
            flight = flight_of_a_stranger(await mailbox.sent.get())
            await asyncio.sleep(wait)
            mailbox.put(flight)

        guesses = [guess(mailbox, n * 0.1) for n, mailbox in enumerate(mailboxes)]
        can = attaching(*map(ScriptedPlace, mailboxes), MemoryPlace())
        outcome, *_ = await asyncio.gather(can.meet(), *guesses, return_exceptions=True)
        assert isinstance(outcome, AuthenticationFailed)
        # Each judgement is told: a refusal, and nothing at the other places.
        assert [[kind_of(m) for m in mailbox.taken()] for mailbox in mailboxes] == [["refusal"], [], []]
        assert all(mailbox.closed == [False] for mailbox in mailboxes)

    run(main())


def share_of_a_stranger() -> bytes:
    [share] = Handshake(Side.ATTACH, WRONG).data_to_send()
    return share


CUT = [MailboxReset("anew"), MailboxClosed("left"), PlaceUnreachable("broken"), PeerRefused("busy")]


@pytest.mark.parametrize("end", [None, *CUT], ids=lambda end: type(end).__name__)
@pytest.mark.parametrize("slow_to_close", [0.0, 0.5])
def test_a_tapping_can_sends_one_flight_over_all_places(end: TinCanError | None, slow_to_close: float) -> None:
    """Whatever the place says that got the flight, with it or after it."""

    async def main() -> None:
        mailboxes = [ScriptedMailbox(slow_to_close=slow_to_close) for _ in range(3)]
        mailboxes[0].put(share_of_a_stranger(), *([] if end is None else [end]))

        async def others() -> None:
            for mailbox in mailboxes[1:]:
                await asyncio.sleep(0.1)
                mailbox.put(share_of_a_stranger())

        can = tapping(*map(ScriptedPlace, mailboxes))
        outcome, _ = await asyncio.gather(can.meet(), others(), return_exceptions=True)
        assert isinstance(outcome, PeerRefused if isinstance(end, PeerRefused) else AuthenticationFailed)
        assert [[kind_of(m) for m in mailbox.taken()] for mailbox in mailboxes] == [["flight"], [], []]
        assert all(mailbox.closed == [False] for mailbox in mailboxes)
        assert len(of_kind(can.events, PeerFound)) == 1

    run(main())


@in_virtual_time
async def test_after_success_no_other_place_gets_a_guess() -> None:
    place, stranger = MemoryPlace(), ScriptedMailbox()

    async def guess() -> None:
        share = await stranger.sent.get()
        while not {Side.ATTACH, Side.TAP} <= place.inside.keys():
            await asyncio.sleep(0)
        for _ in range(50):  # at every step of the handshake at the other place
            stranger.put(flight_of_a_stranger(share))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(guess())
        attached, _ = await both(attaching(ScriptedPlace(stranger), place), tapping(place))
    assert attached.place == "memory"
    assert stranger.taken() == []


@in_virtual_time
async def test_who_swallows_the_flight_has_had_the_guess() -> None:
    mailbox, place = ScriptedMailbox(), MemoryPlace()
    mailbox.put(share_of_a_stranger())

    async def swallowed() -> None:
        with pytest.raises(AuthenticationFailed, match="in time"):
            await tapping(ScriptedPlace(mailbox), place).meet()

    assert await after(swallowed()) == CONFIRM_TIMEOUT


@in_virtual_time
async def test_a_place_that_takes_no_refusal_does_not_hold_up_the_end() -> None:
    mailbox = ScriptedMailbox()
    mailbox.put(b"garbage")

    async def refused() -> None:
        with pytest.raises(AuthenticationFailed):
            await tapping(ScriptedPlace(mailbox)).meet()

    mailbox.jam()
    assert await after(refused()) == REFUSAL_TIMEOUT


# -- beginning anew ----------------------------------------------------------------


@in_virtual_time
async def test_a_reset_before_the_guess_begins_anew() -> None:
    mailbox = ScriptedMailbox()

    async def peer() -> None:
        first = await mailbox.sent.get()
        mailbox.put(MailboxReset("anew"), MailboxReset("and once more"))
        second, third = await mailbox.sent.get(), await mailbox.sent.get()
        assert len({first, second, third}) == 3
        right = Handshake(Side.TAP, KEYS)
        right.receive(third)
        right.seal(OFFER)
        mailbox.put(*right.data_to_send())

    line, _ = await asyncio.gather(attaching(ScriptedPlace(mailbox)).meet(), peer())
    assert line.first == OFFER
    assert mailbox.closed == []


@in_virtual_time
async def test_a_reset_to_a_waiting_tapping_can_costs_nothing() -> None:
    mailbox = ScriptedMailbox()
    right = Handshake(Side.ATTACH, KEYS)
    mailbox.put(MailboxReset("anew"), *right.data_to_send())

    async def peer() -> None:
        assert right.receive(await mailbox.sent.get()) == OFFER
        right.seal(b"the answer")
        mailbox.put(*right.data_to_send())

    line, _ = await asyncio.gather(tapping(ScriptedPlace(mailbox)).meet(), peer())
    assert line.first == b"the answer"


@pytest.mark.parametrize("cut", CUT[:3], ids=lambda cut: type(cut).__name__)
def test_a_cut_after_the_guess_is_the_end(cut: TinCanError) -> None:
    async def main() -> None:
        mailbox = ScriptedMailbox()
        mailbox.put(share_of_a_stranger(), cut)
        place = ScriptedPlace(mailbox, ScriptedMailbox())
        with pytest.raises(AuthenticationFailed, match="in the middle of the handshake"):
            await tapping(place).meet()
        assert place.opened == 1

    run(main())


@in_virtual_time
async def test_a_peer_that_leaves_before_the_guess_may_come_back() -> None:
    place = MemoryPlace()
    early = await place.open(Side.ATTACH, KEYS.code)

    async def leave_and_come_back() -> Line:
        await asyncio.sleep(5)
        await early.close(done=False)
        line = await attaching(place).meet()
        await line.send(b"the answer")
        return line

    _, tapped = await asyncio.gather(leave_and_come_back(), tapping(place).meet())
    assert tapped.first == b"the answer"
    assert place.opened == 4


@in_virtual_time
async def test_a_place_that_hangs_up_at_once_is_not_asked_without_end() -> None:
    mailboxes = [ScriptedMailbox() for _ in range(1000)]
    for mailbox in mailboxes:
        mailbox.put(MailboxClosed("left"))
    place = ScriptedPlace(*mailboxes)
    with pytest.raises(NobodyCame):
        await tapping(place, timeout=10).meet()
    assert 2 < place.opened < 100


@in_virtual_time
async def test_an_offer_that_fails_ends_the_meeting() -> None:
    class NoOffer(TinCanError):
        pass

    async def fails(line: Line) -> bytes:
        raise NoOffer

    mailbox = ScriptedMailbox()
    mailbox.put(*Handshake(Side.ATTACH, KEYS).data_to_send())
    async with asyncio.TaskGroup() as group:
        with pytest.raises(NoOffer):
            await meet(Side.TAP, KEYS, [ScriptedPlace(mailbox)], offer=fails, tell=ignore, group=group, timeout=60)
    assert mailbox.taken() == []
