"""Real modules on real hosts: packets between taps, across NATs and relays, through changes and deaths."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.cans import TIN_CAN, settings
from lab.modules import WITHIN, Linkd, Transfer, complete, controllers, tie, tie_again
from lab.netlab import Host, Lab, TurnServer
from tincan.errors import UsageError, WorldError
from tincan.vpn.module.client import connect, spawn
from tincan.vpn.module.events import LinkChanged, MessageCame, NetworkChanged, PacketUnrouted
from tincan.vpn.module.interface import ModuleError
from tincan.vpn.module.methods import Server
from tincan.vpn.module.states import State

NOBODY = 65534
EXAMPLE = Path(__file__).parents[2] / "examples" / "controller.py"

pytestmark = pytest.mark.usefixtures("lab")


def servers(turn: TurnServer, *kinds: str) -> list[Server]:
    stun = Server(turn.stun_url)
    relay = Server(turn.turn_url(), turn.username, turn.password)
    return [{"stun": stun, "turn": relay}[kind] for kind in kinds]


def interfaces(host: Host) -> str:
    return host.namespace.ip(["link show"])


def gone(linkd: Linkd) -> None:
    """Wait until a module's tap has gone with it."""
    deadline = time.monotonic() + WITHIN
    while f" {linkd.tap}:" in interfaces(linkd.host):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_example_of_a_controller_works(lab: Lab) -> None:
    """As docs/linkd.md has it: two modules, two controllers by somebody else, descriptions in FIFOs, ping."""
    lan = lab.lan()
    modules = [Linkd(lan.host(name)) for name in ("alice", "bob")]
    fifos = [str(lab.registry.directory / name) for name in ("a.json", "b.json")]
    for fifo in fifos:
        os.mkfifo(fifo)
    told = []
    for linkd, role, own, other, files in (
        (modules[0], "first", "10.99.0.1/24", "10.99.0.2", fifos),
        (modules[1], "second", "10.99.0.2/24", "10.99.0.1", fifos[::-1]),
    ):
        argv = [sys.executable, "-I", str(EXAMPLE), linkd.path, role, own, other, *files]
        told.append(linkd.host.start(argv))
    for controller in told:
        said = controller.wait_line(lambda line: json.loads(line)["state"] != "connecting", timeout=WITHIN)
        assert json.loads(said)["state"] == "online"
    done = modules[0].host.run(["ping", "-n", "-c", "3", "-i", "0.1", "-W", "5", "10.99.0.2"])
    assert " 3 received" in done.stdout, done.stdout


async def test_across_two_nats(lab: Lab) -> None:
    turn = lab.coturn(lab.host("server"))
    modules = [Linkd(lab.nat().host(name)) for name in ("alice", "bob")]
    async with controllers(*modules) as (alice, bob):
        assert await tie(alice, bob, servers(turn, "stun")) == "direct-udp"
        await alice.ping(bob.address)
        await bob.ping("fd99::1")
        [state] = await alice.module.state(statistics=True)
        assert state.statistics is not None
        assert state.statistics.packets_out >= 3
        assert state.statistics.packets_in >= 3
        assert state.path == "direct-udp"

        # The controllers talk over the link, and packets to nobody are told.
        await bob.module.send_message(bob.link, b"hello")
        assert (await alice.until(MessageCame)).data == b"hello"
        await asyncio.to_thread(alice.host.run, ["ping", "-n", "-c", "1", "-W", "0.1", "10.99.0.77"])
        assert (await alice.until(PacketUnrouted, destination="10.99.0.77")).packet[:1] == b"\x45"

        # A peer that dies is noticed; how soon, tests/unit/link looks at.
        modules[1].process.signal(signal.SIGKILL)
        event = await alice.until(LinkChanged, state=State.OFFLINE)
        assert "silent" in (event.reason or "")
        # However it dies, nothing of it stays.
        await asyncio.to_thread(gone, modules[1])

    # And a module that is told to stop leaves nothing behind.
    assert modules[0].tap in interfaces(modules[0].host)
    assert modules[0].process.stop() == 0
    gone(modules[0])
    assert not os.path.exists(modules[0].path)


