"""What two modules say to each other first; the peer's part is hostile until it is read."""

from __future__ import annotations

import contextlib
import os
import random

import pytest

from tincan.errors import ProtocolError
from tincan.vpn.module.hello import (
    BURST,
    HELLO,
    MESSAGES_A_SECOND,
    Allowance,
    Hello,
    agree,
    our_hello,
    read_hello,
    write_hello,
)
from tincan.vpn.module.strand import keys_of
from tincan.vpn.path.plane import Cipher


def test_both_ends_come_to_the_same() -> None:
    for a in (True, False):
        for b in (True, False):
            ours, theirs = our_hello("ip", fast_aes=a), our_hello("ip", fast_aes=b)
            assert read_hello(write_hello(ours)) == ours
            expected = Cipher.AES_128_GCM if a and b else Cipher.CHACHA20_POLY1305
            assert Cipher(agree(ours, theirs)) is Cipher(agree(theirs, ours)) is expected


def test_what_does_not_go_together_is_refused() -> None:
    ours = our_hello("ip", fast_aes=True)
    with pytest.raises(ProtocolError, match="mode"):
        agree(ours, our_hello("switch", fast_aes=True))
    with pytest.raises(ProtocolError, match="cipher"):
        agree(ours, Hello(1, "ip", ("rot13",)))
    with pytest.raises(ProtocolError, match="cipher"):
        agree(ours, Hello(1, "ip", ()))
    # What a newer one likes better is passed over.
    assert agree(ours, Hello(2, "ip", ("aegis-128l", "chacha20-poly1305"))) == Cipher.CHACHA20_POLY1305.value


def test_the_two_directions_have_secrets_of_their_own() -> None:
    exported = os.urandom(64)
    client = keys_of(exported, client=True, cipher=Cipher.AES_128_GCM)
    server = keys_of(exported, client=False, cipher=Cipher.AES_128_GCM)
    assert (client.send, client.receive) == (server.receive, server.send) == (exported[:32], exported[32:])


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_refused_and_never_more(seed: int) -> None:
    chance = random.Random(seed)
    good = write_hello(our_hello("ip", fast_aes=True))
    for _ in range(2000):
        bad = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        with contextlib.suppress(ProtocolError):
            agree(our_hello("ip", fast_aes=True), read_hello(bytes(bad[: chance.randrange(len(bad) + 1)])))
    for bad in (b"", HELLO, HELLO + b"[" * 5000, b"\x02{}", HELLO + b"null"):
        with pytest.raises(ProtocolError):
            read_hello(bytes(bad))


def test_a_flood_of_messages_is_let_wait() -> None:
    allowance = Allowance(0.0)
    assert [allowance.take(0.0) for _ in range(BURST)] == pytest.approx([0.0] * BURST)
    waits = [allowance.take(0.0) for _ in range(100)]
    assert waits[-1] == pytest.approx(100 / MESSAGES_A_SECOND)
    assert waits == sorted(waits)
    assert allowance.take(1000.0) == 0.0
