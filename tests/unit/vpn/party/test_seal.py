"""Letters: who can read them, who can have written them, and that each counts once."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tincan.vpn.party.keys import Keys
from tincan.vpn.party.line import MAX_MESSAGE
from tincan.vpn.party.replay import PER_SENDER, WINDOW, ReplayGuard
from tincan.vpn.party.seal import DAY, MAX_PAYLOAD, SMALLEST, Letter, Letters, topic_of

NOW = 1_800_000_000.0
SECRET = bytes(range(32))


class Room:
    """Some members who share a secret."""

    def __init__(self, *names: str) -> None:
        self.chance = random.Random(5)
        self.keys = {name: Keys(self.chance.randbytes(32), self.chance.randbytes(32)) for name in names}
        self.letters = {name: Letters(keys, self.chance.randbytes) for name, keys in self.keys.items()}
        for letters in self.letters.values():
            letters.set_circles({"c": SECRET})


@pytest.mark.parametrize("size", [0, 1, 100, 455, 456, 5000, MAX_PAYLOAD])
def test_a_letter_to_all_and_to_one(size: int) -> None:
    room = Room("a", "b", "c")
    payload = room.chance.randbytes(size)
    topic, message = room.letters["a"].seal("c", payload, NOW)
    for name in "bc":
        letter = room.letters[name].open(topic, message, NOW + 1)
        assert letter == Letter("c", room.keys["a"].public.sign, False, payload)
    topic, message = room.letters["a"].seal("c", payload, NOW, room.keys["b"].public)
    assert room.letters["b"].open(topic, message, NOW) == Letter("c", room.keys["a"].public.sign, True, payload)
    assert room.letters["c"].open(topic, message, NOW) is None
    assert room.letters["a"].open(topic, message, NOW) is None, "what one says oneself is no news"
    assert len(message) in {SMALLEST << n for n in range(6)}
    assert len(message) <= MAX_MESSAGE


def test_what_is_too_long_is_not_sealed() -> None:
    room = Room("a")
    with pytest.raises(ValueError):
        room.letters["a"].seal("c", bytes(MAX_PAYLOAD + 1), NOW)


def test_strangers_read_nothing_and_can_write_nothing() -> None:
    room = Room("a", "b")
    stranger = Letters(Keys(bytes(32), bytes(32)), room.chance.randbytes)
    stranger.set_circles({"c": bytes(32)})
    topic, message = room.letters["a"].seal("c", b"x", NOW)
    assert stranger.open(topic, message, NOW) is None
    _, forged = stranger.seal("c", b"x", NOW)
    assert room.letters["b"].open(topic, forged, NOW) is None
    assert room.letters["b"].open(topic_of(bytes(32), int(NOW) // DAY), forged, NOW) is None


def test_every_changed_bit_is_found() -> None:
    room = Room("a", "b")
    topic, message = room.letters["a"].seal("c", b"x" * 50, NOW, room.keys["b"].public)
    for at in [*range(40), *room.chance.sample(range(len(message)), 60)]:
        changed = bytearray(message)
        changed[at] ^= 1 << room.chance.randrange(8)
        assert room.letters["b"].open(topic, bytes(changed), NOW) is None
    for cut in range(0, len(message), 7):
        assert room.letters["b"].open(topic, message[:cut], NOW) is None
    assert room.letters["b"].open(topic, message, NOW) is not None, "the whole one still counts"


def test_a_letter_counts_once_and_for_a_while() -> None:
    room = Room("a", "b", "c")
    topic, message = room.letters["a"].seal("c", b"x", NOW)
    assert room.letters["b"].open(topic, message, NOW) is not None
    assert room.letters["b"].open(topic, message, NOW) is None
    assert room.letters["c"].open(topic, message, NOW + WINDOW + 1) is None
    assert room.letters["c"].open(topic, message, NOW - WINDOW - 1) is None


def test_a_clock_that_is_ahead_is_noticed_and_an_old_letter_proves_nothing() -> None:
    room = Room("a", "b", "c")
    for name, shift in (("a", 600), ("c", -600)):
        room.letters["b"].open(*room.letters[name].seal("c", b"x", NOW + shift), NOW)
    assert room.letters["b"].ahead == {room.keys["a"].public.sign: 600}


def test_topics_change_daily_and_tell_nothing_of_each_other() -> None:
    room = Room("a", "b")
    midnight = (int(NOW) // DAY + 1) * DAY
    assert len(room.letters["a"].topics(midnight - 7200)) == 1
    assert len(room.letters["a"].topics(midnight - 60)) == 2
    topic, message = room.letters["a"].seal("c", b"x", midnight - 20)
    assert room.letters["b"].open(topic, message, midnight + 20) is not None, "clocks differ"
    assert room.letters["a"].topics(midnight + DAY // 2) & room.letters["a"].topics(midnight - DAY // 2) == set()
    assert topic_of(SECRET, 1) != topic_of(bytes(32), 1)


def test_a_member_cannot_send_another_ones_private_letter_as_its_own() -> None:
    """Mallory is in the circle, so she can take a letter apart; the body is bound to its sender."""
    import msgspec

    room = Room("a", "b", "m")
    topic, message = room.letters["a"].seal("c", b"an offer", NOW, room.keys["b"].public)
    key = HKDFExpand(SHA256(), 32, b"tin-can/1 party key" + (int(NOW) // DAY).to_bytes(8, "big")).derive(SECRET)
    plain = ChaCha20Poly1305(key).decrypt(message[:12], message[12:], topic.encode())
    sender, to, written, number, body, _ = msgspec.msgpack.decode(plain.rpartition(b"\x80")[0])
    mallory = room.keys["m"]
    signed = b"tin-can/1 party letter" + msgspec.msgpack.encode(
        (topic, mallory.public.sign, to, written, number, body)
    )
    stolen = msgspec.msgpack.encode((mallory.public.sign, to, written, number, body, mallory.signer.sign(signed)))
    nonce = room.chance.randbytes(12)
    sealed = nonce + ChaCha20Poly1305(key).encrypt(nonce, stolen + b"\x80", topic.encode())
    assert room.letters["b"].open(topic, sealed, NOW) is None
    # And in another's name without the key for it:
    forged = msgspec.msgpack.encode((sender, to, written + 1, number, body, bytes(64)))
    sealed = nonce + ChaCha20Poly1305(key).encrypt(nonce, forged + b"\x80", topic.encode())
    assert room.letters["b"].open(topic, sealed, NOW) is None
    assert room.letters["b"].open(topic, message, NOW) is not None


def test_junk_inside_the_seal() -> None:
    room = Room("b")
    topic = topic_of(SECRET, int(NOW) // DAY)
    key = HKDFExpand(SHA256(), 32, b"tin-can/1 party key" + (int(NOW) // DAY).to_bytes(8, "big")).derive(SECRET)
    for n in range(500):
        nonce, junk = room.chance.randbytes(12), room.chance.randbytes(n % 90)
        sealed = nonce + ChaCha20Poly1305(key).encrypt(nonce, junk + b"\x80" * (n % 2), topic.encode())
        assert room.letters["b"].open(topic, sealed, NOW) is None


# -- the guard ----------------------------------------------------------------------


def test_the_guard_is_bounded_and_a_flood_costs_its_sender_alone() -> None:
    guard = ReplayGuard()
    taken = [n.to_bytes(16, "big") for n in range(3 * PER_SENDER)]
    for n, number in enumerate(taken):
        guard.admit(b"flooder", number, NOW + n / 1000, NOW)
    assert not any(guard.admit(b"flooder", number, NOW + n / 1000, NOW) for n, number in enumerate(taken))
    assert guard.admit(b"flooder", b"x" * 16, NOW + 200, NOW), "what is newer still counts"
    assert guard.admit(b"somebody else", taken[0], NOW, NOW)
    assert not guard.admit(b"somebody else", taken[0], NOW, NOW + 10)
    assert not guard.admit(b"somebody else", taken[1], float("nan"), NOW)


# -- RFC 9180 -----------------------------------------------------------------------

# Appendix A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode.
INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
SK_R = bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
PK_R = bytes.fromhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
ENC = bytes.fromhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
PLAIN = bytes.fromhex("4265617574792069732074727574682c20747275746820626561757479")
FIRST = bytes.fromhex("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28")


def opened(enc: bytes, secret: X25519PrivateKey, info: bytes, aad: bytes, sealed: bytes) -> bytes:
    """Sections 4.1, 5.1 and 5.2 of RFC 9180, as they are written there."""

    def extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        mac = HMAC(salt or bytes(32), SHA256())
        mac.update(b"HPKE-v1" + suite + label + ikm)
        return mac.finalize()

    def expand(suite: bytes, prk: bytes, label: bytes, about: bytes, length: int) -> bytes:
        labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + about
        return HKDFExpand(SHA256(), length, labeled).derive(prk)

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"
    dh = secret.exchange(X25519PublicKey.from_public_bytes(enc))
    context = enc + secret.public_key().public_bytes_raw()
    shared = expand(kem, extract(kem, b"", b"eae_prk", dh), b"shared_secret", context, 32)
    schedule = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    root = extract(suite, shared, b"secret", b"")
    key, nonce = expand(suite, root, b"key", schedule, 32), expand(suite, root, b"base_nonce", schedule, 12)
    return ChaCha20Poly1305(key).decrypt(nonce, sealed, aad)


def test_hpke_is_that_of_rfc_9180() -> None:
    """The library takes no associated data: the RFC's vector proves our reading, and that the library."""
    secret = X25519PrivateKey.from_private_bytes(SK_R)
    assert secret.public_key().public_bytes_raw() == PK_R
    assert opened(ENC, secret, INFO, b"Count-0", FIRST) == PLAIN
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    sealed = suite.encrypt(PLAIN, secret.public_key(), INFO)
    assert opened(sealed[:32], secret, INFO, b"", sealed[32:]) == PLAIN
