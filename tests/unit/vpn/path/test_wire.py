"""Sealed datagrams: the published vectors, tampering, replay, the key update."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.path import wire
from tincan.vpn.path.plane import OVERHEAD, Cipher
from tincan.vpn.path.wire import KeysSpent, Opener, Sealer, Window, expand_label, next_secret
from unit.vpn.path.packets import fuzz

SECRET = bytes(range(32))


def pair(cipher: Cipher = Cipher.AES_128_GCM) -> tuple[Sealer, Opener]:
    return Sealer(SECRET, cipher, 0.0), Opener(SECRET, cipher)


def seal(sealer: Sealer, body: bytes, kind: int = wire.WHOLE) -> bytes:
    [datagram] = sealer.seal(kind, [body])
    return datagram


# -- RFC 9001, appendix A


def test_expand_label_gives_the_rfcs_keys() -> None:
    secret = bytes.fromhex("c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea")
    assert expand_label(secret, "quic key", 16).hex() == "1f369613dd76d5467730efcbe3b1a22d"
    assert expand_label(secret, "quic iv", 12).hex() == "fa044b2f42a3fd3b46fb255c"


def test_the_rfcs_packet_and_key_update() -> None:
    secret = bytes.fromhex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")
    key = expand_label(secret, "quic key", 32)
    assert key.hex() == "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"
    iv = int.from_bytes(expand_label(secret, "quic iv", 12), "big")
    nonce = (iv ^ 654360564).to_bytes(12, "big")
    assert nonce.hex() == "e0459b3474bdd0e46d417eb0"
    sealed = ChaCha20Poly1305(key).encrypt(nonce, b"\x01", bytes.fromhex("4200bff4"))
    assert sealed.hex() == "655e5cd55c41f69080575d7999c25a5bfb"
    ku = "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"
    assert next_secret(secret, "quic ku").hex() == ku


# -- datagrams


@pytest.mark.parametrize("cipher", Cipher)
def test_what_was_sealed_is_opened(cipher: Cipher) -> None:
    sealer, opener = pair(cipher)
    bodies = [b"", b"x", bytes(1420)]
    for number, datagram in enumerate(sealer.seal(wire.PARTIAL, bodies)):
        assert datagram[0] == wire.PARTIAL >= 0xC0
        assert len(datagram) == len(bodies[number]) + OVERHEAD
        assert opener.open(datagram, 0.0) == bodies[number]


def test_every_bit_is_authenticated() -> None:
    sealer, opener = pair()
    datagram = seal(sealer, b"packet")
    for bit in range(len(datagram) * 8):
        changed = bytearray(datagram)
        changed[bit // 8] ^= 1 << bit % 8
        assert opener.open(bytes(changed), 0.0) is None
    assert opener.invalid == len(datagram) * 8
    assert opener.open(datagram, 0.0) == b"packet"


def test_neither_the_other_direction_nor_another_link() -> None:
    sealer, _ = pair()
    assert Opener(bytes(32), Cipher.AES_128_GCM).open(seal(sealer, b"x"), 0.0) is None


def test_the_same_never_comes_twice() -> None:
    sealer, opener = pair()
    datagrams = sealer.seal(wire.WHOLE, [bytes([n]) for n in range(100)])
    random.Random(1).shuffle(datagrams)
    assert all(opener.open(datagram, 0.0) is not None for datagram in datagrams)
    assert all(opener.open(datagram, 0.0) is None for datagram in datagrams)
    assert opener.replayed == 100


@fuzz
@given(st.lists(st.integers(0, 30_000), max_size=200))
def test_the_window_is_a_set_with_an_end(counters: list[int]) -> None:
    window, seen, top = Window(), set[int](), -1
    for counter in counters:
        good = counter not in seen and counter > top - Window.SIZE
        assert window.accept(counter) is good
        if good:
            seen.add(counter)
            top = max(top, counter)


def test_the_window_takes_the_largest_steps() -> None:
    window = Window()
    assert window.accept(5)
    assert window.accept(wire.LAST_COUNTER)
    assert not window.accept(5)
    assert window.accept(wire.LAST_COUNTER - Window.SIZE + 1)
    assert not window.accept(wire.LAST_COUNTER - Window.SIZE)


@fuzz
@given(st.binary(max_size=200))
def test_no_datagram_breaks_the_opener(datagram: bytes) -> None:
    _, opener = pair()
    assert opener.open(datagram, 0.0) is None
    assert not opener.heard


# -- key update


def test_the_key_is_replaced_after_an_hour_if_the_peer_is_heard() -> None:
    sealer, opener = pair()
    opener.open(seal(sealer, b"1"), 0.0)
    sealer.prepare(1, wire.UPDATE_SECONDS + 1, None)
    assert sealer.epoch == 0
    sealer.prepare(1, wire.UPDATE_SECONDS + 1, 0)
    assert sealer.epoch == 1
    assert opener.open(seal(sealer, b"2"), 4000.0) == b"2"
    assert opener.epoch == 1


def test_the_key_is_replaced_before_it_has_sealed_too_much() -> None:
    sealer, _ = pair()
    sealer.prepare(wire.UPDATE_AFTER, 0.0, 0)
    assert sealer.epoch == 0
    sealer.prepare(wire.UPDATE_AFTER + 1, 0.0, 0)
    assert sealer.epoch == 1


def test_a_sender_does_not_run_ahead_of_the_peer() -> None:
    sealer, _ = pair()
    sealer.prepare(wire.UPDATE_AFTER + 1, 0.0, 0)
    sealer.prepare(wire.UPDATE_AFTER + 1, 0.0, 0)
    assert sealer.epoch == 1
    with pytest.raises(KeysSpent):
        sealer.prepare(wire.LIMIT + 1, 0.0, 0)
    sealer.prepare(wire.LIMIT, 0.0, 1)  # it has been heard
    assert sealer.epoch == 2


def test_who_sees_the_next_epoch_follows() -> None:
    sealer, _ = pair()
    sealer.prepare(1, 0.0, 1)
    assert sealer.epoch == 1


def test_two_hundred_updates_in_a_row() -> None:
    """The byte of the epoch comes round; both sides go on."""
    there, here = pair()
    for number in range(300):
        assert here.open(seal(there, bytes([number & 255])), 0.0) == bytes([number & 255])
        there.prepare(1, 1e6 * (number + 1), here.epoch)
        assert there.epoch == number + 1


def test_late_datagrams_of_the_former_epoch_are_opened_for_a_while() -> None:
    sealer, opener = pair()
    late = sealer.seal(wire.WHOLE, [b"1", b"2"])
    sealer.prepare(1, 1e6, 0)
    assert opener.open(seal(sealer, b"3"), 10.0) == b"3"
    assert opener.open(late[0], 10.0 + wire.FORGET_SECONDS / 2) == b"1"
    assert opener.open(late[1], 10.0 + wire.FORGET_SECONDS) is None


def test_the_former_key_seals_nothing_new() -> None:
    """RFC 9001, section 6.4: a higher counter under the older key is an error."""
    old, opener = pair()
    new, _ = pair()
    new.prepare(1, 1e6, 0)
    assert opener.open(seal(new, b"new"), 0.0) == b"new"
    old.seal(wire.WHOLE, [b""] * 5)
    assert opener.open(seal(old, b"old"), 0.0) is None


def test_keys_are_not_shown() -> None:
    from tincan.vpn.path.plane import LinkKeys

    assert "7" not in repr(LinkKeys(b"7" * 32, b"7" * 32))


@fuzz
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 300)), max_size=30))
def test_runs_of_counters_are_as_one_by_one(runs: list[tuple[int, int]]) -> None:
    quick, plainly = Window(), Window()
    for gap, count in runs:
        first = quick._top + 1 + gap
        assert quick.follows(first)
        quick.accept_run(first, count)
        assert all(plainly.accept(counter) for counter in range(first, first + count))
        assert quick._ring == plainly._ring
        assert not quick.follows(first + count - 1)


@fuzz
@given(st.data())
def test_many_at_once_are_as_one_by_one(data: st.DataObject) -> None:
    """In any order, twice, broken, of several epochs: `open_all` gives what `open` would."""
    sealer, quick = pair()
    plainly = Opener(SECRET, Cipher.AES_128_GCM)
    datagrams: list[bytes] = []
    for epoch in range(3):
        datagrams += sealer.seal(wire.PARTIAL, [bytes([n]) * 5 for n in range(data.draw(st.integers(1, 8)))])
        sealer.prepare(1, 1e6 * (epoch + 1), epoch)
    chosen = data.draw(st.lists(st.sampled_from(datagrams), max_size=20)) + datagrams
    if data.draw(st.booleans()):
        chosen.sort(key=lambda datagram: datagram[2:10])
    for at in data.draw(st.lists(st.integers(0, len(chosen) - 1), max_size=3)):
        chosen[at] = chosen[at][:-1] + b"?"
    chosen[-1] = chosen[-1][: data.draw(st.integers(0, len(chosen[-1])))]
    expected = [(d[0], packet) for d in chosen if (packet := plainly.open(d, 0.0)) is not None]
    size = len(datagrams[0])
    blob = b"".join(chosen)
    assert quick.open_all(memoryview(blob), size, 0.0) == expected
    assert (quick.epoch, quick.replayed) == (plainly.epoch, plainly.replayed)
