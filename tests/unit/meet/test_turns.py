"""Whoever comes first: cans without a side of their own, in virtual time and with chance from a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from tincan.errors import AuthenticationFailed, NobodyCame, PeerRefused, TinCanError
from tincan.meet.events import MeetEvent, PeerFound, PlaceReady, SideTaken
from tincan.meet.handshake import Handshake
from tincan.meet.mailbox import MailboxClosed, MailboxReset, Side
from tincan.meet.meeting import Line, meet
from tincan.meet.phrase import StringKeys
from tincan.meet.place import Place, Tell
from tincan.tasks import plain_errors
from unit.meet.network import Board, Lan, LanDoor
from unit.meet.places import KEYS, WRONG, ScriptedMailbox, of_kind
from virtualtime import run

OFFER, ANSWER = b"the offer", b"the answer"
SEEDS = range(25)


@dataclass
class Can:
    """One can that goes to a meeting, and when it was there."""

    places: Sequence[Place]
    seed: int | str = 0
    comes: float = 0.0
    side: Side | None = None
    keys: StringKeys = KEYS
    timeout: float = 600.0
    slow_offer: float = 0.0
    events: list[MeetEvent] = field(default_factory=list)
    met_at: float = 0.0

    async def meet(self) -> Line:
        await asyncio.sleep(self.comes)
        with plain_errors():
            async with asyncio.TaskGroup() as group:
                line = await meet(
                    self.side,
                    self.keys,
                    self.places,
                    offer=self._offer,
                    tell=self.events.append,
                    group=group,
                    timeout=self.timeout,
                    rng=random.Random(self.seed),
                )
                if line.side is Side.ATTACH:
                    await line.send(ANSWER)
                self.met_at = asyncio.get_running_loop().time()
        return line

    async def _offer(self, line: Line) -> bytes:
        await asyncio.sleep(self.slow_offer)
        return OFFER


Sharing = Callable[[random.Random], tuple[list[Place], list[Place]]]
"""Makes the places of two cans."""


def one_board(rng: random.Random) -> tuple[list[Place], list[Place]]:
    board = Board(lag=rng.uniform(0.002, 0.15))
    return [board], [board]


def one_lan(rng: random.Random) -> tuple[list[Place], list[Place]]:
    lan = Lan(rng.uniform(0.05, 0.8))
    return [LanDoor(lan)], [LanDoor(lan)]


def a_board_and_a_lan(rng: random.Random) -> tuple[list[Place], list[Place]]:
    board, lan = Board(lag=rng.uniform(0.002, 0.15)), Lan(rng.uniform(0.05, 0.8))
    return [board, LanDoor(lan)], [board, LanDoor(lan)]


def two_boards_and_a_lan(rng: random.Random) -> tuple[list[Place], list[Place]]:
    near, far, lan = Board("near", rng.uniform(0.002, 0.1)), Board("far", rng.uniform(0.1, 0.2)), Lan()
    return [near, LanDoor(lan), far], [far, near, LanDoor(lan)]


def other_boards_and_one_lan(rng: random.Random) -> tuple[list[Place], list[Place]]:
    lan = Lan(rng.uniform(0.05, 0.8))
    return [Board("mine"), LanDoor(lan)], [Board("yours"), LanDoor(lan)]


def a_dead_board_and_a_lan(rng: random.Random) -> tuple[list[Place], list[Place]]:
    lan, board = Lan(rng.uniform(0.05, 0.8)), Board(reachable=False)
    return [board, LanDoor(lan)], [board, LanDoor(lan)]


BOARD = [one_board, a_board_and_a_lan, two_boards_and_a_lan]
NO_BOARD = [one_lan, other_boards_and_one_lan, a_dead_board_and_a_lan]


async def both(one: Can, other: Can) -> float:
    """Let both meet; check what each has of it, and return how long the second one took."""
    lines = await asyncio.gather(one.meet(), other.meet())
    assert {line.side for line in lines} == set(Side)
    assert {line.side: line.first for line in lines} == {Side.ATTACH: OFFER, Side.TAP: ANSWER}
    assert lines[0].place == lines[1].place
    for can, line in zip((one, other), lines, strict=True):
        assert of_kind(can.events, SideTaken) == [SideTaken(line.side)]
        found = can.events.index(PeerFound(line.place))
        assert can.events[found - 1] == SideTaken(line.side)
    return max(one.met_at, other.met_at) - max(one.comes, other.comes)


def pair(sharing: Sharing, seed: int, comes: float) -> tuple[Can, Can]:
    rng = random.Random(seed)
    mine, yours = sharing(rng)
    return Can(mine, f"{seed}a", 0.0, slow_offer=rng.uniform(0, 0.5)), Can(yours, f"{seed}b", comes)


# -- two cans ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sharing", [*BOARD, *NO_BOARD])
def test_two_that_come_at_about_the_same_moment_meet(sharing: Sharing, seed: int) -> None:
    one, other = pair(sharing, seed, random.Random(seed).choice([0.0, 0.0, 0.01, 0.1, 0.3, 1.0, 2.0]))
    took = run(both(one, other))
    assert took < (8.0 if sharing in BOARD else 30.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sharing", [*BOARD, *NO_BOARD])
def test_the_second_one_finds_the_first_whenever_it_comes(sharing: Sharing, seed: int) -> None:
    one, other = pair(sharing, seed, random.Random(seed).uniform(3.0, 120.0))
    took = run(both(one, other))
    assert took < (4.0 if sharing in BOARD else 12.0)


def test_the_second_one_is_as_quick_as_one_that_was_told_to_tap() -> None:
    def took(side: Side | None) -> float:
        board = Board(lag=0.1)
        return run(both_quickly(Can([board]), Can([board], "b", 30.0, side)))

    async def both_quickly(first: Can, second: Can) -> float:
        await asyncio.gather(first.meet(), second.meet())
        return second.met_at - second.comes

    assert took(None) == took(Side.TAP)


@pytest.mark.parametrize("sharing", [one_board, one_lan])
def test_on_average_two_at_once_lose_little(sharing: Sharing) -> None:
    took = [run(both(*pair(sharing, seed, 0.0))) for seed in range(100)]
    assert sum(took) / len(took) < (2.0 if sharing is one_board else 5.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("side", "told_at", "free_at"), [(Side.ATTACH, 0, 1), (Side.TAP, 0, 1), (Side.TAP, 9, 0), (Side.ATTACH, 0, 30)]
)
@pytest.mark.parametrize("sharing", [one_board, one_lan, a_board_and_a_lan])
def test_one_that_was_told_its_side_is_met_too(
    sharing: Sharing, side: Side, told_at: float, free_at: float, seed: int
) -> None:
    """Except by a switchboard that has given the same side to the free one: it says that the line is busy."""
    mine, yours = sharing(random.Random(seed))
    told, free = Can(mine, side=side, comes=told_at), Can(yours, seed, free_at)

    async def main() -> tuple[Line, Line]:
        return await asyncio.gather(told.meet(), free.meet())

    lines = run(main())
    assert [line.side for line in lines] == [side, side.other]
    assert not of_kind(told.events, SideTaken)


def test_turns_are_not_told_again_and_again() -> None:
    can = Can([LanDoor(Lan())], timeout=300.0)

    async def main() -> None:
        with pytest.raises(NobodyCame):
            await can.meet()

    run(main())
    assert can.events == [PlaceReady("door")]


def test_who_waits_at_a_switchboard_stays() -> None:
    """It may be that somebody has just read its share: it must not leave."""
    board = Board()

    async def main() -> None:
        waiting = asyncio.create_task(Can([board, LanDoor(Lan())]).meet())
        await asyncio.sleep(10)
        for _ in range(500):
            await asyncio.sleep(0.1)
            with pytest.raises(PeerRefused):
                await board.open(Side.ATTACH, KEYS.code)
        waiting.cancel()
        await asyncio.wait([waiting])

    run(main())


# -- a line in use -----------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sharing", [one_board, a_board_and_a_lan])
def test_a_line_that_is_really_in_use(sharing: Sharing, seed: int) -> None:
    async def main() -> None:
        places, _ = sharing(random.Random(seed))
        ends = [await places[0].open(side, KEYS.code) for side in Side]
        began = asyncio.get_running_loop().time()
        with pytest.raises(PeerRefused, match="two others") as caught:
            await Can(places, seed).meet()
        assert caught.value.exit_code == 7
        assert asyncio.get_running_loop().time() - began < 10
        for end in ends:
            await end.close(done=True)

    run(main())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_third_can_leaves_the_other_two_in_peace(seed: int) -> None:
    rng = random.Random(seed)
    board = Board(lag=rng.uniform(0.002, 0.2))
    cans = [Can([board], f"{seed}{n}", rng.uniform(0, 1), timeout=20) for n in range(3)]

    async def main() -> list[Line | BaseException]:
        return await asyncio.gather(*(can.meet() for can in cans), return_exceptions=True)

    outcomes = run(main())
    lines = [outcome for outcome in outcomes if isinstance(outcome, Line)]
    assert {line.side for line in lines} == set(Side)
    [third] = [outcome for outcome in outcomes if not isinstance(outcome, Line)]
    assert isinstance(third, PeerRefused | NobodyCame)


# -- one guess ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sharing", [*BOARD, *NO_BOARD])
def test_a_wrong_phrase_costs_one_guess_and_fails_at_both_ends(sharing: Sharing, seed: int) -> None:
    one, other = pair(sharing, seed, random.Random(seed).choice([0.0, 0.1, 1.0, 10.0]))
    other.keys = WRONG

    async def main() -> list[Line | BaseException]:
        return await asyncio.gather(one.meet(), other.meet(), return_exceptions=True)

    assert [type(outcome) for outcome in run(main())] == [AuthenticationFailed] * 2


def kind_of(message: bytes) -> str:
    return str(msgspec.msgpack.decode(message)["kind"])


class EvilPlace:
    """A place that says anything, from both sides, and guesses whenever it can. Counts what was judged."""

    def __init__(self, name: str, seed: str) -> None:
        self.name = name
        self.opened: list[Side] = []
        self._rng = random.Random(seed)
        self._mailboxes: list[ScriptedMailbox] = []

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> ScriptedMailbox:
        self.opened.append(side)
        await asyncio.sleep(self._rng.uniform(0, 0.4))
        if self._rng.random() < 0.3:
            raise PeerRefused("busy")
        mailbox = ScriptedMailbox(slow_to_close=self._rng.uniform(0, 0.3))
        self._mailboxes.append(mailbox)
        loop = asyncio.get_running_loop()
        for _ in range(3):
            loop.call_later(self._rng.choice([0, 0.1, 1, 5]), self._say, side, mailbox)
        return mailbox

    def _say(self, side: Side, mailbox: ScriptedMailbox) -> None:
        what = self._rng.random()
        if what < 0.5:
            ends: list[TinCanError] = [PeerRefused("busy"), MailboxClosed("left"), MailboxReset("anew")]
            mailbox.put(self._rng.choice(ends))
        elif side is Side.TAP:
            mailbox.put(*Handshake(Side.ATTACH, WRONG).data_to_send())
        else:
            self._guess(mailbox)

    @staticmethod
    def _guess(mailbox: ScriptedMailbox) -> None:
        """Answer the share that was heard last."""
        heard = mailbox.taken()
        for message in heard:
            mailbox.sent.put_nowait(message)
        shares = [message for message in heard if kind_of(message) == "share"]
        if shares:
            stranger = Handshake(Side.TAP, WRONG)
            stranger.receive(shares[-1])
            stranger.seal(OFFER)
            mailbox.put(*stranger.data_to_send())

    @property
    def judged(self) -> list[str]:
        """What only comes of a guess: a flight, whose tag can be tried, or a word that the tag was wrong."""
        found = []
        for mailbox in self._mailboxes:
            kinds = [kind_of(message) for message in mailbox.taken()]
            # One that has shown its tag refuses what does not fit, which tells nothing new.
            found += [kind for kind in kinds if kind == "flight"] or [kind for kind in kinds if kind != "share"]
        return found


class EvilDoor(EvilPlace):
    """The same where turns are taken; it says anything about visitors, too."""

    def leave(self) -> bool:
        return self._rng.random() < 0.8


@pytest.mark.parametrize("seed", range(150))
def test_strangers_at_all_places_have_one_guess_in_all(seed: int) -> None:
    places = [EvilPlace("a", f"{seed}a"), EvilPlace("b", f"{seed}b"), EvilDoor("c", f"{seed}c")]
    opened: list[int] = []

    async def main() -> None:
        can = Can(places, seed, timeout=120.0, slow_offer=random.Random(seed).choice([0.0, 2.0]))
        with pytest.raises(TinCanError) as caught:
            await can.meet()
        opened.append(len(of_kind(can.events, PeerFound)))
        judged = [kind for place in places for kind in place.judged]
        assert len(judged) <= 1
        if isinstance(caught.value, AuthenticationFailed):
            assert len(judged) == 1
        before = [list(place.opened) for place in places]
        await asyncio.sleep(60)
        assert [place.opened for place in places] == before

    run(main())


def test_most_of_those_strangers_did_guess() -> None:
    """Else the test above would show nothing."""
    guesses = 0
    for seed in range(60):
        places = [EvilPlace("a", f"{seed}a"), EvilDoor("c", f"{seed}c")]

        async def main(can: Can) -> None:
            with pytest.raises(TinCanError):
                await can.meet()

        run(main(Can(places, seed, timeout=120.0)))
        guesses += sum(len(place.judged) for place in places)
    assert guesses > 20


@pytest.mark.parametrize("slow_offer", [0.0, 15.0])
def test_no_side_changes_once_the_guess_is_taken(slow_offer: float) -> None:
    """Not even while the offer takes longer than any turn."""

    class Lonely(EvilPlace):
        async def open(self, side: Side, code: str, tell: Tell | None = None) -> ScriptedMailbox:
            self.opened.append(side)
            mailbox = ScriptedMailbox()
            self._mailboxes.append(mailbox)
            if side is Side.TAP:
                mailbox.put(*Handshake(Side.ATTACH, WRONG).data_to_send())
            return mailbox

    async def main() -> None:
        board, door = Lonely("board", ""), LanDoor(Lan())
        with pytest.raises(AuthenticationFailed, match="in time"):
            await Can([board, door], slow_offer=slow_offer).meet()
        assert board.opened == door.opened == [Side.TAP]
        assert board.judged == ["flight"]

    run(main())


# -- somebody vanishes -------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sharing", [one_board, one_lan, a_board_and_a_lan])
def test_one_that_vanishes_before_the_guess_costs_nothing(sharing: Sharing, seed: int) -> None:
    rng = random.Random(seed)
    mine, yours = sharing(rng)
    first, gone = Can(mine, f"{seed}a"), Can(yours, f"{seed}b", rng.uniform(0, 6))
    third = Can(yours, f"{seed}c", 12.0)

    async def vanish() -> bool:
        """Vanish at any moment; return whether nobody had been found by then."""
        task = asyncio.create_task(gone.meet())
        await asyncio.sleep(gone.comes + rng.uniform(0, 1.5))
        task.cancel()
        await asyncio.wait([task])
        return not of_kind([*first.events, *gone.events], SideTaken)

    async def main() -> None:
        waiting = asyncio.create_task(first.meet())
        if await vanish():
            await asyncio.gather(waiting, third.meet())
        else:
            waiting.cancel()
            await asyncio.wait([waiting])

    run(main())
