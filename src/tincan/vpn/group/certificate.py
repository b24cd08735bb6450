"""What the group's key signs: certificates of membership, and the statement of the group. Pure.

Both are carried as the very bytes that were signed, with the signature beside
them (Ed25519, RFC 8032), so nothing depends on how they would be encoded again.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from typing import Annotated, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tincan.errors import AuthenticationFailed
from tincan.vpn.group.addresses import ip6_of, is_label
from tincan.vpn.module.methods import Mode
from tincan.vpn.party.keys import PublicKeys, is_box, verified

VALIDITY: Final = 5 * 365 * 86_400
"""Seconds for which a certificate is good. Who is to go earlier is banned."""

CLOCKS: Final = 86_400
"""Seconds by which a certificate may be from the future: the admin's clock may be ahead of ours."""

MAX_BANS: Final = 1500
"""So that a statement fits into a letter."""

MAX_CARD: Final = 1024

_Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**48)]
_Serial = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
_Text = Annotated[str, msgspec.Meta(max_length=64)]


class Certificate(msgspec.Struct, frozen=True, array_like=True, tag="member"):
    """Who is a member, under which name and address. The IPv6 address follows from the keys."""

    group: _Key
    serial: _Serial
    name: _Text
    sign: _Key
    box: _Key
    ip4: _Text
    """With its subnet: ``100.64.8.3/22``."""

    issued: _Time
    expires: _Time
    admin: bool = False

    @property
    def keys(self) -> PublicKeys:
        """The member's public keys."""
        return PublicKeys(self.sign, self.box)

    @property
    def uid(self) -> str:
        """What the module calls this member."""
        return self.keys.uid

    @property
    def address4(self) -> IPv4Interface:
        """The IPv4 address."""
        return _interface4(self.ip4)

    @property
    def address6(self) -> IPv6Interface:
        """The IPv6 address."""
        return ip6_of(self.group, self.sign)


class Statement(msgspec.Struct, frozen=True, array_like=True, tag="group"):
    """What holds for a group now. Each ban makes a new one, with a new secret."""

    group: _Key
    epoch: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    commitment: _Key
    """Of the secret of this epoch: whoever hands the secret on cannot hand on another one."""

    name: _Text
    subnet: _Text
    mode: Mode
    banned: Annotated[tuple[_Serial, ...], msgspec.Meta(max_length=MAX_BANS)] = ()
    """Serial numbers of certificates."""


class _Signed(msgspec.Struct, frozen=True, array_like=True):
    content: Annotated[bytes, msgspec.Meta(max_length=16 * 1024)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


S = TypeVar("S", Certificate, Statement)


def sign(content: Certificate | Statement, group_key: Ed25519PrivateKey) -> bytes:
    """Return a certificate or statement as it is handed on."""
    raw = msgspec.msgpack.encode(content)
    return msgspec.msgpack.encode(_Signed(raw, group_key.sign(_LABELS[type(content)] + raw)))


def read(kind: type[S], signed: bytes, group: bytes) -> S:
    """Return what the group's key has signed; `AuthenticationFailed` for anything else."""
    content = _read(kind, signed, group)
    if not isinstance(content, kind):
        raise AuthenticationFailed("A certificate cannot be read; update the older tin-can.")
    return content


@lru_cache(maxsize=4096)  # every hello shows a certificate, and most of them are known
def _read(kind: type[Certificate] | type[Statement], signed: bytes, group: bytes) -> Certificate | Statement:
    try:
        outer = msgspec.msgpack.decode(signed, type=_Signed)
        content: Certificate | Statement = msgspec.msgpack.decode(outer.content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise AuthenticationFailed("A certificate cannot be read; update the older tin-can.") from None
    if content.group != group or not verified(group, outer.signature, _LABELS[kind] + outer.content):
        raise AuthenticationFailed("A certificate was not signed by this group.")
    return content


def check(certificate: Certificate, statement: Statement, now: float) -> None:
    """Check that a certificate is good now; `AuthenticationFailed` says why it is not."""
    if not is_label(certificate.name) or not is_box(certificate.box):
        raise AuthenticationFailed("This member's certificate makes no sense.")
    if certificate.serial in statement.banned:
        raise AuthenticationFailed(f"{certificate.name} is banned.")
    if now >= certificate.expires:
        raise AuthenticationFailed(
            f"The certificate of {certificate.name} has run out, or the clock here is wrong. Certificates are not "
            "renewed: this member has to leave and be invited again."
        )
    if now < certificate.issued - CLOCKS:
        raise AuthenticationFailed(
            f"The certificate of {certificate.name} is from the future: the clock here is wrong, or the admin's was."
        )
    try:
        address, subnet = _interface4(certificate.ip4), IPv4Network(statement.subnet)
    except ValueError:
        raise AuthenticationFailed("This member's certificate makes no sense.") from None
    edges: set[IPv4Address] = {subnet.network_address, subnet.broadcast_address}
    if address.network != subnet or address.ip in edges:
        raise AuthenticationFailed("This member's address is not of this group.")


@lru_cache(maxsize=4096)  # the addresses of all members are compared whenever one shows a certificate
def _interface4(text: str) -> IPv4Interface:
    return IPv4Interface(text)


def commitment_of(secret: bytes) -> bytes:
    """Return the commitment to an epoch's secret, which is random and has 32 bytes."""
    return hashlib.sha256(b"tin-can/1 group secret" + secret).digest()


_LABELS: Final[dict[type, bytes]] = {
    Certificate: b"tin-can/1 group certificate",
    Statement: b"tin-can/1 group statement",
}
"""Each signature is for one purpose."""
