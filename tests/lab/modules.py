"""TinCan modules on hosts of the laboratory, and the controllers' part of a test.

The API's socket is a file, so a test talks to modules in all namespaces from its own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab.cans import TIN_CAN, settings
from lab.netlab import PATIENCE, Host, Process
from tincan.vpn.module.client import SocketModule, connect
from tincan.vpn.module.events import CandidatesFound, Event, LinkChanged
from tincan.vpn.module.methods import Candidate, Description, Server
from tincan.vpn.module.states import State

WITHIN = PATIENCE

E = TypeVar("E", bound=Event)


class Linkd:
    """A module's process on a host. ``address``: what its tap gets, in 10.99.0.0/24."""

    def __init__(self, host: Host, *options: str, prefix: Sequence[str] = (), folder: Path | None = None) -> None:
        """``prefix``: of the command, to run it otherwise than root does; ``folder``: for the socket."""
        self.host = host
        self.path = str((folder or host.lab.registry.directory) / f"{host.name}.sock")
        argv = [*prefix, *TIN_CAN, "linkd", "--socket", self.path, *options]
        self.process: Process = host.start(argv, env=settings())
        line = self.process.wait_line("its API is at", timeout=WITHIN, stream="stderr")
        self.tap = line.split(" is on ")[1].split(";")[0]


@dataclass
class Controller:
    """One end: its module, what it tells, and its address on the virtual network."""

    host: Host
    module: SocketModule
    events: AsyncIterator[Event]
    address: str
    link: int = 0

    async def until(self, kind: type[E], within: float = WITHIN, **fields: Any) -> E:
        """Wait for the next event like this."""
        async with asyncio.timeout(within):
            async for event in self.events:
                if isinstance(event, kind) and all(getattr(event, k) == v for k, v in fields.items()):
                    return event
        raise AssertionError("the module ended")

    async def ping(self, other: str, count: int = 3) -> None:
        """Ping an address through the network; every packet must come back, if perhaps at a second try."""
        for _ in range(20):
            done = await asyncio.to_thread(
                self.host.run, ["ping", "-n", "-c", str(count), "-i", "0.05", "-W", "2", other], timeout=WITHIN
            )
            if f" {count} received" in done.stdout:
                return
        raise AssertionError(done.stdout + done.stderr)


@contextlib.asynccontextmanager
async def controllers(*modules: Linkd) -> AsyncIterator[list[Controller]]:
    """Give each module an address, 10.99.0.1 and so on, and listen to it."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for number, linkd in enumerate(modules, 1):
            module = await stack.enter_async_context(connect(linkd.path))
            events = await stack.enter_async_context(module.events())
            await module.set_addresses(f"10.99.0.{number}/24", f"fd99::{number}/64")
            made.append(Controller(linkd.host, module, events, f"10.99.0.{number}"))
        yield made


async def complete(one: Controller, link: int, ours: Description) -> Description:
    """Wait until all candidates are known."""
    found: list[Candidate] = list(ours.candidates)
    done = ours.complete
    while not done:
        event = await one.until(CandidatesFound, link=link, ufrag=ours.ufrag)
        found += event.candidates
        done = event.complete
    return Description(ours.ufrag, ours.pwd, ours.fingerprint, tuple(found), True)


async def tie(a: Controller, b: Controller, servers: Iterable[Server] = (), *, relay_only: bool = False) -> str:
    """Make a link between two, and return its path."""
    servers = tuple(servers)
    described = []
    for one, other in ((a, b), (b, a)):
        await one.module.set_peer(other.address, [other.address, other.address.replace("10.99.0.", "fd99::")])
        made = await one.module.create_link(
            other.address, controlling=one is a, servers=servers, relay_only=relay_only
        )
        one.link = made.link
        described.append(await complete(one, made.link, made.description))
    return await _connect(a, b, described)


async def tie_again(a: Controller, b: Controller) -> str:
    """Restart the link between two, and return its path."""
    described = []
    for one in (a, b):
        made = await one.module.restart_link(one.link)
        described.append(await complete(one, made.link, made.description))
    return await _connect(a, b, described)


async def _connect(a: Controller, b: Controller, described: list[Description]) -> str:
    await a.module.connect_link(a.link, described[1])
    await b.module.connect_link(b.link, described[0])
    paths = []
    for one in (a, b):
        while True:
            event = await one.until(LinkChanged, link=one.link)
            assert event.state is not State.FAILED, event.reason
            if event.state is State.ONLINE and event.reason is None:
                break
        paths.append(event.path)
    assert paths[0] == paths[1]
    return str(paths[0])


SINK = """
import hashlib, socket, sys
digest = hashlib.sha256()
listening = socket.create_server((sys.argv[1], 7000))
print("ready", flush=True)
sock, _ = listening.accept()
count = 0
while data := sock.recv(1 << 16):
    count += len(data)
    digest.update(data)
print("received", count, digest.hexdigest(), flush=True)
"""

SOURCE = """
import hashlib, os, socket, sys, threading, time
digest = hashlib.sha256()
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
sock = socket.create_connection((sys.argv[1], 7000), timeout=60)
count, told = 0, 0
while not stop.is_set():
    data = os.urandom(1000) * 50
    sock.sendall(data)
    digest.update(data)
    count += len(data)
    if time.monotonic() - told > 0.1:
        told = time.monotonic()
        print("sent", count, flush=True)
    time.sleep(0.005)
sock.shutdown(socket.SHUT_WR)
print("done", count, digest.hexdigest(), flush=True)
sock.recv(1)
"""


class Transfer:
    """A TCP connection through the network that is busy until it is told to stop."""

    def __init__(self, source: Controller, sink: Controller) -> None:
        self.sink = sink.host.start([sys.executable, "-I", "-c", SINK, sink.address])
        self.sink.wait_line("ready")
        self.source = source.host.start([sys.executable, "-I", "-c", SOURCE, sink.address])
        self.moves()

    def moves(self) -> None:
        """Wait until more was sent than fits into buffers."""
        first = int(self.source.wait_line("sent", timeout=WITHIN).split()[1])
        while int(self.source.wait_line("sent", timeout=WITHIN).split()[1]) < first + 8_000_000:
            pass

    def finish(self) -> None:
        """Stop, and compare both ends."""
        self.source.write_line("stop")
        sent = self.source.wait_line("done", timeout=WITHIN).split()[1:]
        assert self.sink.wait_line("received", timeout=WITHIN).split()[1:] == sent
