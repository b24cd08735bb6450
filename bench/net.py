"""make bench-net: how fast virtual networks are, tin-can's against wireguard-go, n2n, tinc and OpenVPN, in one run.

Two network namespaces with one veth between them. Each network is set up between the two and measured with
iperf3 and ping, then taken down; the next one follows, and all that again, round by round. tin-can is the real
command, ``tin-can linkd`` at both ends, linked by a controller: ICE, DTLS, and the packet path under its keys.

CPU per Gbit is what the network's programs used at both ends (all processes, user and system) while one TCP
stream ran. The kernel's part in iperf3's processes is not in it. Packets per second are UDP datagrams of 64
bytes that arrived.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench import figures
from bench.programs import BenchError, prepare_process
from bench.tunnels import KINDS, Ground, Kind, Tunnel, ground
from lab.netlab import LabError, Process, root_available

PATIENCE = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
BASELINE = "cable"


@dataclass
class Record:
    """What was measured of a network, one figure a round."""

    one: list[float] = field(default_factory=list)
    four: list[float] = field(default_factory=list)
    packets: list[float] = field(default_factory=list)
    ping: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    lossy: list[float] = field(default_factory=list)
    """TCP while 2 % of the network's datagrams are lost, as a part of that without loss. tin-can only."""
    failure: str = ""


def family(pids: Iterable[int]) -> list[int]:
    """Give processes and all that they have started."""
    found = list(pids)
    for pid in found:
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, file.read_text().split())
    return found


def cpu_used(programs: Sequence[Process]) -> float:
    """Give the CPU seconds that a network's programs have used."""
    total = 0
    for pid in family(program.pid for program in programs):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(words[11]) + int(words[12])
    return total / TICKS


def wait_until_up(ground: Ground, tunnel: Tunnel) -> None:
    """Ping until there is an answer."""
    deadline = time.monotonic() + PATIENCE
    while ground.alice.run(["ping", "-n", "-c", "1", "-W", "1", tunnel.address]).returncode:
        if time.monotonic() > deadline:
            raise BenchError("no ping came through\n" + "\n".join(p.report() for p in tunnel.programs))


def iperf(ground: Ground, tunnel: Tunnel, *options: str) -> dict[str, dict[str, float]]:
    """Run iperf3 from Alice to Bob, and give what the receiver found."""
    server = ground.bob.start(["iperf3", "-s", "-1", "-B", tunnel.address, "--forceflush"])
    server.wait_line("listening", timeout=PATIENCE)
    done = ground.alice.run(["iperf3", "-J", "-c", tunnel.address, *options], timeout=4 * PATIENCE)
    server.wait(PATIENCE)
    report = json.loads(done.stdout)
    if "error" in report:
        raise BenchError(report["error"])
    end: dict[str, dict[str, float]] = report["end"]
    return end


def ping(ground: Ground, tunnel: Tunnel, count: int) -> float:
    """Give the median round trip in milliseconds."""
    done = ground.alice.run(["ping", "-n", "-c", str(count), "-i", "0.02", tunnel.address], timeout=4 * PATIENCE)
    times = [float(text) for text in re.findall(r"time=([\d.]+) ms", done.stdout)]
    if len(times) < count * 0.9:
        raise BenchError(f"{count - len(times)} of {count} pings were lost")
    return statistics.median(times)


def with_loss(ground: Ground, tunnel: Tunnel, seconds: float) -> float:
    """Give TCP's rate with 2 % loss, as a part of that without.

    The loss must hit single datagrams, so the kernel has to cut them before the cable here, which is slower.
    """
    for host in (ground.alice, ground.bob):
        host.namespace.ip(["link set eth0 gso_max_segs 1"])
    without = iperf(ground, tunnel, "-t", f"{seconds:g}")["sum_received"]
    chain = "type filter hook input priority 0; meta l4proto udp iif eth0 numgen random mod 100 < 2 drop;"
    ground.bob.namespace.nft(f"table inet lossy {{\nchain in {{\n{chain}\n}}\n}}\n")
    lossy = iperf(ground, tunnel, "-t", f"{seconds:g}")["sum_received"]
    return lossy["bits_per_second"] / without["bits_per_second"]


