"""Two users become friends over a channel: the shell around `tincan.vpn.social.befriending`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from tincan.errors import NoPath, PeerRefused, ProtocolError
from tincan.identity import Identity, PublicIdentity
from tincan.link.interface import Channel, ChannelClosed
from tincan.tasks import settle
from tincan.vpn.social.befriending import Befriending, State

PROVING: Final = 15.0
"""Seconds for the other one to show its keys and prove them; no user is asked before that."""

LEAVING: Final = 5.0
"""Seconds for the other one to say that it has kept us too."""


async def befriend(
    channel: Channel,
    identity: Identity,
    nonce: bytes,
    binding: bytes,
    ask: Callable[[PublicIdentity], Awaitable[bool]],
    keep: Callable[[PublicIdentity], None],
) -> None:
    """Make the one at the other end of a channel a friend. ``nonce``, ``binding``: see `Befriending`.

    ``ask`` is awaited when it is known who that is, ``keep`` called when both
    have agreed. Raises what `Befriending.receive` raises, `PeerRefused` when
    one's own user says no, and `NoPath` when the other one goes away.
    """
    core = Befriending(identity, nonce, binding)
    try:
        async with asyncio.timeout(PROVING):
            await _until(core, channel, State.PROVEN)
        assert core.peer is not None  # noqa: S101 - our own states, no input
        yes = await _asked(core, channel, ask(core.peer))
        core.answer(yes)
        await _flush(core, channel)
        if not yes:
            await channel.drain()
            raise PeerRefused("You said no; neither of you has kept anything.")
        await _until(core, channel, State.AGREED)
    except TimeoutError:
        raise NoPath("The other can was reached, but it did not say who it is. Try again.") from None
    except ChannelClosed:
        raise NoPath("The other can went away before both had agreed; nothing was kept. Try again.") from None
    keep(core.peer)
    core.keep()
    # The other one has agreed, so it keeps us as well, unless it dies this very moment. Whatever else it says changes
    # nothing: the friend is in the file.
    with contextlib.suppress(ChannelClosed, TimeoutError, ProtocolError):
        async with asyncio.timeout(LEAVING):
            await _flush(core, channel)
            await channel.drain()
            await _until(core, channel, State.KEPT)


async def _asked(core: Befriending, channel: Channel, asking: Awaitable[bool]) -> bool:
    """Return what the user says, unless the other one says no or goes away before that."""
    user = asyncio.ensure_future(asking)
    hearing = asyncio.ensure_future(_until(core, channel, State.AGREED))
    try:
        await asyncio.wait([user, hearing], return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            hearing.result()  # it has agreed, or this raises
        yes = await user
    finally:
        await settle(user, hearing)
    if not hearing.cancelled():
        hearing.result()
    return yes


async def _until(core: Befriending, channel: Channel, state: State) -> None:
    """Go on until the other one has come so far, or farther."""
    order = list(State)
    await _flush(core, channel)
    while order.index(core.state) < order.index(state):
        core.receive(await channel.receive())
        await _flush(core, channel)


async def _flush(core: Befriending, channel: Channel) -> None:
    for frame in core.data_to_send():
        await channel.send(frame)
