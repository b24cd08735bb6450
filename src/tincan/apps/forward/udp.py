"""UDP as the local end of forwarded connections: a flow for each source address.

Datagrams are never queued: what finds no room, in the multiplexer or in the
system, is dropped, as a network would. Only the first few of a flow wait for
the peer to open its end, so that a question that fits one datagram is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from tincan.apps.forward.datagrams import IDLE, DatagramReader, Flows, pack
from tincan.apps.forward.wire import Wire

MAX_EARLY: Final = 16
"""Datagrams of a flow that wait for its connection."""


class FlowEnd:
    """One flow as an `End`. ``reply``: sends a datagram to where the flow comes from."""

    def __init__(
        self,
        *,
        reply: Callable[[bytes], None],
        opened: Callable[[FlowEnd], None],
        gone: Callable[[FlowEnd, str], None],
    ) -> None:
        self._reply = reply
        self._opened = opened
        self._gone = gone
        self._reader = DatagramReader()
        self._early: list[bytes] | None = []
        self._wire: Wire | None = None
        self._over = False

    @property
    def wire(self) -> Wire | None:
        """The connection that it belongs to."""
        return self._wire

    def join(self, wire: Wire) -> None:
        """Belong to a connection, which may still have to be accepted."""
        self._wire = wire

    def push(self, datagram: bytes) -> None:
        """Send a datagram to the peer, or drop it."""
        if self._early is not None:
            if len(self._early) < MAX_EARLY:
                self._early.append(datagram)
            return
        packed = pack(datagram)
        if self._wire is not None and not self._over and len(packed) <= self._wire.room():
            self._wire.send(packed)

    def close(self, text: str = "") -> None:
        """End the flow: it was idle, it is not wanted any more, or it did not come about."""
        if not self._over:
            self._over = True
            if self._wire is not None:
                self._wire.hang_up()
            self._gone(self, text)

    def accepted(self, text: str) -> None:
        """See `End.accepted`."""
        self._opened(self)
        self.writable()

    def writable(self) -> None:
        """See `End.writable`: the credit comes after the acceptance; only early datagrams wait for it."""
        if self._early is not None and self._wire is not None and self._wire.room():
            early, self._early = self._early, None
            for datagram in early:
                self.push(datagram)

    def data(self, payload: memoryview) -> None:
        """See `End.data`."""
        for datagram in self._reader.feed(payload):
            self._reply(datagram)
        if self._wire is not None:
            self._wire.consumed(len(payload))

    def ended(self) -> None:
        """See `End.ended`: a flow has only one end."""
        self.close()

    def lost(self, text: str) -> None:
        """See `End.lost`."""
        self.close(text)


class _Sender(asyncio.DatagramProtocol):
    """What both kinds of sockets share: sending, or dropping, and errors that do not matter."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._stuck = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`: asyncio holds 64 KiB for a socket that cannot send."""
        self._stuck = True

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._stuck = False

    def error_received(self, exc: Exception) -> None:
        """See `asyncio.DatagramProtocol`. A port that nobody listens on now may be opened later."""

    def send(self, datagram: bytes, address: Any = None) -> None:
        """Send one datagram, unless there is no room for it."""
        transport = self._transport
        if transport is not None and not transport.is_closing() and not self._stuck:
            transport.sendto(datagram, address)


class UdpDoor(_Sender):
    """A UDP socket that is listened on. ``arrived``: called with each new flow, to open its connection."""

    def __init__(
        self,
        *,
        arrived: Callable[[FlowEnd], None],
        opened: Callable[[FlowEnd], None],
        gone: Callable[[FlowEnd, str], None],
    ) -> None:
        super().__init__()
        self._arrived = arrived
        self._opened = opened
        self._gone = gone
        self._flows: Flows[Any, FlowEnd] = Flows()
        self._timer: asyncio.TimerHandle | None = None

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """See `asyncio.DatagramProtocol`."""
        now = asyncio.get_running_loop().time()
        flow = self._flows.find(addr, now)
        if flow is not None:
            flow.push(data)
            return
        flow = FlowEnd(
            reply=lambda datagram: self._answer(addr, datagram),
            opened=self._opened,
            gone=lambda flow, text: self._ended(addr, flow, text),
        )
        oldest = self._flows.add(addr, flow, now)
        if oldest is not None:
            oldest.close()
        flow.push(data)
        self._arrived(flow)
        self._wake_in_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        if self._timer is not None:
            self._timer.cancel()
        for flow in self._flows.expired(float("inf")):
            flow.close()

    def _answer(self, address: Any, datagram: bytes) -> None:
        self._flows.find(address, asyncio.get_running_loop().time())  # an answer keeps a flow alive too
        self.send(datagram, address)

    def _ended(self, address: Any, flow: FlowEnd, text: str) -> None:
        self._flows.remove(address, flow)
        self._gone(flow, text)

    def _wake_in_time(self) -> None:
        deadline = self._flows.next_deadline()
        if deadline is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._clean_up)

    def _clean_up(self) -> None:
        self._timer = None
        for flow in self._flows.expired(asyncio.get_running_loop().time()):
            flow.close()
        self._wake_in_time()


class UdpDial(_Sender):
    """A UDP socket that is connected to a target, for one flow of the peer."""

    def __init__(self, *, opened: Callable[[FlowEnd], None], gone: Callable[[FlowEnd, str], None]) -> None:
        super().__init__()
        self._gone = gone
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self.flow = FlowEnd(reply=self._pass_on, opened=opened, gone=self._ended)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        super().connection_made(transport)
        self._keep_alive()
        self._wake_in_time()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """See `asyncio.DatagramProtocol`."""
        self._keep_alive()
        self.flow.push(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self.flow.close()

    def _pass_on(self, datagram: bytes) -> None:
        self._keep_alive()
        self.send(datagram)

    def _keep_alive(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    def _wake_in_time(self) -> None:
        loop = asyncio.get_running_loop()
        if self._heard + IDLE <= loop.time():
            self.flow.close()
        else:
            self._timer = loop.call_at(self._heard + IDLE, self._wake_in_time)

    def _ended(self, flow: FlowEnd, text: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
        self._gone(flow, text)
