"""make bench-pipe: how fast bytes go through tin-can's pipes, against openssl and socat, in one run.

Two network namespaces with one veth between them, nothing else. A real pipe at both ends, the same for all:
``head -c 3G /dev/zero | CLIENT`` here, ``SERVER | dd bs=1M of=/dev/null`` there (dd counts the bytes, and
reads what the pipe holds, as cat does). The clock runs from the first of these bytes to dd's end, which has
then seen the end of file. Connecting is not in it: the producer starts after one byte has passed already.

The candidates take turns, round by round. The yardsticks get the fastest options found for them: TLS 1.3 with
AES-128-GCM, which is quicker than their default of AES-256. s_server with a larger -read_buf and socat
with several block sizes made little difference; both sizes of socat that were best at times are measured.
Then both directions at once, and one smaller run of random bytes, both ways at once, compared by hash.
CPU time includes the start and the connecting. A peak of 11 MB is the meter's own: the program needs less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench import figures
from bench.carriers import CANDIDATES, Bench, Candidate, Pair, bench_of_two_hosts
from bench.programs import BenchError, Direction, Used, counted, flow, prepare_process
from lab.netlab import LabError, root_available

COUNT = "dd bs=1M of=/dev/null"
MEMORY_LIMIT = 120e6
CONTENT = 200_000_000


@dataclass
class Record:
    """What was measured of a candidate; a failure ends its part in the benchmark."""

    rates: list[float] = field(default_factory=list)
    sender: list[Used] = field(default_factory=list)
    receiver: list[Used] = field(default_factory=list)
    failure: str = ""


@contextmanager
def connected(candidate: Candidate, bench: Bench) -> Iterator[tuple[Pair, list[Direction]]]:
    """Start a candidate and let a byte pass each way it will be used."""
    pair = candidate.start(bench)
    try:
        directions = [Direction(pair[0], pair[1])]
        if candidate.both_ways:
            directions.append(Direction(pair[1], pair[0]))
        for direction in directions:
            direction.connect(30)
        time.sleep(0.3)  # whatever it still does behind the first byte
        yield pair, directions
    finally:
        for program in pair:
            program.discard()


def finish(candidate: Candidate, pair: Pair) -> list[Used]:
    for program in pair:
        program.end_input()
    return [program.finish(20, politely=candidate.ours) for program in pair]


def measure(candidate: Candidate, bench: Bench, size: int, record: Record) -> None:
    """Run a candidate once."""
    with connected(candidate, bench) as (pair, directions):
        produce = [f"head -c {size} /dev/zero"] * len(directions)
        seconds, printed = flow(directions, produce, COUNT)
        for text in printed:
            if (found := counted(text)) != size:
                raise BenchError(f"{found} bytes arrived, not {size}")
        sender, receiver = finish(candidate, pair)
    record.rates.append(size * len(directions) / seconds / 1e9)
    print(f"    {candidate.label:<34}{record.rates[-1]:8.2f} GB/s", flush=True)
    record.sender.append(sender)
    record.receiver.append(receiver)


def compare(candidate: Candidate, bench: Bench, size: int) -> None:
    """Send different random bytes both ways at once and compare their hashes."""
    files = [bench.folder / f"random{number}" for number in range(2)]
    for file in files:
        subprocess.run(["sh", "-c", f"head -c {size} /dev/urandom > {file}"], check=True)
    with connected(candidate, bench) as (pair, directions):
        seconds, printed = flow(directions, [f"cat {file}" for file in files], "sha256sum")
        finish(candidate, pair)
    sent = [subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout for file in files]
    for ours, theirs in zip(printed, sent, strict=True):
        if ours.split()[0] != theirs.split()[0]:
            raise BenchError("what arrived is not what was sent")
    print(f"  {candidate.label:<40} the same on both sides, in {seconds:.2f} s", flush=True)


def attempt(record: Record, what: Callable[..., None], *arguments: object) -> None:
    """Do something with a candidate, unless it has failed before."""
    if record.failure:
        return
    try:
        what(*arguments)
    except (BenchError, LabError) as exc:
        record.failure = str(exc)


def show(candidates: Sequence[Candidate], records: dict[str, Record], size: int) -> None:
    """Print the table."""
    head = f"{'GB/s (both ways: the sum)':>30}{'CPU s/GB: sends, receives':>28}{'peak MB':>14}"
    print(f"  {'':<36}{head}")
    for candidate in candidates:
        record = records[candidate.name]
        if not record.rates:
            continue
        gigabytes = size * (2 if candidate.both_ways else 1) / 1e9
        cpu = [statistics.median(u.cpu for u in side) / gigabytes for side in (record.sender, record.receiver)]
        peaks = [max(u.peak for u in side) / 1e6 for side in (record.sender, record.receiver)]
        print(
            f"  {candidate.label:<36}{figures.spread(record.rates):>30}"
            f"{cpu[0]:>18.2f} {cpu[1]:>9.2f}{peaks[0]:>9.0f} {peaks[1]:>4.0f}"
        )


def judge(candidates: Sequence[Candidate], records: dict[str, Record]) -> None:
    """Print the ratios and what is asked of them."""
    rates = {name: statistics.median(record.rates) for name, record in records.items() if record.rates}
    yardsticks = {c.label: rates[c.name] for c in candidates if c.yardstick and c.name in rates}
    if yardsticks:
        best = max(yardsticks, key=lambda label: yardsticks[label])
        print(f"against the fastest yardstick, {best}:")
        for c in candidates:
            if c.ours and not c.both_ways and c.name in rates:
                figures.target(f"{c.label}, ratio of the rates", rates[c.name] / yardsticks[best], least=1.0)
    for c in candidates:
        one_way = c.name.removesuffix("-both")
        if c.both_ways and c.name in rates and one_way in rates:
            figures.target(f"{c.label}, sum to one direction's rate", rates[c.name] / rates[one_way], least=0.8)
    for c in candidates:
        if c.ours and c.name in rates:
            peak = max(used.peak for used in records[c.name].sender + records[c.name].receiver)
            figures.target(f"{c.label}, peak memory in MB", peak / 1e6, most=MEMORY_LIMIT / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.pipe", description=(__doc__ or "").partition("\n")[0])
    names = [candidate.name for candidate in CANDIDATES]
    parser.add_argument("--only", action="append", default=[], choices=[*names, "content"], help="repeatable")
    parser.add_argument("--runs", type=int, default=3, help="rounds (3)")
    parser.add_argument("--size", type=figures.size, default=figures.size("3G"), help="bytes each way (3G)")
    options = parser.parse_args()
    if not root_available():
        sys.exit("the benchmark needs Linux, root, ip and nft: it makes a laboratory of network namespaces")
    prepare_process()
    chosen = [c for c in CANDIDATES if c.name in figures.wanted(names, options.only)]
    records = {candidate.name: Record() for candidate in CANDIDATES}
    print(
        f"{options.size / 1e9:.2f} GB of zeros each way through real pipes, one veth, {options.runs} rounds by turns;"
    )
    print(f"connecting excluded. {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    with bench_of_two_hosts(2 * CONTENT) as bench:
        if chosen:
            run(bench, chosen, records, options)
        if figures.wanted(["content"], options.only):
            print(f"{CONTENT / 1e6:.0f} MB of random bytes both ways at once, compared by SHA-256:", flush=True)
            for candidate in CANDIDATES:
                if candidate.both_ways:
                    attempt(records[candidate.name], compare, candidate, bench, CONTENT)
    failed = [candidate for candidate in CANDIDATES if records[candidate.name].failure]
    for candidate in failed:
        print(f"FAILED: {candidate.label}: {records[candidate.name].failure}")
    sys.exit(1 if failed else 0)


def run(bench: Bench, chosen: Sequence[Candidate], records: dict[str, Record], options: argparse.Namespace) -> None:
    """Run the rounds and print what came of them."""
    for number in range(options.runs):
        print(f"  round {number + 1}:", flush=True)
        for candidate in chosen:
            attempt(records[candidate.name], measure, candidate, bench, options.size, records[candidate.name])
    show(chosen, records, options.size)
    judge(chosen, records)


if __name__ == "__main__":
    main()
