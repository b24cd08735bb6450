"""Who calls, who accepts, who hangs up: two cores back to back, and one with a peer that says what it likes."""

from __future__ import annotations

import random

import pytest

from tincan.apps.call.events import CallEnded, EndReason, PeerMuted
from tincan.apps.call.frames import Accept, Condition, Decline, HangUp, Invite, decode, encode
from tincan.apps.call.protocol import MAX_REPLIES, MAX_RINGS, RING_FOR, RINGS_WITHIN, CallProtocol
from tincan.apps.call.states import TRANSITIONS, State
from tincan.errors import UsageError
from unit.apps.call.twins import End, Twins


@pytest.fixture(params=["ada calls", "bob calls"])
def sides(request: pytest.FixtureRequest) -> tuple[Twins, End, End]:
    twins = Twins()
    return (twins, twins.ada, twins.bob) if request.param == "ada calls" else (twins, twins.bob, twins.ada)


def talking(twins: Twins) -> bool:
    """Whether both talk, each with what the other one has said; both or neither."""
    ada, bob = twins.ada.core.talk, twins.bob.core.talk
    assert (ada is None) == (bob is None)
    if ada is None or bob is None:
        return False
    assert (ada.ours, ada.theirs) == (bob.theirs, bob.ours)
    assert ada.ours != ada.theirs
    assert ada.red
    assert bob.red
    return True


def test_a_call_is_accepted_and_ended(sides: tuple[Twins, End, End]) -> None:
    twins, near, far = sides
    near.core.call(twins.now)
    twins.settle()
    assert (near.core.state, far.core.state) == (State.CALLING, State.RINGING)
    assert not talking(twins)
    far.core.answer(True, twins.now)
    twins.settle()
    assert talking(twins)
    assert near.core.began == far.core.began == twins.now
    twins.wait(1000)
    far.core.hang_up(twins.now)
    twins.settle()
    assert near.kinds() == ["CallPlaced", "CallStarted", "CallEnded"]
    assert far.kinds() == ["CallOffered", "CallStarted", "CallEnded"]
    assert near.told[-1] == CallEnded(EndReason.PEER, 1000.0)
    assert far.told[-1] == CallEnded(EndReason.LOCAL, 1000.0)


def test_a_call_is_declined(sides: tuple[Twins, End, End]) -> None:
    twins, near, far = sides
    near.core.call(twins.now)
    twins.settle()
    far.core.hang_up(twins.now)
    twins.settle()
    assert near.told[-1] == far.told[-1] == CallEnded(EndReason.DECLINED)


def test_nobody_can_be_asked(sides: tuple[Twins, End, End]) -> None:
    twins, near, far = sides
    near.core.call(twins.now)
    twins.settle()
    far.core.answer(False, twins.now, busy=True)
    twins.settle()
    assert near.told[-1] == CallEnded(EndReason.BUSY)


def test_a_call_is_taken_back(sides: tuple[Twins, End, End]) -> None:
    twins, near, far = sides
    near.core.call(twins.now)
    twins.settle()
    near.core.hang_up(twins.now)
    twins.settle()
    assert near.told[-1] == CallEnded(EndReason.LOCAL)
    assert far.told[-1] == CallEnded(EndReason.PEER)


def test_nobody_answers(sides: tuple[Twins, End, End]) -> None:
    twins, near, far = sides
    near.core.call(twins.now)
    twins.settle()
    assert near.core.next_deadline() == twins.now + RING_FOR
    twins.wait(RING_FOR)
    assert near.told[-1] == CallEnded(EndReason.NO_ANSWER)
    assert far.told[-1] == CallEnded(EndReason.PEER)
    assert near.core.next_deadline() is None


def test_a_caller_that_says_nothing_more_is_given_up() -> None:
    twins = Twins()
    twins.ada.core.call(twins.now)
    twins.flush()
    twins.deliver(twins.bob)
    twins.now += 1000
    twins.bob.core.expire(twins.now)
    twins.flush()
    assert twins.bob.told[-1] == CallEnded(EndReason.NO_ANSWER)


