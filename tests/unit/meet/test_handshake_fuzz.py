"""Whatever comes, whenever: only AuthenticationFailed, and then it is over."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.errors import AuthenticationFailed
from tincan.meet.handshake import Handshake, State
from unit.meet.pair import STAGES, HandshakePair

patient = settings(deadline=None, max_examples=60)  # each example makes and breaks several handshakes

_FILE: dict[str, str] = json.loads((Path(__file__).parent / "fixtures" / "handshake.json").read_text())
FROZEN = [bytes.fromhex(text) for name, text in _FILE.items() if name != "about"]
MAKERS = [make for _, make in STAGES.values()]


def receive_anything(handshake: Handshake, message: bytes, *, benign: bool = False) -> None:
    before = handshake.state
    try:
        payload = handshake.receive(message)
    except AuthenticationFailed:
        assert handshake.state is State.FAILED
        with pytest.raises(AuthenticationFailed):
            handshake.receive(message)
        with pytest.raises(RuntimeError):
            handshake.seal(b"")
    else:
        # The only thing that a stranger can make a can take is a share.
        assert benign or (before, payload) == (State.WAITING, None)
        assert handshake.state is not State.FAILED


@patient
@given(st.sampled_from(MAKERS), st.binary(max_size=300))
def test_arbitrary_bytes(make: object, data: bytes) -> None:
    assert callable(make)
    receive_anything(make(), data)


@patient
@given(st.sampled_from(MAKERS), st.sampled_from(FROZEN), st.data())
def test_mutated_frames(make: object, frame: bytes, data: st.DataObject) -> None:
    assert callable(make)
    changed = bytearray(frame)
    for _ in range(data.draw(st.integers(0, 4))):
        place, removed = data.draw(st.integers(0, len(changed))), data.draw(st.integers(0, 3))
        changed[place : place + removed] = data.draw(st.binary(max_size=3))
    receive_anything(make(), bytes(changed))


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8) | st.binary(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_frames = st.fixed_dictionaries(
    {"kind": st.sampled_from(["share", "flight", "answer", "sealed", "refusal", "other"])},
    optional={
        "version": st.just(1) | _values,
        "share": st.binary(min_size=32, max_size=32) | _values,
        "tag": st.binary(min_size=64, max_size=64) | _values,
        "envelope": st.binary(min_size=16, max_size=40) | _values,
    },
)


@patient
@given(st.sampled_from(MAKERS), _frames)
def test_frames_of_any_content(make: object, frame: dict[str, object]) -> None:
    assert callable(make)
    receive_anything(make(), msgspec.msgpack.encode(frame))


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a", b"\x81\xa4kind"], ids=bytes.hex)
def test_bottomless_nesting(opening: bytes) -> None:
    for make in MAKERS:
        receive_anything(make(), opening * 16000)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_carrier_that_mixes_honest_messages(data: st.DataObject) -> None:
    """Drop, repeat and swap: whatever is opened is a beginning of what the other side sealed."""
    pair = HandshakePair()
    wires: dict[str, list[bytes]] = {"attach": pair.attach.data_to_send(), "tap": []}
    sealed: dict[str, list[bytes]] = {"attach": [], "tap": []}
    opened: dict[str, list[bytes]] = {"attach": [], "tap": []}
    cans = {"attach": pair.attach, "tap": pair.tap}
    for step in range(data.draw(st.integers(1, 12))):
        name, other = data.draw(st.sampled_from([("attach", "tap"), ("tap", "attach")]))
        can = cans[name]
        if wires[other] and data.draw(st.booleans()):
            message = data.draw(st.sampled_from(wires[other]))
            try:
                payload = can.receive(message)
            except AuthenticationFailed:
                payload = None
            if payload is not None:
                opened[other].append(payload)
        elif can.state in (State.READY, State.COMMITTED, State.CONFIRMED):
            can.seal(b"%d" % step)
            sealed[name].append(b"%d" % step)
        wires[name] += can.data_to_send()
    for name in cans:
        assert opened[name] == sealed[name][: len(opened[name])]
