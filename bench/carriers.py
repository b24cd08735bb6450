"""Everything that carries a pipe from one host to another: tin-can, and the yardsticks; how each is started."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.programs import BenchError, Program, roomy_folder
from lab.cans import TIN_CAN, settings
from lab.netlab import Host, Lab

ALICE, BOB = "10.9.0.1", "10.9.0.2"
PORT = 4433
PHRASE = "correct horse battery staple drum"
Pair = tuple[Program, Program]


@dataclass(frozen=True)
class Bench:
    """Two hosts on one cable, and the files for the yardsticks."""

    alice: Host
    bob: Host
    folder: Path

    @property
    def openssl_env(self) -> dict[str, str]:
        """The environment in which every OpenSSL program prefers AES-128-GCM."""
        return {"OPENSSL_CONF": str(self.folder / "openssl.cnf")}


@dataclass(frozen=True)
class Candidate:
    """Something that carries a pipe: how it is started, sender first; whether it is ours, and whether it encrypts."""

    name: str
    label: str
    start: Callable[[Bench], Pair]
    ours: bool = False
    yardstick: bool = False
    both_ways: bool = False


def tin_can_pipe(bench: Bench) -> Pair:
    waiting = Program(bench.bob, [*TIN_CAN, "pipe", PHRASE], settings())
    return Program(bench.alice, [*TIN_CAN, "pipe", PHRASE], settings()), waiting


def tin_can_tete(bench: Bench) -> Pair:
    def end(host: Host, own: str, peer: str) -> Program:
        return Program(host, [*TIN_CAN, "tete", "-myip", own, "-peerip", peer], settings())

    return end(bench.alice, ALICE, BOB), end(bench.bob, BOB, ALICE)


def openssl(bench: Bench) -> Pair:
    files = ["-cert", str(bench.folder / "cert.pem"), "-key", str(bench.folder / "key.pem")]
    common = ["-tls1_3", "-quiet", "-read_buf", "65536"]
    server = ["openssl", "s_server", "-accept", str(PORT), "-naccept", "1", *files, *common]
    client = ["openssl", "s_client", "-connect", f"{BOB}:{PORT}", *common]
    return listening(bench, server, [*client, "-no_ign_eof"])  # counts only behind -quiet, which sets the opposite


def socat(block: int) -> Callable[[Bench], Pair]:
    def start(bench: Bench) -> Pair:
        files = f"cert={bench.folder / 'cert.pem'},key={bench.folder / 'key.pem'}"
        server = f"socat -u -b {block} OPENSSL-LISTEN:{PORT},reuseaddr,{files},verify=0 STDOUT"
        return listening(bench, server.split(), f"socat -u -b {block} STDIN OPENSSL:{BOB}:{PORT},verify=0".split())

    return start


def socat_tcp(bench: Bench) -> Pair:
    server = f"socat -u -b 65536 TCP-LISTEN:{PORT},reuseaddr STDOUT"
    return listening(bench, server.split(), f"socat -u -b 65536 STDIN TCP:{BOB}:{PORT}".split())


CANDIDATES = (
    Candidate("pipe", "tin-can pipe", tin_can_pipe, ours=True),
    Candidate("tete", "tin-can tete", tin_can_tete, ours=True),
    Candidate("openssl", "openssl s_client, s_server", openssl, yardstick=True),
    Candidate("socat-16k", "socat OPENSSL, 16 KiB blocks", socat(16384), yardstick=True),
    Candidate("socat-128k", "socat OPENSSL, 128 KiB blocks", socat(131072), yardstick=True),
    Candidate("tcp", "socat TCP, no encryption (context)", socat_tcp),
    Candidate("pipe-both", "tin-can pipe, both ways at once", tin_can_pipe, ours=True, both_ways=True),
    Candidate("tete-both", "tin-can tete, both ways at once", tin_can_tete, ours=True, both_ways=True),
)


def listening(bench: Bench, server: list[str], client: list[str]) -> Pair:
    """Start a server on the one host, and the client on the other when it can be reached."""
    serving = Program(bench.bob, server, bench.openssl_env)
    deadline = time.monotonic() + 10
    while f":{PORT:04X} " not in bench.bob.call(Path("/proc/thread-self/net/tcp").read_text) + bench.bob.call(
        Path("/proc/thread-self/net/tcp6").read_text
    ):
        if time.monotonic() > deadline or serving.process.returncode is not None:
            serving.discard()
            raise BenchError(f"it does not listen\n{serving.process.report()}")
        time.sleep(0.02)
    return Program(bench.alice, client, bench.openssl_env), serving


@contextmanager
def bench_of_two_hosts(room: int) -> Iterator[Bench]:
    """Make the hosts, and a folder with room for so many bytes."""
    with Lab() as lab, tempfile.TemporaryDirectory(dir=roomy_folder(room)) as folder:
        alice, bob = lab.isolated("alice"), lab.isolated("bob")
        alice.namespace.ip([f"link add eth0 type veth peer name eth0 netns {bob.namespace.name}"])
        for host, address in ((alice, ALICE), (bob, BOB)):
            cable = [f"addr add {address}/24 dev eth0", "link set eth0 up", "route add 224.0.0.0/4 dev eth0"]
            host.namespace.ip(cable)
            host.addresses.append(address)
            host.names({})  # every other name fails at once
        prepare(Path(folder))
        yield Bench(alice, bob, Path(folder))


def prepare(folder: Path) -> None:
    """Write the yardsticks' certificate and settings."""
    lines = ["openssl_conf = all", "[all]", "ssl_conf = tls", "[tls]", "system_default = quick", "[quick]"]
    (folder / "openssl.cnf").write_text("\n".join([*lines, "Ciphersuites = TLS_AES_128_GCM_SHA256", ""]))
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*request.split(), *files], check=True, capture_output=True)