def test_two_who_call_each_other_at_once_talk(sides: tuple[Twins, End, End]) -> None:
    twins, near, far = sides
    near.core.call(twins.now)
    far.core.call(twins.now)
    twins.settle()
    assert talking(twins)
    near.core.hang_up(twins.now)
    twins.settle()
    assert not talking(twins)
    assert far.told[-1] == CallEnded(EndReason.PEER, 0.0)


def test_to_call_somebody_who_calls_is_to_accept() -> None:
    twins = Twins()
    twins.ada.core.call(twins.now)
    twins.settle()
    twins.bob.core.call(twins.now)
    twins.settle()
    assert talking(twins)


def test_who_takes_his_call_back_while_the_other_one_calls_hears_of_no_call_for_ever() -> None:
    twins = Twins()
    twins.ada.core.call(twins.now)
    twins.bob.core.call(twins.now)
    twins.ada.core.hang_up(twins.now)
    twins.settle()
    assert (twins.ada.core.state, twins.bob.core.state) == (State.IDLE, State.IDLE)
    assert twins.bob.told[-1] == CallEnded(EndReason.PEER, 0.0)


def test_an_answer_that_comes_too_late_is_no_call() -> None:
    twins = Twins()
    twins.ada.core.call(twins.now)
    twins.settle()
    twins.ada.core.hang_up(twins.now)
    twins.bob.core.answer(True, twins.now)
    twins.settle()
    assert not talking(twins)
    assert twins.bob.told[-1] == CallEnded(EndReason.PEER, 0.0)


def test_what_cannot_be_done_is_said() -> None:
    twins = Twins()
    core = twins.ada.core
    for wish in (core.hang_up, lambda now: core.answer(True, now), lambda now: core.answer(False, now)):
        with pytest.raises(UsageError):
            wish(twins.now)
    core.call(twins.now)
    with pytest.raises(UsageError):
        core.call(twins.now)


def test_muting_is_told_once() -> None:
    twins = Twins()
    twins.ada.core.tell_condition(muted=True, delay_ms=20)  # no call: nobody's business
    twins.ada.core.call(twins.now)
    twins.settle()
    twins.bob.core.answer(True, twins.now)
    twins.settle()
    for muted in (False, True, True, False):
        twins.ada.core.tell_condition(muted=muted, delay_ms=20)
        twins.settle()
    assert [event for event in twins.bob.told if isinstance(event, PeerMuted)] == [PeerMuted(True), PeerMuted(False)]
    assert twins.bob.core.peer_delay_ms == 20


def test_a_string_that_is_cut_ends_the_call() -> None:
    twins = Twins()
    twins.ada.core.lose(twins.now)
    twins.ada.core.call(twins.now)
    twins.ada.core.lose(twins.now)
    twins.flush()
    assert twins.ada.told[-1] == CallEnded(EndReason.LOST)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_crosses_on_the_way_both_agree_in_the_end(seed: int) -> None:
    twins, chance = Twins(seed), random.Random(seed)
    for _ in range(60):
        end = chance.choice([twins.ada, twins.bob])
        try:
            match chance.randrange(8):
                case 0 | 1:
                    end.core.call(twins.now)
                case 2:
                    end.core.answer(chance.random() < 0.7, twins.now)
                case 3:
                    end.core.hang_up(twins.now)
                case 4:
                    end.core.tell_condition(muted=chance.random() < 0.5, delay_ms=chance.randrange(2000))
                case _:
                    twins.deliver(end)
        except UsageError:
            pass
        twins.now += chance.random()
        twins.flush()
    twins.settle()
    if not talking(twins):
        twins.wait(RING_FOR)
        assert (twins.ada.core.state, twins.bob.core.state) == (State.IDLE, State.IDLE)


# -- a peer that does as it likes ---------------------------------------------------------


