"""`Module`: what a controller knows of a TinCan module, wherever that runs."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

import msgspec

from tincan.errors import TinCanError
from tincan.vpn.module.events import Event
from tincan.vpn.module.methods import (
    METHODS,
    AddCandidates,
    Candidate,
    ConnectLink,
    CreateLink,
    Description,
    GetState,
    Identity,
    IgnoreInterfaces,
    InjectPacket,
    LinkMade,
    LinkState,
    Mode,
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
)

R = TypeVar("R")

# JSON-RPC 2.0 section 5.1.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
NO_SUCH_METHOD: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
# Ours, from the range that it leaves to servers.
NO_SUCH_LINK: Final = -32001
WRONG_STATE: Final = -32002
TOO_MANY: Final = -32003
SYSTEM_ERROR: Final = -32004


class ModuleError(TinCanError):
    """The module answered that it did not do what was asked, and why. ``code``: see docs/linkd.md."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Module(abc.ABC):
    """A TinCan module. Every method raises `ModuleError` when the module says no.

    Use the methods by name, or `call` with JSON-like parameters. `events` is
    subscribed to before anything is asked that they answer.
    """

    @abc.abstractmethod
    async def ask(self, method: str, params: msgspec.Struct) -> Any:
        """Have a method of `METHODS` done; parameters and result are of the types named there."""

    @abc.abstractmethod
    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Hear events from now on::

            async with module.events() as events:
                async for event in events: ...

        The iterator ends when the module does, or raises what the module said
        at its end where that is known. A listener that does not keep up loses
        its place: its iterator raises `ModuleError`.
        """

    async def call(self, method: str, **params: Any) -> Any:
        """Have a method done by its name, with parameters as JSON would have them."""
        if method not in METHODS:
            raise ModuleError(NO_SUCH_METHOD, f"There is no method {method!r}.")
        try:
            converted = msgspec.convert(params, METHODS[method][0])
        except msgspec.ValidationError as exc:
            raise ModuleError(INVALID_PARAMS, f"{method}: {exc}.") from None
        return await self.ask(method, converted)

    async def identity(self) -> Identity:
        """Return what the module is."""
        return _as(Identity, await self.ask("identity", Nothing()))

    async def set_addresses(self, ip4: str | None, ip6: str | None = None, mtu: int | None = None) -> None:
        """Give the tap its addresses."""
        await self.ask("set_addresses", SetAddresses(ip4, ip6, mtu))

    async def set_mode(self, mode: Mode, *, allow_dhcp: bool = False, allow_ra: bool = False) -> None:
        """Carry IP packets or Ethernet frames."""
        await self.ask("set_mode", SetMode(mode, allow_dhcp, allow_ra))

    async def set_translation(self, own: str | None, peers: Mapping[str, str] = {}) -> None:
        """Rewrite addresses on arrival, or stop to."""
        await self.ask("set_translation", SetTranslation(own, dict(peers)))

    async def ignore_interfaces(self, names: Iterable[str]) -> None:
        """Keep new links off some interfaces."""
        await self.ask("ignore_interfaces", IgnoreInterfaces(tuple(names)))

    async def create_link(
        self, peer: str, *, controlling: bool, servers: Iterable[Server] = (), relay_only: bool = False
    ) -> LinkMade:
        """Begin a link; hand the description to the peer."""
        return _as(LinkMade, await self.ask("create_link", CreateLink(peer, controlling, tuple(servers), relay_only)))

    async def connect_link(self, link: int, description: Description) -> None:
        """Connect a link to the peer that gave this description."""
        await self.ask("connect_link", ConnectLink(link, description))

    async def add_candidates(
        self, link: int, candidates: Iterable[Candidate], *, complete: bool = False, ufrag: str | None = None
    ) -> None:
        """Pass on candidates of the peer that came later."""
        await self.ask("add_candidates", AddCandidates(link, tuple(candidates), complete, ufrag))

    async def restart_link(
        self, link: int, *, controlling: bool | None = None, servers: Iterable[Server] | None = None
    ) -> LinkMade:
        """Begin a link anew beside the one in use."""
        given = None if servers is None else tuple(servers)
        return _as(LinkMade, await self.ask("restart_link", RestartLink(link, controlling, given)))

    async def trim_link(self, link: int | None = None, *, peer: str | None = None) -> int:
        """Take a link down, or all of a peer; return how many there were."""
        return _as(Trimmed, await self.ask("trim_link", TrimLink(link, peer))).links

    async def set_peer(self, peer: str, addresses: Iterable[str]) -> None:
        """Say which addresses are a peer's."""
        await self.ask("set_peer", SetPeer(peer, tuple(addresses)))

    async def state(self, peer: str | None = None, *, statistics: bool = False) -> tuple[LinkState, ...]:
        """Return how the links are."""
        return _as(ModuleState, await self.ask("state", GetState(peer, statistics))).links

    async def inject_packet(self, packet: bytes) -> None:
        """Write a packet to the tap."""
        await self.ask("inject_packet", InjectPacket(packet))

    async def send_message(self, link: int, data: bytes) -> None:
        """Send a message to the other controller."""
        await self.ask("send_message", SendMessage(link, data))


def _as(kind: type[R], value: Any) -> R:
    if not isinstance(value, kind):
        raise ModuleError(INTERNAL_ERROR, "The module answered something else than was asked.")
    return value