async def test_relayed_between_symmetric_nats(lab: Lab) -> None:
    turn = lab.coturn(lab.host("server"))
    modules = [Linkd(lab.nat("symmetric").host(name)) for name in ("alice", "bob")]
    async with controllers(*modules) as (alice, bob):
        assert await tie(alice, bob, servers(turn, "stun", "turn")) == "relayed"
        await alice.ping(bob.address)
        transfer = await asyncio.to_thread(Transfer, alice, bob)
        transfer.finish()
        # Nothing but TURN over TCP, and addresses that the peer does not learn.
        assert [await one.module.trim_link(one.link) for one in (alice, bob)] == [1, 1]
        stream = [Server(turn.turn_url("tcp"), turn.username, turn.password)]
        assert await tie(alice, bob, stream, relay_only=True) == "relayed"
        await bob.ping(alice.address)
        hidden = await alice.module.create_link(
            "carol", controlling=True, servers=servers(turn, "turn"), relay_only=True
        )
        described = await complete(alice, hidden.link, hidden.description)
        assert [candidate.kind for candidate in described.candidates] == ["relay"]


async def test_a_connection_survives_another_uplink(lab: Lab) -> None:
    """Alice's cable is pulled and another network is joined, in the middle of a transfer."""
    turn = lab.coturn(lab.host("server"))
    other = lab.nat()
    modules = [Linkd(lab.nat().host("alice")), Linkd(lab.nat("full-cone").host("bob"))]
    async with controllers(*modules) as (alice, bob):
        assert await tie(alice, bob, servers(turn, "stun")) == "direct-udp"
        transfer = await asyncio.to_thread(Transfer, alice, bob)
        alice.host.namespace.ip(["link set eth0 down"])
        alice.host.join(other.network)
        await alice.until(NetworkChanged)
        assert await tie_again(alice, bob) == "direct-udp"
        await asyncio.to_thread(transfer.moves)
        transfer.finish()
        [state] = await alice.module.state()
        assert state.local is not None
        assert state.local.rpartition(":")[0] in alice.host.addresses[-2:]


async def test_a_restart_while_all_is_well_loses_next_to_nothing(lab: Lab) -> None:
    """On a LAN with IPv6 alone."""
    lan = lab.lan("ipv6")
    modules = [Linkd(lan.host(name, family="ipv6")) for name in ("alice", "bob")]
    async with controllers(*modules) as (alice, bob):
        assert await tie(alice, bob) == "lan"
        # Packets do not pass through the process that speaks ICE: they flow while it stands still.
        for linkd in modules:
            linkd.process.signal(signal.SIGSTOP)
        try:
            await alice.ping(bob.address)
        finally:
            for linkd in modules:
                linkd.process.signal(signal.SIGCONT)
        transfer = await asyncio.to_thread(Transfer, alice, bob)
        for _ in range(2):
            assert await tie_again(alice, bob) == "lan"
            await asyncio.to_thread(transfer.moves)
        transfer.finish()
        # Frames instead of packets are another tap, and only without links.
        with pytest.raises(ModuleError, match="while there are links"):
            await alice.module.set_mode("switch")
        for one in (alice, bob):
            await one.module.trim_link(one.link)
            await one.module.set_mode("switch")
            assert (await one.module.identity()).mode == "switch"
        assert await tie(alice, bob) == "lan"
        await alice.ping(bob.address)


# -- who starts it ------------------------------------------------------------------


def test_without_the_right_to_make_a_tap(lab: Lab) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no setpriv to take a capability away with")
    argv = [setpriv, "--bounding-set=-net_admin", "--inh-caps=-net_admin", *TIN_CAN, "linkd"]
    done = lab.host().run([*argv, "--socket", str(lab.registry.directory / "s")], env=settings())
    assert done.returncode == 9
    assert done.stderr.startswith("tin-can: ")
    assert done.stderr.count("\n") == 1


