"""Two cans on a LAN, each with a microphone and a speaker of one sound room, that call each other.

The can B is plugged in by a wire that can lose and delay (`Host.weather`), A is
at the switch itself. Both are real ``tin-can talk`` processes.
"""

from __future__ import annotations

import contextlib
import os
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.cans import SECRET, Can
from lab.netlab import Host, Lab, Process
from lab.priority import keep_time
from lab.soundroom import RATE, SoundRoom, Take
from lab.voice.quality import Wave, wave

WIRE = 0.001
"""Seconds that the wire takes in any weather."""


@dataclass
class Network:
    """Where the two are."""

    a: Host
    b: Host
    options: tuple[str, ...] = ()

    @classmethod
    def lan(cls, lab: Lab) -> Network:
        """One switch, no server."""
        lan = lab.lan()
        return cls(lan.host("ada"), lan.host("bob", delay=WIRE))


class End:
    """One program that has a microphone and a speaker of the room. ``letter``: whose."""

    def __init__(self, letter: str, process: Process) -> None:
        self.letter = letter
        self.microphone, self.speaker = f"microphone_{letter}", f"speaker_{letter}"
        self._pid = process.pid

    def cpu_seconds(self) -> float:
        """Return what the process has computed until now."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Caller(End):
    """One can that talks."""

    def __init__(self, host: Host, room: SoundRoom, letter: str, *options: str) -> None:
        devices = ["--microphone", f"microphone-{letter}", "--speaker", f"speaker-{letter}"]
        self.can = Can(host, "talk", SECRET, *devices, *options, env=dict(room.environment))
        keep_time(self.can.process.pid)
        super().__init__(letter, self.can.process)

    @staticmethod
    def trying(host: Host, room: SoundRoom) -> Can:
        """Start ``talk --test``, with the devices that are the usual ones."""
        can = Can(host, "talk", "--test", env=dict(room.environment))
        keep_time(can.process.pid)
        return can


@contextlib.contextmanager
def calling(network: Network, room: SoundRoom, *options: str) -> Iterator[tuple[Caller, Caller]]:
    """Two that are in a call; sound flows at both ends."""
    a = Caller(network.a, room, "a", *network.options, *options)
    b = Caller(network.b, room, "b", *network.options, *options)
    try:
        for caller in (a, b):
            caller.can.event("call-started", 60)
        for caller in (a, b):
            caller.can.event("sound", 60)
        yield a, b
    finally:
        for caller in (a, b):
            caller.can.process.close()


def hang_up(a: Caller, b: Caller) -> None:
    """End the conversation; both end well."""
    assert a.can.hang_up() == 0, a.can.process.report()
    assert b.can.wait() == 0, b.can.process.report()


def say(room: SoundRoom, place: str, sound: array[int], before: float = 0.3, after: float = 1.2) -> Take:
    """Play something into a microphone while all places are recorded; returns when it has been said."""
    with room.recording() as take:
        time.sleep(before)
        room.play(place, sound)
        time.sleep(len(sound) / RATE + after)
    return take


def both(take: Take, said_at: str, heard_at: str) -> tuple[Wave, Wave]:
    """Return what was said and what was heard of it."""
    return wave(take.heard(said_at)), wave(take.heard(heard_at))
