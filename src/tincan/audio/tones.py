"""A coder and decoder of tones for tests: no Opus, and one can hear what went wrong.

A payload is the number of its frame. Each frame is 20 ms of the same tone, in
phase with the frame before it; so wherever samples are lost, repeated or
joined badly, the wave has a step that a test can measure.
"""

from __future__ import annotations

from array import array
from math import cos, pi
from typing import Final

from tincan.audio.pcm import FRAME, RATE, Pcm
from tincan.errors import ProtocolError

AMPLITUDE: Final = 10_000


class ToneDecoder:
    """A `Decoder` for payloads of `tone_payload`. ``hertz``: a multiple of 50, so that frames join.

    With an odd one, 10 ms more or less turn the wave upside down.
    """

    def __init__(self, hertz: int = 250) -> None:
        self._frame: Pcm = array("h", [int(AMPLITUDE * cos(2 * pi * hertz * at / RATE)) for at in range(FRAME)])
        self.decoded: list[int] = []
        """The last frames that were decoded, by FEC included."""
        self.guesses = 0

    def decode(self, payload: bytes, /) -> Pcm:
        """See `Decoder.decode`."""
        return self._of(tone_number(payload))

    def decode_fec(self, next_payload: bytes, /) -> Pcm:
        """See `Decoder.decode_fec`."""
        return self._of(tone_number(next_payload) - 1)

    def conceal(self) -> Pcm:
        """See `Decoder.conceal`."""
        self.guesses += 1
        return self._frame[:]

    def _of(self, number: int) -> Pcm:
        del self.decoded[:-999]
        self.decoded.append(number)
        return self._frame[:]


def tone_payload(number: int) -> bytes:
    """Return the payload of a frame."""
    return number.to_bytes(8, "big", signed=True)


def tone_number(payload: bytes) -> int:
    """Return the number of a frame; raise `ProtocolError`."""
    if len(payload) != 8:
        raise ProtocolError("This is no frame of a tone.")
    return int.from_bytes(payload, "big", signed=True)
