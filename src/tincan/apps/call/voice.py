"""One call's sound, without any input or output: microphone to packets, packets to loudspeaker.

How to drive a `Voice`: call `hear` for each 10 ms of the microphone and `play`
for each of the loudspeaker, one at a time, and send what `data_to_send` then
returns. `arrived` may be called meanwhile in another thread, for each packet of
the peer. All times are of one steady clock.

On the way out: the loudspeaker's echo is taken out, what the user does not want
heard becomes nothing, 20 ms make a frame, and silence (DTX) is not sent. On the
way in: only the agreed source is heard, and the playout makes sound of it.
Twice a second a report (RTCP) goes out; the peer's reports decide how much is
sent and whether twice (`tincan.audio.rate`).
"""

from __future__ import annotations

import logging
import random
from array import array
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from tincan.apps.call.protocol import Talk
from tincan.audio import chimes, red, rtcp, rtp
from tincan.audio.decoder import Decoder
from tincan.audio.levels import LevelMeter, VoiceActivity
from tincan.audio.pcm import FRAME, MS, TICK, Pcm, crossfade, silence
from tincan.audio.playout import Playout
from tincan.audio.rate import Rate, RateController
from tincan.audio.reception import Reception
from tincan.audio.reference import Reference
from tincan.audio.statistics import Statistics
from tincan.errors import ProtocolError

OPUS: Final = 111
RED: Final = 63
"""RTP payload types: those that browsers give these two."""

MAX_WAITING: Final = 256
"""Packets that came and wait for the next `play`; it takes 5 s of a stopped device to get there."""

REPORT_EVERY: Final = 0.5
"""Seconds between two reports."""

MOST_COPIES: Final = 2
"""Frames that a packet may carry once more."""

COUNTED: Final = 40
"""Packets that the peer must have missed or got before its reports say how many get lost."""

_COMFORT: Final = 2
"""Bytes of a payload up to which it stands for silence, and is not sent."""

_FIRST: Final = 3
_STATISTICS_EVERY: Final = 10
_WRAP: Final = 0xFFFFFFFF

_log = logging.getLogger(__name__)


class Encoder(Protocol):
    """What makes payloads of frames of sound."""

    def encode(self, frame: Pcm) -> bytes:
        """Return the payload of `FRAME` samples; one of one or two bytes is silence."""

    def adjust(self, rate: Rate) -> None:
        """Do it like this from the next frame on."""


class Cleaner(Protocol):
    """What takes echo and noise out of the microphone's sound: `tincan.audio.echo.EchoCanceller`."""

    def clean(self, heard: Pcm, played: Pcm) -> Pcm:
        """Return ``heard`` without ``played``."""


@dataclass(frozen=True)
class Quality:
    """How the sound goes. Times are in seconds; None: not known yet."""

    level: float
    peer_level: float
    speaking: bool
    rtt: float | None
    loss_there: float | None
    jitter: float | None
    rate: Rate
    playout: Statistics


