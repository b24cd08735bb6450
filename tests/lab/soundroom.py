"""A room to hear in: a sound server of the test's own, whose microphones and loudspeakers are only numbers.

All of them are channels of one null sink, so they share a clock: what is played
into a microphone and recorded from a loudspeaker can be compared to a fraction
of a millisecond. PulseAudio runs from a directory of its own, is reached by a
socket in it, reads no configuration and starts no service; a sound server of
the machine is neither seen nor touched.

    with SoundRoom() as room:
        with room.recording() as take:
            room.play("microphone_a", chirps(8, every=0.5))
            ...
        delays(take.heard("microphone_a"), take.heard("speaker_a"))

Discard the first two seconds of a fresh stream: the server is still finding
out how large its buffers have to be.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from lab.priority import keep_time

RATE = 48_000
PATIENCE = 60.0
"""Seconds that any of its programs may take."""

PLACES = ("microphone_a", "speaker_a", "microphone_b", "speaker_b")
_CHANNELS = ("front-left", "front-right", "rear-left", "rear-right")


class SoundRoomError(Exception):
    """The room's programs did not do what they were asked."""


def available() -> bool:
    """Whether this machine has the programs."""
    return sys.platform == "linux" and all(
        shutil.which(name) for name in ("pulseaudio", "pactl", "parec", "pacat", "espeak-ng")
    )


class SoundRoom:
    """The sound server and the devices in it.

    For each of `PLACES` there is something to play into and something to record from. Programs under test get
    the microphones as sources (``microphone_a``) and the loudspeakers as sinks (``speaker_a``); the test plays
    into ``microphone_a_in`` and records from ``speaker_a.monitor``.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tin-can-sound-"))
        self._server: subprocess.Popen[bytes] | None = None
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> Mapping[str, str]:
        """What a program needs to find the server, and no other."""
        folder = str(self._folder)
        places = {"HOME": folder, "XDG_RUNTIME_DIR": folder, "PULSE_RUNTIME_PATH": folder, "PULSE_STATE_PATH": folder}
        return {**places, "PULSE_SERVER": f"unix:{folder}/native", "PULSE_COOKIE": f"{folder}/cookie"}

    def __enter__(self) -> SoundRoom:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()
            child.wait()
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- the server ---------------------------------------------------------------------

    def start(self) -> None:
        """Start the server with all devices."""
        (self._folder / "native").unlink(missing_ok=True)
        arguments = ["--daemonize=no", "-n", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
        arguments += ["--log-target=stderr", "--log-level=error"]
        for line in self._script():
            arguments += ["-L", line]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                ["pulseaudio", *arguments], env={**os.environ, **self.environment}, stdout=log, stderr=log
            )
        self._wait(self._answers)
        keep_time(self._server.pid)  # not before: it sets a priority of its own
        # Somebody in a hurry, always: else the server sleeps for 2 s at a time, and every first stream waits for it.
        awake = self._folder / "awake.raw"
        with awake.open("wb") as file:
            self._spawn("parec", "--device=room.monitor", "--latency-msec=10", stdout=file)
        self._wait(lambda: awake.stat().st_size > 0)

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if self._server is None or self._server.poll() is not None or time.monotonic() > deadline:
                raise SoundRoomError(f"no sound server: {(self._folder / 'log').read_text(errors='replace')}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Let the server die at once, as by a crash."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def hang(self) -> None:
        """Let the server answer nothing, until `go_on`."""
        if self._server is not None:
            self._server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the server answer again."""
        if self._server is not None:
            self._server.send_signal(signal.SIGCONT)

    def control(self, *words: str) -> str:
        """Run ``pactl``; return what it says."""
        done = subprocess.run(
            ["pactl", *words],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode:
            raise SoundRoomError(f"pactl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def add_speaker(self, name: str) -> str:
        """Plug in another loudspeaker; returns what `remove` wants."""
        return self.control("load-module", "module-null-sink", f"sink_name={name}", _words("sink", name))

    def remove(self, device: str) -> None:
        """Unplug what `add_speaker` plugged in."""
        self.control("unload-module", device)

    def let_echo(self, speaker: str, microphone: str, delay_ms: int = 20) -> None:
        """Let a microphone hear a loudspeaker, as in a room without headsets."""
        words = [f"source={speaker}.monitor", f"sink={microphone}_in", f"latency_msec={delay_ms}"]
        self.control("load-module", "module-loopback", *words)

    def _script(self) -> Iterator[str]:
        channels = ",".join(_CHANNELS)
        yield f"module-native-protocol-unix socket={self._folder}/native auth-anonymous=1"
        yield f"module-null-sink sink_name=room rate={RATE} format=s16le channels=4 channel_map={channels}"
        for place, channel in zip(PLACES, _CHANNELS, strict=True):
            one = f"channels=1 channel_map=mono master_channel_map={channel} remix=no"
            if place.startswith("microphone"):
                yield f"module-remap-sink sink_name={place}_in master=room {one} {_words('sink', f'{place}_in')}"
                yield f"module-remap-source source_name={place} master=room.monitor {one} {_words('source', place)}"
            else:
                yield f"module-remap-sink sink_name={place} master=room {one} {_words('sink', place)}"

    def _answers(self) -> bool:
        if not (self._folder / "native").exists():
            return False
        with contextlib.suppress(SoundRoomError):
            return PLACES[0] in self.control("list", "short", "sources")
        return False

    # -- sound in, sound out ------------------------------------------------------------

    def play(self, place: str, sound: array[int]) -> None:
        """Let one of the microphones hear something; returns at once."""
        file = self._folder / f"play-{len(self._children)}.raw"
        file.write_bytes(sound.tobytes())
        with file.open("rb") as opened:
            self._spawn("pacat", "--playback", f"--device={place}_in", "--latency-msec=20", stdin=opened)

    @contextlib.contextmanager
    def recording(self) -> Iterator[Take]:
        """Record all four places at once; what was heard is in the `Take` afterwards."""
        take = Take(self._folder / f"take-{len(self._children)}.raw")
        with take.file.open("wb") as file:
            recorder = self._spawn(
                "parec",
                "--device=room.monitor",
                "--channels=4",
                f"--channel-map={','.join(_CHANNELS)}",
                "--no-remix",
                "--latency-msec=20",
                stdout=file,
            )
            try:
                yield take
            finally:
                recorder.terminate()
                recorder.wait(PATIENCE)

    def _spawn(
        self, program: str, *arguments: str, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        form = ["--raw", "--format=s16le", f"--rate={RATE}"]
        if "--channels=4" not in arguments:
            form.append("--channels=1")
        child = subprocess.Popen(
            [program, *form, *arguments],
            env={**os.environ, **self.environment},
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        keep_time(child.pid)
        self._children.append(child)
        return child


class Take:
    """What was recorded: four places on one clock."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def heard(self, place: str) -> array[int]:
        """Return what one of `PLACES` heard or played."""
        everything = array("h")
        data = self.file.read_bytes()
        everything.frombytes(data[: len(data) // 8 * 8])
        return everything[PLACES.index(place) :: len(PLACES)]


def _words(kind: str, name: str) -> str:
    return f"{kind}_properties=device.description={name.replace('_', '-')}"
