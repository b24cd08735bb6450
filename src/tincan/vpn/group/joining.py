"""The two ends of joining, over the link of a one-time phrase: the shell around `join`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

from tincan.errors import NoPath, PeerError, PeerRefused, TinCanError
from tincan.link.interface import Channel, ChannelClosed
from tincan.vpn.group import store
from tincan.vpn.group.certificate import Certificate
from tincan.vpn.group.join import MAX_SWITCHBOARDS, Inviter, Joiner, Refusal, Thanks, encode
from tincan.vpn.group.state import GroupState
from tincan.vpn.party.keys import PublicKeys

PATIENCE: Final = 30.0
_GONE: Final = "The other can went away in the middle of it. Make another invitation."


def may_invite(name: str) -> GroupState:
    """Return the group; raise `PeerRefused` when we are not its admin, before anybody is kept waiting."""
    state = store.load(name)
    if not state.admin:
        raise PeerRefused(
            f"Only the admin of {name!r}, {state.admin_name()}, can invite: nobody would believe you. Ask there."
        )
    return state


async def invite(control: Channel, name: str, switchboards: tuple[str, ...]) -> Certificate:
    """Make whoever is at the other end a member; return its certificate."""
    state = may_invite(name)
    boards = tuple(dict.fromkeys((*switchboards, *state.switchboards)))[:MAX_SWITCHBOARDS]
    inviter = Inviter(state, boards, os.urandom)

    def admit(keys: PublicKeys, wanted: str) -> tuple[bytes, GroupState]:
        with store.changing(name) as changed:
            card = changed.admit(keys, wanted, time.time())
        return card, changed

    try:
        with _ends():
            try:
                await control.send(inviter.begin())
                async with asyncio.timeout(PATIENCE):
                    while not inviter.done:
                        answer = inviter.receive(await control.receive(), admit)
                        if answer is not None:
                            await control.send(answer)
            except TinCanError as exc:
                await _refuse(control, exc)
                raise
    except (NoPath, PeerRefused) as exc:
        if inviter.member is None:
            raise
        # It may have the certificate, or not: only a ban makes sure that nobody else gets its address.
        listed = inviter.member.name
        raise type(exc)(f"{exc} It is on the list as {listed}; 'tin-can net ban {listed}' takes it off.") from exc
    if inviter.member is None:
        raise NoPath(_GONE)
    return inviter.member


async def join(control: Channel, own_name: str, local_name: str | None, switchboards: tuple[str, ...]) -> GroupState:
    """Become a member of what the other end invites to, and keep the group; return it."""
    joiner = Joiner(own_name, os.urandom)
    with _ends():
        try:
            async with asyncio.timeout(PATIENCE):
                invitation = joiner.invited(await control.receive())
                local = local_name or invitation.name
                if local in store.names():
                    raise PeerRefused(f"There is a group {local!r} on this machine already; join with --as NAME.")
                await control.send(joiner.request())
                state = joiner.welcomed(await control.receive(), local, time.time())
            state.switchboards = list(dict.fromkeys((*switchboards, *state.switchboards)))
            store.add(state)
        except TinCanError as exc:
            await _refuse(control, exc)
            raise
    with contextlib.suppress(ChannelClosed, TimeoutError):  # we are a member, whether the admin hears this or not
        async with asyncio.timeout(PATIENCE):
            await control.send(encode(Thanks()))
            await control.drain()
    return state


@contextlib.contextmanager
def _ends() -> Iterator[None]:
    try:
        yield
    except (ChannelClosed, TimeoutError):
        raise NoPath(_GONE) from None


async def _refuse(control: Channel, error: TinCanError) -> None:
    """Tell the other one why not, unless it was the one who said no."""
    if isinstance(error, ChannelClosed):
        return
    text = str(error) if not isinstance(error, PeerError) or isinstance(error, PeerRefused) else "That was not right."
    if text.startswith("The other can said:"):
        return
    with contextlib.suppress(ChannelClosed, TimeoutError):
        async with asyncio.timeout(2):
            await control.send(encode(Refusal(text[:400])))
            await control.drain()
