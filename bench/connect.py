"""make bench-connect: how long connecting takes, against pypeer's engine, in the same laboratory in one run.

The clock runs from the start of the joining process to the moment its first
message is on the other side's standard output. Both programs go through two
port-restricted NATs with the same STUN server; each run is a new pair of
processes. Then: both on one LAN with STUN servers that never answer; where
the joiner's time goes; and what ``tin-can --help`` costs.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from lab.cans import TIN_CAN, Can, Switchboard
from lab.netlab import Host, Lab, root_available

RUNS = 10
SERVER = "203.0.113.5"
PYPEER_ROOM = "ABC123"
HERE = Path(__file__).parent


def is_message(line: str) -> bool:
    return bool(json.loads(line)["event"] == "message")


def tin_can(alice: Host, bob: Host, *options: str, phrase: str | None = None, log: str | None = None) -> float:
    """Return the seconds of one connection."""
    attached = Can(alice, "attach-string", *([phrase] if phrase else []), *options)
    given = phrase or attached.event("waiting")["phrase"]
    if phrase:
        attached.event("waiting")
    time.sleep(0.5)  # the waiting can has gathered and left its share long before anybody joins
    more = ["--log-file", log] if log else []
    started = time.perf_counter()
    joining = Can(bob, "tap", given, *options, *more)
    joining.say("hi")
    attached.process.wait_line(is_message, timeout=30)
    seconds = time.perf_counter() - started
    joining.hang_up()
    attached.wait()
    return seconds


def pypeer(alice: Host, bob: Host, url: str) -> float:
    """Return the seconds of one connection of pypeer's engine."""
    env = {"PYPEER_URL": url}
    engine = [sys.executable, str(HERE / "pypeer_engine.py")]
    hosting = alice.start([*engine, "host", PYPEER_ROOM], env=env)
    hosting.wait_line("ready", timeout=30)
    started = time.perf_counter()
    joining = bob.start([*engine, "join", PYPEER_ROOM], env=env)
    hosting.wait_line("message hi", timeout=30)
    seconds = time.perf_counter() - started
    for process in (joining, hosting):
        process.signal(9)
        process.wait(5)
    return seconds


def repeat(name: str, once: Callable[[], float]) -> float:
    times = sorted(once() for _ in range(RUNS))
    median = statistics.median(times)
    print(f"  {name:<44} {median:6.2f} s   ({times[0]:.2f} to {times[-1]:.2f})", flush=True)
    return median


def through_nats() -> None:
    print(f"joiner's start to its first message received, two port-restricted NATs, median of {RUNS}:")
    with Lab() as lab:
        server = lab.host("server", address=SERVER)
        turn = lab.coturn(server)
        # pypeer has its STUN server built in, with this port.
        rules = "type nat hook prerouting priority -100; udp dport 19302 redirect to :3478;"
        server.run(["nft", f"table ip stun {{ chain pre {{ {rules} }}; }}"]).check_returncode()
        board = Switchboard(server, "--opens-per-minute", "10000")
        firebase = server.start([sys.executable, str(HERE / "firebase.py"), "9000"])
        firebase.wait_line("ready", timeout=20)
        alice, bob = lab.nat("port-restricted").host("alice"), lab.nat("port-restricted").host("bob")
        options = ["--switchboard", board.url, "--stun", turn.stun_url]
        for host in (alice, bob):
            host.names({name: SERVER for name in ("stun.l.google.com", "stun1.l.google.com", "stun2.l.google.com")})
        ours = repeat("tin-can, generated phrase", lambda: tin_can(alice, bob, *options))
        chosen = repeat("tin-can, chosen phrase", lambda: tin_can(alice, bob, *options, phrase="brass quill, nine"))
        theirs = repeat("pypeer engine", lambda: pypeer(alice, bob, f"http://{SERVER}:9000"))
        print(f"  ratio to pypeer: {ours / theirs:.2f} generated, {chosen / theirs:.2f} chosen (at most 0.80)")
        show_stages(alice, bob, options)


def show_stages(alice: Host, bob: Host, options: list[str]) -> None:
    """Print when the joiner of one connection reached what."""
    with tempfile.TemporaryDirectory() as folder:
        log = f"{folder}/log"
        tin_can(alice, bob, *options, log=log)
        first = None
        print("where the joiner's time goes (one run with its log on; from its first log line):")
        wanted = r"stack loaded|host candidates|PlaceReady|PeerFound|peer confirmed|path found|DTLS done|SCTP done"
        for line in Path(log).read_text().splitlines():
            match = re.match(r"(\S+ \S+?),(\d+) (\S+) (\S+) (.*)", line)
            if match and match[3].startswith("tincan"):
                at = time.mktime(time.strptime(match[1], "%Y-%m-%d %H:%M:%S")) + int(match[2]) / 1000
                first = first or at
                if re.search(wanted, match[5]):
                    print(f"  {(at - first) * 1000:6.0f} ms  {match[5]}")


def show_imports() -> None:
    """Print what the joiner's imports cost, by package."""
    script = "import tincan.cli.chat, tincan.meet.meeting, tincan.meet.places.switchboard, tincan.link.webrtc; "
    script += "import websockets.asyncio.client"
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script], capture_output=True, text=True, check=True
    )
    own: dict[str, int] = {}
    for line in run.stderr.splitlines():
        match = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)", line)
        if match:
            package = match[2].split(".")[0]
            own[package] = own.get(package, 0) + int(match[1])
    named = (
        "asyncio",
        "click",
        "msgspec",
        "cpace",
        "cryptography",
        "OpenSSL",
        "websockets",
        "aiortc",
        "aioice",
        "tincan",
    )
    print("its imports (self time of each package's modules, with tracing on):")
    for package in named:
        print(f"  {own.pop(package, 0) / 1000:6.0f} ms  {package}")
    print(f"  {sum(own.values()) / 1000:6.0f} ms  all others")


def lan_with_dead_stun() -> None:
    print(f"one LAN, no switchboard, two STUN servers that never answer, median of {RUNS}:")
    with Lab() as lab:
        lan = lab.lan()
        alice, bob, hole = lan.host("alice"), lan.host("bob"), lan.host("hole")
        for port in (3478, 3479):
            lab.black_hole(hole, port)
        options = ["--stun", f"stun:{hole.address}:3478", "--stun", f"stun:{hole.address}:3479"]
        median = repeat("tin-can, found by mDNS", lambda: tin_can(alice, bob, *options))
        print(f"  at most 1.20 s: {'yes' if median <= 1.2 else 'NO'}")


def help_start() -> None:
    def once(*argv: str) -> float:
        started = time.perf_counter()
        subprocess.run(argv, check=True, capture_output=True)
        return time.perf_counter() - started

    command = str(Path(sys.executable).parent / "tin-can")
    ours, bare = [], []
    for _ in range(30):
        ours.append(once(command, "--help"))
        bare.append(once(sys.executable, "-c", "pass"))
    ratio = statistics.median(ours) / statistics.median(bare)
    print(
        f"tin-can --help {statistics.median(ours) * 1000:.0f} ms, python -c pass "
        f"{statistics.median(bare) * 1000:.0f} ms: ratio {ratio:.2f} (at most 2.50)"
    )


def main() -> None:
    if not root_available():
        sys.exit("the benchmark needs Linux, root, ip and nft: it makes a laboratory of network namespaces")
    print(f"{' '.join(TIN_CAN)} and pypeer 0.1.0, Python {sys.version.split()[0]}")
    help_start()
    through_nats()
    show_imports()
    lan_with_dead_stun()


if __name__ == "__main__":
    main()
