"""What members tell each other on a party line to find each other and to set links up.

These are the contents of sealed letters (`tincan.vpn.party.seal`): who sent
one is known, and is a member or friend. It is checked all the same; `decode`
is the only door. docs/net.md section 5.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from tincan.errors import ProtocolError
from tincan.vpn.module.methods import Candidates, Description

MAX_CARD: Final = 2048

Session = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
"""Random for each run of a controller: another one means that it was started anew."""

Attempt = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""Counts what the controlling end has offered to this peer in this run."""


class _Said(msgspec.Struct, frozen=True, tag_field="kind", array_like=True):
    """What all have: whose run it comes from."""

    session: Session


class _ToOne(_Said, frozen=True):
    """For one run of one peer: another run of it passes it over."""

    to: Session
    attempt: Attempt


class Hello(_Said, frozen=True, tag="hello"):
    """I am here. ``reply``: tell me that you are."""

    reply: bool = False
    every: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0
    """Seconds until the next one; whoever says nothing for more than three times as long is away."""

    card: Annotated[bytes, msgspec.Meta(max_length=MAX_CARD)] = b""
    """What the controller adds: a certificate of membership."""


class Bye(_Said, frozen=True, tag="bye"):
    """I am going."""


class Call(_ToOne, frozen=True, tag="call"):
    """Please offer me a link: I control none of ours. ``attempt``: the last offer that I know of."""

    restart: bool = False
    """Begin the link of that offer anew: my network has changed."""


class Offer(_ToOne, frozen=True, tag="offer"):
    """A link, from the controlling end."""

    restart: bool
    """The link of the offer before is still there and goes on until this one stands."""

    description: Description


class Answer(_ToOne, frozen=True, tag="answer"):
    """The other end of an offered link."""

    description: Description


class More(_ToOne, frozen=True, tag="more"):
    """All candidates found by now for the description of that attempt (RFC 8838)."""

    ufrag: Annotated[str, msgspec.Meta(max_length=256)]
    candidates: Candidates
    complete: bool


class Hang(_ToOne, frozen=True, tag="hang"):
    """The link of that attempt is taken down, as nothing goes over it."""


Message: TypeAlias = Hello | Bye | Call | Offer | Answer | More | Hang


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return the bytes to seal."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """Read a letter; raise `ProtocolError` when it has the wrong form, or is of a kind not known here."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("A member said something that cannot be read; update the older one.") from None
