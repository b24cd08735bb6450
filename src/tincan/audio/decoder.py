"""What the playout wants of a decoder: three calls, in the order of the sound."""

from __future__ import annotations

from typing import Protocol

from tincan.audio.pcm import Pcm


class Decoder(Protocol):
    """One voice's decoder. Each call goes on where the last one stopped; none of them waits.

    They return PCM of the frame's length, which is 20 ms unless the peer
    sends other frames. `decode` and `decode_fec` may raise a `TinCanError`
    for a payload that makes no sense, and nothing else.
    """

    def decode(self, payload: bytes, /) -> Pcm:
        """Return the sound of a frame."""

    def decode_fec(self, next_payload: bytes, /) -> Pcm:
        """Return the frame that is missing just before this payload, from what this one says about it."""

    def conceal(self) -> Pcm:
        """Return what may have come, guessed from what came last."""
