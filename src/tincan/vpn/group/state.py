"""What this machine knows of a group, and what changes it. Pure: it is read and written by `store`.

The admin is whoever has the group's key: the member who created the group.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tincan.errors import AuthenticationFailed, PeerRefused, ProtocolError, UsageError
from tincan.vpn.group.addresses import default_subnet, free_label, is_label, next_address
from tincan.vpn.group.certificate import (
    MAX_BANS,
    VALIDITY,
    Certificate,
    Statement,
    check,
    commitment_of,
    read,
    sign,
)
from tincan.vpn.module.methods import Mode
from tincan.vpn.party.keys import Keys, PublicKeys, is_box

KEPT_EPOCHS: Final = 8
"""Secrets kept, so that a member who was away for so many bans still hears from us what holds now."""

Random = Callable[[int], bytes]

_Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Known(msgspec.Struct):
    """A member as this machine knows it."""

    card: bytes
    """The signed certificate."""

    seen: int = 0
    """When it was heard of last, in seconds since the epoch; 0: never."""


class GroupState(msgspec.Struct):
    """One group on this machine."""

    name: str
    """What the group is called on this machine."""

    group: _Key
    """The group's public key, which is its identity."""

    sign_seed: _Key
    box_seed: _Key
    card: bytes
    statement: bytes
    secrets: dict[int, bytes]
    """By epoch, the newest ones."""

    members: dict[str, Known] = {}
    """By uid; for the admin, everybody who was ever invited and is not banned."""

    switchboards: list[str] = []
    """Where the group meets."""

    group_seed: _Key | None = None
    """The group's private key; only the admin has it."""

    last_serial: int = 0

    # -- reading it ------------------------------------------------------------------

    @property
    def keys(self) -> Keys:
        """Our own keys."""
        return Keys(self.sign_seed, self.box_seed)

    @property
    def admin(self) -> bool:
        """Whether we are."""
        return self.group_seed is not None

    def certificate(self) -> Certificate:
        """Return our own certificate."""
        return read(Certificate, self.card, self.group)

    def holds(self) -> Statement:
        """Return what holds now."""
        return read(Statement, self.statement, self.group)

    def certificates(self) -> dict[str, Certificate]:
        """Return the certificates of all members known here, by uid."""
        return {uid: read(Certificate, known.card, self.group) for uid, known in self.members.items()}

    def admin_name(self) -> str:
        """Return the name of the admin, for telling whom to ask."""
        return next((c.name for c in self.certificates().values() if c.admin), "its admin")

    # -- what the admin does ----------------------------------------------------------

    def admit(self, keys: PublicKeys, wanted: str, now: float) -> bytes:
        """Make somebody a member, with a name and an address that nobody has; return the certificate.

        Raises `PeerRefused` when we are not the admin.
        """
        seed = self._group_key()
        if not is_box(keys.box):
            raise ProtocolError("The one who wants to join has sent keys that are none.")
        for uid, certificate in self.certificates().items():
            if now >= certificate.expires and not certificate.admin:
                del self.members[uid]  # nobody takes it any more: whoever comes back can have the name and address
        given = self.certificates()
        if keys.uid in given:
            raise PeerRefused(f"This one is a member already, as {given[keys.uid].name}.")
        subnet = ipaddress.IPv4Network(self.holds().subnet)
        name = free_label(wanted, {c.name for c in given.values()})
        address = next_address(subnet, {c.address4.ip for c in given.values()})
        # After a backup was restored, others know of numbers given since.
        banned = self.holds().banned
        self.last_serial = 1 + max((self.last_serial, *banned, *(c.serial for c in given.values())))
        certificate = Certificate(
            self.group, self.last_serial, name, keys.sign, keys.box, str(address), int(now), int(now) + VALIDITY
        )
        card = sign(certificate, seed)
        self.members[keys.uid] = Known(card)
        return card

    def ban(self, name: str, random: Random) -> Certificate:
        """Ban a member: a new statement, and a new secret that it will not get. Return its certificate."""
        seed = self._group_key()
        found = [c for uid, c in self.certificates().items() if name in (c.name, uid)]
        if not found:
            raise UsageError(f"Nobody in {self.name!r} is called {name!r}; see 'tin-can net status {self.name}'.")
        certificate = max(found, key=lambda c: c.serial)  # an earlier one of that name has run out
        if certificate.admin:
            raise UsageError("The admin cannot be banned; leave the group instead.")
        before = self.holds()
        if len(before.banned) >= MAX_BANS:
            raise UsageError(f"{MAX_BANS} members are banned already; make a new group.")
        secret = random(32)
        after = msgspec.structs.replace(
            before,
            epoch=before.epoch + 1,
            commitment=commitment_of(secret),
            banned=(*before.banned, certificate.serial),
        )
        self.statement = sign(after, seed)
        self._keep_secret(after.epoch, secret)
        del self.members[certificate.uid]
        return certificate

    def _group_key(self) -> Ed25519PrivateKey:
        if self.group_seed is None:
            raise PeerRefused(
                f"Only the admin of {self.name!r}, {self.admin_name()}, can do that; nobody would believe you."
            )
        return Ed25519PrivateKey.from_private_bytes(self.group_seed)

    # -- what every member does --------------------------------------------------------

    def adopt(self, statement: bytes, secret: bytes) -> Statement | None:
        """Take a newer statement and its secret; None when it is no newer. `AuthenticationFailed` for lies.

        Also when it bans ourselves: then without its secret.
        """
        after, before = read(Statement, statement, self.group), self.holds()
        if after.epoch <= before.epoch:
            return None
        if self.certificate().serial in after.banned:
            self.statement = statement
            return after
        if commitment_of(secret) != after.commitment:
            raise AuthenticationFailed("Somebody hands on a secret that is not the group's.")
        self.statement = statement
        self._keep_secret(after.epoch, secret)
        for uid, certificate in self.certificates().items():
            if certificate.serial in after.banned:
                del self.members[uid]
        return after

    def meet(self, card: bytes, sender: bytes, now: float) -> Certificate:
        """Take the certificate that somebody shows who signs with ``sender``.

        Raises `AuthenticationFailed` when it is not good, not his, or when
        another member has that name or address by a newer one.
        """
        certificate = read(Certificate, card, self.group)
        check(certificate, self.holds(), now)
        if certificate.sign != sender:
            raise AuthenticationFailed("Somebody shows a certificate that is another's.")
        own = self.certificate()
        for uid, other in {**self.certificates(), own.uid: own}.items():
            same = certificate.name == other.name or certificate.address4.ip == other.address4.ip
            if uid != certificate.uid and same:
                if uid == own.uid or other.admin or other.serial > certificate.serial:
                    raise AuthenticationFailed(f"{certificate.name!r} has a name or an address that another has.")
                del self.members[uid]
        known = self.members.setdefault(certificate.uid, Known(card))
        if read(Certificate, known.card, self.group).serial <= certificate.serial:
            known.card = card
        known.seen = int(now)
        return certificate

    def merge(self, other: GroupState) -> None:
        """Take over what another process of ours has learnt: what holds, and who is who."""
        if other.holds().epoch > self.holds().epoch:
            self.statement = other.statement
        for epoch, secret in other.secrets.items():
            self._keep_secret(epoch, secret)
        self.last_serial = max(self.last_serial, other.last_serial)
        banned = set(self.holds().banned)
        theirs = other.certificates()
        for uid, certificate in {**self.certificates(), **theirs}.items():
            known = self.members.setdefault(uid, other.members.get(uid) or Known(b""))
            if uid in theirs:
                known.seen = max(known.seen, other.members[uid].seen)
                if certificate.serial > read(Certificate, known.card, self.group).serial:
                    known.card = other.members[uid].card
            if read(Certificate, known.card, self.group).serial in banned:
                del self.members[uid]

    def _keep_secret(self, epoch: int, secret: bytes) -> None:
        self.secrets[epoch] = secret
        for old in sorted(self.secrets)[:-KEPT_EPOCHS]:
            del self.secrets[old]


