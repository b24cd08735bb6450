"""The comparison of words: two honest sides agree, and nobody in the middle can make them."""

from __future__ import annotations

import hashlib
import hmac

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.dialects.proof import Ends, bound_keys
from tincan.apps.dialects.word_pair import LABEL, Commit, Nonce, Reveal, WordPair, word_pair
from tincan.errors import AuthenticationFailed
from tincan.meet.phrase import StringKeys, words

FO, FA, FM = b"o" * 32, b"a" * 32, b"m" * 32
NO, NA = b"1" * 32, b"2" * 32


def side(*, offers: bool, offering: bytes = FO, answering: bytes = FA) -> WordPair:
    return WordPair(offers=offers, offering=offering, answering=answering, nonce=NO if offers else NA)


def run(offerer: WordPair, answerer: WordPair) -> None:
    while flying := [(answerer, m) for m in offerer.data_to_send()] + [(offerer, m) for m in answerer.data_to_send()]:
        for receiver, message in flying:
            receiver.receive(message)


def test_both_see_the_same_pair() -> None:
    a, b = side(offers=True), side(offers=False)
    run(a, b)
    assert a.pair == b.pair
    assert a.pair is not None
    first, second = a.pair.split(" ")
    assert first in words()
    assert second in words()


def test_it_is_computed_as_documented() -> None:
    """HKDF (RFC 5869) by hand, and the commitment as an HMAC."""
    info = LABEL + FO + FA
    key = hmac.digest(b"\0" * 32, NO + NA, "sha256")
    number = int.from_bytes(hmac.digest(key, info + b"\x01", "sha256")[:16], "big") % 1296**2
    expected = f"{words()[number // 1296]} {words()[number % 1296]}"
    a, b = side(offers=True), side(offers=False)
    [commit] = a.data_to_send()
    assert msgspec.msgpack.decode(commit) == {
        "kind": "commit",
        "commitment": hmac.new(NO, info, hashlib.sha256).digest(),
    }
    b.receive(commit)
    [nonce] = b.data_to_send()
    assert msgspec.msgpack.decode(nonce) == {"kind": "nonce", "nonce": NA}
    a.receive(nonce)
    [reveal] = a.data_to_send()
    assert msgspec.msgpack.decode(reveal) == {"kind": "reveal", "nonce": NO}
    b.receive(reveal)
    assert a.pair == b.pair == expected


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_every_nonce_gives_two_words_of_the_list(one: bytes, other: bytes) -> None:
    assert set(word_pair(one, other, LABEL + FO + FA).split(" ")) <= set(words())


def test_pairs_are_spread_evenly() -> None:
    """10,000 pairs out of 1,679,616: by the birthday bound about 30 collisions; more than 80 would be a fault."""
    found = {word_pair(n.to_bytes(32, "big"), NO, LABEL) for n in range(10_000)}
    assert len(found) > 10_000 - 80


def test_a_nonce_that_is_not_the_committed_one_is_refused() -> None:
    a, b = side(offers=True), side(offers=False)
    b.receive(a.data_to_send()[0])
    with pytest.raises(AuthenticationFailed) as caught:
        b.receive(msgspec.msgpack.encode(Reveal(b"3" * 32)))
    assert caught.value.exit_code == 5
    assert b.pair is None
    with pytest.raises(AuthenticationFailed):
        b.receive(msgspec.msgpack.encode(Reveal(NO)))  # no second try


def test_a_commitment_made_for_other_certificates_is_refused() -> None:
    a, b = side(offers=True, answering=FM), side(offers=False)
    with pytest.raises(AuthenticationFailed):
        run(a, b)


def test_the_nonces_do_not_help_who_sits_in_the_middle() -> None:
    """He runs both comparisons with the honest nonces passed through, which the commitment does not let him."""
    a, b = side(offers=True, answering=FM), side(offers=False, offering=FM)
    b.receive(a.data_to_send()[0])
    a.receive(b.data_to_send()[0])
    with pytest.raises(AuthenticationFailed):
        b.receive(a.data_to_send()[0])


def test_with_nonces_of_his_own_the_pairs_differ() -> None:
    a, b = side(offers=True, answering=FM), side(offers=False, offering=FM)
    run(a, WordPair(offers=False, offering=FO, answering=FM, nonce=NA))
    run(WordPair(offers=True, offering=FM, answering=FA, nonce=NO), b)
    assert a.pair is not None
    assert b.pair is not None
    assert a.pair != b.pair


@pytest.mark.parametrize("offers", [True, False])
@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        msgspec.msgpack.encode(Reveal(NO)),
        msgspec.msgpack.encode({"kind": "nonce", "nonce": b"short"}),
        msgspec.msgpack.encode({"kind": "share", "version": 1, "share": NA}),
    ],
)
def test_what_may_not_come_now_ends_it(offers: bool, message: bytes) -> None:
    core = side(offers=offers)
    with pytest.raises(AuthenticationFailed):
        core.receive(message)


@pytest.mark.parametrize("twice", [Commit(NO), Nonce(NA)])
def test_nothing_is_taken_twice(twice: Commit | Nonce) -> None:
    core = side(offers=isinstance(twice, Nonce))
    core.receive(msgspec.msgpack.encode(twice))
    with pytest.raises(AuthenticationFailed):
        core.receive(msgspec.msgpack.encode(twice))


@given(st.booleans(), st.binary())
def test_it_takes_anything(offers: bool, message: bytes) -> None:
    core = side(offers=offers)
    with pytest.raises(AuthenticationFailed):
        core.receive(message)


def test_keys_of_a_phrase_are_bound_to_both_certificates() -> None:
    keys = StringKeys("0123456789ab", b"password")
    bound = bound_keys(keys, Ends(FO, FA))
    assert bound.password == keys.password
    others = [bound_keys(keys, ends).code for ends in (Ends(FA, FO), Ends(FO, FM), Ends(FM, FA))]
    assert len({bound.code, keys.code, *others}) == 5
