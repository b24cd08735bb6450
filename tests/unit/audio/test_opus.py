"""Opus: what goes in comes out, what is lost is made up, and no payload can do harm."""

from __future__ import annotations

import contextlib
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from operator import mul

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.audio import Playout, opus
from tincan.audio.opus import Decoder, Encoder, OpusError, Settings
from tincan.audio.pcm import FRAME, LONGEST, RATE, Pcm, loudness, silence
from tincan.errors import DeviceMissing


def voice(frames: int, seed: int = 1) -> list[Pcm]:
    """Something like a voice: a gliding tone with overtones and a little breath."""
    chance = random.Random(seed)
    pieces, phase = [], 0.0
    for n in range(frames):
        pitch = 140 + 40 * math.sin(n / 9)
        piece = silence(FRAME)
        for k in range(FRAME):
            phase += 2 * math.pi * pitch / RATE
            tone = sum(math.sin(h * phase) / h for h in (1, 2, 3, 5))
            piece[k] = int(6000 * tone + chance.gauss(0, 100))
        pieces.append(piece)
    return pieces


VOICE = voice(50)


def likeness(sent: Pcm, heard: Pcm) -> float:
    """How alike two pieces are, up to 1, wherever the codec's delay has moved the second, longer one."""
    moved = [heard[shift : shift + len(sent)] for shift in range(0, len(heard) - len(sent), 4)]
    return max(_correlation(sent, piece) for piece in moved)


def _correlation(one: Sequence[int], other: Sequence[int]) -> float:
    dot = sum(map(mul, one, other))
    return dot / (math.sqrt(sum(map(mul, one, one)) * sum(map(mul, other, other))) or 1.0)


def encoded(settings: Settings) -> list[bytes]:
    encoder = Encoder(settings)
    return [encoder.encode(piece) for piece in VOICE]


# -- what it is for ----------------------------------------------------------------


def test_what_goes_in_comes_out() -> None:
    decoder = Decoder()
    heard = [decoder.decode(payload) for payload in encoded(Settings(bitrate=64_000, fec=False))]
    assert all(len(piece) == FRAME for piece in heard)
    assert likeness(VOICE[30], heard[30] + heard[31]) > 0.85


def test_the_bitrate_is_kept_and_can_be_changed_while_it_runs() -> None:
    encoder = Encoder(Settings(bitrate=64_000, fec=False))
    before = [len(encoder.encode(piece)) for piece in VOICE]
    encoder.settings = Settings(bitrate=16_000, fec=False)
    after = [len(encoder.encode(piece)) for piece in VOICE]
    assert sum(before) * 8 == pytest.approx(64_000, rel=0.35)
    assert sum(after) * 8 == pytest.approx(16_000, rel=0.35)


def test_a_lost_frame_comes_back_from_the_next_one() -> None:
    """Where a word begins, nothing but the copy can know of it."""
    encoder = Encoder(Settings(fec=True, expected_loss=0.2))
    spoken = [silence(FRAME)] * 10 + VOICE[:10]
    payloads = [encoder.encode(piece) for piece in spoken]
    with_copy, without = Decoder(), Decoder()
    for payload in payloads[:10]:
        with_copy.decode(payload)
        without.decode(payload)
    assert loudness(with_copy.decode_fec(payloads[11])) > loudness(VOICE[0]) / 2
    assert loudness(without.conceal()) < loudness(VOICE[0]) / 20


def test_what_is_missing_for_long_fades_away() -> None:
    decoder = Decoder()
    for payload in encoded(Settings())[:30]:
        last = decoder.decode(payload)
    made_up = [decoder.conceal() for _ in range(50)]
    assert all(len(piece) == FRAME for piece in made_up)
    assert loudness(made_up[0]) > loudness(last) / 4
    assert loudness(made_up[-1]) < loudness(last) / 4


def test_silence_costs_nearly_nothing_with_dtx() -> None:
    encoder = Encoder(Settings(dtx=True))
    sizes = [len(encoder.encode(silence(FRAME))) for _ in range(100)]
    assert sum(size > 2 for size in sizes[30:]) <= 4  # now and then one that keeps the noise alive
    assert len(encoder.encode(VOICE[10])) > 10


@pytest.mark.parametrize("samples", [120, 240, 480, 960, 1920, LONGEST])
def test_any_length_of_opus_can_be_made_up(samples: int) -> None:
    decoder = Decoder()
    decoder.decode(encoded(Settings())[0])
    assert len(decoder.conceal(samples)) == samples


