"""A module behind a Unix socket, and controllers of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tincan.errors import UsageError, WorldError
from tincan.vpn.module.api import MAX_LINE
from tincan.vpn.module.client import ModuleGone, connect
from tincan.vpn.module.events import LinkChanged, MessageCame, NetworkChanged
from tincan.vpn.module.interface import ModuleError
from tincan.vpn.module.memory import MemoryModule, MemoryNetwork
from tincan.vpn.module.server import MAX_CONNECTIONS, Server, allowed, listening

WITHIN = 120.0


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[MemoryModule, str]]:
    module = MemoryNetwork().module("alice")
    path = str(folder / "linkd.sock")
    async with asyncio.timeout(WITHIN), listening(module, path):
        yield module, path


class Raw:
    """A controller that writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> dict[str, Any]:
        self.writer.write(data)
        return await self.hear()

    async def hear(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.reader.readuntil(b"\n"))
        assert found["jsonrpc"] == "2.0"
        return found


@contextlib.asynccontextmanager
async def raw(path: str) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_unix_connection(path, limit=4 * MAX_LINE)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


async def test_two_controllers_and_their_events(tmp_path: Path) -> None:
    async with served(tmp_path) as (module, path), connect(path) as one, connect(path) as two:
        async with one.events() as first, two.events() as second:
            made = await one.create_link("bob", controlling=True)
            await one.connect_link(made.link, made.description)
            for heard in (first, second):
                while not isinstance(await anext(heard), LinkChanged):
                    pass
            module.change_network()
            assert [await anext(first), await anext(second)] == [NetworkChanged()] * 2
        assert [state.link for state in await two.state()] == [made.link]
        with pytest.raises(ModuleError, match="no link 99"):
            await two.restart_link(99)


async def test_only_its_user_can_open_the_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert not os.path.exists(path)
    assert [allowed(uid, 1000) for uid in (0, 1000, 1001, -1)] == [True, True, False, False]


async def test_as_a_third_party_writes_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (module, path), raw(path) as peer:
        call = {
            "jsonrpc": "2.0",
            "id": "a-1",
            "method": "create_link",
            "params": {"peer": "bob", "controlling": True},
        }
        said = await peer.say(json.dumps(call).encode() + b"\r\n")
        assert said["id"] == "a-1"
        assert said["result"]["description"]["candidates"][0]["kind"] == "host"
        assert (await peer.say(b'{"jsonrpc":"2.0","id":7,"method":"state"}\n'))["result"]["links"][0][
            "state"
        ] == "new"
        assert (
            await peer.say(b'{"jsonrpc":"2.0","id":8,"method":"subscribe","params":{"events":["network_changed"]}}\n')
        )["result"] == {}
        module.want("10.0.0.1")
        module.change_network()
        assert await peer.hear() == {"jsonrpc": "2.0", "method": "event", "params": {"event": "network_changed"}}
        # A notification is done, and not answered.
        peer.writer.write(b'{"jsonrpc":"2.0","method":"inject_packet","params":{"packet":"' + b"A" * 28 + b'"}}\n')
        assert (await peer.say(b'{"jsonrpc":"2.0","id":null,"method":"state"}\n'))["id"] is None
        assert module.injected == [bytes(21)]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"state"}}', -32700),
        (b"[" * 100_000, -32600),
        (b'{"a":' * 40_000, -32700),
        (b'"state"', -32600),
        (b"null", -32600),
        (b"[]", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"state"}]', -32600),
        (b'{"id":1,"method":"state"}', -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"state"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"state"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"state"}', -32600),
        (b'{"jsonrpc":"2.0","id":"' + b"x" * 200 + b'","method":"state"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 200 + b'"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"shutdown"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"state","params":[]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"state","params":7}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"state","params":{"pere":"bob"}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"state","params":{"peer":7}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"trim_link","params":{}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"trim_link","params":{"link":0}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"inject_packet","params":{"packet":"not base64!"}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"set_addresses","params":{"mtu":10}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"events":["everything"]}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"create_link","params":{"peer":"a b","controlling":true}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"send_message","params":{"link":1,"data":""}}', -32001),
    ],
    ids=lambda value: value[:60].decode(errors="replace") if isinstance(value, bytes) else str(value),
)
async def test_whatever_is_wrong_is_said(tmp_path: Path, line: bytes, code: int) -> None:
    async with served(tmp_path) as (_, path), raw(path) as peer:
        said = await peer.say(line + b"\n")
        assert said["error"]["code"] == code
        assert said["error"]["message"].endswith(".")
        assert len(said["error"]["message"]) < 1000
        assert said["id"] == (1 if code > -32600 else said["id"])
        # And it goes on.
        assert "result" in await peer.say(b'{"jsonrpc":"2.0","id":2,"method":"identity"}\n')


