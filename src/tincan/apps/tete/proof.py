"""Both ends prove the phrase to each other inside TLS, before any byte of a user.

It is the handshake of `tincan.meet.handshake` (CPace with mandatory
confirmation), bound to the TLS connection as `tincan.apps.tete.binding` tells.
The TLS server attaches, the client taps. Its envelopes are empty. Each
connection is one guess, and this program makes one connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from tincan.apps.tete.binding import HEAD, framed, length_in
from tincan.errors import AuthenticationFailed, ProtocolError
from tincan.link.interface import Stream, StreamBroken
from tincan.meet.handshake import Handshake
from tincan.meet.mailbox import Side
from tincan.meet.phrase import StringKeys

PROOF_TIMEOUT: Final = 10.0
"""Seconds for one and a half round trips, and for Argon2id on a machine slower than this one."""

UNPROVEN: Final = (
    "The other end does not prove the phrase, so nothing was sent to it; both ends need --phrase with the same one."
)
_WRONG: Final = (
    "The two ends did not give the same phrase, or somebody is in the middle, so nothing was sent. "
    "Agree on the phrase, and start both ends again."
)


async def prove(stream: Stream, keys: StringKeys, side: Side, *, timeout: float = PROOF_TIMEOUT) -> None:
    """Return when the other end has proved the phrase; ``keys`` are bound to the connection.

    Raises `AuthenticationFailed` otherwise; the stream must then be closed,
    after what it was told has gone out.
    """
    core = Handshake(side, keys)
    try:
        async with asyncio.timeout(timeout):
            await _run(stream, core)
    except AuthenticationFailed as exc:
        with contextlib.suppress(StreamBroken, TimeoutError):
            async with asyncio.timeout(timeout):
                await _send(stream, core)
        raise AuthenticationFailed(_WRONG) from exc
    except (TimeoutError, StreamBroken, ProtocolError) as exc:
        raise AuthenticationFailed(UNPROVEN) from exc


async def _run(stream: Stream, core: Handshake) -> None:
    sealed = False
    while True:
        await _send(stream, core)
        if core.confirmed and sealed:
            return
        core.receive(await _message(stream))
        if not sealed:
            core.seal(b"")
            sealed = True


async def _send(stream: Stream, core: Handshake) -> None:
    for message in core.data_to_send():
        await stream.write(framed(message))


async def _message(stream: Stream) -> bytes:
    return await _exactly(stream, length_in(await _exactly(stream, HEAD)))


async def _exactly(stream: Stream, count: int) -> bytes:
    """Read so many bytes and not one more: what follows may be the user's."""
    found = bytearray()
    while len(found) < count:
        data = await stream.read(count - len(found))
        if not data:
            raise StreamBroken("The other end hung up in the middle of its proof.")
        found += data
    return bytes(found)
