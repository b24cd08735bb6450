"""The keys of a member or friend: one to sign with and one to be written to."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

KEY_BYTES = 32


@dataclass(frozen=True)
class PublicKeys:
    """What others know of somebody: the Ed25519 key (RFC 8032) and the X25519 key (RFC 7748)."""

    sign: bytes
    box: bytes

    @property
    def uid(self) -> str:
        """The name of this one at the TinCan module: 40 hex digits, as IPOP's."""
        return uid_of(self.sign)


@dataclass(frozen=True)
class Keys:
    """One's own keys, made of two random seeds of 32 bytes."""

    sign_seed: bytes = field(repr=False)
    box_seed: bytes = field(repr=False)

    @property
    def public(self) -> PublicKeys:
        """What others may know."""
        return PublicKeys(
            self.signer.public_key().public_bytes_raw(),
            self.opener.public_key().public_bytes_raw(),
        )

    @property
    def signer(self) -> Ed25519PrivateKey:
        """The key to sign with."""
        return Ed25519PrivateKey.from_private_bytes(self.sign_seed)

    @property
    def opener(self) -> X25519PrivateKey:
        """The key that opens what was sealed for us."""
        return X25519PrivateKey.from_private_bytes(self.box_seed)


def uid_of(sign: bytes) -> str:
    """Return the uid of a signing key: the first 20 bytes of its SHA-256."""
    return hashlib.sha256(b"tin-can/1 uid" + sign).hexdigest()[:40]


def verified(sign: bytes, signature: bytes, data: bytes) -> bool:
    """Return whether a signature is right."""
    try:
        Ed25519PublicKey.from_public_bytes(sign).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


@functools.lru_cache(maxsize=4096)  # members are looked at again and again, and their keys stay
def is_box(key: bytes) -> bool:
    """Return whether this can be somebody's X25519 key: none of the few points that make no secret (RFC 7748, 6.1).

    Whoever seals to such a key fails, so nobody may be a member with one.
    """
    try:
        X25519PrivateKey.from_private_bytes(bytes(KEY_BYTES)).exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:
        return False
    return True