def test_it_is_what_a_playout_decodes_with() -> None:
    """Every tenth packet is lost, and one is rubbish; the voice goes on."""
    playout = Playout(Decoder(), random.Random(1))
    heard = []
    for n, payload in enumerate(encoded(Settings(expected_loss=0.1))):
        if n % 10 != 7:
            playout.receive(n, n * FRAME, b"\xff\xff" if n == 33 else payload, now=n * 0.02)
        heard += [playout.pull(now=n * 0.02), playout.pull(now=n * 0.02 + 0.01)]
    assert all(loudness(piece) > 0 for piece in heard[20:])
    assert playout.statistics().fec >= 3
    assert playout.statistics().rejected == 1


# -- what is wrong -----------------------------------------------------------------


def test_a_frame_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError):
        Encoder().encode(silence(FRAME - 1))


@pytest.mark.parametrize("samples", [0, 1, 119, 961, LONGEST + 120])
def test_a_length_that_opus_has_not_is_refused(samples: int) -> None:
    with pytest.raises(ValueError):
        Decoder().conceal(samples)


@pytest.mark.parametrize("bitrate", [0, 5_999, 256_001])
def test_a_bitrate_out_of_range_is_refused(bitrate: int) -> None:
    with pytest.raises(ValueError):
        Settings(bitrate=bitrate)


@pytest.mark.parametrize(("loss", "complexity"), [(-0.1, 5), (1.1, 5), (0.1, -1), (0.1, 11)])
def test_settings_out_of_range_are_refused(loss: float, complexity: int) -> None:
    with pytest.raises(ValueError):
        Settings(expected_loss=loss, complexity=complexity)


# -- hostile payloads --------------------------------------------------------------

GOOD = encoded(Settings(expected_loss=0.2))
DECODER = Decoder()
"""One for all examples: what a bad payload leaves behind in it must not hurt either."""


def survives(payload: bytes) -> None:
    """Either sound of the length that was announced, or our error."""
    try:
        announced = opus.duration(payload)
    except OpusError:
        with pytest.raises(OpusError):
            DECODER.decode(payload)
        with pytest.raises(OpusError):
            DECODER.decode_fec(payload)
        return
    assert 120 <= announced <= LONGEST
    for decode, length in ((DECODER.decode, announced), (DECODER.decode_fec, FRAME)):
        with contextlib.suppress(OpusError):
            assert len(decode(payload)) == length
    assert len(DECODER.conceal(480)) == 480


@given(st.binary(max_size=1600))
def test_random_bytes_do_no_harm(payload: bytes) -> None:
    survives(payload)


@given(st.sampled_from(GOOD), st.integers(0, 200))
def test_payloads_cut_short_do_no_harm(payload: bytes, length: int) -> None:
    survives(payload[:length])


@given(st.sampled_from(GOOD), st.integers(0, 2**32))
def test_payloads_with_flipped_bits_do_no_harm(payload: bytes, seed: int) -> None:
    chance = random.Random(seed)
    damaged = bytearray(payload)
    for _ in range(chance.randrange(1, 6)):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    survives(bytes(damaged))


@pytest.mark.parametrize(
    "payload",
    [b"", bytes(1501), b"\x03\x00", b"\x0b\x3f", b"\xff\xff", b"\xfb\x00" + bytes(20)],
    ids=["empty", "too-long", "no-frames", "240-ms", "count-of-63", "none-of-2.5-ms"],
)
def test_what_cannot_be_a_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(OpusError):
        DECODER.decode(payload)


# -- where the library comes from --------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "libopus-114e2b1a.so.0.11.1",
        "libopus.so.0",
        "libopus.0.dylib",
        "libopus.dylib",
        "libopus-0-278e2dd25a2793d306204c9d966fe0de.dll",
        "opus.dll",
    ],
)
def test_the_library_is_known_by_its_name(name: str) -> None:
    assert opus.is_library(name)


@pytest.mark.parametrize("name", ["libopusenc.so.0", "libopusfile-0-12.dll", "opus.py", "libopus.a", "xlibopus.so"])
def test_other_files_are_not_it(name: str) -> None:
    assert not opus.is_library(name)


def test_an_installation_without_the_library_says_what_to_do() -> None:
    with pytest.raises(DeviceMissing, match="pip install"):
        opus.load(["/nowhere/libopus.so.0", opus.__file__])


def test_the_library_is_the_new_one_and_comes_without_the_rest_of_pyav() -> None:
    code = "import sys; from tincan.audio import opus; print(opus.version(), 'av' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    name, version, loaded = done.stdout.split()
    assert (name, loaded) == ("libopus", "False")
    assert tuple(map(int, version.split(".")[:2])) >= (1, 3)
