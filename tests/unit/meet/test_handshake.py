"""Two handshakes back to back, and what a carrier may do to their messages."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import msgspec
import pytest

from tincan.errors import AuthenticationFailed
from tincan.meet.handshake import MAX_ENVELOPES, MAX_PAYLOAD, Handshake, State
from tincan.meet.mailbox import MAX_MESSAGE, Side
from unit.meet.pair import STAGES, HandshakePair, fields, only
from unit.meet.places import KEYS, WRONG

REFUSAL = msgspec.msgpack.encode({"kind": "refusal"})


def refuses(handshake: Handshake, message: bytes, match: str | None = None, *, tells: bool = True) -> None:
    """The message ends the handshake, and the peer is told so once."""
    handshake.data_to_send()
    with pytest.raises(AuthenticationFailed, match=match) as caught:
        handshake.receive(message)
    assert caught.value.exit_code == 5
    assert handshake.state is State.FAILED
    assert not handshake.confirmed
    assert handshake.data_to_send() == ([REFUSAL] if tells else [])


def changed(message: bytes, **values: object) -> bytes:
    return msgspec.msgpack.encode(fields(message) | values)


# -- what should happen ------------------------------------------------------------


def test_the_right_phrase() -> None:
    pair = HandshakePair()
    share = pair.share()
    assert pair.tap.receive(share) is None
    assert pair.tap.state is State.READY
    pair.tap.seal(b"offer")
    assert pair.tap.state is State.COMMITTED
    assert pair.attach.receive(only(pair.tap)) == b"offer"
    assert pair.attach.confirmed
    pair.attach.seal(b"answer")
    assert pair.tap.receive(only(pair.attach)) == b"answer"
    assert pair.tap.confirmed


def test_envelopes_flow_both_ways() -> None:
    pair = HandshakePair.confirmed()
    for n in range(10):
        for sender, receiver in ((pair.tap, pair.attach), (pair.attach, pair.tap)):
            sender.seal(b"number %d" % n)
            assert receiver.receive(only(sender)) == b"number %d" % n


def test_the_tapping_can_may_send_more_before_the_answer() -> None:
    pair = HandshakePair()
    flight = pair.flight()
    pair.tap.seal(b"candidates")
    pair.tap.seal(b"more candidates")
    assert pair.attach.receive(flight) == b"offer"
    assert [pair.attach.receive(m) for m in pair.tap.data_to_send()] == [b"candidates", b"more candidates"]
    pair.attach.seal(b"answer")
    assert pair.tap.receive(only(pair.attach)) == b"answer"


def test_messages_are_given_out_once_and_in_order() -> None:
    pair = HandshakePair.confirmed()
    for n in range(3):
        pair.tap.seal(bytes([n]))
    messages = pair.tap.data_to_send()
    assert pair.tap.data_to_send() == []
    assert [pair.attach.receive(m) for m in messages] == [b"\0", b"\1", b"\2"]


def test_empty_and_longest_payloads() -> None:
    pair = HandshakePair()
    longest = bytes(MAX_PAYLOAD)
    flight = pair.flight(longest)
    assert len(flight) <= MAX_MESSAGE
    assert pair.attach.receive(flight) == longest
    pair.attach.seal(b"")
    assert pair.tap.receive(only(pair.attach)) == b""
    pair.tap.seal(longest)
    sealed = only(pair.tap)
    assert len(sealed) <= MAX_MESSAGE
    assert pair.attach.receive(sealed) == longest


def test_no_run_repeats_another() -> None:
    seen: set[bytes] = set()
    for _ in range(5):
        pair = HandshakePair()
        flight = pair.flight()
        assert pair.attach.receive(flight)
        seen |= {bytes(v) for v in fields(flight).values() if isinstance(v, bytes)}
    assert len(seen) == 15


# -- the wrong phrase --------------------------------------------------------------


def test_the_wrong_phrase_is_noticed_first_by_the_attaching_can() -> None:
    pair = HandshakePair(tap=WRONG)
    flight = pair.flight()
    with pytest.raises(AuthenticationFailed, match="does not know the same phrase"):
        pair.attach.receive(flight)
    assert not pair.attach.confirmed
    refuses(pair.tap, only(pair.attach), "could not confirm the phrase", tells=False)


def test_the_same_password_at_another_line_is_another_phrase() -> None:
    pair = HandshakePair(tap=dataclasses.replace(KEYS, code="000000000000"))
    refuses(pair.attach, pair.flight(), "does not know the same phrase")


def test_nothing_of_the_offer_is_seen_with_the_wrong_phrase() -> None:
    pair = HandshakePair(tap=WRONG)
    assert b"a secret offer" not in pair.flight(b"a secret offer")


def test_two_cans_of_the_same_side_never_get_through() -> None:
    first, second = Handshake(Side.ATTACH, KEYS), Handshake(Side.ATTACH, KEYS)
    refuses(first, only(second))
    tap = HandshakePair()
    refuses(Handshake(Side.TAP, KEYS), tap.flight())


# -- spent -------------------------------------------------------------------------


def test_spent_at_the_tapping_can_once_its_tag_leaves() -> None:
    pair = HandshakePair()
    assert not pair.tap.spent
    pair.tap.receive(pair.share())
    assert not pair.tap.spent
    pair.tap.seal(b"offer")
    assert pair.tap.spent


@pytest.mark.parametrize("keys", [KEYS, WRONG])
def test_spent_at_the_attaching_can_once_it_judges_a_tag(keys: object) -> None:
    pair = HandshakePair(tap=keys)  # type: ignore[arg-type]
    flight = pair.flight()
    assert not pair.attach.spent
    try:
        pair.attach.receive(flight)
    except AuthenticationFailed:
        assert keys is WRONG
    assert pair.attach.spent


@pytest.mark.parametrize("side", Side)
def test_refusals_and_garbage_spend_nothing(side: Side) -> None:
    for message in REFUSAL, b"garbage", b"":
        handshake = Handshake(side, KEYS)
        refuses(handshake, message, tells=message is not REFUSAL)
        assert not handshake.spent


def test_a_spent_handshake_judges_no_second_tag() -> None:
    pair = HandshakePair(tap=WRONG)
    refuses(pair.attach, pair.flight(), "does not know the same phrase")
    second = Handshake(Side.TAP, KEYS)  # even the right one
    second.receive(only(Handshake(Side.ATTACH, KEYS)))
    second.seal(b"")
    refuses(pair.attach, only(second), tells=False)


# -- what a carrier may do ---------------------------------------------------------


Scene = Callable[[], tuple[Handshake, bytes]]


def _share() -> tuple[Handshake, bytes]:
    pair = HandshakePair()
    return pair.tap, pair.share()


def _flight() -> tuple[Handshake, bytes]:
    pair = HandshakePair()
    flight = pair.flight()
    return pair.attach, flight


def _answer() -> tuple[Handshake, bytes]:
    pair = HandshakePair()
    answer = pair.answer()
    return pair.tap, answer


def _sealed() -> tuple[Handshake, bytes]:
    pair = HandshakePair.confirmed()
    pair.attach.seal(b"candidates")
    return pair.tap, only(pair.attach)


SCENES: list[Scene] = [_share, _flight, _answer, _sealed]
scenes = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__.strip("_"))


@scenes
def test_truncated_anywhere(scene: Scene) -> None:
    _, message = scene()
    for length in range(len(message)):
        handshake, whole = scene()
        refuses(handshake, whole[:length], "damaged or forged")


@scenes
def test_followed_by_anything(scene: Scene) -> None:
    for tail in b"\0", b"\xc0", REFUSAL:
        handshake, message = scene()
        refuses(handshake, message + tail, "damaged or forged")


def broken_by(scene: Scene, message: bytes, handshake: Handshake) -> bool:
    """Whether the carrier's change is noticed: at once, or for a share by whoever made it, in the flight."""
    try:
        handshake.receive(message)
    except AuthenticationFailed:
        assert handshake.state is State.FAILED
        return True
    return False


