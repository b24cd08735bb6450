"""The hall where connections wait for the string: for a while, and not too many."""

from __future__ import annotations

import asyncio

from tincan.apps.forward import ForwardEvent, NotForwarded
from tincan.apps.forward.addresses import HostPort, Transport
from tincan.apps.forward.doors import MAX_WAITING, NO_STRING, PATIENCE, Hall
from tincan.apps.forward.ledger import Ledger
from tincan.apps.forward.udp import FlowEnd
from virtualtime import in_virtual_time

WEB = HostPort("web", 80)


class Waiters:
    """A hall, and callers that come to it; ``gone``: those that were sent away."""

    def __init__(self) -> None:
        self.told: list[ForwardEvent] = []
        self.gone: list[FlowEnd] = []
        self.hall = Hall(Ledger(self.told.append))

    def come(self) -> FlowEnd:
        caller = FlowEnd(reply=lambda _: None, opened=lambda _: None, gone=self.leave)
        self.hall.arrived(caller, WEB, Transport.UDP)
        return caller

    def leave(self, caller: FlowEnd, reason: str) -> None:
        self.gone.append(caller)
        self.hall.gone(caller, reason, WEB)


@in_virtual_time
async def test_who_waits_too_long_is_sent_away() -> None:
    waiters = Waiters()
    first = waiters.come()
    await asyncio.sleep(PATIENCE / 2)
    second = waiters.come()
    await asyncio.sleep(PATIENCE / 2 + 0.1)
    assert waiters.gone == [first]
    await asyncio.sleep(PATIENCE / 2)
    assert waiters.gone == [first, second]
    assert waiters.told == [NotForwarded("web:80", NO_STRING)] * 2


@in_virtual_time
async def test_only_so_many_may_wait() -> None:
    waiters = Waiters()
    callers = [waiters.come() for _ in range(MAX_WAITING + 1)]
    assert waiters.gone == callers[-1:]
    waiters.hall.gone(callers[0], "", WEB)  # its program gave up
    waiters.come()
    assert len(waiters.gone) == 1
    waiters.hall.close()
    assert len(waiters.gone) == MAX_WAITING + 1
