"""Who is at the other end of a static link: proved over the link itself, before anything is said on it.

The descriptions that made the link went through hands that may have replaced
them, so a link stands, but to whom is not known. Two ways to know:

* **both users gave the same phrase**: the handshake of `tincan.meet.handshake`
  (CPace with mandatory confirmation) runs over the channel. The place of the
  string code in its channel identifier is taken by a hash of both DTLS
  fingerprints, so whoever sits between two links, which differ in these,
  cannot pass the messages of one on to the other: the confirmation tags do not
  verify. It is the channel binding of RFC 5056, with the fingerprints in the
  place of ``tls-exporter``, which the WebRTC stack does not give us. A wrong
  phrase, or somebody in the middle, has one guess; then the offer is dead;
* **no phrase**: `tincan.apps.dialects.word_pair`, which the users compare.

In either the offering side speaks first, so two sides of which one has a
phrase, because somebody altered what the URLs say of it, do not wait for each
other.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from tincan.apps.dialects.word_pair import NONCE, WordPair
from tincan.errors import AuthenticationFailed, NoPath
from tincan.link.interface import Channel, ChannelClosed
from tincan.meet.handshake import Handshake
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, StringKeys, derive

PROOF_TIMEOUT: Final = 15.0
"""Seconds for it all: one and a half round trips, and Argon2id on a slow machine."""

BINDING: Final = b"tin-can/1 static link "

_REFUSED: Final = (
    "The two sides did not give the same phrase, or somebody is in the middle, so the string was cut. "
    "Check the phrase, and make a new offer."
)


@dataclass(frozen=True)
class Ends:
    """The fingerprints of the certificates that DTLS has checked, 32 bytes each."""

    offering: bytes
    answering: bytes


async def prove(channel: Channel, phrase: Phrase | None, ends: Ends, *, offers: bool) -> str | None:
    """Prove both sides to each other; return the two words to compare, or None when the phrase has done it.

    Raises `AuthenticationFailed`, after which the link must be closed, or
    `NoPath` when the other side is gone.
    """
    try:
        async with asyncio.timeout(PROOF_TIMEOUT):
            if phrase is None:
                return await _compare(channel, ends, offers)
            keys = await asyncio.to_thread(derive, phrase)
            await _seal(channel, bound_keys(keys, ends), Side.ATTACH if offers else Side.TAP)
            return None
    except TimeoutError:
        raise NoPath("The other side is there, but does not prove who it is. Try again.") from None
    except ChannelClosed:
        raise NoPath("The other side hung up before it had proved who it is. Try again.") from None


def bound_keys(keys: StringKeys, ends: Ends) -> StringKeys:
    """Return keys for the handshake that are good between these two certificates only."""
    digest = hashlib.sha256(BINDING + ends.offering + ends.answering).hexdigest()
    return StringKeys(f"static {digest}", keys.password)


async def _compare(channel: Channel, ends: Ends, offers: bool) -> str:
    core = WordPair(offers=offers, offering=ends.offering, answering=ends.answering, nonce=secrets.token_bytes(NONCE))
    while True:
        for message in core.data_to_send():
            await channel.send(message)
        if core.pair is not None:
            return core.pair
        core.receive(await channel.receive())


async def _seal(channel: Channel, keys: StringKeys, side: Side) -> None:
    """Run the handshake, whose envelopes are empty: what they would carry is here already."""
    core = Handshake(side, keys)
    sealed = False
    try:
        while True:
            for message in core.data_to_send():
                await channel.send(message)
            if core.confirmed and sealed:
                return
            core.receive(await channel.receive())
            if not sealed:
                core.seal(b"")
                sealed = True
    except AuthenticationFailed as exc:
        await _tell(channel, core.data_to_send())
        raise AuthenticationFailed(_REFUSED) from exc


async def _tell(channel: Channel, refusal: list[bytes]) -> None:
    try:
        for message in refusal:
            await channel.send(message)  # the link lingers until it has arrived
    except ChannelClosed:
        pass  # it knows by now
