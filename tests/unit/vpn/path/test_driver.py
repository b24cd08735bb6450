"""The pumps as processes: taps in memory, real UDP sockets on loopback. Needs no root."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_interface

import pytest

from tincan.errors import WorldError
from tincan.tasks import settle
from tincan.vpn.path.driver import REPORTED, open_plane
from tincan.vpn.path.memory import MemoryTap
from tincan.vpn.path.plane import (
    DataPlane,
    LinkHeard,
    LinkKeys,
    LinkStatistics,
    Mode,
    MtuChanged,
    PlaneEvent,
    PlaneSettings,
    RelayedTransport,
    UdpTransport,
    Unroutable,
    fast_aes,
)
from tincan.vpn.path.processes import MESSAGE
from tincan.vpn.path.vnet import LENGTH
from tincan.vpn.path.words import Done, pack
from unit.vpn.path import packets as p

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="virtual networks need Linux")

PATIENCE = 120
SECRETS = (b"a" * 32, b"b" * 32)


class End:
    """A plane with a memory tap, and everything that it said."""

    def __init__(self, plane: DataPlane, tap: MemoryTap) -> None:
        self.plane = plane
        self.tap = tap
        self.events: list[PlaneEvent] = []
        self.listening = asyncio.create_task(self.listen())

    async def listen(self) -> None:
        async for event in self.plane.events():
            self.events.append(event)

    async def got(self) -> bytes:
        """Give the next packet that is written to the tap."""
        async with asyncio.timeout(PATIENCE):
            return (await asyncio.get_running_loop().sock_recv(self.tap.other, 1 << 17))[LENGTH:]

    async def tell(self, buffer: bytes) -> None:
        """Let a packet come out of the tap."""
        await asyncio.get_running_loop().sock_sendall(self.tap.other, buffer)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def ends(mode: Mode = Mode.IP, pumps: int = 1) -> AsyncIterator[tuple[End, End]]:
    """Open two planes, not linked yet."""
    async with AsyncExitStack() as stack:
        made = []
        for own in ((p.A4, p.A6), (p.B4, p.B6)):
            settings = PlaneSettings(
                mode=mode, addresses=(ip_interface(f"{own[0]}/24"), ip_interface(f"{own[1]}/64"))
            )
            tap = MemoryTap()
            stack.callback(tap.other.close)
            made.append(End(await stack.enter_async_context(open_plane(settings, tap, pumps)), tap))
            stack.push_async_callback(settle, made[-1].listening)
        yield made[0], made[1]


def sockets(family: socket.AddressFamily = socket.AF_INET) -> list[socket.socket]:
    made = []
    for _ in range(2):
        link = socket.socket(family, socket.SOCK_DGRAM)
        link.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        made.append(link)
    return made


async def connect(one: End, other: End, family: socket.AddressFamily = socket.AF_INET) -> None:
    ours = sockets(family)
    names = [link.getsockname()[:2] for link in ours]
    # The other end first, so that it is ready for what has waited at this one.
    for n, end, peer in ((1, other, (p.A4, p.A6)), (0, one, (p.B4, p.B6))):
        with ours[n]:
            transport = UdpTransport(ours[n], names[1 - n])
            await end.plane.add_link(7, transport, LinkKeys(SECRETS[n], SECRETS[1 - n]))
        await end.plane.set_peer(7, tuple(map(ip_interface, peer)))


@pytest.mark.parametrize(("family", "pumps"), [(socket.AF_INET, 1), (socket.AF_INET6, 2)])
async def test_packets_go_both_ways(family: socket.AddressFamily, pumps: int) -> None:
    async with ends(pumps=pumps) as (one, other):
        await connect(one, other, family)
        large = p.tcp(payload=bytes(60_000), partial=True)
        await one.tell(p.gso(large, 1360))
        got = b""
        while len(got) < 60_000:
            got += (await other.got())[40:]
        assert got == bytes(60_000)
        await other.tell(p.plain(p.udp(p.B6, p.A6, b"hello")))
        assert await one.got() == p.udp(p.B6, p.A6, b"hello")
        for end in (one, other):
            await end.until(lambda end=end: MtuChanged(7, 1420) in end.events and LinkHeard(7) in end.events)
        counted = (await one.plane.statistics())[7]
        assert counted.packets_out >= 45
        assert counted.bytes_out > 60_000
        assert (counted.bytes_in, counted.mtu, counted.invalid) == (53, 1420, 0)
        assert counted.heard is not None


@pytest.mark.parametrize("pumps", [1, 2])
async def test_frames_go_both_ways(pumps: int) -> None:
    async with ends(Mode.SWITCH, pumps) as (one, other):
        await connect(one, other)
        request = p.arp(p.MAC_A, p.A4, p.B4)
        await one.tell(p.plain(request))
        assert await other.got() == request
        answer = p.frame(p.tcp(p.B4, p.A4, bytes(100)), p.MAC_B, p.MAC_A)
        await other.tell(p.plain(answer))
        assert await one.got() == answer


async def test_a_relayed_link_goes_through_the_caller() -> None:
    async with ends() as (one, other):
        keys = [LinkKeys(SECRETS[n], SECRETS[1 - n]) for n in range(2)]
        await one.plane.add_link(1, RelayedTransport(lambda d: other.plane.received(2, d)), keys[0])
        await other.plane.add_link(2, RelayedTransport(lambda d: one.plane.received(1, d)), keys[1])
        await one.plane.set_peer(1, (ip_interface(p.B4),))
        await other.plane.set_peer(2, (ip_interface(p.A4),))
        await one.tell(p.gso(p.tcp(payload=bytes(5000), partial=True), 1300))
        missing = 5000
        while missing:
            missing -= len(await other.got()) - 40
        # and it moves to a path of its own, with the same keys
        ours = sockets()
        names = [link.getsockname() for link in ours]
        for end, number, n in ((one, 1, 0), (other, 2, 1)):
            with ours[n]:
                await end.plane.move_link(number, UdpTransport(ours[n], names[1 - n]))
        await one.tell(p.plain(p.udp(payload=b"direct")))
        assert await other.got() == p.udp(payload=b"direct")


async def test_what_nobody_has_is_told_and_kept() -> None:
    async with ends() as (one, other):
        packet = p.tcp(flags=2)
        await one.tell(p.plain(packet))
        await one.until(lambda: Unroutable(packet, p.B4) in one.events)
        await connect(one, other)
        assert await other.got() == packet


async def test_what_waited_is_sent_once_the_other_end_is_there_too() -> None:
    """Not before: an end without keys, or that knows no addresses of ours, would drop it."""
    async with ends() as (one, other):
        packet = p.tcp(flags=2)
        await one.tell(p.plain(packet))
        await one.until(lambda: Unroutable(packet, p.B4) in one.events)
        ours = sockets()
        names = [link.getsockname()[:2] for link in ours]
        for n, end, peer in ((0, one, (p.B4, p.B6)), (1, other, (p.A4, p.A6))):
            with ours[n]:
                transport = UdpTransport(ours[n], names[1 - n])
                keys = LinkKeys(SECRETS[n], SECRETS[1 - n])
                await end.plane.add_link(7, transport, keys, tuple(map(ip_interface, peer)))
            if end is one:
                await asyncio.sleep(0.05)  # time enough to do it wrong
        assert await other.got() == packet


async def test_inject_and_configure() -> None:
    async with ends() as (one, _):
        await one.plane.inject(p.udp(p.C4, p.A4))
        assert await one.got() == p.udp(p.C4, p.A4)
        settings = PlaneSettings(addresses=(ip_interface("10.8.0.1/24"),), mtu=1300)
        await one.plane.configure(settings)
        assert one.plane.settings == settings
        with pytest.raises(ValueError, match="another"):
            await one.plane.configure(PlaneSettings(mode=Mode.SWITCH))
        one.tap.other.close()  # a kernel that does not take it
        with pytest.raises(WorldError, match="did not let"):
            await one.plane.inject(p.udp(p.C4, p.A4))


async def test_misuse_is_a_value_error() -> None:
    async with ends() as (one, other):
        await connect(one, other)
        relayed, keys = RelayedTransport(lambda d: None), LinkKeys(*SECRETS)
        with pytest.raises(ValueError, match="number"):
            await one.plane.add_link(7, relayed, keys)
        with pytest.raises(ValueError, match="32 bytes"):
            await one.plane.add_link(8, relayed, LinkKeys(b"", b""))
        for number in (8, -1):
            with pytest.raises(ValueError, match="no link"):
                await one.plane.set_peer(number, ())
        await one.plane.remove_link(8)
        await one.plane.remove_link(7)
        assert await one.plane.statistics() == {}


@pytest.mark.parametrize(("how", "why"), [("killed", "signal 9"), ("broken", "ValidationError")])
async def test_a_pump_that_dies_is_noticed_and_why(how: str, why: str) -> None:
    async with ends() as (one, _):
        [pump] = one.plane._pumps  # type: ignore[attr-defined]
        if how == "killed":
            pump.process.send_signal(signal.SIGKILL)
        else:
            pump.control.send(b"\x90")
        with pytest.raises(WorldError, match=rf"pump.*{why}"):
            await asyncio.wait_for(one.listening, PATIENCE)
        with pytest.raises(WorldError, match=rf"pump.*{why}"):
            await one.plane.statistics()


async def test_what_the_system_refuses_is_said_and_the_pump_goes_on() -> None:
    async with ends() as (one, other):
        await connect(one, other)
        keys = LinkKeys(SECRETS[0], SECRETS[1])
        with socket.socket(socket.AF_UNIX) as wrong, pytest.raises(WorldError, match="did not let"):
            await one.plane.add_link(8, UdpTransport(wrong, ("127.0.0.1", 9)), keys)
        await one.plane.remove_link(8)
        await one.tell(p.plain(p.udp()))
        assert await other.got() == p.udp()


async def test_many_links_are_reported_in_parts() -> None:
    async with ends() as (one, _):
        keys = LinkKeys(SECRETS[0], SECRETS[1])
        for number in range(REPORTED + 2):
            await one.plane.add_link(number, RelayedTransport(lambda d: None), keys)
        assert set(await one.plane.statistics()) == set(range(REPORTED + 2))
        assert set(await one.plane.statistics(7)) == {7}
    most = dataclasses.asdict(LinkStatistics()) | dict.fromkeys(("heard", "epoch"), 2.0**40)
    figures = {name: 1 << 62 if type(value) is int else value for name, value in most.items()}
    assert len(pack(Done(1 << 40, dict.fromkeys(range(1 << 15, (1 << 15) + REPORTED), figures)))) < MESSAGE / 2


async def test_who_waits_for_an_answer_when_the_plane_is_closed_is_told() -> None:
    async with ends() as (one, _):
        [pump] = one.plane._pumps  # type: ignore[attr-defined]
        pump.process.send_signal(signal.SIGSTOP)
        waiting = asyncio.create_task(one.plane.inject(p.udp()))
        while not pump.answers:
            await asyncio.sleep(0)
    with pytest.raises(WorldError, match="closed"):
        await waiting


async def test_pumps_end_with_their_driver() -> None:
    """Even if it is killed: their sockets close."""
    code = (
        "import asyncio\n"
        "from tincan.vpn.path.driver import open_plane\n"
        "from tincan.vpn.path.memory import MemoryTap\n"
        "from tincan.vpn.path.plane import PlaneSettings\n"
        "async def main():\n"
        "    async with open_plane(PlaneSettings(), MemoryTap(), 2) as plane:\n"
        "        print(*(pump.process.pid for pump in plane._pumps), flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    driver = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert driver.stdout is not None
    async with asyncio.timeout(PATIENCE):
        pids = [int(word) for word in (await driver.stdout.readline()).split()]
        driver.kill()
        await driver.wait()
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.01)
    assert len(pids) == 2


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_pumps_start_lean() -> None:
    code = "import sys, tincan.vpn.path.pump; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"asyncio", "aiortc", "click", "ssl"} & set(loaded) == set()


def test_fast_aes() -> None:
    assert fast_aes("processor\t: 0\nflags\t\t: fpu aes avx\n")
    assert fast_aes("Features\t: fp asimd aes\n")
    assert not fast_aes("flags\t\t: fpu avx\nmodel name: aes\n")
