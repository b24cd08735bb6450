"""A call by plain aiortc, to measure against: ``aiortc_talk.py offer|answer MICROPHONE SPEAKER``.

Everything between the devices is aiortc's own: its Opus encoder, its jitter buffer, its decoder. The devices are
opened as tin-can opens them, mono with periods of 10 ms; what the microphone gives becomes frames of 20 ms for
`RTCPeerConnection`, and what the remote track gives is played as soon as it is there. Descriptions are JSON lines
on standard input and output; ``ready`` follows once sound flows both ways.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import sys
from array import array
from collections import deque
from contextlib import suppress
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tincan.audio.devices import Choice
from tincan.audio.pcm import FRAME, RATE, TICK, silence
from tincan.audio.system import SystemSound


class Microphone(MediaStreamTrack):
    """What the microphone hears, as aiortc wants it: the next frame when asked for."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._heard = array("h")
        self._frames: asyncio.Queue[array[int]] = asyncio.Queue(50)
        self._at = 0

    def take(self, heard: array[int]) -> None:
        """Take 10 ms; in the loop's own thread."""
        self._heard += heard
        if len(self._heard) >= FRAME:
            with suppress(asyncio.QueueFull):
                self._frames.put_nowait(self._heard[:FRAME])
            del self._heard[:FRAME]

    async def recv(self) -> av.AudioFrame:
        """See aiortc."""
        samples = await self._frames.get()
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate = RATE
        frame.pts = self._at
        frame.time_base = fractions.Fraction(1, RATE)
        self._at += FRAME
        return frame


class Speaker:
    """What came and was not played yet. When there is too little, silence is played."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._rest = b""

    async def listen(self, track: Any) -> None:
        """Take the frames of a track until it ends."""
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        while True:
            for frame in resampler.resample(await track.recv()):
                self._waiting.append(bytes(frame.planes[0])[: 2 * frame.samples])

    def give(self) -> array[int]:
        """Return 10 ms."""
        while len(self._rest) < 2 * TICK and self._waiting:
            self._rest += self._waiting.popleft()
        given, self._rest = self._rest[: 2 * TICK], self._rest[2 * TICK :]
        played = array("h", given)
        return played + silence(TICK - len(played))


async def main(role: str, microphone_name: str, speaker_name: str) -> None:
    loop = asyncio.get_running_loop()
    microphone, speaker, sound = Microphone(), Speaker(), SystemSound()
    sound.choose(Choice(microphone_name, speaker_name))
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(microphone)
    remote: asyncio.Future[Any] = loop.create_future()
    connection.on("track", remote.set_result)

    def exchange(heard: array[int]) -> array[int]:
        loop.call_soon_threadsafe(microphone.take, heard)
        return speaker.give()

    flowing = asyncio.create_task(sound.run(exchange, lambda news: None))
    if role == "offer":
        await connection.setLocalDescription(await connection.createOffer())
        say(connection)
        await connection.setRemoteDescription(await hear())
    else:
        await connection.setRemoteDescription(await hear())
        await connection.setLocalDescription(await connection.createAnswer())
        say(connection)
    listening = asyncio.create_task(speaker.listen(await remote))
    while connection.connectionState != "connected":
        await asyncio.sleep(0.05)
    print(json.dumps("ready"), flush=True)
    await asyncio.gather(flowing, listening)


def say(connection: RTCPeerConnection) -> None:
    """Print our description."""
    ours = connection.localDescription
    print(json.dumps({"sdp": ours.sdp, "type": ours.type}), flush=True)


async def hear() -> RTCSessionDescription:
    """Read the other one's description."""
    return RTCSessionDescription(**json.loads(await asyncio.to_thread(sys.stdin.readline)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