async def test_a_user_with_the_capability_and_nothing_else(lab: Lab) -> None:
    """Two modules of a user who is not root, and a tap, a link and its packets all the same."""
    setpriv, unshare = shutil.which("setpriv"), shutil.which("unshare")
    if setpriv is None or unshare is None:
        pytest.skip("no setpriv to become another user with, or no unshare")
    folder = lab.registry.directory / "nobody"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    device = lab.registry.directory / "tun"  # with the mode that udev gives it
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(10, 200))
    os.chmod(device, 0o666)
    caps = "+net_admin,+dac_read_search"  # the latter to read this Python, wherever it is
    user = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    prefix = [unshare, "-m", "sh", "-c", f'mount --bind {device} /dev/net/tun && exec "$@"', "sh"]
    prefix += [*user, f"--inh-caps={caps}", f"--ambient-caps={caps}", "env", "PYTHONDONTWRITEBYTECODE=1"]
    lan = lab.lan()
    modules = [Linkd(lan.host(name), prefix=prefix, folder=folder) for name in ("alice", "bob")]
    async with controllers(*modules) as (alice, bob):
        assert await tie(alice, bob) == "lan"
        await alice.ping(bob.address)
        await bob.ping("fd99::1")
        for one in (alice, bob):
            await one.module.trim_link(one.link)
            await one.module.set_mode("switch")
        assert await tie(alice, bob) == "lan"
        await alice.ping(bob.address)


async def test_where_ipv6_is_switched_off_there_is_ipv4(lab: Lab) -> None:
    host = lab.host()
    host.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])
    linkd = Linkd(host)
    async with connect(linkd.path) as module:
        await module.set_addresses("10.99.0.1/24", "fd99::1/64")
        assert "10.99.0.1/24" in host.namespace.ip(["addr show"])
        with pytest.raises(ModuleError, match="IPv6 is switched off"):
            await module.set_addresses(None, "fd99::1/64")


def test_a_module_ends_with_its_owner(lab: Lab) -> None:
    """Started by `spawn`."""
    host = lab.host()

    async def own() -> None:
        async with asyncio.timeout(WITHIN):
            async with spawn(tap="tincantest%d") as module:
                tap = (await module.identity()).tap
                assert f" {tap}:" in interfaces(host)
            assert f" {tap}:" not in interfaces(host)
            with pytest.raises(UsageError, match="name"):
                async with spawn(tap="this-name-is-too-long"):
                    pass

    host.call(asyncio.run, own())


async def test_an_owner_hears_why_its_module_ended(lab: Lab) -> None:
    before = set(children(os.getpid()))
    async with asyncio.timeout(WITHIN), spawn(tap="tincantest%d") as module, module.events() as events:
        [linkd] = [pid for pid in set(children(os.getpid())) - before if b"linkd" in command(pid)]
        [pump] = children(linkd)
        os.kill(pump, signal.SIGKILL)
        with pytest.raises(WorldError, match=r"pump .* has died \(signal 9\)"):
            async for _ in events:
                pass
        with pytest.raises(WorldError, match=r"pump .* has died \(signal 9\)"):
            await module.identity()


def test_a_module_ends_with_an_owner_that_is_killed(lab: Lab) -> None:
    program = (
        "import asyncio\n"
        "from tincan.vpn.module.client import spawn\n"
        "async def main():\n"
        "    async with spawn() as module:\n"
        "        print((await module.identity()).tap, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    host = lab.host()
    owner = host.start([sys.executable, "-c", program])
    tap = owner.read_line(timeout=WITHIN)
    assert tap in interfaces(host)
    owner.signal(signal.SIGKILL)
    deadline = time.monotonic() + WITHIN
    while tap in interfaces(host):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(parent: int) -> list[int]:
    """Look through all processes for those of one parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_a_module_whose_pump_dies_says_so_and_ends(lab: Lab) -> None:
    linkd = Linkd(lab.host())
    pumps = children(linkd.process.pid)
    assert pumps
    os.kill(pumps[0], signal.SIGKILL)
    assert linkd.process.wait(WITHIN) == 1
    assert "inside tin-can" not in linkd.process.stderr
    assert linkd.process.stderr.splitlines()[-1].startswith("tin-can: ")
    gone(linkd)
    assert not os.path.exists(linkd.path)


def test_help_says_what_it_takes() -> None:
    done = subprocess.run([*TIN_CAN, "linkd", "--help"], capture_output=True, text=True, timeout=WITHIN)
    assert "JSON-RPC" in done.stdout
    assert "--owner-fd" not in done.stdout
