"""The proof of a punched connection: two ends back to back, and strangers of every kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.link.proof import NONCE, TOKEN, Proof, State, punch_key
from tincan.meet.mailbox import Side

KEY = punch_key(bytes(range(NONCE)), bytes(range(NONCE, 2 * NONCE)))
OTHER_KEY = punch_key(bytes(range(NONCE)), bytes(NONCE))

both_sides = pytest.mark.parametrize("side", list(Side))


def token(side: Side, key: bytes = KEY) -> bytes:
    return Proof(side, key, first=True).data_to_send()


def pass_on(sender: Proof, receiver: Proof, step: int = TOKEN) -> int:
    """Deliver what one end has to send, in pieces; return how much it was."""
    data = sender.data_to_send()
    for at in range(0, len(data), step):
        receiver.receive(data[at : at + step])
    return len(data)


@both_sides
@pytest.mark.parametrize("step", [1, 5, TOKEN])
def test_one_connected(side: Side, step: int) -> None:
    connecting, listening = Proof(side, KEY, first=True), Proof(side.other, KEY, first=False)
    assert pass_on(listening, connecting) == 0
    assert pass_on(connecting, listening, step) == TOKEN
    assert listening.state is State.PROVEN
    assert pass_on(listening, connecting, step) == TOKEN
    assert connecting.state is State.PROVEN
    assert connecting.data_to_send() == listening.data_to_send() == b""


@both_sides
def test_both_connected(side: Side) -> None:
    near, far = Proof(side, KEY, first=True), Proof(side.other, KEY, first=True)
    assert pass_on(near, far) == TOKEN
    assert far.state is State.PROVEN
    assert pass_on(far, near) == TOKEN  # its own, which it had not sent yet, and no second one
    assert near.state is State.PROVEN
    assert near.data_to_send() == far.data_to_send() == b""


def refused(proof: Proof, data: bytes) -> None:
    """A stranger's bytes are judged when they are complete, and answered by nothing."""
    for byte in data[:-1]:
        proof.receive(bytes([byte]))
        assert (proof.state, proof.data_to_send()) == (State.WAITING, b"")
    proof.receive(data[-1:])
    assert (proof.state, proof.data_to_send()) == (State.STRANGER, b"")
    with pytest.raises(ValueError):
        proof.receive(b"x")


@both_sides
def test_a_stranger_gets_no_byte_from_whom_it_connected_to(side: Side) -> None:
    proof = Proof(side, KEY, first=False)
    assert proof.data_to_send() == b""
    refused(proof, b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"[:TOKEN])


@both_sides
def test_the_wrong_key(side: Side) -> None:
    refused(Proof(side, KEY, first=False), token(side.other, OTHER_KEY))


@both_sides
def test_a_token_that_is_sent_back_does_not_count(side: Side) -> None:
    proof = Proof(side, KEY, first=True)
    refused(proof, proof.data_to_send())


@both_sides
def test_the_token_of_another_stream_does_not_count(side: Side) -> None:
    """Also when it shares one of the nonces, as a replay to one end would."""
    nonce = bytes([7]) * NONCE
    for key in (punch_key(nonce, bytes(NONCE)), punch_key(bytes(NONCE), nonce), punch_key(nonce, nonce)):
        refused(Proof(side, KEY, first=False), token(side.other, key))


@both_sides
@pytest.mark.parametrize("position", [0, TOKEN // 2, TOKEN - 1])
def test_one_wrong_bit(side: Side, position: int) -> None:
    wrong = bytearray(token(side.other))
    wrong[position] ^= 1
    refused(Proof(side, KEY, first=False), bytes(wrong))


def test_the_nonces_have_an_order_and_a_length() -> None:
    assert punch_key(bytes(NONCE), bytes([1]) * NONCE) != punch_key(bytes([1]) * NONCE, bytes(NONCE))
    for short in (b"", bytes(NONCE - 1), bytes(NONCE + 1)):
        with pytest.raises(ValueError):
            punch_key(short, bytes(NONCE))
        with pytest.raises(ValueError):
            punch_key(bytes(NONCE), short)


def test_no_byte_beyond_the_token_is_taken() -> None:
    """What follows it is the beginning of TLS, and must stay in the socket."""
    proof = Proof(Side.TAP, KEY, first=False)
    proof.receive(bytes(30))
    assert proof.missing == 2
    with pytest.raises(ValueError):
        proof.receive(bytes(3))


@given(st.binary(min_size=TOKEN, max_size=TOKEN), st.sampled_from(list(Side)), st.booleans())
def test_arbitrary_bytes_are_strangers(data: bytes, side: Side, first: bool) -> None:
    proof = Proof(side, KEY, first=first)
    proof.data_to_send()
    refused(proof, data)