def create(
    name: str,
    own_name: str,
    now: float,
    random: Random,
    *,
    mode: Mode = "ip",
    subnet: ipaddress.IPv4Network | None = None,
    avoid: Iterable[ipaddress.IPv4Network] = (),
) -> GroupState:
    """Make a group with us as its admin and only member."""
    if not is_label(name):
        raise UsageError(f"{name!r} cannot be a group's name: a to z, 0 to 9 and '-', as in host names.")
    group_seed, keys, secret = random(32), Keys(random(32), random(32)), random(32)
    group_key = Ed25519PrivateKey.from_private_bytes(group_seed)
    group = group_key.public_key().public_bytes_raw()
    chosen = subnet or default_subnet(group, avoid)
    statement = Statement(group, 1, commitment_of(secret), name, str(chosen), mode)
    certificate = Certificate(
        group,
        1,
        free_label(own_name, ()),
        keys.public.sign,
        keys.public.box,
        str(next_address(chosen, ())),
        int(now),
        int(now) + VALIDITY,
        admin=True,
    )
    card = sign(certificate, group_key)
    return GroupState(
        name=name,
        group=group,
        sign_seed=keys.sign_seed,
        box_seed=keys.box_seed,
        card=card,
        statement=sign(statement, group_key),
        secrets={1: secret},
        members={certificate.uid: Known(card)},
        group_seed=group_seed,
        last_serial=1,
    )
