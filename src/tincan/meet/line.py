"""The line: the mailbox of one place with the handshake in it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from tincan.errors import TinCanError
from tincan.meet.handshake import Handshake, State
from tincan.meet.mailbox import Mailbox, MailboxClosed, Side

REFUSAL_TIMEOUT: Final = 1.0
"""Seconds for telling the peer that the handshake failed."""


class Line:
    """The mailbox of one place with the handshake in it: payloads to and from the peer, sealed.

    The tapping can may `send` as soon as its flight is on the way, before the
    peer is confirmed: what it sends can only be opened by somebody who knows
    the phrase.
    """

    def __init__(self, place: str, side: Side, mailbox: Mailbox, handshake: Handshake) -> None:
        self.place = place
        self.side = side
        self.handshake = handshake
        self.first = b""
        """The payload that came with the peer's confirmation."""
        self._mailbox = mailbox
        self._lock = asyncio.Lock()

    async def send(self, payload: bytes) -> None:
        """Seal a payload and leave it in the mailbox; `MailboxClosed` once the handshake has failed."""
        async with self._lock:
            if self.handshake.state is State.FAILED:  # found by whoever reads, while somebody else still sends
                raise MailboxClosed("The handshake has failed.")
            self.handshake.seal(payload)
            await self._flush()

    async def receive(self) -> bytes:
        """Return the peer's next payload.

        Raises `AuthenticationFailed` when what came is not the next envelope
        of the peer, `MailboxClosed` or `MailboxReset` when the place has
        nothing more to give.
        """
        while True:
            payload = await self.step(await self._mailbox.receive())
            if payload is not None:
                return payload

    async def step(self, message: bytes) -> bytes | None:
        """Give one message to the handshake and send what it says to that, a refusal too."""
        try:
            return self.handshake.receive(message)
        finally:
            with contextlib.suppress(TinCanError, OSError, TimeoutError):
                async with asyncio.timeout(REFUSAL_TIMEOUT):
                    await self.flush()

    async def flush(self) -> None:
        """Send what the handshake has to send."""
        async with self._lock:
            await self._flush()

    async def close(self, *, done: bool) -> None:
        """Leave the place."""
        await self._mailbox.close(done=done)

    async def _flush(self) -> None:
        for message in self.handshake.data_to_send():
            await self._mailbox.send(message)