class Voice:
    """Both directions of one call."""

    def __init__(self, talk: Talk, encoder: Encoder, decoder: Decoder, rng: random.Random, now: float) -> None:
        self.open = True
        """Whether the microphone is: else nothing of it is encoded or sent."""
        self.cleaner: Cleaner | None = None
        self._talk = talk
        self._encoder = encoder
        self._playout = Playout(decoder, rng)
        self._reception = Reception(talk.theirs)
        self._rate = RateController(now, copies=talk.red)
        self._encoder.adjust(self._rate.rate)
        self._waiting: deque[tuple[float, bytes]] = deque(maxlen=MAX_WAITING)
        self._outgoing: list[bytes] = []
        # Out
        self._frame: Pcm = array("h")
        self._sequence = rng.getrandbits(16)
        self._timestamp = rng.getrandbits(32)
        self._previous: deque[tuple[int, bytes]] = deque(maxlen=MOST_COPIES)
        """The frames just before, without a pause: when, and what."""
        self._was_open = False  # so that nothing at all is sent of a microphone that is closed from the start
        self._packets = self._octets = 0
        # In
        self._started = False
        self._reference = Reference()
        self._chime: Pcm = array("h")
        # Reports
        self._next_report = now + REPORT_EVERY
        self._counted: tuple[int, int] | None = None
        self._rtt: float | None = None
        self._loss_there: float | None = None
        # For the screen
        self._meter, self._peer_meter, self._activity = LevelMeter(), LevelMeter(), VoiceActivity()
        self._turns = 0
        self._statistics = self._playout.statistics()

    @property
    def quality(self) -> Quality:
        """How it goes; may be asked for in any thread."""
        return Quality(
            level=self._meter.level,
            peer_level=self._peer_meter.level,
            speaking=self._activity.speaking and self._was_open,
            rtt=self._rtt,
            loss_there=self._loss_there,
            jitter=self._reception.jitter if self._started else None,
            rate=self._rate.rate,
            playout=self._statistics,
        )

    def arrived(self, packet: bytes, now: float) -> None:
        """Take a packet of the peer, whatever it is; it is looked at with the next `play`."""
        self._waiting.append((now, packet))

    def chime(self, chime: Pcm) -> None:
        """Let the user hear a tone."""
        self._chime = chime

    def data_to_send(self) -> list[bytes]:
        """Return the packets to send now; each is returned once."""
        packets, self._outgoing = self._outgoing, []
        return packets

    def hear(self, heard: Pcm, now: float) -> None:
        """Take 10 ms of the microphone."""
        reference = self._reference.next()
        cleaner = self.cleaner  # another thread may take it away
        if cleaner is not None:
            heard = cleaner.clean(heard, reference)
        self._speak(heard)
        if now >= self._next_report:
            self._report(now)

    def play(self, now: float) -> Pcm:
        """Return 10 ms for the loudspeaker."""
        if not self._turns:  # what came before the loudspeaker was there is too old to be heard
            while len(self._waiting) > _FIRST:
                self._waiting.popleft()
        for _ in range(len(self._waiting)):  # no longer: more may come meanwhile, and quicker than they are looked at
            at, packet = self._waiting.popleft()
            try:
                self._take(packet, at)
            except ProtocolError as exc:
                _log.debug("a packet was ignored: %s", exc)
        played = self._playout.pull(now)
        self._peer_meter.add(played)
        if self._chime:
            played, self._chime = chimes.mixed(played, self._chime), self._chime[TICK:]
        self._reference.played(played)
        self._turns += 1
        if self._turns % _STATISTICS_EVERY == 0:
            self._statistics = self._playout.statistics()
        return played

    # -- out ----------------------------------------------------------------------------

    def _speak(self, heard: Pcm) -> None:
        self._meter.add(heard if self._was_open else silence(TICK))
        self._activity.add(heard)
        self._frame += heard
        if len(self._frame) < FRAME:
            return
        frame, self._frame = self._frame[:FRAME], self._frame[FRAME:]
        self._timestamp = (self._timestamp + FRAME) & _WRAP
        was_open, self._was_open = self._was_open, self.open
        if not self.open and not was_open:
            return
        if not self.open:
            frame = crossfade(frame, silence(FRAME))
        elif not was_open:
            frame = crossfade(silence(FRAME), frame)
        payload = self._encoder.encode(frame)
        if len(payload) > _COMFORT:
            self._send(payload)

    def _send(self, payload: bytes) -> None:
        if self._previous and (self._timestamp - self._previous[-1][0]) & _WRAP != FRAME:
            self._previous.clear()
        kind, body = OPUS, payload
        count = min(self._rate.rate.redundant, len(self._previous))
        if count:
            older = [red.Block(OPUS, (self._timestamp - at) & _WRAP, said) for at, said in self._previous]
            kind, body = RED, red.pack([*older[-count:], red.Block(OPUS, 0, payload)])
        self._sequence = (self._sequence + 1) & 0xFFFF
        packet = rtp.Packet(kind, self._sequence, self._timestamp, self._talk.ours, body, marker=not self._previous)
        self._outgoing.append(rtp.pack(packet))
        if len(payload) <= red.MAX_LENGTH:
            self._previous.append((self._timestamp, payload))
        else:
            self._previous.clear()
        self._packets += 1
        self._octets += len(body)

    # -- in -----------------------------------------------------------------------------

    def _take(self, data: bytes, now: float) -> None:
        if len(data) > 1 and 192 <= data[1] <= 223:  # RFC 5761 section 4
            for report in rtcp.parse(data):
                if report.ssrc == self._talk.theirs:
                    self._hear_report(report, now)
            return
        packet = rtp.parse(data)
        if packet.ssrc != self._talk.theirs or packet.payload_type not in (OPUS, RED):
            return
        payload = packet.payload
        older: tuple[red.Block, ...] = ()
        if packet.payload_type == RED:
            *some, newest = red.unpack(payload)
            if newest.payload_type != OPUS:
                return
            payload, older = newest.payload, tuple(block for block in some if block.payload_type == OPUS)
        self._started = True
        self._reception.receive(packet.sequence, packet.timestamp, now)
        self._playout.receive(packet.sequence, packet.timestamp, payload, older, now=now)

    # -- reports ------------------------------------------------------------------------

    def _report(self, now: float) -> None:
        self._next_report = now + REPORT_EVERY
        sender = None
        if self._packets:
            sender = rtcp.SenderInfo(rtcp.ntp_time(now), self._timestamp, self._packets, self._octets)
        blocks = (self._reception.block(now),) if self._started else ()
        self._outgoing.append(rtcp.pack([rtcp.Report(self._talk.ours, sender, blocks)]))

    def _hear_report(self, report: rtcp.Report, now: float) -> None:
        if report.sender is not None:
            self._reception.sender_reported(report.sender, now)
        for block in report.blocks:
            if block.ssrc != self._talk.ours:
                continue
            rtt = rtcp.round_trip(block, rtcp.ntp_time(now))
            if rtt is not None:
                self._rtt = rtt if self._rtt is None else 0.75 * self._rtt + 0.25 * rtt
            self._count(block, now)

    def _count(self, block: rtcp.ReportBlock, now: float) -> None:
        """Learn how many get lost, once enough were sent for that to mean anything: in pauses there are few."""
        highest, lost = block.highest_sequence, block.cumulative_lost
        if self._counted is None:
            self._counted = highest, lost
            return
        sent = (highest - self._counted[0]) & _WRAP
        if sent >> 31:  # backwards: the peer began to count anew
            self._counted = highest, lost
        if sent < COUNTED or sent >> 31:
            return
        self._loss_there = max(0.0, min(1.0, (lost - self._counted[1]) / sent))
        self._counted = highest, lost
        self._encoder.adjust(self._rate.report(self._loss_there, now))


def mouth_to_ear_ms(
    quality: Quality, link_rtt: float | None, devices_ms: float, peer_devices_ms: float
) -> float | None:
    """Estimate how long the peer's words take to our ear; None while nothing of it has been heard.

    Half the devices of each end, the frame that is filled before it is sent,
    half the round trip, and what the playout waits.
    """
    rtt = link_rtt if quality.rtt is None else quality.rtt
    if rtt is None or not quality.playout.received:
        return None
    devices = (devices_ms + peer_devices_ms) / 2
    return devices + FRAME / MS + 500 * rtt + quality.playout.current_ms
