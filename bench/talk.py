"""make bench-talk: calls by tin-can, against plain aiortc, in one sound room and on one network, in one run.

Two ends on a LAN, each with a microphone and a speaker of one sound server, so that everything is on one clock. The
cable of one end loses and delays UDP packets, seeded, the same way for both programs. What is said into the one
microphone and what comes out of the other speaker is recorded; the delay is that of chirps, found by correlation, in
speech that goes on; the quality is wide-band PESQ (ITU-T P.862.2) of sentences. Speech is espeak-ng's, so compare the
figures with each other only. Loss n % is by chance; jitter n ms is up to 2 n ms longer, all equally likely. The
programs under measurement keep time before others (SCHED_RR), where that is allowed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench import figures
from bench.programs import BenchError, prepare_process
from lab.netlab import Host, Lab, LabError, Process, root_available
from lab.priority import keep_time
from lab.soundroom import SoundRoom
from lab.soundroom import available as sound_available
from lab.voice import quality
from lab.voice.callers import End, Network, both, calling, say
from lab.voice.material import chirps_in_speech, sentences
from tincan.audio.tones import ToneDecoder
from unit.audio.helpers import TONE_STEP, even, listen, packets
from unit.audio.helpers import Path as VirtualPath

AIORTC = Path(__file__).parent / "aiortc_talk.py"
SETTLING = 3.0
"""Seconds that a fresh call is left alone."""
CHIRPS = 10


@dataclass(frozen=True)
class Weather:
    """A condition, and what is asked of tin-can in it."""

    name: str
    loss: float = 0.0
    jitter: float = 0.0
    delay: float | None = None
    ratio: float | None = None
    pesq: float | None = None


WEATHERS = (
    Weather("clean", delay=80, ratio=0.5, pesq=4.2),
    Weather("loss 2 %", 0.02),
    Weather("loss 5 %", 0.05, pesq=3.4),
    Weather("loss 5 %, jitter 10 ms", 0.05, 0.010, delay=110, ratio=0.35),
    Weather("loss 10 %", 0.10, pesq=3.0),
    Weather("jitter 15 ms", 0.0, 0.015),
)

PROGRAMS = ("tin-can", "aiortc")


class PlainEnd(End):
    """One end of a call by plain aiortc."""

    def __init__(self, host: Host, room: SoundRoom, letter: str, role: str) -> None:
        devices = [f"microphone-{letter}", f"speaker-{letter}"]
        self.process = host.start([sys.executable, str(AIORTC), role, *devices], env=dict(room.environment))
        keep_time(self.process.pid)
        super().__init__(letter, self.process)

    def describe(self) -> str:
        """Return the description that the other end needs."""
        return self.process.wait_line("sdp", timeout=30)


@contextlib.contextmanager
def plainly(network: Network, room: SoundRoom) -> Iterator[tuple[End, End]]:
    """Two ends of a call by plain aiortc."""
    a, b = PlainEnd(network.a, room, "a", "offer"), PlainEnd(network.b, room, "b", "answer")
    try:
        b.process.write_line(a.describe())
        a.process.write_line(b.describe())
        for end in (a, b):
            end.process.wait_line("ready", timeout=30)
        yield a, b
    finally:
        for end in (a, b):
            end.process.close()


@dataclass
class Result:
    """One program in one weather. Milliseconds, PESQ of each sentence, the share of a core of the busier end."""

    delays: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    cpu: float = 0.0

    @property
    def delay(self) -> float:
        return statistics.median(self.delays)

    @property
    def pesq(self) -> float:
        return statistics.fmean(self.scores)


def measure(weather: Weather, network: Network, room: SoundRoom, ends: tuple[End, End], count: int) -> Result:
    """Let A talk to B in this weather."""
    a, b = ends
    network.b.weather(weather.loss, 2 * weather.jitter)
    say(room, a.microphone, sentences(), after=0)  # so that both have noticed
    before, began = [end.cpu_seconds() for end in ends], time.monotonic()
    found = Result()
    said, heard = both(say(room, a.microphone, chirps_in_speech(CHIRPS)), a.microphone, b.speaker)
    found.delays = [1000 * delay for delay in quality.chirp_delays(said, heard)]
    if len(found.delays) < CHIRPS // 2:
        raise BenchError(f"only {len(found.delays)} of {CHIRPS} chirps were heard")
    for number in range(count):
        said, heard = both(say(room, a.microphone, sentences(number)), a.microphone, b.speaker)
        found.scores.append(quality.pesq(said, heard))
    seconds = time.monotonic() - began
    found.cpu = max(end.cpu_seconds() - used for end, used in zip(ends, before, strict=True)) / seconds
    return found


def run(program: str, weathers: Sequence[Weather], count: int) -> dict[str, Result]:
    """One call, through all weathers."""
    found = {}
    with Lab() as lab, SoundRoom() as room:
        network = Network.lan(lab)
        call = calling(network, room, "--no-echo") if program == "tin-can" else plainly(network, room)
        with call as ends:
            time.sleep(SETTLING)
            for weather in weathers:
                try:
                    result = found[weather.name] = measure(weather, network, room, ends, count)
                except BenchError as exc:
                    if program == "tin-can":
                        raise
                    print(f"  {program:<9}{weather.name:<24}{exc}", flush=True)  # so bad is it there
                    continue
                low, high = min(result.scores), max(result.scores)
                print(
                    f"  {program:<9}{weather.name:<24}{result.delay:6.0f} ms"
                    f"  ({min(result.delays):.0f} to {max(result.delays):.0f})"
                    f"   PESQ {result.pesq:.2f}  ({low:.2f} to {high:.2f})   {100 * result.cpu:4.1f} % of a core",
                    flush=True,
                )
    return found


LOOP = """
import asyncio, sys
from tincan.audio.devices import Choice
from tincan.audio.system import SystemSound
sound = SystemSound()
sound.choose(Choice("microphone-a", "speaker-b"))
asyncio.run(sound.run(lambda heard: heard, lambda news: print("flows", flush=True)))
"""


def devices_alone() -> float:
    """Return the milliseconds from microphone to speaker when nothing is between them."""
    with Lab() as lab, SoundRoom() as room:
        looping: Process = lab.isolated("loop").start([sys.executable, "-c", LOOP], env=dict(room.environment))
        keep_time(looping.pid)
        looping.wait_line("flows", timeout=20)
        time.sleep(SETTLING)
        said, heard = both(say(room, "microphone_a", chirps_in_speech(CHIRPS)), "microphone_a", "speaker_b")
        return 1000 * statistics.median(quality.chirp_delays(said, heard))


def echo() -> float:
    """Return by how many dB A's voice is quieter when it comes back from B's speaker, after 3 s."""
    with Lab() as lab, SoundRoom() as room:
        network = Network.lan(lab)
        with calling(network, room, "--echo") as (a, b):
            time.sleep(SETTLING)
            room.let_echo(b.speaker, b.microphone)
            said, heard = both(say(room, a.microphone, sentences(0) + sentences(1)), a.microphone, a.speaker)
    begun = quality.voice_begins(said)
    late = [sound[round((begun + 3) * quality.RATE) :] for sound in (said, heard)]
    return quality.level(late[0]) - quality.level(late[1])


def an_hour() -> None:
    """A call of one hour, in virtual time, with clocks that differ by 200 millionths."""
    for drift in (200, -200):
        path = VirtualPath(drift=drift, delay=even(0.005))
        heard = listen(packets(path, 3600, 5), ToneDecoder(), seconds=3600)
        first, last = (max(part) for part in (heard.delays[5:605], heard.delays[-600:]))
        print(
            f"  {drift:+5d} ppm: playout delay at most {first:.0f} ms in the first 10 minutes, {last:.0f} in the last"
        )
        figures.target("steepest step, as many times the tone's own", heard.steepest / TONE_STEP, most=2)
        figures.target("delay, last to first", last / first, most=1.2)


def show(weathers: Sequence[Weather], results: dict[str, dict[str, Result]]) -> None:
    """Print what was asked for, and whether it was kept."""
    ours, theirs = results.get("tin-can", {}), results.get("aiortc", {})
    for weather in weathers:
        result = ours.get(weather.name)
        if result is None:
            continue
        plain = theirs.get(weather.name)
        if weather.delay is not None:
            figures.target(f"{weather.name}: mouth to ear, ms", result.delay, most=weather.delay)
        if weather.ratio is not None and plain is not None:
            figures.target(
                f"{weather.name}: mouth to ear, ratio to aiortc", result.delay / plain.delay, most=weather.ratio
            )
        if weather.pesq is not None:
            figures.target(f"{weather.name}: PESQ", result.pesq, least=weather.pesq)
    if ours:
        figures.target("CPU, % of a core, the busier end", 100 * max(r.cpu for r in ours.values()), most=15)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.talk", description=(__doc__ or "").partition("\n")[0])
    names = [weather.name for weather in WEATHERS]
    parser.add_argument("--only", action="append", default=[], choices=[*PROGRAMS, *names, "echo", "hour"])
    parser.add_argument("--sentences", type=int, default=3, help="of 7 s, for PESQ in each weather (3)")
    options = parser.parse_args()
    if not (root_available() and sound_available() and quality.pesq_available()):
        sys.exit("the benchmark needs Linux, root, ip, nft, PulseAudio, espeak-ng and the package pesq")
    prepare_process()
    print(f"calls by tin-can and by plain aiortc; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    chosen = [name for name in options.only if name in names]
    weathers = [weather for weather in WEATHERS if weather.name in figures.wanted(names, chosen)]
    parts = [part for part in ("echo", "hour") if part in options.only or not options.only]
    programs = figures.wanted(PROGRAMS, [name for name in options.only if name in PROGRAMS])
    failed = False
    if set(options.only) - {"echo", "hour"} or not options.only:
        print(f"  the devices alone: {devices_alone():.0f} ms", flush=True)
        results: dict[str, dict[str, Result]] = {}
        for program in programs:
            try:
                results[program] = run(program, weathers, options.sentences)
            except (BenchError, LabError) as exc:
                failed = True
                print(f"FAILED: {program}: {exc}")
        show(weathers, results)
    if "echo" in parts:
        figures.target("echo heard back after 3 s, dB down", echo(), least=40)
    if "hour" in parts:
        print("an hour in virtual time:")
        an_hour()
    sys.exit(failed)


if __name__ == "__main__":
    main()
