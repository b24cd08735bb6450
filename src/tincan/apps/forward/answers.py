"""What the peer asks for, answered: connections to targets, and doors that stand open for it.

Everything is refused that the user of this side has not named
(`tincan.apps.forward.rules`), and both users are told what to add.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from functools import partial
from typing import Final

from tincan.apps.forward import rules
from tincan.apps.forward.addresses import Address, Transport, UnixPath, read_target
from tincan.apps.forward.doors import Caller, Door, Hall
from tincan.apps.forward.events import Listening, NotForwarded
from tincan.apps.forward.ledger import Ledger
from tincan.apps.forward.requests import Dial, Listen, Request
from tincan.apps.forward.rules import Rule
from tincan.apps.forward.session import Session
from tincan.apps.forward.sockets import SocketEnd
from tincan.apps.forward.udp import UdpDial
from tincan.apps.text import visible
from tincan.errors import TinCanError
from tincan.nat.resolve import resolve

DIALLING: Final = 10.0
"""Seconds to connect to a target."""

MAX_LENT: Final = 64
"""Doors that the peer may have here."""


class Answers:
    """Answers the requests of one peer, over as many sessions as it takes."""

    def __init__(self, hall: Hall, ledger: Ledger, allow: Sequence[Rule], allow_listen: Sequence[Rule]) -> None:
        self._hall = hall
        self._ledger = ledger
        self._allow = allow
        self._allow_listen = allow_listen
        self._lent: dict[Listen, Door] = {}
        self._pending: set[Listen] = set()

    async def answer(self, session: Session, id: int, request: Request) -> None:
        """See `tincan.apps.forward.session.Answer`."""
        if isinstance(request, Listen):
            await self._listen(session, id, request)
        else:
            await self._dial(session, id, request)

    def close(self) -> None:
        """Close all doors."""
        for door in self._lent.values():
            door.close()
        self._lent.clear()

    async def _dial(self, session: Session, id: int, request: Dial) -> None:
        target = request.address
        if not rules.may_dial(target, request.transport, self._allow):
            session.refuse(id, rules.dial_refused_there(target))
            self._ledger.tell(NotForwarded(str(target), rules.dial_refused_here(target)))
            return
        try:
            async with asyncio.timeout(DIALLING):
                end = await self._connect(target, request.transport)
        except OSError as exc:  # TimeoutError is one
            text = f"{target} cannot be reached: {_why(exc)}."
            session.refuse(id, f"The other can is connected, but there {text}")
            self._ledger.tell(NotForwarded(str(target), text))
            return
        end.join(session.accept(id, end))
        end.accepted("")

    async def _connect(self, target: Address, transport: Transport) -> Caller:
        loop = asyncio.get_running_loop()
        opened, gone = partial(_opened, self._ledger, target), partial(_gone, self._ledger, target)
        if isinstance(target, UnixPath):
            if not hasattr(socket, "AF_UNIX"):
                raise OSError(errno.EAFNOSUPPORT, "that system has no Unix sockets")
            _, end = await loop.create_unix_connection(lambda: SocketEnd(opened=opened, gone=gone), target.path)
            return end
        found = await resolve(target.host, target.port)
        # Several addresses are for asyncio to try, which asks for them again: the resolver has just answered.
        host = found[0][1] if len(found) == 1 else target.host
        if transport is Transport.UDP:
            _, dial = await loop.create_datagram_endpoint(
                lambda: UdpDial(opened=opened, gone=gone), remote_addr=(host, target.port)
            )
            return dial.flow
        _, end = await loop.create_connection(
            lambda: SocketEnd(opened=opened, gone=gone), host, target.port, happy_eyeballs_delay=0.25
        )
        return end

    async def _listen(self, session: Session, id: int, request: Listen) -> None:
        at = request.address
        if not rules.may_listen(at, self._allow_listen):
            session.refuse(id, rules.listen_refused_there(at))
            self._ledger.tell(NotForwarded(str(at), rules.listen_refused_here(at)))
            return
        door = self._lent.get(request)  # after a break the peer finds its doors as they were
        if door is None:
            if request in self._pending:
                session.refuse(id, f"The other can listens on {at} for you already.")
                return
            if len(self._lent) + len(self._pending) >= MAX_LENT:
                session.refuse(id, f"The other can listens in {MAX_LENT} places for you already.")
                return
            door = Door(at, read_target(request.target), request.transport, self._hall)
            self._pending.add(request)
            try:
                await door.open()
            except asyncio.CancelledError:
                door.close()
                raise
            except TinCanError as exc:
                session.refuse(id, f"The other can cannot listen for you. It says: {exc}")
                self._ledger.tell(NotForwarded(str(at), str(exc)))
                return
            finally:
                self._pending.discard(request)
            self._lent[request] = door
            self._ledger.tell(Listening(f"{at} for the other can", str(door.address), there=False))
        session.accept(id, _Loan(self, session, request), str(door.address), carries_data=False)

    def give_back(self, request: Listen) -> None:
        """The peer does not need a door any more."""
        door = self._lent.pop(request, None)
        if door is not None:
            door.close()


class _Loan:
    """A door that stands open for the peer, as an `End`: closed when the peer says so, not when the string breaks."""

    def __init__(self, answers: Answers, session: Session, request: Listen) -> None:
        self._answers = answers
        self._session = session
        self._request = request

    def accepted(self, text: str) -> None:
        """Never happens: the peer asked."""

    def data(self, payload: memoryview) -> None:
        """Never happens: no credit is given."""

    def writable(self) -> None:
        """Nothing is sent."""

    def ended(self) -> None:
        """The peer has no more use for it."""
        self._answers.give_back(self._request)

    def lost(self, text: str) -> None:
        """See `End.lost`."""
        if not self._session.over:
            self._answers.give_back(self._request)


def _opened(ledger: Ledger, target: Address, end: Caller) -> None:
    ledger.opened(end, target)


def _gone(ledger: Ledger, target: Address, end: Caller, reason: str) -> None:
    ledger.gone(end, target, reason)


def _why(exc: OSError) -> str:
    """Return why a target cannot be reached, as the end of a sentence."""
    if isinstance(exc, socket.gaierror):
        return "that machine knows no such name"
    if isinstance(exc, TimeoutError):
        return f"it does not answer within {DIALLING:.0f} seconds"
    if isinstance(exc, ConnectionRefusedError):
        return "nothing listens there"
    if exc.errno is None:
        return "none of its addresses takes the connection"  # asyncio's summary of several failures
    return visible(os.strerror(exc.errno).lower())
