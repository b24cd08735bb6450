"""The bytes of version 1: frozen, and spoken with a second implementation (`reference`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tincan.errors import AuthenticationFailed
from tincan.meet.handshake import Handshake, State
from tincan.meet.mailbox import Side
from unit.meet import reference
from unit.meet.pair import fields, only
from unit.meet.places import KEYS

FROZEN: dict[str, str] = json.loads((Path(__file__).parent / "fixtures" / "handshake.json").read_text())


def attach() -> reference.Can:
    return reference.Can("attach", KEYS.code, KEYS.password, bytes(range(32)))


def tap() -> reference.Can:
    return reference.Can("tap", KEYS.code, KEYS.password, bytes(range(32, 64)))


def binary(message: bytes, field: str) -> bytes:
    value = fields(message)[field]
    assert isinstance(value, bytes)
    return value


def recorded() -> dict[str, bytes]:
    """One conversation, with the scalars above."""
    one, two = attach(), tap()
    two.hear_share(one.share)
    one.hear_share(two.share)
    return {
        "share": one.share_frame(),
        "flight": two.flight_frame(b"offer"),
        "answer": one.answer_frame(b"answer"),
        "sealed by tap": two.sealed_frame(b"candidates"),
        "sealed by attach": one.sealed_frame(b"candidates"),
        "refusal": reference.REFUSAL,
    }


def test_the_frozen_conversation() -> None:
    """If this fails the wire format has changed: old and new cans cannot talk, and VERSION must go up."""
    assert {name: message.hex() for name, message in recorded().items()} == {
        name: text for name, text in FROZEN.items() if name != "about"
    }


def test_our_tapping_can_speaks_with_the_reference() -> None:
    handshake, other = Handshake(Side.TAP, KEYS), attach()
    assert handshake.receive(bytes.fromhex(FROZEN["share"])) is None
    assert handshake.state is State.READY
    handshake.seal(b"offer")
    handshake.seal(b"candidates")
    flight, sealed = handshake.data_to_send()
    assert list(fields(flight)) == ["kind", "version", "share", "tag", "envelope"]
    other.hear_share(binary(flight, "share"))
    assert binary(flight, "tag") == other.expected_tag
    assert other.open(0, binary(flight, "envelope")) == b"offer"
    assert other.open(1, binary(sealed, "envelope")) == b"candidates"
    assert handshake.receive(other.answer_frame(b"answer")) == b"answer"
    assert handshake.receive(other.sealed_frame(b"more")) == b"more"
    assert handshake.confirmed


def test_our_attaching_can_speaks_with_the_reference() -> None:
    handshake, other = Handshake(Side.ATTACH, KEYS), tap()
    share = only(handshake)
    assert fields(share).keys() == {"kind", "version", "share"}
    other.hear_share(binary(share, "share"))
    assert handshake.receive(other.flight_frame(b"offer")) == b"offer"
    assert handshake.receive(other.sealed_frame(b"candidates")) == b"candidates"
    handshake.seal(b"answer")
    handshake.seal(b"more")
    answer, sealed = handshake.data_to_send()
    assert fields(answer).keys() == {"kind", "tag", "envelope"}
    assert binary(answer, "tag") == other.expected_tag
    assert other.open(0, binary(answer, "envelope")) == b"answer"
    assert fields(sealed).keys() == {"kind", "envelope"}
    assert other.open(1, binary(sealed, "envelope")) == b"more"


def test_the_frozen_flight_reads_well_and_fits_no_other_run() -> None:
    handshake = Handshake(Side.ATTACH, KEYS)
    with pytest.raises(AuthenticationFailed, match="does not know the same phrase"):
        handshake.receive(bytes.fromhex(FROZEN["flight"]))
    assert handshake.spent


def test_the_frozen_refusal_is_ours() -> None:
    handshake = Handshake(Side.TAP, KEYS)
    with pytest.raises(AuthenticationFailed):
        handshake.receive(b"")
    assert only(handshake).hex() == FROZEN["refusal"]
