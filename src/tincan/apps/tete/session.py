"""One run of ``tin-can tete``: open, secure, prove, carry, and say what happens as tete does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tincan.apps.ends import Sink, Source
from tincan.apps.tete.binding import bound_keys
from tincan.apps.tete.carrying import carry, hang_up, part
from tincan.apps.tete.opening import PAUSE, TRIES, keep_alive, open_connection
from tincan.apps.tete.proof import UNPROVEN, prove
from tincan.apps.tete.security import UNAUTHENTICATED, Connection, Peer, Security
from tincan.apps.tete.settings import TeteSettings
from tincan.errors import AuthenticationFailed
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, StringKeys, derive
from tincan.tasks import plain_errors

KEEPALIVE: Final = 10
"""Seconds of silence after which ``-k`` asks whether the peer is there."""

Tell = Callable[[str], None]
"""Shows a line to the user."""


async def run_tete(
    settings: TeteSettings,
    phrase: Phrase | None,
    source: Source,
    sink: Sink,
    tell: Tell,
    *,
    tries: int = TRIES,
    pause: float = PAUSE,
    keepalive: int = KEEPALIVE,
) -> None:
    """Connect to the peer and carry bytes until the end.

    Raises `NoPath` when no connection came about, `AuthenticationFailed` when
    the peer does not prove the phrase, `IncompleteTransfer` when the connection
    broke. A cancellation before there is a connection is one; after that it
    leaves in good order.
    """
    if phrase is None:
        tell(UNAUTHENTICATED)
    connection, keys = await _open(settings, phrase, tries, pause)
    try:
        if settings.keepalive:
            keep_alive(connection.sock, keepalive)
        await _authenticate(connection, keys, Side.TAP if settings.client else Side.ATTACH)
    except BaseException:
        await hang_up(connection, orderly=False)
        raise
    tell("Connected to peer!")
    end = await carry(connection, source, sink)
    tell(end.value)


async def _open(
    settings: TeteSettings, phrase: Phrase | None, tries: int, pause: float
) -> tuple[Connection, StringKeys | None]:
    """Open the connection, and meanwhile work out what the phrase gives (Argon2id, in a thread)."""
    security = await asyncio.to_thread(Security, client=settings.client, proves=phrase is not None)
    opening = None
    try:
        with plain_errors():
            async with asyncio.TaskGroup() as group:
                deriving = group.create_task(asyncio.to_thread(derive, phrase)) if phrase is not None else None
                opening = group.create_task(open_connection(settings, security, tries=tries, pause=pause))
    except BaseException:
        if opening is not None and opening.done() and not opening.cancelled() and opening.exception() is None:
            await hang_up(opening.result(), orderly=False)
        raise
    return opening.result(), deriving.result() if deriving is not None else None


async def _authenticate(connection: Connection, keys: StringKeys | None, side: Side) -> None:
    """Return when the peer has proved the phrase, if there is one to prove."""
    if keys is None:
        if connection.peer is Peer.DIFFERS:
            raise AuthenticationFailed(
                "The other end wants a phrase proved, and this one was given none. Give both the same with --phrase."
            )
        return
    if connection.peer is not Peer.PROVES:
        raise AuthenticationFailed(UNPROVEN)
    try:
        await prove(connection.stream, bound_keys(keys, connection.certificate), side)
    except AuthenticationFailed:
        await part(connection)  # so that the peer hears of it
        raise