async def test_a_line_without_end_ends_the_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, path), raw(path) as peer, connect(path) as other:
        peer.writer.write(b"x" * (MAX_LINE + 100_000))
        assert (await peer.hear())["error"]["code"] == -32600
        with contextlib.suppress(ConnectionError):
            assert await peer.reader.read() == b""
        assert (await other.identity()).tap == "memory0"


async def test_who_hangs_up_in_the_middle_does_no_harm(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, path):
        for line in (b"", b"{", b'{"jsonrpc":"2.0","id":1,"method":"state"}\n' * 500):
            async with raw(path) as peer:
                peer.writer.write(line)
        async with connect(path) as module:
            assert await module.state() == ()


async def test_a_failure_inside_is_told_as_one(tmp_path: Path) -> None:
    class Broken(MemoryModule):
        async def ask(self, method: str, params: msgspec.Struct) -> Any:
            raise KeyError("secret")

    path = str(tmp_path / "s")
    async with listening(Broken(MemoryNetwork(), "x"), path), connect(path) as module:
        with pytest.raises(ModuleError, match=r"inside the module \(KeyError\)") as caught:
            await module.identity()
        assert (caught.value.code, "secret" in str(caught.value)) == (-32603, False)


async def test_too_many_controllers(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, path), contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            module = await stack.enter_async_context(connect(path))
            await module.identity()
        async with raw(path) as peer:
            assert (await peer.hear())["error"]["code"] == -32003


async def test_who_does_not_read_is_let_go_and_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as (module, path), raw(path) as lazy, connect(path) as other:
        await lazy.say(b'{"jsonrpc":"2.0","id":1,"method":"subscribe"}\n')
        lazy.writer.transport.pause_reading()
        for _ in range(40):
            for _ in range(100):
                module.tell(MessageCame(1, "bob", bytes(1400)))
            await other.identity()
        lazy.writer.transport.resume_reading()
        with contextlib.suppress(ConnectionError):
            while await lazy.reader.read(1 << 20):
                pass
        assert lazy.reader.at_eof()


async def test_a_socket_that_was_left_is_taken_over_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "linkd.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with served(tmp_path) as (module, _):
        with pytest.raises(UsageError, match="Another"):
            async with listening(module, str(path)):
                pass
        async with connect(str(path)) as client:
            await client.identity()
    path.write_text("mine")
    with pytest.raises(UsageError, match="no socket"):
        async with listening(module, str(path)):
            pass
    assert path.read_text() == "mine"
    with pytest.raises(WorldError, match="cannot be offered"):
        async with listening(module, str(tmp_path / "none" / "s")):
            pass


async def test_a_module_that_goes_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="no TinCan module"):
        async with connect(str(tmp_path / "nowhere")):
            pass
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    module = MemoryNetwork().module("alice")
    attending = asyncio.create_task(Server(module).attend(theirs))
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    from tincan.vpn.module.client import SocketModule

    client = SocketModule(reader, writer)
    running = asyncio.create_task(client.run())
    async with asyncio.timeout(WITHIN), client.events() as events:
        await client.identity()
        attending.cancel()
        assert [event async for event in events] == []
        await running
        with pytest.raises(ModuleGone):
            await client.identity()
        writer.close()