@scenes
def test_any_bit_flipped(scene: Scene) -> None:
    _, first = scene()
    for place, bit in itertools.product(range(len(first)), range(8)):
        if scene is _share:
            pair = HandshakePair()
            share = pair.share()
            noticed = broken_by(scene, flipped(share, place, bit), pair.tap)
            if not noticed:
                pair.tap.seal(b"offer")
                noticed = broken_by(scene, only(pair.tap), pair.attach)
        else:
            handshake, message = scene()
            noticed = broken_by(scene, flipped(message, place, bit), handshake)
        assert noticed, (place, bit)


def flipped(message: bytes, place: int, bit: int) -> bytes:
    out = bytearray(message)
    out[place] ^= 1 << bit
    return bytes(out)


def test_a_flight_twice() -> None:
    pair = HandshakePair()
    flight = pair.flight()
    pair.attach.receive(flight)
    refuses(pair.attach, flight, "damaged or forged")


def test_a_share_twice() -> None:
    pair = HandshakePair()
    share = pair.share()
    pair.tap.receive(share)
    refuses(pair.tap, share, "damaged or forged")
    assert not pair.tap.spent


def test_an_answer_twice() -> None:
    pair = HandshakePair()
    answer = pair.answer()
    pair.tap.receive(answer)
    refuses(pair.tap, answer, "damaged or forged")


