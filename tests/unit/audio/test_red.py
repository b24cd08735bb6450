"""Redundant audio, by recorded bytes and by anything else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.audio.red import MAX_BLOCKS, MAX_LENGTH, MAX_OFFSET, Block, MalformedRedundancy, pack, unpack
from tincan.errors import UsageError

TWO = bytes.fromhex("ef 0f0003 6f aabbcc 1122")
"""Payload type 111 twice; the older one 960 samples old, three bytes long."""

BLOCKS = (Block(111, 960, b"\xaa\xbb\xcc"), Block(111, 0, b"\x11\x22"))


def test_recorded_bytes() -> None:
    assert unpack(TWO) == BLOCKS
    assert pack(BLOCKS) == TWO


def test_a_packet_without_copies() -> None:
    assert unpack(b"\x6fab") == (Block(111, 0, b"ab"),)


def test_a_payload_that_is_cut_off_is_refused_where_that_shows() -> None:
    for length in range(8):
        with pytest.raises(MalformedRedundancy):
            unpack(TWO[:length])
    assert unpack(TWO[:8])[-1].payload == b""  # how long the newest one is, nobody says


def test_too_many_copies_are_refused() -> None:
    with pytest.raises(MalformedRedundancy):
        unpack(b"\xef\x0f\x00\x00" * MAX_BLOCKS + b"\x6f")


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [BLOCKS[0]],
        [Block(111, 0, b""), BLOCKS[1]],
        [Block(111, MAX_OFFSET + 1, b""), BLOCKS[1]],
        [Block(111, 1, bytes(MAX_LENGTH + 1)), BLOCKS[1]],
        [Block(128, 0, b"")],
        [BLOCKS[0]] * MAX_BLOCKS + [BLOCKS[1]],
    ],
    ids=["none", "no newest", "as new", "too old", "too long", "type", "too many"],
)
def test_what_does_not_fit_is_our_mistake(blocks: list[Block]) -> None:
    with pytest.raises(UsageError):
        pack(blocks)


older = st.builds(Block, st.integers(0, 127), st.integers(1, MAX_OFFSET), st.binary(max_size=MAX_LENGTH))


@given(st.lists(older, max_size=MAX_BLOCKS - 1), st.integers(0, 127), st.binary(max_size=1200))
def test_frames_come_back(copies: list[Block], kind: int, payload: bytes) -> None:
    blocks = (*copies, Block(kind, 0, payload))
    assert unpack(pack(blocks)) == blocks


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.binary(max_size=20).map(lambda tail: TWO[:5] + tail))
def test_anything_is_frames_or_malformed(data: bytes) -> None:
    try:
        blocks = unpack(data)
    except MalformedRedundancy:
        return
    assert sum(len(block.payload) for block in blocks) < len(data)
