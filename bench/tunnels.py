"""The virtual networks that `bench.net` compares: how each is started between two hosts on one cable.

All of them encrypt and authenticate, with the fastest settings that each has: AES-128 where there is a choice,
no compression. A tunnel has the address 10.7.0.1 at Alice's end and 10.7.0.2 at Bob's.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.programs import BenchError
from lab.modules import Linkd, controllers, tie
from lab.netlab import Host, Lab, Process

WIRE = {"alice": "10.99.0.1", "bob": "10.99.0.2"}
INSIDE = {"alice": "10.7.0.1", "bob": "10.7.0.2"}
PORT = 7000
PATIENCE = 30.0


@dataclass(frozen=True)
class Ground:
    """Two hosts with a cable between them, and a folder for settings."""

    alice: Host
    bob: Host
    folder: Path

    def ends(self) -> Iterator[tuple[str, Host, str, Host]]:
        """Give both ends: name, host, and those of the other one."""
        yield "alice", self.alice, "bob", self.bob
        yield "bob", self.bob, "alice", self.alice


@dataclass
class Tunnel:
    """A tunnel at work: Bob's address in it, and the programs that make it."""

    address: str
    programs: list[Process]


@dataclass(frozen=True)
class Kind:
    """A kind of tunnel, and how one is made."""

    name: str
    label: str
    make: Callable[[Ground], AbstractContextManager[Tunnel]]
    ours: bool = False


@contextmanager
def ground() -> Iterator[Ground]:
    """Make the hosts and the cable."""
    with Lab() as lab:
        hosts = {name: lab.isolated(name) for name in WIRE}
        alice, bob = hosts["alice"], hosts["bob"]
        alice.namespace.ip([f"link add eth0 type veth peer name eth0 netns {bob.namespace.name}"])
        for name, host in hosts.items():
            host.namespace.ip([f"addr add {WIRE[name]}/24 dev eth0", "link set eth0 up"])
            host.addresses.append(WIRE[name])
        yield Ground(alice, bob, lab.registry.directory)


@contextmanager
def programs(*started: Process) -> Iterator[list[Process]]:
    """End programs whatever happens."""
    try:
        yield list(started)
    finally:
        for program in started:
            program.stop(PATIENCE)


def up(host: Host, interface: str, address: str) -> None:
    """Give an interface its address."""
    host.namespace.ip([f"addr add {address}/24 dev {interface}", f"link set {interface} up"])


@contextmanager
def bare(ground: Ground) -> Iterator[Tunnel]:
    """Use the cable itself."""
    yield Tunnel(WIRE["bob"], [])


def tin_can(mode: str) -> Callable[[Ground], AbstractContextManager[Tunnel]]:
    """Run two modules, ``tin-can linkd``, with a controller that links them."""

    @contextmanager
    def make(ground: Ground) -> Iterator[Tunnel]:
        modules = [Linkd(ground.alice), Linkd(ground.bob)]
        linked, over = threading.Event(), threading.Event()
        failures: list[BaseException] = []

        async def control() -> None:
            async with controllers(*modules) as (alice, bob):
                for one, name in ((alice, "alice"), (bob, "bob")):
                    one.address = INSIDE[name]
                    await one.module.set_mode(mode)  # type: ignore[arg-type]
                    await one.module.set_addresses(f"{INSIDE[name]}/24", None)
                await tie(alice, bob)
                await bob.ping(alice.address)
                linked.set()
                await asyncio.to_thread(over.wait)

        def work() -> None:
            try:
                asyncio.run(control())
            except BaseException as exc:
                failures.append(exc)
                linked.set()

        with programs(*(module.process for module in modules)) as started:
            thread = threading.Thread(target=work)
            thread.start()
            try:
                if not linked.wait(PATIENCE) or failures:
                    raise BenchError(f"no link: {failures}")
                yield Tunnel(INSIDE["bob"], started)
            finally:
                over.set()
                thread.join(PATIENCE)

    return make


@contextmanager
def wireguard_go(ground: Ground) -> Iterator[Tunnel]:
    """Debian's wireguard-go: ChaCha20-Poly1305, as always."""

    def wg(*words: str, text: str = "") -> str:
        return subprocess.run(["wg", *words], input=text, capture_output=True, text=True, check=True).stdout.strip()

    keys = {name: wg("genkey") for name in WIRE}
    # The control sockets are files that all namespaces share, so the names differ.
    names = {name: f"wg{ground.folder.name[2:6]}{name[0]}" for name in WIRE}
    started = [host.start(["wireguard-go", "-f", names[name]]) for name, host, _, _ in ground.ends()]
    with programs(*started):
        for name, host, other, _ in ground.ends():
            wait_for_interface(host, names[name])
            file = ground.folder / f"wg-{name}"
            file.touch(mode=0o600)
            file.write_text(keys[name] + "\n")
            peer = ["peer", wg("pubkey", text=keys[other]), "allowed-ips", f"{INSIDE[other]}/32"]
            endpoint = ["endpoint", f"{WIRE[other]}:{PORT}"]
            host.run(["wg", "set", names[name], "private-key", str(file), "listen-port", str(PORT), *peer, *endpoint])
            up(host, names[name], INSIDE[name])
        yield Tunnel(INSIDE["bob"], started)


