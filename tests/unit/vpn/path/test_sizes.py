"""What the path takes: found by probes, and what becomes of larger packets."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.path import control
from tincan.vpn.path.headers import parse
from tincan.vpn.path.mtu import BASE, CONFIRM, RAISE, STEPS, PathMtu, State
from tincan.vpn.path.toobig import clamp_mss, fragmented, icmp_too_big
from unit.vpn.path import packets as p
from unit.vpn.path.packets import fuzz


class Path:
    """A path that takes so much, and its search, in virtual time."""

    def __init__(self, takes: int, largest: int = 1420) -> None:
        self.now = 0.0
        self.takes = takes
        self.mtu = PathMtu(largest, self.now)
        self.sent: list[int] = []

    def run(self, seconds: float, used: bool = False, lost: Callable[[int], bool] = lambda size: False) -> None:
        until = self.now + seconds
        while self.mtu.deadline <= until:
            self.now = max(self.now, self.mtu.deadline)
            if used:
                self.mtu.active = True
            probes = self.mtu.probes(self.now)
            self.sent += probes
            for size in probes:
                if size <= self.takes and not lost(size):
                    self.mtu.answered(size, self.now + 0.05)
        self.now = until


def test_mostly_one_probe_is_enough() -> None:
    path = Path(1500)
    path.run(10)
    assert path.sent == [1420]
    assert (path.mtu.limit, path.mtu.state) == (1420, State.FOUND)


@fuzz
@given(st.integers(BASE, 1500), st.integers(BASE, 1500))
def test_the_largest_of_the_table_is_found(takes: int, largest: int) -> None:
    path = Path(takes, largest)
    path.run(3)
    assert not path.mtu.searching
    assert path.mtu.limit == max([BASE, *(size for size in (*STEPS, largest) if size <= min(takes, largest))])
    assert len(path.sent) < 80


def test_a_lost_probe_is_tried_again() -> None:
    path, first = Path(1500), iter([True, True])
    path.run(3, lost=lambda size: next(first, False))
    assert path.mtu.limit == 1420


def test_a_path_that_becomes_smaller_is_followed() -> None:
    path = Path(1500)
    path.run(10, used=True)
    path.takes = 1300
    path.run(CONFIRM + 10, used=True)
    assert path.mtu.limit == 1280
    path.run(60, used=True)
    assert path.mtu.limit == 1280


def test_a_path_that_becomes_larger_is_noticed_in_time() -> None:
    path = Path(1300)
    path.run(10)
    path.takes = 1500
    path.run(RAISE + 10)
    assert path.mtu.limit == 1420


def test_a_dead_path_says_nothing_of_its_size() -> None:
    path = Path(1500)
    path.run(10, used=True)
    path.takes = 0
    path.run(100, used=True)
    assert path.mtu.limit == 1420


@pytest.mark.parametrize("takes", [1500, 1300, BASE])
def test_a_peer_that_is_not_there_yet_says_nothing_of_the_path(takes: int) -> None:
    path = Path(0)
    path.run(60)
    assert path.mtu.searching
    assert len(path.sent) < 60, "who does not answer is asked less and less often"
    path.takes = takes
    path.run(CONFIRM + 3)
    assert not path.mtu.searching
    assert path.mtu.limit == max(size for size in (BASE, *STEPS) if size <= min(takes, 1420))


def test_an_idle_path_is_left_alone() -> None:
    path = Path(1500)
    path.run(10)
    path.sent.clear()
    path.run(1000)
    assert path.sent == []


def test_our_own_system_may_refuse() -> None:
    path = Path(1500)
    path.run(10)
    assert not path.mtu.refused(1421, path.now)
    path.takes = 1300
    assert path.mtu.refused(1400, path.now)
    assert path.mtu.searching
    path.run(10)
    assert path.mtu.limit == 1280


def test_answers_to_questions_never_asked() -> None:
    path = Path(1300)
    path.run(5)
    assert not path.mtu.answered(60000, 5.0)
    assert not path.mtu.answered(0, 5.0)
    assert path.mtu.limit == 1280


# -- the words


def test_probe_and_answer() -> None:
    assert len(control.probe(1400)) == 1400
    assert control.read(control.probe(1400)) == (control.PROBE, 1400)
    assert control.read(control.answer(1400)) == (control.ANSWER, 1400)
    assert control.read(control.probe(1400)[:-1]) is None
    assert control.read(control.nothing()) is None
    assert control.read(b"\x07abc") is None


@fuzz
@given(st.binary(max_size=50))
def test_no_word_breaks_the_reader(body: bytes) -> None:
    assert control.read(body) is None or body[0] in (control.PROBE, control.ANSWER)


# -- too big


def too_big(packet: bytes, mtu: int, start: int = 0) -> bytes | None:
    layout = parse(packet, start)
    assert layout is not None
    return icmp_too_big(packet, layout, mtu)


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("ends", [(p.A4, p.B4), (p.A6, p.B6)])
def test_the_sender_is_told(ends: tuple[str, str], framed: bool) -> None:
    packet = p.udp(*ends, bytes(1400))
    start = 14 if framed else 0
    message = too_big(p.frame(packet) if framed else packet, 1300, start)
    assert message is not None
    if framed:
        assert (message[:6], message[6:12], message[12:14]) == (p.MAC_A, p.MAC_B, p.frame(packet)[12:14])
    source, destination, protocol, _, body = p.read(message, start)
    assert (source, destination) == tuple(reversed(p.read(packet)[:2]))
    if ":" in ends[0]:
        assert (protocol, body[0], int.from_bytes(body[4:8], "big")) == (58, 2, 1300)
        assert p.checksum_right(message, start)
        assert len(message) - start <= 1280
    else:
        assert (protocol, body[:2], int.from_bytes(body[6:8], "big")) == (1, b"\x03\x04", 1300)
        assert p.word_sum(body) == 0xFFFF
        assert len(message) - start <= 576
    assert packet.startswith(body[8:])


@pytest.mark.parametrize(
    "packet",
    [
        p.udp(p.A4, "239.1.1.1", bytes(1400)),
        p.udp("0.0.0.0", p.B4, bytes(1400)),
        p.udp(p.A6, "ff02::1", bytes(1400)),
        p.ip(p.A4, p.B4, 1, b"\x03\x04" + bytes(1400)),
        p.ip(p.A4, p.B4, 17, bytes(1400), field=0x2010),
        p.icmp6(p.A6, p.B6, 2, bytes(1400)),
    ],
    ids=range(6),
)
def test_no_error_about_these(packet: bytes) -> None:
    assert too_big(packet, 1300) is None


def test_large_pings_are_told() -> None:
    assert too_big(p.ip(p.A4, p.B4, 1, b"\x08\0" + bytes(1400)), 1300) is not None
    assert too_big(p.icmp6(p.A6, p.B6, 128, bytes(1400)), 1300) is not None


@fuzz
@given(size=st.integers(0, 4000), limit=st.integers(28, 1400), options=st.sampled_from([b"", b"\x01" * 4]))
def test_fragments_are_the_packet(size: int, limit: int, options: bytes) -> None:
    packet = p.ip(p.A4, p.B4, 17, bytes(n % 251 for n in range(size)), field=0, options=options)
    layout = parse(packet)
    assert layout is not None
    fragments = fragmented(packet, layout, limit + len(options))
    assert fragments is not None
    whole = b""
    for fragment in fragments:
        assert len(fragment) <= limit + len(options)
        field = int.from_bytes(fragment[6:8], "big")
        assert (field & 0x1FFF) * 8 == len(whole)
        assert bool(field & 0x2000) == (fragment is not fragments[-1])
        whole += p.read(fragment)[4]
    assert whole == p.read(packet)[4]


def test_fragments_of_fragments() -> None:
    packet = p.ip(p.A4, p.B4, 17, bytes(64), field=0x2000 | 10)
    layout = parse(packet)
    assert layout is not None
    fragments = fragmented(packet, layout, 52)
    assert fragments is not None
    assert [int.from_bytes(f[6:8], "big") for f in fragments] == [0x2000 | 10, 0x2000 | 14]


@pytest.mark.parametrize("packet", [p.udp(payload=bytes(100)), p.udp(p.A6, p.B6, bytes(100))])
def test_what_must_not_be_cut(packet: bytes) -> None:
    layout = parse(packet)
    assert layout is not None
    assert fragmented(packet, layout, 60) is None


# -- MSS


def mss(value: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + b"\x02\x04" + value.to_bytes(2, "big") + after


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("ends", [(p.A4, p.B4), (p.A6, p.B6)])
@pytest.mark.parametrize(
    "options", [mss(1460), mss(1460, b"\x01\x01\x04\x02", b"\0\0\0\0"), mss(1460, b"\x01", b"\0\0\0")]
)
def test_mss_is_lowered(ends: tuple[str, str], options: bytes, framed: bool, partial: bool) -> None:
    packet = p.tcp(*ends, flags=0x02, options=options, partial=partial)
    start = 14 if framed else 0
    packet = p.frame(packet) if framed else packet
    layout = parse(packet, start)
    assert layout is not None
    changed = clamp_mss(packet, layout, 1300, partial)
    at = packet.index(b"\x02\x04\x05\xb4")
    expected = 1300 - start - (60 if ":" in ends[0] else 40)
    assert struct.unpack_from(">H", changed, at + 2) == (expected,)
    assert p.checksum_right(changed, start, partial)
    assert clamp_mss(changed, layout, 1300, partial) is changed


@pytest.mark.parametrize(
    "packet",
    [
        p.tcp(flags=0x10, options=mss(1460)),
        p.tcp(flags=0x02),
        p.tcp(flags=0x02, options=mss(500)),
        p.tcp(flags=0x02, options=b"\0\0\0\0" + mss(1460)),
        p.tcp(flags=0x02, options=b"\x03\0\0\0" + mss(1460)),
        p.udp(payload=bytes(40)),
    ],
    ids=range(6),
)
def test_mss_is_left(packet: bytes) -> None:
    layout = parse(packet)
    assert layout is not None
    assert clamp_mss(packet, layout, 1300, False) is packet


@fuzz
@given(st.binary(max_size=40), st.integers(0, 255))
def test_no_options_break_the_clamp(options: bytes, offset: int) -> None:
    body = struct.pack(">HHIIBBHHH", 1, 2, 3, 4, offset, 0x02, 5, 0, 0) + options
    packet = p.ip(p.A4, p.B4, 6, body)
    layout = parse(packet)
    assert layout is not None
    assert len(clamp_mss(packet, layout, 1300, False)) == len(packet)
