"""The real data plane: a tap, and two pumps in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address

import msgspec

from tincan.errors import DeviceMissing, WorldError
from tincan.tasks import settle
from tincan.vpn.path.headers import MAC_HEADER
from tincan.vpn.path.plane import (
    IP_MTU,
    OVERHEAD,
    SECRET_LENGTH,
    SWITCH_MTU,
    DataPlane,
    Interface,
    KeysExhausted,
    LinkHeard,
    LinkKeys,
    LinkStatistics,
    LinkTransport,
    Mode,
    MtuChanged,
    Network,
    PlaneEvent,
    PlaneSettings,
    UdpTransport,
    Unroutable,
)
from tincan.vpn.path.processes import MESSAGE, Pump, PumpProcess, TapLike, send, start
from tincan.vpn.path.routes import prefix
from tincan.vpn.path.words import (
    TAP_GONE,
    AddLink,
    Ask,
    Configure,
    Done,
    Failed,
    Found,
    Heard,
    Inject,
    MoveLink,
    Order,
    Received,
    Relay,
    RemoveLink,
    Report,
    SetPeer,
    Spent,
    ToDriver,
    Wanted,
    pack,
)

EVENTS = 1024
DIED = "A pump of the virtual network has died"
REPORTED = 256
"""Links in one report, which is one message."""
TURN = 64
"""Messages of a pump that are read before anything else is looked at."""
ANSWER_TIMEOUT = 20.0
"""Seconds; a pump answers in one turn of its loop, but has to start first."""


@contextlib.asynccontextmanager
async def open_plane(settings: PlaneSettings, tap: TapLike | None = None, pumps: int = 1) -> AsyncIterator[DataPlane]:
    """Make a tap and start its pumps, one for both directions or two; at the context's end all is gone.

    Raises `tincan.errors.DeviceMissing` where there is no right to, or no tap.
    """
    if tap is None:
        tap = _tap(settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(tap.close)
        _set_up(tap, settings)
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ends = ((Pump.BOTH, here),) if pumps == 1 else ((Pump.IN, here), (Pump.OUT, there))
        with here, there:
            started = [await start(stack, which, tap, end, settings.mode) for which, end in ends]
        plane = PumpedPlane(settings, tap, started)
        stack.push_async_callback(plane.close)
        await plane.begin()
        yield plane


def _tap(settings: PlaneSettings) -> TapLike:
    if sys.platform != "linux":
        raise DeviceMissing("Virtual networks need Linux.")
    from tincan.vpn.path.tap import Tap

    return Tap(settings.tap, settings.mode)


def _set_up(tap: TapLike, settings: PlaneSettings) -> None:
    try:
        tap.configure(_mtu(settings), settings.addresses, _segments(settings))
    except OSError as exc:
        raise DeviceMissing(f"The virtual interface could not be set up: {exc.strerror}.") from exc


def _mtu(settings: PlaneSettings) -> int:
    return settings.mtu or (IP_MTU if settings.mode is Mode.IP else SWITCH_MTU)


def _largest(settings: PlaneSettings) -> int:
    """Say what the tap gives at most; a VLAN tag more than that must fit as well."""
    return _mtu(settings) + (0 if settings.mode is Mode.IP else MAC_HEADER + 4)


def _segments(settings: PlaneSettings) -> int:
    """Say how many segments a large packet may have, so that all of it goes out by one sendmsg."""
    from tincan.vpn.path.departures import MOST_BYTES, MOST_SEGMENTS

    return min(MOST_SEGMENTS, MOST_BYTES // (_largest(settings) + OVERHEAD))


class PumpedPlane:
    """A `DataPlane` of one or two pumps. Made by `open_plane`."""

    def __init__(self, settings: PlaneSettings, tap: TapLike, pumps: list[PumpProcess]) -> None:
        """``pumps``: the in pump first."""
        self._settings = settings
        self._tap = tap
        self._pumps = pumps
        self._relayed: dict[int, Callable[[bytes], None]] = {}
        self._links: set[int] = set()
        self._events: asyncio.Queue[PlaneEvent] = asyncio.Queue(EVENTS)
        self._ended = asyncio.Event()
        self._failure: WorldError | None = None
        self._orders = asyncio.Lock()
        self._message = memoryview(bytearray(MESSAGE))
        self._decode = msgspec.msgpack.Decoder(ToDriver).decode
        self._watchers: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Give the pumps their settings."""
        loop = asyncio.get_running_loop()
        for pump in self._pumps:
            loop.add_reader(pump.control, self._readable, pump)
            self._watchers.append(asyncio.create_task(self._watch(pump)))
        await self._configure()

    async def close(self) -> None:
        """Listen no more."""
        loop = asyncio.get_running_loop()
        self._end()
        for pump in self._pumps:
            loop.remove_reader(pump.control)
            pump.control.close()
        await settle(*self._watchers)

    @property
    def tap(self) -> str:
        """The interface's real name."""
        return self._tap.name

    @property
    def settings(self) -> PlaneSettings:
        """As last configured."""
        return self._settings

    # -- what the module asks

    async def add_link(
        self,
        number: int,
        transport: LinkTransport,
        keys: LinkKeys,
        addresses: tuple[Interface | Network, ...] = (),
    ) -> None:
        """Begin to use a link."""
        if number in self._links or not 0 <= number < 1 << 16:
            raise ValueError(f"there is a link {number} already, or it is no number for one")
        if {len(keys.send), len(keys.receive)} != {SECRET_LENGTH}:
            raise ValueError(f"secrets have {SECRET_LENGTH} bytes")
        remote, fds = self._transport(number, transport)
        self._links.add(number)
        prefixes = [prefix(address) for address in addresses]
        await self._all(AddLink(number, keys.send, keys.receive, keys.cipher.value, remote, prefixes), fds)

    async def move_link(self, number: int, transport: LinkTransport) -> None:
        """Use another transport for a link."""
        self._known(number)
        remote, fds = self._transport(number, transport)
        await self._all(MoveLink(number, remote), fds)

    async def remove_link(self, number: int) -> None:
        """Forget a link."""
        if number in self._links:
            await self._all(RemoveLink(number))
            self._links.discard(number)
            self._relayed.pop(number, None)

    async def set_peer(self, number: int, addresses: tuple[Interface | Network, ...]) -> None:
        """Say which addresses a link's peer has."""
        self._known(number)
        await self._all(SetPeer(number, [prefix(address) for address in addresses]))

    async def inject(self, packet: bytes) -> None:
        """Write a packet to the tap."""
        if not 0 < len(packet) <= 0xFFFF:
            raise ValueError("a packet has 1 to 65535 bytes")
        await self._all(Inject(packet))

    async def configure(self, settings: PlaneSettings) -> None:
        """Change the settings."""
        if (settings.tap, settings.mode) != (self._settings.tap, self._settings.mode):
            raise ValueError("another tap or mode is another data plane")
        _set_up(self._tap, settings)
        self._settings = settings
        await self._configure()

    async def _configure(self) -> None:
        settings = self._settings
        own = [(address.packed, address.network.prefixlen) for address in settings.addresses]
        ra, dhcp = settings.allow_ra, settings.allow_dhcp
        await self._all(Configure(_largest(settings), own, dhcp, ra, settings.translation, settings.carried))

    def received(self, number: int, datagram: bytes) -> None:
        """Take a datagram of a relayed link."""
        with contextlib.suppress(OSError):
            self._pumps[0].control.send(pack(Received(number, datagram)))

    async def events(self) -> AsyncIterator[PlaneEvent]:
        """Give what happens."""
        ended = asyncio.create_task(self._ended.wait())
        try:
            while True:
                event = asyncio.create_task(self._events.get())
                try:
                    await asyncio.wait({event, ended}, return_when=asyncio.FIRST_COMPLETED)
                    if event.done():
                        yield event.result()
                        continue
                finally:
                    await settle(event)
                if self._failure is not None:
                    raise self._failure
                return
        finally:
            await settle(ended)

    async def statistics(self, only: int | None = None) -> dict[int, LinkStatistics]:
        """Say how each link is doing, or one."""
        self._check()
        numbers = [number for number in self._links if only in (None, number)]
        merged: dict[int, dict[str, int | float | None]] = {number: {} for number in numbers}
        for at in range(0, len(numbers), REPORTED):
            for done in await self._all(Report(numbers[at : at + REPORTED])):
                for number, figures in done.figures.items():
                    merged[number] |= figures
        return {number: msgspec.convert(figures, LinkStatistics) for number, figures in merged.items()}

    # -- the pumps

    def _known(self, number: int) -> None:
        if number not in self._links:
            raise ValueError(f"there is no link {number}")

    def _transport(self, number: int, transport: LinkTransport) -> tuple[tuple[str, int] | None, list[int]]:
        if isinstance(transport, UdpTransport):
            ip_address(transport.remote[0].partition("%")[0])
            self._relayed.pop(number, None)
            return transport.remote, [transport.socket.fileno()]
        self._relayed[number] = transport.send
        return None, []

    async def _all(self, order: Order, fds: list[int] | None = None) -> list[Done]:
        """Give an order to the pumps, the in pump first: who may be sent to is listened to already."""
        return [await self._order(pump, order, fds) for pump in self._pumps]

    async def _order(self, pump: PumpProcess, order: Order, fds: list[int] | None = None) -> Done:
        """Give an order and wait until it is carried out."""
        self._check()
        async with self._orders:
            pump.asked += 1
            number = pump.asked
            answer: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
            pump.answers[number] = answer
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    await send(pump.control, pack(Ask(number, order)), fds or [])
                    done = await answer
                if done.refused:
                    raise WorldError(f"The system did not let the virtual network do that ({done.refused}).")
                return done
            except TimeoutError:
                self._fail("A pump of the virtual network does not answer.")
                raise self._failed() from None
            except OSError:
                self._fail(f"{DIED}.")
                raise self._failed() from None
            finally:
                pump.answers.pop(number, None)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failed()
        if self._ended.is_set():
            raise WorldError("The virtual network is closed.")

    def _failed(self) -> WorldError:
        return self._failure or WorldError("The virtual network is closed.")

    def _fail(self, sentence: str) -> None:
        if self._failure is None and not self._ended.is_set():
            self._failure = WorldError(sentence)
        self._end()

    def _end(self) -> None:
        """Nothing goes on; who waits for an answer is told."""
        self._ended.set()
        for pump in self._pumps:
            for answer in pump.answers.values():
                if not answer.done():
                    answer.set_exception(self._failed())

    async def _watch(self, pump: PumpProcess) -> None:
        """Notice that a pump dies."""
        code = await pump.process.wait()
        self._readable(pump)  # it may have said why
        if code == TAP_GONE:
            self._fail(f"The interface {self.tap} was deleted.")
        else:
            self._fail(f"{DIED} ({pump.why or (f'signal {-code}' if code < 0 else f'exit code {code}')}).")

    def _readable(self, pump: PumpProcess) -> None:
        """Take what a pump has said."""
        for _ in range(TURN):
            try:
                size = pump.control.recv_into(self._message)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            if not size:
                asyncio.get_running_loop().remove_reader(pump.control)  # its end is noticed by `_watch`
                return
            self._take(pump, self._decode(self._message[:size]))

    def _take(self, pump: PumpProcess, word: ToDriver) -> None:
        if isinstance(word, Done):
            answer = pump.answers.get(word.order)
            if answer is not None and not answer.done():
                answer.set_result(word)
        elif isinstance(word, Relay):
            send = self._relayed.get(word.link)
            for datagram in word.datagrams if send is not None else []:
                send(datagram)  # type: ignore[misc]
        elif isinstance(word, Failed):
            pump.why = word.why
        else:
            with contextlib.suppress(asyncio.QueueFull):
                self._events.put_nowait(_event(word))


def _event(word: Heard | Found | Wanted | Spent) -> PlaneEvent:
    match word:
        case Heard():
            return LinkHeard(word.link)
        case Found():
            return MtuChanged(word.link, word.mtu)
        case Spent():
            return KeysExhausted(word.link)
        case Wanted():
            mac = len(word.destination) == 6
            named = word.destination.hex(":") if mac else str(ip_address(word.destination))
            return Unroutable(word.packet, named)
