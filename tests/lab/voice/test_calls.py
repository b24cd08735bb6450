"""Two real cans call each other: what is said into the one's microphone comes out of the other's speaker.

Bounds are loose, and what a busy machine did not keep is said again; `make bench-talk` has the figures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

pytest.importorskip("miniaudio")

from lab import soundroom
from lab.cans import Town
from lab.netlab import Lab, root_available
from lab.signals import speech
from lab.soundroom import SoundRoom
from lab.voice import quality
from lab.voice.callers import Caller, Network, both, calling, hang_up, say
from lab.voice.material import sentences

pytestmark = pytest.mark.skipif(
    not (soundroom.available() and root_available()), reason="needs PulseAudio, espeak-ng, Linux, root, ip and nft"
)

UNDERSTOOD = 0.6
"""Likeness at which every word is still there; other words come to less than 0.3."""

LONGEST = 0.4
"""Seconds from mouth to ear that even a busy machine keeps below."""

PATIENCE = 45.0
"""Seconds in which something said must have come through as it should, at the latest."""

WEATHERS = {
    "clean": (0.0, 0.0),
    "2 % lost": (0.02, 0.0),
    "5 % lost": (0.05, 0.0),
    "10 % lost": (0.10, 0.0),
    "15 ms of jitter": (0.0, 0.030),
    "5 % lost and 10 ms of jitter": (0.05, 0.020),
}


@pytest.fixture
def room() -> Iterator[SoundRoom]:
    with SoundRoom() as made:
        yield made


def understands(room: SoundRoom, speaking: Caller, listening: Caller) -> tuple[float, float]:
    """Say something, more than once if need be; return how alike it was, and how late."""
    words = speech("The birch canoe slid on the smooth planks.")
    deadline = time.monotonic() + PATIENCE
    while True:
        said, heard = both(say(room, speaking.microphone, words, after=0.8), speaking.microphone, listening.speaker)
        alike, late = quality.likeness(said, heard), quality.lag(said, heard)
        if alike > UNDERSTOOD and late < LONGEST:
            return alike, late
        assert time.monotonic() < deadline, f"{alike:.2f} alike, {late:.3f} s late; {listening.can.events[-1]}"


def test_a_voice_comes_through_in_any_weather(lab: Lab, room: SoundRoom) -> None:
    network = Network.lan(lab)
    with calling(network, room, "--no-echo") as (a, b):
        for name, (loss, jitter) in WEATHERS.items():
            network.b.weather(loss, jitter)
            alike, late = understands(room, a, b)
            print(f"{name}: likeness {alike:.2f}, {1000 * late:.0f} ms")
        network.b.weather()
        understands(room, b, a)
        status = b.can.event(
            "call-status", PATIENCE, until=lambda event: 0 < event.get("mouth_to_ear_ms", 0) < 1000 * LONGEST
        )
        assert status["path"] == "lan"
        assert any(event["redundant"] for event in a.can.events_of("call-status"))  # in bad weather
        a.can.say("text goes all along")
        assert b.can.event("message")["text"] == "text goes all along"
        hang_up(a, b)


def test_a_call_lives_through_an_outage_and_a_device_that_goes_and_comes(lab: Lab, room: SoundRoom) -> None:
    headset = room.add_speaker("headset")
    network = Network.lan(lab)
    with calling(network, room, "--no-echo") as (a, b):
        network.b.unplug()
        time.sleep(2)
        network.b.plug()
        understands(room, a, b)

        b.can.say("/device speaker headset")
        b.can.event("sound", PATIENCE, until=lambda event: event["speaker"] == "headset")
        room.remove(headset)
        news = b.can.event("sound", PATIENCE, until=lambda event: event["speaker"] != "headset")
        assert "'headset' is not there." in news["text"]
        understands(room, b, a)
        room.add_speaker("headset")
        b.can.event("sound", PATIENCE, until=lambda event: event["speaker"] == "headset")
        assert not b.can.events_of("call-ended")
        hang_up(a, b)


def test_an_echo_is_taken_out(lab: Lab, room: SoundRoom) -> None:
    pytest.importorskip("pywebrtc_audio")
    with calling(Network.lan(lab), room, "--echo") as (a, b):
        room.let_echo(b.speaker, b.microphone)
        deadline = time.monotonic() + PATIENCE
        while True:
            said, back = both(say(room, a.microphone, sentences(0)), a.microphone, a.speaker)
            begun = round((quality.voice_begins(said) + 3) * quality.RATE)
            quieter = quality.level(said[begun:]) - quality.level(back[begun:])
            if quieter > 25:  # without cancelling it is 0; `make bench-talk` wants 40
                break
            assert time.monotonic() < deadline, f"{quieter:.0f} dB"
        hang_up(a, b)


@pytest.mark.parametrize(("relayed", "path"), [(False, "direct-udp"), (True, "relayed")])
def test_calls_across_two_nats(lab: Lab, room: SoundRoom, relayed: bool, path: str) -> None:
    town = Town(lab)
    options = town.options(transport="udp")
    network = Network(*town.hosts, ("--no-lan", *options, *(["--relay-only"] if relayed else [])))
    with calling(network, room, "--no-echo") as (a, b):
        understands(room, a, b)
        understands(room, b, a)
        assert b.can.events_of("call-status")[-1]["path"] == path
        hang_up(a, b)


def test_the_sound_is_tried_before_a_call(lab: Lab, room: SoundRoom) -> None:
    room.let_echo("speaker_a", "microphone_a")
    host = lab.isolated("ada")
    room.control("set-default-source", "microphone_a")
    room.control("set-default-sink", "speaker_a")
    words = speech("One, two, three, four, five, six.")
    deadline = time.monotonic() + PATIENCE
    while True:
        trying = Caller.trying(host, room)
        trying.event("sound-check", PATIENCE, until=lambda event: event["stage"] == "recording")
        room.play("microphone_a", words)
        report = trying.event("sound-tested", PATIENCE)
        assert trying.wait() == 0
        assert (report["microphone"], report["speaker"]) == ("microphone-a", "speaker-a")
        if report["spoken"] and report["latency_ms"] is not None:
            break
        assert time.monotonic() < deadline, report
    assert -40 < report["loudest"] < 0
    assert 10 < report["latency_ms"] < 300
