"""How somebody becomes a member: a short talk over the link of a one-time phrase. Pure.

The link is private between the admin and whoever knows the phrase, which is
good for one meeting. The admin says which group it is and a challenge; the
other one sends its keys, with the challenge signed; the admin sends the
certificate, the group's statement and its secret. docs/net.md section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

import msgspec

from tincan.errors import AuthenticationFailed, PeerRefused, ProtocolError
from tincan.vpn.group.addresses import is_label
from tincan.vpn.group.certificate import Certificate, Statement, check, commitment_of, read
from tincan.vpn.group.state import GroupState, Known, Random
from tincan.vpn.module.methods import Mode
from tincan.vpn.party.keys import Keys, PublicKeys, verified

VERSION: Final = 1
MAX_SWITCHBOARDS: Final = 8
_LABEL: Final = b"tin-can/1 group join"

_Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Text = Annotated[str, msgspec.Meta(max_length=64)]
_Blob = Annotated[bytes, msgspec.Meta(max_length=16 * 1024)]


class _Frame(msgspec.Struct, frozen=True, tag_field="kind"):
    """What all have."""


class Invitation(_Frame, frozen=True, tag="net-invitation"):
    """The admin's first frame."""

    version: int
    group: _Key
    name: _Text
    mode: Mode
    challenge: _Key


class Request(_Frame, frozen=True, tag="net-request"):
    """The newcomer's answer. ``proof``: its signature over the challenge and all it says."""

    name: _Text
    sign: _Key
    box: _Key
    proof: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class Welcome(_Frame, frozen=True, tag="net-welcome"):
    """All that a member has."""

    card: _Blob
    statement: _Blob
    secret: _Key
    admin: _Blob
    """The admin's own certificate."""

    switchboards: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=256)], ...], msgspec.Meta(max_length=8)]


class Thanks(_Frame, frozen=True, tag="net-thanks"):
    """The newcomer has it all on its disk."""


class Refusal(_Frame, frozen=True, tag="net-refusal"):
    """Either side's no, in a sentence."""

    text: Annotated[str, msgspec.Meta(max_length=400)]


Frame: TypeAlias = Invitation | Request | Welcome | Thanks | Refusal

_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)
_encoder = msgspec.msgpack.Encoder()


def encode(frame: Frame) -> bytes:
    """Return the bytes for the control channel."""
    return _encoder.encode(frame)


def _decode(data: bytes) -> Frame:
    try:
        frame = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProtocolError(
            "The other can is not here for a group: one of you types 'tin-can net invite', "
            "the other 'tin-can net join'."
        ) from None
    if isinstance(frame, Refusal):
        raise PeerRefused(f"The other can said: {frame.text}")
    return frame


def _to_prove(invitation: Invitation, name: str, keys: PublicKeys) -> bytes:
    return _LABEL + invitation.group + invitation.challenge + keys.sign + keys.box + name.encode()


class Inviter:
    """The admin's side. Each method returns what to send; `begin` first, then `receive` until ``done``."""

    def __init__(self, state: GroupState, switchboards: tuple[str, ...], random: Random) -> None:
        statement = state.holds()
        self._state = state
        self._switchboards = switchboards
        self._invitation = Invitation(VERSION, state.group, statement.name, statement.mode, random(32))
        self.member: Certificate | None = None
        """Who was admitted."""

        self.done = False

    def begin(self) -> bytes:
        """Return the first frame."""
        return encode(self._invitation)

    def receive(self, data: bytes, admit: Callable[[PublicKeys, str], tuple[bytes, GroupState]]) -> bytes | None:
        """Take a frame. ``admit`` makes the certificate, and has it on disk before it returns it."""
        frame = _decode(data)
        if isinstance(frame, Request) and self.member is None:
            keys = PublicKeys(frame.sign, frame.box)
            if not verified(keys.sign, frame.proof, _to_prove(self._invitation, frame.name, keys)):
                raise AuthenticationFailed("The one who wants to join could not prove its key.")
            card, state = admit(keys, frame.name)
            self.member = read(Certificate, card, state.group)
            statement = state.holds()
            return encode(
                Welcome(card, state.statement, state.secrets[statement.epoch], state.card, self._switchboards)
            )
        if isinstance(frame, Thanks) and self.member is not None:
            self.done = True
            return None
        raise ProtocolError("The other can said something out of turn; update the older one.")


class Joiner:
    """The newcomer's side."""

    def __init__(self, name: str, random: Random) -> None:
        self._name = name
        self._keys = Keys(random(32), random(32))
        self._invitation: Invitation | None = None

    def invited(self, data: bytes) -> Invitation:
        """Take the first frame; look at it before `request`."""
        frame = _decode(data)
        if not isinstance(frame, Invitation):
            raise ProtocolError("The other can said something out of turn; update the older one.")
        if frame.version != VERSION or not is_label(frame.name):
            raise ProtocolError("The other can's groups are of another kind; update the older one.")
        self._invitation = frame
        return frame

    def request(self) -> bytes:
        """Return the request for membership."""
        if self._invitation is None:
            raise ValueError("not invited yet")
        name, public = self._name[:64], self._keys.public
        proof = self._keys.signer.sign(_to_prove(self._invitation, name, public))
        return encode(Request(name, public.sign, public.box, proof))

    def welcomed(self, data: bytes, local_name: str, now: float) -> GroupState:
        """Take the welcome; return the state to keep. Say `Thanks` when it is on the disk."""
        frame, invitation = _decode(data), self._invitation
        if not isinstance(frame, Welcome) or invitation is None:
            raise ProtocolError("The other can said something out of turn; update the older one.")
        group, public = invitation.group, self._keys.public
        certificate, statement = read(Certificate, frame.card, group), read(Statement, frame.statement, group)
        admin = read(Certificate, frame.admin, group)
        check(certificate, statement, now)
        if certificate.keys != public or statement.commitment != commitment_of(frame.secret):
            raise AuthenticationFailed("The other can gave a certificate that is not for us.")
        return GroupState(
            name=local_name,
            group=group,
            sign_seed=self._keys.sign_seed,
            box_seed=self._keys.box_seed,
            card=frame.card,
            statement=frame.statement,
            secrets={statement.epoch: frame.secret},
            members={c.uid: Known(card) for c, card in ((certificate, frame.card), (admin, frame.admin))},
            switchboards=list(frame.switchboards),
        )
