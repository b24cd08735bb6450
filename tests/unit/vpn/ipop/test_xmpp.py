"""Accounts that cannot be signed in with, without any server."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from tincan.vpn.ipop.account import Account, Speaker
from tincan.vpn.ipop.events import SignedOut
from tincan.vpn.ipop.xmpp import keep


class Listening:
    """A listener that waits for the first bad news."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[SignedOut] = asyncio.get_running_loop().create_future()

    def signed_in(self, session: Speaker) -> None:
        raise AssertionError("signed in")

    def signed_out(self, outcome: SignedOut) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def presence(self, bare: str, resource: str, there: bool) -> None:
        raise AssertionError("somebody is there")

    def asked(self, bare: str, resource: str, kind: str, data: str) -> bool:
        raise AssertionError("somebody speaks")

    def spoken(self, room: str, nick: str, text: str) -> None:
        raise AssertionError("somebody speaks")


async def outcome(user: str, host: str, port: int = 5222) -> SignedOut:
    listening = Listening()
    account = Account(user, "secret", host, port, "tincan")
    kept = asyncio.create_task(keep(account, ssl.create_default_context(), listening))
    try:
        async with asyncio.timeout(30):
            return await listening.outcome
    finally:
        kept.cancel()
        await asyncio.gather(kept, return_exceptions=True)


@pytest.mark.parametrize("user", ["", "@", "alice", "alice@b@c", "\0@can.test", "alice@" + "c" * 2000])
async def test_names_that_are_none(user: str) -> None:
    assert await outcome(user, "127.0.0.1") == SignedOut("The XMPP user name has no form of user@domain.", True)


@pytest.mark.parametrize("host", ["", "a..b", "x" * 300, "\0", "\ud800"])
async def test_hosts_that_are_none(host: str) -> None:
    """Asking the system for one of these raises, in a task of slixmpp's own."""
    assert await outcome("a@can.test", host) == SignedOut("The XMPP server's host is no name and no address.", True)


async def test_nobody_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        told = await outcome("a@can.test", "127.0.0.1", sock.getsockname()[1])
    assert told == SignedOut("The server cannot be reached (connection refused).", False)
