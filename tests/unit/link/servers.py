"""STUN and TURN servers as small as tests need them, on real sockets (RFC 8489, RFC 8656)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from typing import cast

from aioice import stun, turn

from tincan.nat.servers import IceServer

Address = tuple[str, int]

USER, PASSWORD, REALM = "ada", "a secret", "test"


@contextlib.contextmanager
def silent_server() -> Iterator[IceServer]:
    """A STUN server that takes everything and answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield IceServer("stun", "127.0.0.1", bound.getsockname()[1])


class _Stun(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[stun.Message, Address], stun.Message]) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._transport.sendto(bytes(self._answer(stun.parse_message(data), addr)), addr)


def _response(request: stun.Message, kind: stun.Class = stun.Class.RESPONSE) -> stun.Message:
    return stun.Message(
        message_method=request.message_method, message_class=kind, transaction_id=request.transaction_id
    )


def sees(mapped: Address | None = None) -> Callable[[stun.Message, Address], stun.Message]:
    """Answer with the address that the request came from, or another one."""

    def answer(request: stun.Message, addr: Address) -> stun.Message:
        response = _response(request)
        response.attributes["XOR-MAPPED-ADDRESS"] = mapped or addr
        return response

    return answer


def says_nothing_of_use(request: stun.Message, addr: Address) -> stun.Message:
    """Answer as servers of RFC 3489 did: without the attribute that was asked for."""
    return _response(request)


def refuses(request: stun.Message, addr: Address) -> stun.Message:
    """Answer with an error."""
    response = _response(request, stun.Class.ERROR)
    response.attributes["ERROR-CODE"] = (500, "Out of order")
    return response


@contextlib.asynccontextmanager
async def stun_server(answer: Callable[[stun.Message, Address], stun.Message]) -> AsyncIterator[IceServer]:
    """A STUN server that answers in this way."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Stun(answer), local_addr=("127.0.0.1", 0)
    )
    try:
        yield IceServer("stun", "127.0.0.1", transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


class TurnServer(asyncio.DatagramProtocol):
    """Relays for whoever knows the password, or one made from ``secret`` (as coturn does)."""

    def __init__(self, secret: str | None = None, relays_at: str = "127.0.0.1") -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.given_back = 0
        self.asked = asyncio.Event()
        self._secret = secret
        self._relays_at = relays_at
        self._relays: dict[Address, _Relay] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if data[0] & 0xC0 == 0x40:
            channel, length = struct.unpack("!HH", data[:4])
            self._relays[addr].send(channel, data[4 : 4 + length])
            return
        task = asyncio.get_running_loop().create_task(self._serve(stun.parse_message(data), addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: stun.Message, addr: Address) -> None:
        self.asked.set()
        await self.open.wait()
        key = self._key(request)
        if key is None or not request.check_message_integrity(key):
            refusal = _response(request, stun.Class.ERROR)
            refusal.attributes["ERROR-CODE"] = (401, "Unauthorized")
            refusal.attributes["REALM"] = REALM
            refusal.attributes["NONCE"] = b"nonce"
            self.transport.sendto(bytes(refusal), addr)
            return
        response = _response(request)
        if request.message_method == stun.Method.ALLOCATE:
            relay = self._relays.get(addr) or await self._relay(addr)
            response.attributes["LIFETIME"] = 600
            response.attributes["XOR-MAPPED-ADDRESS"] = addr
            response.attributes["XOR-RELAYED-ADDRESS"] = relay.transport.get_extra_info("sockname")
        elif request.message_method == stun.Method.CHANNEL_BIND:
            self._relays[addr].bind(request.attributes["CHANNEL-NUMBER"], request.attributes["XOR-PEER-ADDRESS"])
        elif request.message_method == stun.Method.REFRESH and request.attributes["LIFETIME"] == 0:
            self.given_back += 1
            relay = self._relays.pop(addr)
            relay.transport.close()
            response.attributes["LIFETIME"] = 0
        response.add_message_integrity(key)
        self.transport.sendto(bytes(response), addr)

    def _key(self, request: stun.Message) -> bytes | None:
        user = request.attributes.get("USERNAME")
        if user is None:
            return None
        password = PASSWORD
        if self._secret is not None:
            digest = hmac.new(self._secret.encode(), user.encode(), hashlib.sha1).digest()
            password = base64.b64encode(digest).decode()
        return turn.make_integrity_key(user, REALM, password)

    async def _relay(self, client: Address) -> _Relay:
        _, relay = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Relay(self, client), local_addr=(self._relays_at, 0)
        )
        return self._relays.setdefault(client, relay)

    def close(self) -> None:
        """Go, without a word."""
        for task in self._tasks:
            task.cancel()
        for relay in self._relays.values():
            relay.transport.close()
        self.transport.close()


class _Relay(asyncio.DatagramProtocol):
    """One relayed address."""

    def __init__(self, server: TurnServer, client: Address) -> None:
        self._server = server
        self._client = client
        self._peers: dict[int, Address] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def bind(self, channel: int, peer: Address) -> None:
        self._peers[channel] = peer

    def send(self, channel: int, payload: bytes) -> None:
        self.transport.sendto(payload, self._peers[channel])

    def datagram_received(self, data: bytes, addr: Address) -> None:
        for channel, peer in self._peers.items():
            if peer == addr:
                self._server.transport.sendto(struct.pack("!HH", channel, len(data)) + data, self._client)


@contextlib.asynccontextmanager
async def turn_server(
    secret: str | None = None, relays_at: str = "127.0.0.1"
) -> AsyncIterator[tuple[TurnServer, IceServer]]:
    """A TURN server over UDP, and how to reach it."""
    made = TurnServer(secret, relays_at)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: made, local_addr=("127.0.0.1", 0)
    )
    try:
        yield made, IceServer("turn", "127.0.0.1", transport.get_extra_info("sockname")[1], "udp", USER, PASSWORD)
    finally:
        made.close()
