"""The real module, in this process: `open_module`.

``tin-can linkd`` puts it behind a Unix socket (`tincan.vpn.module.server`), and
the old IPOP API, where that is asked for, drives the same one. Every method of
the API is a few lines here, which makes this file a long one.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from tincan import __version__
from tincan.errors import TinCanError, UsageError
from tincan.link.transports import Certificate
from tincan.nat.servers import IceServer, parse_server
from tincan.tasks import plain_errors
from tincan.vpn.module import netwatch, nic
from tincan.vpn.module.events import Event, MtuChanged, NetworkChanged, PacketUnrouted
from tincan.vpn.module.hello import our_hello
from tincan.vpn.module.interface import (
    INVALID_PARAMS,
    NO_SUCH_LINK,
    NO_SUCH_METHOD,
    SYSTEM_ERROR,
    TOO_MANY,
    WRONG_STATE,
    Module,
    ModuleError,
)
from tincan.vpn.module.link import Link
from tincan.vpn.module.links import Links
from tincan.vpn.module.listeners import Listeners
from tincan.vpn.module.methods import (
    MAX_PEERS,
    AddCandidates,
    ConnectLink,
    CreateLink,
    GetState,
    Identity,
    IgnoreInterfaces,
    InjectPacket,
    LinkMade,
    ModuleState,
    Nothing,
    RestartLink,
    SendMessage,
    Server,
    SetAddresses,
    SetMode,
    SetPeer,
    SetTranslation,
    TrimLink,
    Trimmed,
    fingerprint_text,
)
from tincan.vpn.module.strand import Wanted
from tincan.vpn.path import plane
from tincan.vpn.path.plane import DataPlane, PlaneSettings

MAX_LINKS: Final = 1024

OpenPlane: TypeAlias = Callable[[PlaneSettings], contextlib.AbstractAsyncContextManager[DataPlane]]


@contextlib.asynccontextmanager
async def open_module(
    open_plane: OpenPlane, *, tap: str | None = None, carried: bool = False
) -> AsyncIterator[LocalModule]:
    """Make a tap and a module that drives it; at the end the links and the tap are gone.

    ``carried``: its controllers carry packets without a link themselves (see `PlaneSettings`).

    Raises what ``open_plane`` raises (`DeviceMissing` without root), also
    later, when the packet path has failed.
    """
    with plain_errors():
        async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
            module = LocalModule(open_plane, group, stack)
            settings = PlaneSettings(carried=carried)
            await module.begin(settings if tap is None else dataclasses.replace(settings, tap=tap))
            try:
                yield module
            finally:
                await module.end()


class LocalModule(Module):
    """A module in this process. Made by `open_module`."""

    def __init__(self, open_plane: OpenPlane, group: asyncio.TaskGroup, stack: contextlib.AsyncExitStack) -> None:
        self._open_plane = open_plane
        self._group = group
        self._stack = stack
        self._listeners = Listeners()
        self._certificate = Certificate.make()
        self._fast_aes = plane.fast_aes(_read("/proc/cpuinfo"))
        self._ignored: tuple[str, ...] = ()
        self._translation = SetTranslation(None)
        self._changing = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._does: dict[str, Callable[[Any], Awaitable[msgspec.Struct]]] = {
            "identity": self._identity,
            "set_addresses": self._set_addresses,
            "set_mode": self._set_mode,
            "set_translation": self._set_translation,
            "ignore_interfaces": self._ignore_interfaces,
            "create_link": self._create_link,
            "connect_link": self._connect_link,
            "add_candidates": self._add_candidates,
            "restart_link": self._restart_link,
            "trim_link": self._trim_link,
            "set_peer": self._set_peer,
            "state": self._state,
            "inject_packet": self._inject_packet,
            "send_message": self._send_message,
        }

    async def ask(self, method: str, params: msgspec.Struct) -> Any:
        """See `Module.ask`."""
        if method not in self._does:
            raise ModuleError(NO_SUCH_METHOD, f"There is no method {method!r} here.")
        try:
            return await self._does[method](params)
        except ModuleError:
            raise
        except TinCanError as exc:
            raise ModuleError(INVALID_PARAMS if isinstance(exc, UsageError) else SYSTEM_ERROR, str(exc)) from exc
        except ValueError as exc:  # the data plane's word for what cannot be meant
            raise ModuleError(INVALID_PARAMS, f"{method}: {exc}.") from exc
        except OSError as exc:
            raise ModuleError(SYSTEM_ERROR, f"The system refused ({exc.strerror or exc}).") from exc

    def events(self) -> contextlib.AbstractAsyncContextManager[AsyncIterator[Event]]:
        """See `Module.events`."""
        return self._listeners.listen()

    def tell(self, event: Event) -> None:
        """Tell an event of somebody else's who drives this module in this process."""
        self._listeners.tell(event)

    # -- beginning and end ---------------------------------------------------------------

    async def begin(self, settings: PlaneSettings) -> None:
        """Open the data plane and watch the network."""
        await self._open(settings)
        self._links = Links(self._plane, self._group, self._listeners.tell)
        self._links.on_used = self._used_changed
        watching = netwatch.watch(self._avoided, lambda: self._listeners.tell(NetworkChanged()))
        self._watching = self._group.create_task(watching, name="watching the network")

    async def end(self) -> None:
        """Take all links down and the tap away."""
        self._links.on_used = lambda: None
        await self._links.close()
        for task in (self._watching, self._listening):
            if task is not None:
                task.cancel()
        self._listeners.end()

    async def _open(self, settings: PlaneSettings) -> None:
        try:
            self._plane = await self._stack.enter_async_context(self._open_plane(settings))
        except ValueError as exc:
            raise UsageError(f"The tap cannot be made: {exc}.") from exc
        self._listening = self._group.create_task(self._listen(), name="events of the data plane")

    async def _listen(self) -> None:
        async for event in self._plane.events():
            self._hear(event)

    def _hear(self, event: plane.PlaneEvent) -> None:
        match event:
            case plane.Unroutable(packet, destination):
                self._listeners.tell(PacketUnrouted(packet, destination, self._owner(destination)))
            case plane.MtuChanged(number, mtu) if (link := self._links.by_plane(number)) is not None:
                self._listeners.tell(MtuChanged(link.number, mtu))
            case plane.KeysExhausted(number) if (link := self._links.by_plane(number)) is not None:
                self._links.give_up(link, "The keys of the link are used up; restart it.")
            case _:
                pass

    def _owner(self, destination: str) -> str | None:
        """Return the peer that was given an address, by the longest network that holds it."""
        try:
            address = ipaddress.ip_address(destination)
        except ValueError:  # a MAC address
            return None
        holding = [
            (n.prefixlen, peer) for peer, networks in self._links.peers.items() for n in networks if address in n
        ]
        return max(holding)[1] if holding else None

    def _avoided(self) -> tuple[str, ...]:
        return (self._plane.tap, *self._ignored)

    # -- the tap -------------------------------------------------------------------------

    async def _identity(self, _: Nothing) -> Identity:
        settings = self._plane.settings
        default = plane.IP_MTU if settings.mode is plane.Mode.IP else plane.SWITCH_MTU
        return Identity(
            version=__version__,
            fingerprint=fingerprint_text(self._certificate.digest),
            tap=self._plane.tap,
            mac=nic.mac(self._plane.tap),
            mode=settings.mode.value,
            addresses=tuple(map(str, settings.addresses)),
            mtu=settings.mtu or default,
        )

    async def _set_addresses(self, params: SetAddresses) -> Nothing:
        addresses = tuple(ipaddress.ip_interface(text) for text in (params.ip4, params.ip6) if text is not None)
        await self._configure(addresses=addresses, mtu=params.mtu)
        return Nothing()

    async def _set_mode(self, params: SetMode) -> Nothing:
        mode = plane.Mode(params.mode)
        if mode is self._plane.settings.mode:
            await self._configure(allow_dhcp=params.allow_dhcp, allow_ra=params.allow_ra)
            return Nothing()
        async with self._changing:
            if len(self._links):
                raise ModuleError(WRONG_STATE, "The mode cannot be changed while there are links.")
            settings = dataclasses.replace(
                self._plane.settings, mode=mode, mtu=None, allow_dhcp=params.allow_dhcp, allow_ra=params.allow_ra
            )
            await self._links.close()
            if self._listening is not None:
                self._listening.cancel()
            try:
                await self._stack.aclose()  # another mode is another tap
                await self._open(settings)
            except TinCanError as exc:
                self._group.create_task(_fail(exc), name="the module ends without a tap")
                raise
            await self._links.use(self._plane)
        return Nothing()

    async def _set_translation(self, params: SetTranslation) -> Nothing:
        self._translation = params
        await self._configure()
        return Nothing()

    async def _ignore_interfaces(self, params: IgnoreInterfaces) -> Nothing:
        self._ignored = params.names
        return Nothing()

    async def _inject_packet(self, params: InjectPacket) -> Nothing:
        await self._plane.inject(params.packet)
        return Nothing()

    async def _configure(self, **changes: Any) -> None:
        async with self._changing:
            settings = dataclasses.replace(self._plane.settings, **changes)
            settings = dataclasses.replace(settings, translation=self._translations(settings.addresses))
            if settings != self._plane.settings:
                await self._plane.configure(settings)

    def _translations(self, addresses: tuple[plane.Interface, ...]) -> dict[int, dict[str, str]] | None:
        own, peers = self._translation.own, self._translation.peers
        if own is None:
            return None
        ours = {"own": own}
        for interface in addresses:
            if str(interface.ip) == own:
                ours["network"] = str(interface.network)
        return {n: {**ours, "peer": peers[peer]} for n, peer in self._links.used().items() if peer in peers}

    def _used_changed(self) -> None:
        if self._translation.own is not None:
            self._group.create_task(self._configure(), name="translation of another strand")

    # -- links ---------------------------------------------------------------------------

    def _wanted(self, controlling: bool, servers: tuple[IceServer, ...], relay_only: bool) -> Wanted:
        return Wanted(
            controlling=controlling,
            servers=servers,
            relay_only=relay_only,
            certificate=self._certificate,
            interfaces=netwatch.usable_interfaces(self._avoided()),
            hello=our_hello(self._plane.settings.mode.value, fast_aes=self._fast_aes),
        )

    async def _create_link(self, params: CreateLink) -> LinkMade:
        if len(self._links) >= MAX_LINKS:
            raise ModuleError(TOO_MANY, f"There are {MAX_LINKS} links already.")
        async with self._changing:  # the mode, which takes all links down
            wanted = self._wanted(params.controlling, _servers(params.servers), params.relay_only)
            link, description = await self._links.create(params.peer, wanted)
        return LinkMade(link.number, description)

    async def _connect_link(self, params: ConnectLink) -> Nothing:
        link = self._link(params.link)
        if not self._links.connect(link, params.description):
            raise ModuleError(WRONG_STATE, f"Link {link.number} has been connected; restart it, or make another.")
        return Nothing()

    async def _add_candidates(self, params: AddCandidates) -> Nothing:
        link = self._link(params.link)
        if link.next is not None:
            link.next.strand.add(params.candidates, params.complete, params.ufrag)
        return Nothing()

    async def _restart_link(self, params: RestartLink) -> LinkMade:
        link = self._link(params.link)
        before = link.wanted
        controlling = before.controlling if params.controlling is None else params.controlling
        servers = before.servers if params.servers is None else _servers(params.servers)
        wanted = self._wanted(controlling, servers, before.relay_only)
        return LinkMade(link.number, await self._links.restart(link, wanted))

    async def _trim_link(self, params: TrimLink) -> Trimmed:
        found = [link for link in self._links if params.link == link.number or params.peer == link.peer]
        for link in found:
            await self._links.trim(link)
        return Trimmed(len(found))

    async def _set_peer(self, params: SetPeer) -> Nothing:
        if params.peer not in self._links.peers and len(self._links.peers) >= MAX_PEERS:
            raise ModuleError(TOO_MANY, f"There are {MAX_PEERS} peers with addresses already.")
        await self._links.set_peer(params.peer, tuple(map(ipaddress.ip_network, params.addresses)))
        return Nothing()

    async def _state(self, params: GetState) -> ModuleState:
        return ModuleState(await self._links.states(params.peer, statistics=params.statistics))

    async def _send_message(self, params: SendMessage) -> Nothing:
        link = self._link(params.link)
        if link.used is None:
            raise ModuleError(WRONG_STATE, f"Link {link.number} is not online.")
        if not link.used.strand.send(params.data):
            raise ModuleError(TOO_MANY, f"Too many messages wait to be sent on link {link.number}.")
        return Nothing()

    def _link(self, number: int) -> Link:
        link = self._links.get(number)
        if link is None:
            raise ModuleError(NO_SUCH_LINK, f"There is no link {number}.")
        return link


async def _fail(exc: TinCanError) -> None:
    raise exc


def _servers(given: tuple[Server, ...]) -> tuple[IceServer, ...]:
    return tuple(parse_server(s.url, s.username, s.credential) for s in given)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
