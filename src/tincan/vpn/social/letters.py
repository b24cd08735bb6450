"""Letters between friends: every two friends are a circle of their own on the party line.

The secret of a circle is made of the static X25519 keys of both (HKDF,
RFC 5869), so it needs no exchange, and nobody else can tell which topics are
theirs. What is kept secret here is who knows whom, and how each is reached;
packets have the keys of their link, which DTLS makes anew each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tincan.identity import Identity, PublicIdentity
from tincan.vpn.party.keys import Keys
from tincan.vpn.party.line import MAX_TOPICS, LineClosed, PartyLine
from tincan.vpn.party.seal import SECRET_BYTES
from tincan.vpn.party.sealed import SealedLine

logger = logging.getLogger(__name__)

CIRCLES: Final = MAX_TOPICS // 2 - 2
"""Friends on one line: around midnight each of them takes two topics."""

OpenLine = Callable[[], AbstractAsyncContextManager[PartyLine]]
Hear = Callable[[str, bytes], None]


def secret_of(identity: Identity, friend: PublicIdentity) -> bytes:
    """Return the secret of two friends, the same at both."""
    uids = sorted((identity.public.uid, friend.uid))
    info = b"tin-can/1 two friends " + " ".join(uids).encode()
    return HKDF(SHA256(), SECRET_BYTES, salt=None, info=info).derive(identity.secret_with(friend))


class _Desk:
    """One line, and the friends on it."""

    def __init__(self, sealed: SealedLine) -> None:
        self.sealed = sealed
        self.friends: set[str] = set()


class FriendLetters:
    """Letters to and from friends, on as many lines as they need. An async context manager by `letters`."""

    def __init__(
        self,
        identity: Identity,
        open_line: OpenLine,
        hear: Hear,
        stack: contextlib.AsyncExitStack,
        group: asyncio.TaskGroup,
    ) -> None:
        self._identity = identity
        self._keys = Keys(identity.signing.private_bytes_raw(), identity.agreeing.private_bytes_raw())
        self._open_line = open_line
        self._hear = hear
        self._stack = stack
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []
        self._desks: list[_Desk] = []
        self._friends: dict[str, PublicIdentity] = {}

    async def set_friends(self, friends: Iterable[PublicIdentity]) -> None:
        """Say who may write, and be written to."""
        self._friends = {friend.uid: friend for friend in friends}
        new = self._friends.keys() - {uid for desk in self._desks for uid in desk.friends}
        for desk in self._desks:
            desk.friends &= self._friends.keys()
            while new and len(desk.friends) < CIRCLES:
                desk.friends.add(new.pop())
        while new or not self._desks:
            desk = await self._another()
            while new and len(desk.friends) < CIRCLES:
                desk.friends.add(new.pop())
        for desk in self._desks:
            await desk.sealed.set_circles(
                {uid: secret_of(self._identity, self._friends[uid]) for uid in desk.friends}
            )

    async def say(self, to: str | None, payload: bytes) -> None:
        """Write to one friend, or to each of them. A letter that cannot be sent is lost."""
        for desk in self._desks:
            for uid in desk.friends if to is None else desk.friends & {to}:
                with contextlib.suppress(LineClosed):
                    await desk.sealed.say(uid, payload)

    async def _another(self) -> _Desk:
        line = await self._stack.enter_async_context(self._open_line())
        desk = _Desk(SealedLine(line, self._keys))
        self._desks.append(desk)
        self._tasks += [
            self._group.create_task(desk.sealed.run(), name="letters: calendar"),
            self._group.create_task(self._read(desk), name="letters"),
        ]
        return desk

    async def _read(self, desk: _Desk) -> None:
        with contextlib.suppress(LineClosed):
            while True:
                letter = await desk.sealed.hear()
                friend = self._friends.get(letter.circle)
                if friend is not None and letter.sender == friend.signing:
                    self._hear(friend.uid, letter.payload)
                else:
                    logger.info("a letter from somebody else than it should be")

    def stop(self) -> None:
        """Read no more."""
        for task in self._tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def letters(identity: Identity, open_line: OpenLine, hear: Hear) -> AsyncIterator[FriendLetters]:
    """Have letters while this lasts."""
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        made = FriendLetters(identity, open_line, hear, stack, group)
        try:
            yield made
        finally:
            made.stop()
