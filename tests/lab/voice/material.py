"""What is said into a microphone to be measured."""

from __future__ import annotations

from array import array
from functools import cache

from lab.signals import chirp, speech
from lab.soundroom import RATE

SENTENCES = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. "
    "It is easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish. Rice is often served in round bowls. "
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage. "
    "Four hours of steady work faced us.",
)
"""Of the Harvard sentences (IEEE 297-1969), as telephones are tested with."""

EVERY = 0.6
"""Seconds from chirp to chirp."""


@cache
def sentences(number: int = 0) -> array[int]:
    """Return some 7 s of speech."""
    return speech(SENTENCES[number % len(SENTENCES)])


@cache
def chirps_in_speech(count: int) -> array[int]:
    """Return chirps, and below them, quietly, somebody who goes on talking: a call as it flows, without pauses."""
    step = int(EVERY * RATE)
    talk = sentences() * (count * step // len(sentences()) + 1)
    mixed = [sample // 8 for sample in talk[: (count + 1) * step]]
    one = chirp()
    for number in range(count):
        at = (number + 1) * step - len(one)
        for place, sample in enumerate(one):
            mixed[at + place] = max(-32768, min(32767, mixed[at + place] + sample))
    return array("h", mixed)