@pytest.mark.parametrize("sender", Side)
@pytest.mark.parametrize("order", [p for n in (1, 2, 3) for p in itertools.permutations(range(3), n)])
def test_envelopes_reordered_and_left_out(sender: Side, order: tuple[int, ...]) -> None:
    pair = HandshakePair.confirmed()
    near, far = (pair.attach, pair.tap) if sender is Side.ATTACH else (pair.tap, pair.attach)
    for n in range(3):
        near.seal(b"%d" % n)
    messages = near.data_to_send()
    for position, number in enumerate(order):
        if number == position:
            assert far.receive(messages[number]) == b"%d" % number
        else:
            refuses(far, messages[number], "damaged or forged")
            break


def test_an_envelope_replayed() -> None:
    pair = HandshakePair.confirmed()
    pair.attach.seal(b"once")
    message = only(pair.attach)
    pair.tap.receive(message)
    refuses(pair.tap, message, "damaged or forged")


def test_the_flight_before_further_envelopes() -> None:
    pair = HandshakePair()
    pair.flight()
    pair.tap.seal(b"candidates")
    refuses(pair.attach, only(pair.tap), "damaged or forged")
    assert not pair.attach.spent


def test_the_answer_before_further_envelopes() -> None:
    pair = HandshakePair()
    pair.answer()
    pair.attach.seal(b"candidates")
    refuses(pair.tap, only(pair.attach), "damaged or forged")


def test_directions_have_their_own_keys() -> None:
    """What one sends and what it is sent cannot be swapped, though payload and number are the same."""
    pair = HandshakePair.confirmed()
    pair.attach.seal(b"same")
    pair.tap.seal(b"same")
    from_attach, from_tap = only(pair.attach), only(pair.tap)
    assert from_attach != from_tap
    refuses(pair.attach, from_attach, "damaged or forged")
    refuses(pair.tap, from_tap, "damaged or forged")


@pytest.mark.parametrize(
    "point",
    [
        bytes(32),
        b"\1" + bytes(31),
        b"\xec" + b"\xff" * 30 + b"\x7f",
        b"\xed" + b"\xff" * 30 + b"\x7f",
        b"\xee" + b"\xff" * 30 + b"\x7f",
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ],
    ids=bytes.hex,
)
def test_points_of_low_order(point: bytes) -> None:
    for bit in (0, 0x80):
        weak = point[:31] + bytes([point[31] | bit])
        pair = HandshakePair()
        refuses(pair.tap, changed(pair.share(), share=weak), "damaged or forged")
        assert not pair.tap.spent
        pair = HandshakePair()
        flight = pair.flight()
        refuses(pair.attach, changed(flight, share=weak), "damaged or forged")


def test_a_share_put_in_place_of_the_peers() -> None:
    stranger = fields(only(Handshake(Side.ATTACH, KEYS)))["share"]
    pair = HandshakePair()
    pair.tap.receive(changed(pair.share(), share=stranger))
    pair.tap.seal(b"offer")
    refuses(pair.attach, only(pair.tap), "does not know the same phrase")
    pair = HandshakePair()
    flight = pair.flight()
    refuses(pair.attach, changed(flight, share=stranger), "does not know the same phrase")


def test_the_own_share_reflected() -> None:
    pair = HandshakePair()
    share = pair.share()
    refuses(pair.attach, share, "damaged or forged")  # as it is
    pair = HandshakePair()
    flight, own = pair.flight(), fields(HandshakePair().share())["share"]
    assert own != fields(flight)["share"]
    attach = Handshake(Side.ATTACH, KEYS)
    refuses(attach, changed(flight, share=fields(only(attach))["share"]), "does not know the same phrase")


