"""The dialect at work, without its sockets: the core, the module that it drives and the overlay that it speaks by.

One task does everything in the order in which it came: datagrams, events of
the module, events of the overlay. The others only fill its queue, which is
bounded; a datagram too many is lost, as datagrams are. Packets without a link
may take half of it, so that there is room for calls however many there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, TypeAlias

from tincan.tasks import plain_errors
from tincan.vpn.ipop.core import Dialect
from tincan.vpn.ipop.effects import Address, Ask, Effect, Identify, Login, Look, Open, Send, SetLogging, Tell
from tincan.vpn.ipop.events import OverlayEvent, SignedIn, SignedOut
from tincan.vpn.ipop.overlay import Overlay
from tincan.vpn.ipop.wire import Release
from tincan.vpn.module.events import Event, PacketUnrouted
from tincan.vpn.module.interface import Module, ModuleError
from tincan.vpn.module.methods import CreateLink, LinkState

MAX_WAITING: Final = 1024
LEVELS: Final = {0: logging.CRITICAL + 1, 1: logging.ERROR, 2: logging.INFO, 3: logging.DEBUG}

Arrival: TypeAlias = tuple[bytes, Address] | Event | OverlayEvent | list[LinkState]

logger = logging.getLogger(__name__)


class Engine:
    """Serves one release's API for one module.

    ``send`` puts a datagram on its way, ``say`` gets lines for people, and
    ``told`` the state of the login and the reason for it.
    """

    def __init__(
        self,
        module: Module,
        overlay: Overlay,
        release: Release,
        *,
        send: Callable[[Address, bytes], None],
        say: Callable[[str], None],
        told: Callable[[str, str], None],
    ) -> None:
        self._module = module
        self._overlay = overlay
        self._release = release
        self._send = send
        self._say = say
        self._told = told
        self._inbox: asyncio.Queue[Arrival] = asyncio.Queue(MAX_WAITING)
        self._login: asyncio.Task[None] | None = None
        self._reported: SignedIn | SignedOut | None = None

    def arrived(self, data: bytes, source: Address) -> None:
        """Take a datagram of a controller; never waits."""
        if not self._inbox.full():
            self._inbox.put_nowait((data, source))

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until cancelled, or until the module ends."""
        dialect = Dialect(self._release, await self._module.identity())
        with plain_errors():
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._hear())]
                async with self._module.events() as events:
                    tasks.append(group.create_task(self._work(dialect, group)))
                    ready()
                    missed = await self._follow(events)
                while missed:
                    async with self._module.events() as events:
                        await self._inbox.put(list(await self._module.state()))
                        missed = await self._follow(events)
                for task in [*tasks, *filter(None, [self._login])]:
                    task.cancel()

    async def _follow(self, events: AsyncIterator[Event]) -> bool:
        """Take events until the module ends, or until some were missed: then return True.

        A peer can send messages faster than they are handed on, and that must not end anything here.
        """
        try:
            async for event in events:
                if not isinstance(event, PacketUnrouted) or self._inbox.qsize() < MAX_WAITING // 2:
                    await self._inbox.put(event)
        except ModuleError as exc:
            logger.warning("%s", exc)
            return True
        return False

    async def _hear(self) -> None:
        while True:
            await self._inbox.put(await self._overlay.event())

    async def _work(self, dialect: Dialect, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            arrival = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(dialect.next_deadline()):
                    arrival = await self._inbox.get()
            self._take(dialect, arrival, loop.time())
            while effects := dialect.effects():
                for effect in effects:
                    await self._do(dialect, effect, group)

    def _take(self, dialect: Dialect, arrival: Arrival | None, now: float) -> None:
        dialect.tick(now)
        if isinstance(arrival, tuple):
            dialect.receive(*arrival, now)
        elif isinstance(arrival, OverlayEvent):
            self._report(arrival)
            dialect.overlay(arrival, now)
        elif isinstance(arrival, list):
            dialect.refreshed(tuple(arrival), now)
        elif arrival is not None:
            dialect.happened(arrival, now)

    async def _do(self, dialect: Dialect, effect: Effect, group: asyncio.TaskGroup) -> None:
        now = asyncio.get_running_loop().time
        match effect:
            case Send(to, datagram):
                self._send(to, datagram)
            case Ask(method, params):
                with _refusals(method):
                    await self._module.ask(method, params)
            case Open(ticket, params):
                dialect.opened(ticket, await self._open(params), now())
            case Identify():
                with _refusals("identity"):
                    dialect.identified(await self._module.identity())
            case Look(uid=uid, statistics=statistics):
                with _refusals("state"):
                    links = await self._module.state(uid or None, statistics=statistics)
                    dialect.looked(effect, links, now())
            case Tell(uid, kind, data):
                if not self._overlay.send(uid, kind, data):
                    logger.info("%s: nobody of uid %s is there", kind, uid[:8])
            case Login():
                self._told("connecting", "")
                self._reported = None
                self._login = group.create_task(self._overlay.run(effect))
            case SetLogging(level):
                logging.getLogger("tincan.vpn").setLevel(LEVELS[level])

    async def _open(self, params: CreateLink) -> object:
        with _refusals("create_link"):
            return await self._module.ask("create_link", params)
        return None

    def _report(self, event: OverlayEvent) -> None:
        """Say what became of the login, once while it stays so."""
        if not isinstance(event, SignedIn | SignedOut) or event == self._reported:
            return
        self._reported = event
        if isinstance(event, SignedIn):
            self._say("XMPP: signed in.")
            self._told("online", "")
        else:
            again = "" if event.final else " It is tried again."
            self._say(f"XMPP: {event.reason}{again}")
            self._told("failed" if event.final else "connecting", event.reason)


@contextlib.contextmanager
def _refusals(method: str) -> Iterator[None]:
    """Log what the module refuses: the dialect has no way to say so to its controller."""
    try:
        yield
    except ModuleError as exc:
        logger.warning("%s: %s", method, exc)
