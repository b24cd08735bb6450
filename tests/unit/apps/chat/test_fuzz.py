"""Whatever comes, and whatever order things happen in."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.apps.chat import ChatProtocol, Delivered, MessageReceived, State
from tincan.apps.chat.frames import Ack, Bye, Frame, Hello, Message, Typing, encode
from tincan.errors import ProtocolError
from unit.apps.chat.helpers import CorePair, greeted, packed, sent, taken

patient = settings(deadline=None)  # a busy machine is not a bug


def receive_anything(core: ChatProtocol, data: bytes) -> None:
    """Nothing but a ProtocolError may come out, and then the core has failed for good."""
    try:
        core.receive(data)
    except ProtocolError:
        assert core.state is State.FAILED
        with pytest.raises(ProtocolError):
            core.receive(data)
    else:
        assert core.state is not State.FAILED
    sent(core.data_to_send())
    taken(core)


def stages() -> list[ChatProtocol]:
    greeting, leaving, peer_left = ChatProtocol(name="Ada"), greeted(), greeted()
    greeting.start()
    leaving.say_goodbye()
    peer_left.receive(packed(kind="bye"))
    return [greeting, greeted(), leaving, peer_left]


@patient
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    for core in stages():
        receive_anything(core, data)


_FRAMES: list[Frame] = [
    Hello(1, 1, "Ada", "tin-can/1", ["call"]),
    Message(1, "hi"),
    Message(2, "waves", action=True),
    Ack(300),
    Typing(True),
    Bye("why"),
]
VALID = [encode(frame) for frame in _FRAMES]


@patient
@given(st.sampled_from(VALID), st.data())
def test_mutated_frames(frame: bytes, data: st.DataObject) -> None:
    changed = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed)))
        removed = data.draw(st.integers(0, 3))
        changed[place : place + removed] = data.draw(st.binary(max_size=3))
    for core in stages():
        receive_anything(core, bytes(changed))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(["version", "minimum", "name", "agent", "capabilities", "id", "text", "action", "active"])


@patient
@given(st.sampled_from(VALID), st.dictionaries(fields | st.just("error"), values, max_size=3))
def test_frames_with_other_values(frame: bytes, changes: dict[str, object]) -> None:
    for core in stages():
        try:
            data = msgspec.msgpack.encode(msgspec.msgpack.decode(frame) | changes)
        except UnicodeEncodeError:
            return
        receive_anything(core, data)


@patient
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["say", "type", "stop", "deliver", "deliver", "take", "take"]),
        ),
        max_size=120,
    )
)
def test_any_interleaving_delivers_everything_once_and_in_order(steps: list[tuple[str, str]]) -> None:
    pair = CorePair.open()
    said: dict[str, list[str]] = {"a": [], "b": []}
    got: dict[str, list[str]] = {"a": [], "b": []}
    delivered: dict[str, list[int]] = {"a": [], "b": []}

    def take(side: str) -> None:
        core = pair.cores[side]
        for event in taken(core):
            if isinstance(event, MessageReceived):
                got[side].append(event.text)
                core.acknowledge(event.id)
            elif isinstance(event, Delivered):
                delivered[side].append(event.id)

    for side, step in steps:
        match step:
            case "say":
                said[side].append(f"{side}{len(said[side])}")
                pair.cores[side].send_message(said[side][-1])
            case "type" | "stop":
                pair.cores[side].set_typing(step == "type")
            case "deliver":
                pair.deliver_one(side)
            case "take":
                take(side)
    for _ in range(2):  # what remains arrives, then its acknowledgements
        pair.deliver_all()
        take("a")
        take("b")
    for side, other in (("a", "b"), ("b", "a")):
        assert got[other] == said[side]
        assert delivered[side] == list(range(1, len(said[side]) + 1))
        assert pair.cores[side].undelivered == 0
