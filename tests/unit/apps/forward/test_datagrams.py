"""Datagrams in a byte stream, and the table of flows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.forward.datagrams import IDLE, DatagramReader, Flows, pack


@given(st.lists(st.binary(max_size=30), max_size=8), st.integers(1, 50))
def test_datagrams_keep_their_ends_however_the_stream_is_cut(datagrams: list[bytes], size: int) -> None:
    stream = b"".join(map(pack, datagrams))
    reader = DatagramReader()
    found = [
        datagram
        for place in range(0, len(stream), size)
        for datagram in reader.feed(memoryview(stream)[place : place + size])
    ]
    assert found == datagrams


def test_the_largest_and_the_smallest() -> None:
    reader = DatagramReader()
    assert list(reader.feed(pack(bytes(65535)) + pack(b"") + b"\0")) == [bytes(65535), b""]


def test_the_flow_heard_longest_ago_makes_room() -> None:
    flows: Flows[str, str] = Flows(limit=2)
    assert flows.add("a", "A", 0) is None
    assert flows.add("b", "B", 1) is None
    assert flows.find("a", 2) == "A"
    assert flows.add("c", "C", 3) == "B"
    assert flows.find("b", 4) is None
    assert len(flows) == 2


def test_flows_expire_when_they_are_idle() -> None:
    flows: Flows[str, str] = Flows()
    assert flows.next_deadline() is None
    flows.add("a", "A", 0)
    flows.add("b", "B", 10)
    flows.find("a", 20)
    assert flows.next_deadline() == 10 + IDLE
    assert flows.expired(10 + IDLE - 1) == []
    assert flows.expired(10 + IDLE) == ["B"]
    assert flows.expired(20 + IDLE) == ["A"]
    assert len(flows) == 0


def test_a_flow_that_was_replaced_does_not_take_the_new_one_along() -> None:
    flows: Flows[str, str] = Flows()
    flows.add("a", "new", 0)
    flows.remove("a", "old")
    flows.remove("b", "none")
    assert flows.find("a", 0) == "new"
    flows.remove("a", "new")
    assert flows.find("a", 0) is None
