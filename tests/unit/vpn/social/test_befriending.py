"""Two become friends when each has proven who it is and both users have agreed; else neither does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.errors import AuthenticationFailed, NoPath, PeerRefused, ProtocolError, TinCanError
from tincan.identity import Identity, PublicIdentity
from tincan.link.interface import Channel
from tincan.link.memory import MemoryLink
from tincan.vpn.social.befriending import Answer, Befriending, Card, Kept, Proof, State, to_sign
from tincan.vpn.social.meeting import befriend
from unit.vpn.social.people import person
from virtualtime import in_virtual_time

ALICE, BOB, MALLORY = person(1), person(2), person(3)
LINK = b"what both ends of the link know"


def said(frame: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(frame)


def pair() -> tuple[Befriending, Befriending]:
    return Befriending(ALICE, bytes(32), LINK), Befriending(BOB, bytes([1] * 32), LINK)


def pump(a: Befriending, b: Befriending) -> None:
    while frames := [(b, frame) for frame in a.data_to_send()] + [(a, frame) for frame in b.data_to_send()]:
        for to, frame in frames:
            to.receive(frame)


def test_both_agree() -> None:
    a, b = pair()
    pump(a, b)
    assert (a.peer, b.peer) == (BOB.public, ALICE.public)
    a.answer(True)
    pump(a, b)
    assert (a.state, b.state) == (State.PROVEN, State.AGREED)
    b.answer(True)
    pump(a, b)
    a.keep()
    b.keep()
    pump(a, b)
    assert (a.state, b.state) == (State.KEPT, State.KEPT)


def test_nobody_can_hand_in_somebody_elses_keys() -> None:
    """Mallory meets Alice, and says that he is Bob."""
    alice = Befriending(ALICE, bytes(32), LINK)
    [card] = alice.data_to_send()
    false = Card(BOB.public.signing, BOB.public.agreeing, bytes([2] * 32))
    alice.receive(said(false))
    assert alice.peer is None
    for signature in (MALLORY.sign(card), bytes(64)):
        with pytest.raises(AuthenticationFailed, match="not its own"):
            alice.receive(said(Proof(signature)))
    assert alice.peer is None


def test_a_proof_is_of_one_meeting_only() -> None:
    """What Bob signed for Mallory is worth nothing to Alice."""
    bob = Befriending(BOB, bytes([1] * 32), LINK)
    [card] = bob.data_to_send()
    bob.receive(said(Card(MALLORY.public.signing, MALLORY.public.agreeing, bytes(32))))
    [proof] = bob.data_to_send()
    alice = Befriending(ALICE, bytes(32), LINK)
    alice.receive(card)
    with pytest.raises(AuthenticationFailed):
        alice.receive(proof)


def test_a_proof_is_of_one_channel_only() -> None:
    """Mallory carries frames between Alice and Bob, who each take him for a third one."""
    alice, bob = (
        Befriending(ALICE, bytes(32), b"alice - mallory"),
        Befriending(BOB, bytes([1] * 32), b"mallory - bob"),
    )
    with pytest.raises(AuthenticationFailed, match="not its own"):
        pump(alice, bob)
    assert alice.peer is None
    assert bob.peer is None


def test_one_key_of_bobs_and_one_of_his_own_is_somebody_else() -> None:
    """Such a mixture is proven by its signing key, and so it is Mallory, with a fingerprint of its own."""
    mixed = PublicIdentity(MALLORY.public.signing, BOB.public.agreeing)
    assert mixed.uid not in (MALLORY.public.uid, BOB.public.uid)


def test_ones_own_card_back_is_refused() -> None:
    a = Befriending(ALICE, bytes(32), LINK)
    [card] = a.data_to_send()
    with pytest.raises(AuthenticationFailed, match="your own keys"):
        a.receive(card)
    with pytest.raises(AuthenticationFailed, match="your own keys"):
        Befriending(ALICE, bytes(32), LINK).receive(said(Card(bytes(32), ALICE.public.agreeing, bytes(32))))


def test_a_key_of_small_order_is_refused() -> None:
    a = Befriending(ALICE, bytes(32), LINK)
    ours = a.data_to_send()[0]
    card = Card(MALLORY.public.signing, bytes(32), bytes(32))
    a.receive(said(card))
    mine = msgspec.msgpack.decode(ours, type=Card)
    with pytest.raises(AuthenticationFailed, match="none"):
        a.receive(said(Proof(MALLORY.sign(to_sign(LINK, card, mine)))))
    assert a.peer is None


FRAMES = {
    "card": Card(BOB.public.signing, BOB.public.agreeing, bytes(32)),
    "proof": Proof(bytes(64)),
    "answer": Answer(True),
    "kept": Kept(),
}


@pytest.mark.parametrize("frame", ["proof", "answer", "kept"])
def test_nothing_comes_before_the_card(frame: str) -> None:
    with pytest.raises(ProtocolError):
        Befriending(ALICE, bytes(32), LINK).receive(said(FRAMES[frame]))


@pytest.mark.parametrize("frame", ["card", "answer", "kept"])
def test_nothing_comes_before_the_proof(frame: str) -> None:
    a = Befriending(ALICE, bytes(32), LINK)
    a.receive(said(FRAMES["card"]))
    with pytest.raises(ProtocolError):
        a.receive(said(FRAMES[frame]))


@pytest.mark.parametrize("frame", ["card", "proof", "kept"])
def test_nothing_comes_before_the_answer(frame: str) -> None:
    a, b = pair()
    pump(a, b)
    with pytest.raises(ProtocolError):
        a.receive(said(FRAMES[frame]))


def test_kept_is_worth_nothing_before_one_has_agreed() -> None:
    a, b = pair()
    pump(a, b)
    a.receive(said(Answer(True)))
    with pytest.raises(ProtocolError):
        a.receive(said(Kept()))
    with pytest.raises(RuntimeError):
        a.keep()


def test_one_answer_is_given_and_not_before_the_proof() -> None:
    a, b = pair()
    with pytest.raises(RuntimeError):
        a.answer(True)
    pump(a, b)
    a.answer(False)
    with pytest.raises(RuntimeError):
        a.answer(True)


@settings(deadline=None, max_examples=500)
@given(st.lists(st.binary(max_size=80) | st.sampled_from([said(frame) for frame in FRAMES.values()]), max_size=5))
def test_no_frames_break_it(frames: list[bytes]) -> None:
    a = Befriending(ALICE, bytes(32), LINK)
    try:
        for frame in frames:
            a.receive(frame)
    except TinCanError:
        pass
    assert a.peer is None
    with pytest.raises(ProtocolError):
        Befriending(ALICE, bytes(32), LINK).receive(said(FRAMES["card"]) + bytes(2000))


# -- over a channel ---------------------------------------------------------------------


@dataclass
class User:
    """Somebody at a keyboard."""

    identity: Identity
    says: bool = True
    thinks: float = 1.0
    asked: list[PublicIdentity] = field(default_factory=list)
    kept: list[PublicIdentity] = field(default_factory=list)

    async def ask(self, peer: PublicIdentity) -> bool:
        self.asked.append(peer)
        await asyncio.sleep(self.thinks)
        return self.says

    def befriend(self, channel: Channel) -> Awaitable[None]:
        return befriend(
            channel, self.identity, bytes([self.identity.public.signing[0]] * 32), LINK, self.ask, self.kept.append
        )


async def outcomes(a: User, b: User, *, middle: Callable[[], Awaitable[None]] | None = None) -> list[type | None]:
    left, right = MemoryLink.pair()
    jobs = [asyncio.ensure_future(user.befriend(link.control)) for user, link in ((a, left), (b, right))]
    try:
        async with asyncio.timeout(60):
            if middle is not None:
                await middle()
                await left.close()
            done = await asyncio.gather(*jobs, return_exceptions=True)
    finally:
        await left.close()
        await right.close()
    return [None if result is None else type(result) for result in done]


@in_virtual_time
async def test_two_users_agree() -> None:
    a, b = User(ALICE, thinks=1), User(BOB, thinks=30)
    assert await outcomes(a, b) == [None, None]
    assert (a.kept, b.kept) == ([BOB.public], [ALICE.public])
    assert (a.asked, b.asked) == ([BOB.public], [ALICE.public])


@pytest.mark.parametrize(
    ("says", "thinks"), [((False, True), (1, 2)), ((False, True), (2, 1)), ((False, False), (1, 1))]
)
def test_one_says_no(says: tuple[bool, bool], thinks: tuple[float, float]) -> None:
    @in_virtual_time
    async def test() -> None:
        a, b = (User(who, yes, time) for who, yes, time in zip((ALICE, BOB), says, thinks, strict=True))
        assert await outcomes(a, b) == [PeerRefused, PeerRefused]
        assert a.kept == b.kept == []

    test()


@in_virtual_time
async def test_one_goes_away_while_the_other_thinks() -> None:
    a, b = User(ALICE, thinks=50), User(BOB, thinks=50)
    assert await outcomes(a, b, middle=lambda: asyncio.sleep(1)) == [NoPath, NoPath]
    assert a.kept == b.kept == []


@pytest.mark.parametrize("last", [b"", b"\xc1"], ids=["lost", "nonsense"])
@in_virtual_time
async def test_the_last_word_does_not_matter(last: bytes) -> None:
    """Both have agreed; the one who goes away then has nothing to take back."""
    a, b = User(ALICE), User(BOB)
    left, right = MemoryLink.pair()

    async def stop_after_answer() -> None:
        core = Befriending(ALICE, bytes(32), LINK)
        while core.state is not State.AGREED:
            for frame in core.data_to_send():
                await left.control.send(frame)
            core.receive(await left.control.receive())
            if core.state is State.PROVEN:
                core.answer(True)
        for frame in core.data_to_send():
            await left.control.send(frame)
        if last:
            await left.control.send(last)
        await left.control.drain()
        await left.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(stop_after_answer())
        group.create_task(b.befriend(right.control))  # type: ignore[arg-type]
    assert b.kept == [ALICE.public]
    assert a.kept == []


@in_virtual_time
async def test_one_who_says_nothing_is_not_waited_for_for_ever() -> None:
    left, right = MemoryLink.pair()
    with pytest.raises(NoPath, match="who it is"):
        await User(ALICE).befriend(left.control)
    await right.close()
