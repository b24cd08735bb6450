"""Who this user is to the members of virtual networks: two key pairs that last.

Ed25519 (RFC 8032) signs, X25519 (RFC 7748) agrees on secrets. A string needs
no identity, its phrase is enough; so only `friend` and `net` make one, when
they are used for the first time, and nothing else ever reads it.

Everything that names an identity is a hash of both public keys: the ``uid``
(40 hex digits, as IPOP's are) for programs, the ``fingerprint`` for people
who compare it aloud.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from tincan import storage
from tincan.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

FILE: Final = "identity.json"
KEY: Final = 32
SIGNATURE: Final = 64

_LABEL: Final = b"tin-can identity 1"


@dataclass(frozen=True)
class PublicIdentity:
    """What others know of somebody: the public keys."""

    signing: bytes
    """Ed25519, 32 bytes."""

    agreeing: bytes
    """X25519, 32 bytes."""

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-256 of both keys, under a label of its own."""
        return hashlib.sha256(_LABEL + self.signing + self.agreeing).digest()

    @property
    def uid(self) -> str:
        """The name for programs: 40 hex digits."""
        return self.digest[:20].hex()

    @property
    def fingerprint(self) -> str:
        """The name for people: 100 bits as five groups of four, such as ``k7qd-4xar-...``."""
        text = base64.b32encode(self.digest[:15]).decode().lower()[:20]
        return "-".join(text[place : place + 4] for place in range(0, 20, 4))

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether the holder of this identity has signed the message."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.signing).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Identity:
    """The whole of it, with the private keys."""

    public: PublicIdentity
    signing: Ed25519PrivateKey = field(repr=False)
    agreeing: X25519PrivateKey = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """Return a signature, 64 bytes. Begin every kind of message with a label of its own."""
        return self.signing.sign(message)

    def secret_with(self, other: PublicIdentity) -> bytes:
        """Return the 32 bytes that only this identity and the other one can compute; `ValueError` for a bad key.

        They are the same for ever: derive keys from them (HKDF), with a label of its own for each use.
        """
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        return self.agreeing.exchange(X25519PublicKey.from_public_bytes(other.agreeing))


_Key = Annotated[bytes, msgspec.Meta(min_length=KEY, max_length=KEY)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    signing: _Key
    agreeing: _Key


def identity_of(signing: bytes, agreeing: bytes) -> Identity:
    """Return the identity of two private keys, 32 bytes each."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    first = Ed25519PrivateKey.from_private_bytes(signing)
    second = X25519PrivateKey.from_private_bytes(agreeing)
    public = PublicIdentity(first.public_key().public_bytes_raw(), second.public_key().public_bytes_raw())
    return Identity(public, first, second)


def own_identity() -> Identity:
    """Return this user's identity; the first time it is made and kept. `UsageError` when that cannot be done."""
    content = storage.read(FILE)
    if content is None:
        import secrets

        fresh = _File(1, secrets.token_bytes(KEY), secrets.token_bytes(KEY))
        storage.create(FILE, msgspec.json.encode(fresh) + b"\n")
        content = storage.read(FILE)  # another process may have been quicker
    try:
        found = msgspec.json.decode(content or b"", type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if found is None or found.version != 1:
        raise UsageError(f"{storage.data_folder() / FILE} is damaged, or of a newer tin-can.")
    return identity_of(found.signing, found.agreeing)