class Victim:
    def __init__(self) -> None:
        self.core = CallProtocol(random.Random(5))
        self.now = 0.0
        self.told: list[str] = []
        self.sent: list[object] = []

    def take(self, *frames: object) -> None:
        for frame in frames:
            self.core.receive(encode(frame), self.now)  # type: ignore[arg-type]
        while (event := self.core.next_event()) is not None:
            self.told.append(type(event).__name__)


def test_nothing_but_the_users_word_begins_a_call() -> None:
    victim = Victim()
    for number in range(1, 200):
        victim.take(
            Accept(number, 7), Condition(number, True), Invite(number, 7), Accept(number, 7), Condition(number)
        )
        assert victim.core.talk is None
        victim.take(HangUp(number))
    assert "CallStarted" not in victim.told
    assert "PeerMuted" not in victim.told


def test_a_call_of_ours_is_accepted_by_its_number_only() -> None:
    victim = Victim()
    victim.core.call(0.0)
    invite = decode(victim.core.data_to_send()[0])
    assert isinstance(invite, Invite)
    victim.take(Accept(invite.id ^ 1, 7), Decline(invite.id ^ 1), HangUp(invite.id ^ 1))
    assert victim.core.state is State.CALLING
    victim.take(Accept(invite.id, 7))
    assert victim.core.state is State.TALKING


def test_a_flood_of_calls_is_put_to_the_user_a_few_times() -> None:
    victim = Victim()
    for number in range(1, 5000):
        victim.take(Invite(number, 7), HangUp(number))
    assert victim.told.count("CallOffered") == MAX_RINGS
    assert len(victim.core.data_to_send()) == MAX_REPLIES
    victim.now += RINGS_WITHIN
    victim.take(Invite(9999, 7))
    assert victim.told.count("CallOffered") == MAX_RINGS + 1


def test_a_flood_of_calls_while_it_rings_or_in_a_call_is_not_heard() -> None:
    victim = Victim()
    victim.take(*(Invite(number, 7) for number in range(1, 3000)))
    assert victim.told == ["CallOffered"]
    victim.core.answer(True, 0.0)
    assert decode(victim.core.data_to_send()[0]) == Accept(
        2999, victim.core.talk.ours if victim.core.talk else 0, True
    )
    victim.take(*(Invite(number, 9) for number in range(1, 3000)))
    assert victim.core.talk is not None
    assert victim.core.talk.theirs == 7
    assert len(victim.core.data_to_send()) == MAX_REPLIES


def test_muting_without_end_waits_as_one_piece_of_news() -> None:
    victim = Victim()
    victim.take(Invite(1, 7))
    victim.core.answer(True, 0.0)
    victim.take()
    for number in range(3000):
        victim.core.receive(encode(Condition(1, number % 2 == 0)), 0.0)
    victim.take()
    assert victim.told.count("PeerMuted") == 1


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x81\xa4kind\xa4call",
        encode(Invite(1, 2))[:-1],
        encode(Invite(1, 2)) + bytes(600),
        b"\x83\xa4kind\xa4call\xa2id\x00\xa6source\x01",
        b"\x83\xa4kind\xa4call\xa2id\x01\xa6source\xff",
        b"\x82\xa4kind\xa7message\xa2id\x01",
        b"\x81\xa4kind\x91" + b"\x91" * 400,
    ],
)
def test_what_cannot_be_read_is_ignored(frame: bytes) -> None:
    victim = Victim()
    victim.core.receive(frame, 0.0)
    victim.take()
    assert victim.told == []
    assert victim.core.data_to_send() == []


def test_any_bytes_are_harmless() -> None:
    chance, victim = random.Random(3), Victim()
    good = [encode(f) for f in (Invite(1, 2), Accept(1, 2), Decline(1), HangUp(1), Condition(1, True, 5))]
    for _ in range(5000):
        frame = bytearray(chance.choice(good))
        for _ in range(chance.randrange(3)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        victim.core.receive(bytes(frame[: chance.randrange(len(frame) + 1)]), 0.0)
        victim.take()
    assert "CallStarted" not in victim.told


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {new for steps in TRANSITIONS.values() for new in steps.values()} == set(State)