def test_the_own_flight_reflected() -> None:
    pair = HandshakePair()
    flight = fields(pair.flight())
    reflected = {"kind": "answer", "tag": flight["tag"], "envelope": flight["envelope"]}
    refuses(pair.tap, msgspec.msgpack.encode(reflected), "does not know the same phrase")


def test_a_third_can_that_answers() -> None:
    """Somebody who knows the phrase too, but not this run: what it says fits nobody else's."""
    pair, third = HandshakePair(), HandshakePair()
    pair.flight()
    refuses(pair.tap, third.answer(), "does not know the same phrase")
    pair, third = HandshakePair(), HandshakePair()
    refuses(pair.attach, third.flight(), "does not know the same phrase")
    first, second = HandshakePair.confirmed(), HandshakePair.confirmed()
    first.attach.seal(b"to the first")
    refuses(second.tap, only(first.attach), "damaged or forged")


@pytest.mark.parametrize("version", [0, 2, 2**63])
def test_another_version(version: int) -> None:
    pair = HandshakePair()
    refuses(pair.tap, changed(pair.share(), version=version), f"speaks version {version} .* update the older one")
    pair = HandshakePair()
    flight = pair.flight()
    refuses(pair.attach, changed(flight, version=version), f"speaks version {version} ")


@pytest.mark.parametrize("version", [None, "1", 1.0, True, -(2**63), b"1"])
def test_a_version_that_is_none(version: object) -> None:
    pair = HandshakePair()
    share = pair.share()
    with pytest.raises(AuthenticationFailed):
        pair.tap.receive(changed(share, version=version))


@pytest.mark.parametrize("field", ["version", "share", "tag", "envelope", "kind"])
def test_fields_are_required(field: str) -> None:
    pair = HandshakePair()
    left = {name: value for name, value in fields(pair.flight()).items() if name != field}
    refuses(pair.attach, msgspec.msgpack.encode(left), "damaged or forged")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("share", bytes(31)),
        ("share", bytes(33)),
        ("share", "x" * 32),
        ("tag", b""),
        ("tag", bytes(63)),
        ("tag", bytes(65)),
        ("tag", None),
        ("envelope", bytes(15)),
        ("envelope", bytes(MAX_MESSAGE + 1)),
        ("envelope", None),
        ("kind", "flights"),
        ("kind", 7),
    ],
)
def test_fields_have_their_form(field: str, value: object) -> None:
    pair = HandshakePair()
    refuses(pair.attach, changed(pair.flight(), **{field: value}), "damaged or forged")


def test_fields_that_are_not_known_are_ignored() -> None:
    pair = HandshakePair()
    assert pair.attach.receive(changed(pair.flight(), colour="red")) == b"offer"


# -- refusals and the end ----------------------------------------------------------


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "failed"])
def test_a_refusal_ends_it_at_any_time(stage: str) -> None:
    refuses(STAGES[stage][1](), REFUSAL, "could not confirm", tells=False)


def test_after_the_end_nothing_is_taken_and_nothing_said() -> None:
    for message in (REFUSAL, b"", b"garbage", HandshakePair().share(), HandshakePair().flight()):
        refuses(STAGES["failed"][1](), message, tells=False)


@pytest.mark.parametrize("stage", STAGES)
def test_the_stages_are_what_they_say(stage: str) -> None:
    state, make = STAGES[stage]
    assert make().state is state


# -- calling out of order ----------------------------------------------------------


@pytest.mark.parametrize("stage", ["attach waiting", "tap waiting", "failed"])
def test_sealing_without_keys(stage: str) -> None:
    handshake = STAGES[stage][1]()
    before = handshake.state, handshake.spent
    handshake.data_to_send()
    with pytest.raises(RuntimeError, match="nothing can be sealed"):
        handshake.seal(b"too early")
    assert (handshake.state, handshake.spent) == before
    assert handshake.data_to_send() == []


def test_a_payload_that_is_too_long_spends_nothing() -> None:
    handshake = STAGES["tap ready"][1]()
    with pytest.raises(ValueError):
        handshake.seal(bytes(MAX_PAYLOAD + 1))
    assert handshake.state is State.READY
    assert not handshake.spent
    assert handshake.data_to_send() == []


def test_envelopes_are_counted() -> None:
    pair = HandshakePair.confirmed()
    for _ in range(MAX_ENVELOPES - 1):  # the answer was the first
        pair.attach.seal(b"x")
        pair.tap.receive(only(pair.attach))
    with pytest.raises(RuntimeError, match="too many"):
        pair.attach.seal(b"x")
