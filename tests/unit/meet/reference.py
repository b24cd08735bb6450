"""The other end of a handshake, written a second time from the specifications alone.

Straight from the text, slow and without any of the program's code or of the
``cpace`` package: X25519 (RFC 7748 section 5), CPace (draft-irtf-cfrg-cpace,
group X25519, hash SHA-512), HKDF (RFC 5869) and docs/protocol.md. With the
scalar as an argument the same bytes come out each time. Only for tests: it
takes secret-dependent time.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

Q = 2**255 - 19
A = 486662


# -- RFC 7748 section 5 ----------------------------------------------------------------


def x25519(scalar: bytes, u: bytes) -> bytes:
    """The function X25519, by the Montgomery ladder."""
    k = int.from_bytes(scalar, "little")
    k = (k & ~7 & ((1 << 255) - 1)) | (1 << 254)
    x1 = int.from_bytes(u, "little") & ((1 << 255) - 1)
    x2, z2, x3, z3 = 1, 0, x1, 1
    swapped = 0
    for t in reversed(range(255)):
        bit = (k >> t) & 1
        if swapped ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % Q, x1 * (da - cb) ** 2 % Q
        x2, z2 = aa * bb % Q, e * (aa + A // 4 * e) % Q
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, Q - 2, Q) % Q).to_bytes(32, "little")


# -- the draft ---------------------------------------------------------------------------


def prepend_len(data: bytes) -> bytes:
    length, digits = len(data), bytearray()
    while length > 127:
        digits.append(length % 128 + 128)
        length //= 128
    return bytes([*digits, length]) + data


def lv_cat(*parts: bytes) -> bytes:
    return b"".join(map(prepend_len, parts))


def generator_string(prs: bytes, ci: bytes, sid: bytes) -> bytes:
    dsi = b"CPace255"
    zeros = max(0, 128 - 1 - len(prepend_len(prs)) - len(prepend_len(dsi)))
    return lv_cat(dsi, prs, bytes(zeros), ci, sid)


def field_element(digest: bytes) -> bytes:
    return digest[:31] + bytes([digest[31] & 0x7F])


def elligator2(element: bytes) -> bytes:
    """RFC 9380 section 6.7.1 as the draft has it: v, or -v - A when v is no u coordinate of the curve."""
    r = int.from_bytes(element, "little")
    v = -A * pow(1 + 2 * r * r, -1, Q) % Q
    square = pow(v**3 + A * v**2 + v, (Q - 1) // 2, Q) in (0, 1)
    return (v if square else (-v - A) % Q).to_bytes(32, "little")


def generator(prs: bytes, ci: bytes, sid: bytes) -> bytes:
    return elligator2(field_element(hashlib.sha512(generator_string(prs, ci, sid)).digest()[:32]))


def transcript(ya: bytes, ada: bytes, yb: bytes, adb: bytes) -> bytes:
    return lv_cat(ya, ada) + lv_cat(yb, adb)


def isk(sid: bytes, k: bytes, what: bytes) -> bytes:
    return hashlib.sha512(lv_cat(b"CPace255_ISK", sid, k) + what).digest()


def tag(sid: bytes, session_key: bytes, share: bytes, ad: bytes) -> bytes:
    """The draft's section on explicit key confirmation."""
    mac_key = hashlib.sha512(b"CPaceMac" + sid + session_key).digest()
    return hmac.digest(mac_key, lv_cat(share, ad), "sha512")


# -- RFC 5869 ------------------------------------------------------------------------------


def hkdf_32(key: bytes, info: bytes) -> bytes:
    """HKDF-SHA512 without salt, one block."""
    extracted = hmac.digest(bytes(64), key, "sha512")
    return hmac.digest(extracted, info + b"\x01", "sha512")[:32]


# -- tin-can, version 1 --------------------------------------------------------------------


def msgpack(**fields: bytes | int | str) -> bytes:
    """A small map in MessagePack."""
    out = bytearray([0x80 + len(fields)])
    for key, value in fields.items():
        out += _short_text(key)
        if isinstance(value, str):
            out += _short_text(value)
        elif isinstance(value, int):
            out.append(value)
        elif len(value) < 256:
            out += bytes([0xC4, len(value)]) + value
        else:
            out += b"\xc5" + len(value).to_bytes(2, "big") + value
    return bytes(out)


def _short_text(text: str) -> bytes:
    return bytes([0xA0 + len(text)]) + text.encode()


class Can:
    """One end, ``"attach"`` or ``"tap"``."""

    def __init__(self, side: str, code: str, password: bytes, scalar: bytes) -> None:
        self.side = side
        self.share = x25519(scalar, generator(password, b"tin-can/1 " + code.encode(), b""))
        self._scalar = scalar
        self._sealed = 0

    def hear_share(self, other: bytes) -> None:
        """Take the other end's CPace share."""
        ours = (self.share, b"tin-can/1 " + self.side.encode())
        theirs = (other, b"tin-can/1 " + self._other.encode())
        first, second = (ours, theirs) if self.side == "attach" else (theirs, ours)
        key = isk(b"", x25519(self._scalar, other), transcript(*first, *second))
        self.tag = tag(b"", key, *ours)
        self.expected_tag = tag(b"", key, *theirs)
        self._keys = {s: hkdf_32(key, b"tin-can/1 envelopes of " + s.encode()) for s in ("attach", "tap")}

    def seal(self, payload: bytes) -> bytes:
        """Return the next envelope."""
        nonce = self._sealed.to_bytes(12, "big")
        self._sealed += 1
        return ChaCha20Poly1305(self._keys[self.side]).encrypt(nonce, payload, None)

    def open(self, number: int, envelope: bytes) -> bytes:
        """Return what is in an envelope of the other end."""
        return ChaCha20Poly1305(self._keys[self._other]).decrypt(number.to_bytes(12, "big"), envelope, None)

    @property
    def _other(self) -> str:
        return "tap" if self.side == "attach" else "attach"

    # -- frames --------------------------------------------------------------------------

    def share_frame(self) -> bytes:
        return msgpack(kind="share", version=1, share=self.share)

    def flight_frame(self, payload: bytes) -> bytes:
        return msgpack(kind="flight", version=1, share=self.share, tag=self.tag, envelope=self.seal(payload))

    def answer_frame(self, payload: bytes) -> bytes:
        return msgpack(kind="answer", tag=self.tag, envelope=self.seal(payload))

    def sealed_frame(self, payload: bytes) -> bytes:
        return msgpack(kind="sealed", envelope=self.seal(payload))


REFUSAL = msgpack(kind="refusal")