def measure(kind: Kind, ground: Ground, record: Record, seconds: float, pings: int) -> None:
    """Set a network up and measure everything once."""
    with kind.make(ground) as tunnel:
        wait_until_up(ground, tunnel)
        iperf(ground, tunnel, "-t", "1")  # MTU found, connections warm
        round_trip = ping(ground, tunnel, pings)
        before = cpu_used(tunnel.programs)
        one = iperf(ground, tunnel, "-t", f"{seconds:g}")["sum_received"]
        cpu = cpu_used(tunnel.programs) - before
        four = iperf(ground, tunnel, "-t", f"{seconds:g}", "-P", "4")["sum_received"]
        flood = iperf(ground, tunnel, "-t", f"{seconds:g}", "-u", "-b", "0", "-l", "64")["sum"]
        if kind.ours:
            record.lossy.append(with_loss(ground, tunnel, seconds))
    record.ping.append(round_trip)
    record.one.append(one["bits_per_second"] / 1e9)
    record.cpu.append(cpu / (one["bytes"] * 8 / 1e9))
    record.four.append(four["bits_per_second"] / 1e9)
    record.packets.append((flood["packets"] - flood["lost_packets"]) / flood["seconds"] / 1e3)
    print(
        f"    {kind.label:<28}{record.one[-1]:8.2f} Gbit/s{record.four[-1]:8.2f} Gbit/s with four"
        f"{record.packets[-1]:8.1f} k packets/s{record.ping[-1]:8.3f} ms{record.cpu[-1]:8.2f} CPU s/Gbit",
        flush=True,
    )


def show(kinds: Sequence[Kind], records: dict[str, Record]) -> None:
    """Print the table: medians and ranges."""
    head = ("TCP, Gbit/s", "four streams", "UDP, k packets/s", "ping, ms", "CPU s/Gbit")
    print(f"  {'':<28}" + "".join(f"{title:>26}" for title in head))
    for kind in kinds:
        record = records[kind.name]
        if record.one:
            columns = (
                figures.spread(record.one),
                figures.spread(record.four),
                figures.spread(record.packets, 1),
                figures.spread(record.ping, 3),
                figures.spread(record.cpu),
            )
            print(f"  {kind.label:<28}" + "".join(f"{text:>26}" for text in columns))


def judge(kinds: Sequence[Kind], records: dict[str, Record]) -> None:
    """Print the ratios and what is asked of them."""
    measured = {name: record for name, record in records.items() if record.one}
    for kind in kinds:
        if not kind.ours or kind.name not in measured:
            continue
        own = measured[kind.name]
        for yardstick, least in (("wireguard-go", 2.0), ("n2n", 5.0)):
            if yardstick in measured:
                ratio = statistics.median(own.one) / statistics.median(measured[yardstick].one)
                figures.target(f"{kind.label}: TCP, to {yardstick}'s", ratio, least=least)
        if BASELINE in measured:
            more = statistics.median(own.ping) - statistics.median(measured[BASELINE].ping)
            figures.target(f"{kind.label}: round trip over the bare cable's, ms", more, most=0.4)
        if own.lossy:
            figures.target(
                f"{kind.label}: TCP with 2 % loss, to that without", statistics.median(own.lossy), least=0.5
            )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.net", description=(__doc__ or "").partition("\n")[0])
    names = [kind.name for kind in KINDS]
    parser.add_argument("--only", action="append", default=[], choices=names, help="repeatable")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run of iperf3 (5)")
    parser.add_argument("--pings", type=int, default=200, help="(200)")
    options = parser.parse_args()
    if not root_available():
        sys.exit("the benchmark needs Linux, root, ip and nft: it makes a laboratory of network namespaces")
    prepare_process()
    chosen = [kind for kind in KINDS if kind.name in figures.wanted(names, options.only)]
    records = {kind.name: Record() for kind in KINDS}
    print(f"one veth, {options.rounds} rounds by turns, {options.seconds:g} s each.", end=" ")
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    for number in range(options.rounds):
        print(f"  round {number + 1}:", flush=True)
        for kind in chosen:
            record = records[kind.name]
            if record.failure:
                continue
            try:
                with ground() as made:
                    measure(kind, made, record, options.seconds, options.pings)
            except (BenchError, LabError, OSError) as exc:
                record.failure = str(exc)
                print(f"    {kind.label}: FAILED: {exc}", flush=True)
    show(chosen, records)
    judge(chosen, records)
    sys.exit(1 if any(record.failure for record in records.values()) else 0)


if __name__ == "__main__":
    main()