def wait_for_interface(host: Host, name: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while f" {name}: " not in host.namespace.ip(["link show"]):
        if time.monotonic() > deadline:
            raise BenchError(f"no interface {name}")
        time.sleep(0.02)


@contextmanager
def n2n(ground: Ground) -> Iterator[Tunnel]:
    """Debian's n2n: a supernode at Alice's, then the two edges speak directly. Twofish, the only cipher it has."""
    node = ground.alice.start(["supernode", "-l", str(PORT)])
    started = [
        host.start(
            f"edge -d n2n0 -a {INSIDE[name]} -s 255.255.255.0 -c bench -k secret -u 0 -g 0"
            f" -l {WIRE['alice']}:{PORT} -p {PORT + 1}".split()
        )
        for name, host, _, _ in ground.ends()
    ]
    with programs(node, *started):
        yield Tunnel(INSIDE["bob"], started)


@contextmanager
def tinc(ground: Ground) -> Iterator[Tunnel]:
    """Debian's tinc 1.0 with AES-128 and SHA-256."""
    common = "Cipher = aes-128-cbc\nDigest = sha256\nCompression = 0\n"
    folders = {name: ground.folder / f"tinc-{name}" for name in WIRE}
    for name, _, other, _ in ground.ends():
        hosts = folders[name] / "hosts"
        hosts.mkdir(parents=True)
        (folders[name] / "tinc.conf").write_text(f"Name = {name}\nConnectTo = {other}\nDeviceType = tun\n")
        (hosts / name).write_text(
            f"Address = {WIRE[name]} {PORT}\nPort = {PORT}\nSubnet = {INSIDE[name]}/32\n{common}"
        )
        script = folders[name] / "tinc-up"
        script.write_text(f"#!/bin/sh\nip addr add {INSIDE[name]}/24 dev $INTERFACE\nip link set $INTERFACE up\n")
        script.chmod(0o755)
        subprocess.run(
            ["tincd", "-c", folders[name], "-K", "2048"], stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
    for name, _, other, _ in ground.ends():
        (folders[name] / "hosts" / other).write_text((folders[other] / "hosts" / other).read_text())
    started = [
        host.start(["tincd", "-D", "-c", str(folders[name]), f"--pidfile={folders[name]}/pid"])
        for name, host, _, _ in ground.ends()
    ]
    with programs(*started):
        yield Tunnel(INSIDE["bob"], started)


@contextmanager
def openvpn(ground: Ground) -> Iterator[Tunnel]:
    """Debian's OpenVPN, peer to peer over UDP with TLS and AES-128-GCM."""
    prints = {}
    for name in WIRE:
        request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench"
        files = ["-keyout", ground.folder / f"{name}.key", "-out", ground.folder / f"{name}.crt"]
        subprocess.run([*request.split(), *files], check=True, capture_output=True)
        shown = subprocess.run(
            ["openssl", "x509", "-in", ground.folder / f"{name}.crt", "-noout", "-fingerprint", "-sha256"],
            check=True,
            capture_output=True,
            text=True,
        )
        prints[name] = shown.stdout.strip().partition("=")[2]
    started = [
        host.start(
            ["openvpn", "--dev", "tun0", "--dev-type", "tun", "--proto", "udp", "--port", str(PORT)]
            + ["--remote", WIRE[other], "--ifconfig", INSIDE[name], INSIDE[other], "--float"]
            + (["--tls-server", "--dh", "none"] if name == "alice" else ["--tls-client"])
            + ["--cert", str(ground.folder / f"{name}.crt"), "--key", str(ground.folder / f"{name}.key")]
            + ["--peer-fingerprint", prints[other], "--cipher", "AES-128-GCM", "--data-ciphers", "AES-128-GCM"]
        )
        for name, host, other, _ in ground.ends()
    ]
    with programs(*started):
        yield Tunnel(INSIDE["bob"], started)


KINDS = [
    Kind("cable", "the bare cable", bare),
    Kind("ip", "tin-can linkd, IP mode", tin_can("ip"), ours=True),
    Kind("switch", "tin-can linkd, switch mode", tin_can("switch"), ours=True),
    Kind("wireguard-go", "wireguard-go", wireguard_go),
    Kind("n2n", "n2n", n2n),
    Kind("tinc", "tinc", tinc),
    Kind("openvpn", "OpenVPN", openvpn),
]
