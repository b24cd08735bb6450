"""Large packets split and put together again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.path.coalesce import MOST_DATAGRAMS, Coalescer
from tincan.vpn.path.headers import parse
from tincan.vpn.path.split import split
from tincan.vpn.path.vnet import GSO_ECN, GSO_TCP4, GSO_TCP6, GSO_UDP, LENGTH, NEEDS_CHECKSUM, Vnet, unpack
from tincan.vpn.path.wire import PARTIAL, WHOLE
from unit.vpn.path import packets as p
from unit.vpn.path.packets import fuzz

LIMIT = 1420
OPTIONS = bytes.fromhex("0101080a") + b"timetime"


def cut(buffer: bytes, limit: int = LIMIT, start: int = 0) -> list[bytes]:
    segments = split(buffer[LENGTH:], start, unpack(buffer), limit)
    assert segments is not None
    return segments


def joined(segments: list[bytes], partial: bool = True, start: int = 0, datagrams: bool = True) -> list[bytes]:
    """Let a coalescer have its way; gives what is written, vnet header and packet in one."""
    coalescer = Coalescer(datagrams)
    kinds = [(PARTIAL if partial else WHOLE, segment) for segment in segments]
    at = 0
    while at < len(kinds):
        at += coalescer.same(kinds, at)
        if at < len(kinds):
            coalescer.add(segments[at], parse(segments[at], start), partial)
            at += 1
    return [b"".join(write) for write in coalescer.flush()]


def untouched(header: bytes, end: int) -> bytes:
    """Give what all segments have in common of a TCP header."""
    return header[:4] + header[8:13] + header[14:16] + header[18:end]


@fuzz
@given(
    size=st.integers(1, 5000),
    mss=st.integers(30, 1460),
    six=st.booleans(),
    framed=st.booleans(),
    sequence=st.integers(0, 0xFFFFFFFF),
    flags=st.sampled_from([0x10, 0x18, 0x11, 0x19, 0x90]),
    field=st.sampled_from([0x4000, 0]),
    options=st.sampled_from([b"", OPTIONS]),
    padding=st.integers(0, 5),
)
def test_segments_stand_alone(
    size: int, mss: int, six: bool, framed: bool, sequence: int, flags: int, field: int, options: bytes, padding: int
) -> None:
    ends = (p.A6, p.B6) if six else (p.A4, p.B4)
    payload = random.Random(size).randbytes(size)
    packet = p.tcp(
        *ends,
        payload,
        sequence=sequence,
        flags=flags,
        options=options,
        field=field,
        identification=0xFFFE,
        partial=True,
    )
    start = 0
    if framed:
        packet, start = p.frame(packet, tags=b"\x81\0\0\x07"), 18
    segments = cut(p.gso(packet + bytes(padding), mss, start, ecn=bool(flags & 0x80)), LIMIT, start)
    got = b""
    for number, segment in enumerate(segments):
        assert len(segment) <= LIMIT
        assert segment[:start] == packet[:start]
        source, destination, protocol, at, body = p.read(segment, start)
        assert (source, destination, protocol) == p.read(packet, start)[:3]
        assert at + len(body) == len(segment)
        assert p.checksum_right(segment, start, partial=True)
        head = 20 + len(options)
        assert untouched(body, head) == untouched(p.read(packet, start)[4], head)
        assert int.from_bytes(body[4:8], "big") == (sequence + len(got)) & 0xFFFFFFFF
        last = number == len(segments) - 1
        assert body[13] == flags & ~(0 if number == 0 else 0x80) & ~(0 if last else 0x09)
        if not six:
            assert int.from_bytes(segment[start + 4 : start + 6], "big") == (
                0xFFFE if field else (0xFFFE + number) & 0xFFFF
            )
        assert len(body) - head == min(mss, LIMIT - at - head) or last
        got += body[head:]
    assert got == payload


@fuzz
@given(
    size=st.integers(1, 9000),
    mss=st.integers(20, 1330),
    six=st.booleans(),
    framed=st.booleans(),
    flags=st.sampled_from([0x10, 0x18, 0x19]),
    field=st.sampled_from([0x4000, 0]),
)
def test_what_was_split_is_put_together_again(
    size: int, mss: int, six: bool, framed: bool, flags: int, field: int
) -> None:
    ends = (p.A6, p.B6) if six else (p.A4, p.B4)
    packet = p.tcp(*ends, bytes(size), flags=flags, options=OPTIONS, partial=True, field=field, sequence=0xFFFFFF00)
    start = 14 if framed else 0
    packet = p.frame(packet) if framed else packet
    segments = cut(p.gso(packet, mss, start), LIMIT, start)
    [written] = joined(segments, start=start)
    vnet = unpack(written)
    if len(segments) == 1:
        assert (vnet.flags, vnet.gso) == (NEEDS_CHECKSUM, 0)
    else:
        assert vnet == unpack(p.gso(packet, mss, start))
    assert written[LENGTH:] == packet


@fuzz
@given(size=st.integers(1, 9000), each=st.integers(200, 1300), six=st.booleans(), framed=st.booleans())
def test_datagrams_are_split_and_put_together(size: int, each: int, six: bool, framed: bool) -> None:
    ends = (p.A6, p.B6) if six else (p.A4, p.B4)
    packet = p.udp(*ends, random.Random(size).randbytes(size), partial=True)
    start = 14 if framed else 0
    packet = p.frame(packet) if framed else packet
    segments = cut(p.gso(packet, each, start), LIMIT, start)
    for segment in segments:
        body = p.read(segment, start)[4]
        assert int.from_bytes(body[4:6], "big") == len(body)
        assert p.checksum_right(segment, start, partial=True)
    [written] = joined(segments, start=start)
    assert written[LENGTH:] == packet
    if len(segments) > 1:
        assert (unpack(written).gso, unpack(written).size) == (GSO_UDP, each)
    assert len(joined(segments, start=start, datagrams=False)) == len(segments)


def test_a_run_of_64_kb() -> None:
    packet = p.tcp(payload=bytes(65000), partial=True)
    segments = cut(p.gso(packet, 1380))
    assert len(segments) == 48
    [written] = joined(segments)
    assert written[LENGTH:] == packet
    later = cut(p.gso(p.tcp(payload=bytes(65000), partial=True, sequence=66000), 1380))
    assert len(joined(segments + later)) == 2  # the last of the first run is shorter than the others
    # and a run that would be longer than IP can say is two
    endless = [p.tcp(payload=bytes(1000), partial=True, sequence=1000 * n) for n in range(80)]
    written = joined(endless)
    assert [len(w) - LENGTH for w in written] == [40 + 65000, 40 + 15000]


def test_a_udp_run_has_no_more_than_older_kernels_take() -> None:
    written = joined([p.udp(payload=bytes(10), partial=True)] * 130)
    assert [(len(w) - LENGTH - 28) // 10 for w in written] == [MOST_DATAGRAMS, MOST_DATAGRAMS, 2]


def run(**second: object) -> int:
    """Say into how many writes two consecutive segments become, if the second is different in something."""
    common = {"payload": bytes(100), "sequence": 0}
    segments = [p.tcp(**common), p.tcp(**(common | {"sequence": 100} | second))]  # type: ignore[arg-type]
    written = joined(segments, partial=False)
    assert len(written) == 1 or [w[LENGTH:] for w in written] == segments
    return len(written)


def test_what_goes_together() -> None:
    assert run() == 1
    assert run(payload=bytes(40)) == 1
    assert run(flags=0x18) == 1
    assert run(flags=0x11) == 1


@pytest.mark.parametrize(
    "second",
    [
        {"sequence": 101},
        {"sequence": 0},
        {"payload": bytes(101)},
        {"payload": b""},
        {"flags": 0x12},
        {"flags": 0x14},
        {"flags": 0x30},
        {"flags": 0x90},
        {"flags": 0x50},
        {"options": OPTIONS},
        {"window": 501},
        {"ports": (1, 3)},
        {"ports": (3, 2)},
        {"source": p.C4},
        {"destination": p.C4},
        {"tos": 3},
        {"field": 0x2000},
        {"field": 0},
        {"source": p.A6, "destination": p.B6},
    ],
    ids=str,
)
def test_what_does_not(second: dict[str, object]) -> None:
    assert run(**second) == 2


def test_a_wrong_checksum_is_not_blessed() -> None:
    good, wrong = p.tcp(payload=bytes(100), sequence=0), bytearray(p.tcp(payload=bytes(100), sequence=100))
    wrong[-1] ^= 1
    third = p.tcp(payload=bytes(100), sequence=200)
    written = joined([good, bytes(wrong), third], partial=False)
    assert [w[LENGTH:] for w in written] == [good, bytes(wrong), third]
    broken = bytearray(good)
    broken[8] ^= 1  # its IPv4 header
    assert [w[LENGTH:] for w in joined([bytes(broken), third], partial=False)] == [bytes(broken), third]


def test_order_is_kept() -> None:
    tcps = [p.tcp(payload=bytes(50), sequence=50 * n) for n in range(4)]
    ping = p.ip(p.A4, p.B4, 1, b"\x08\0abcd")
    written = joined([*tcps[:2], ping, *tcps[2:], b"?"], partial=False)
    assert [unpack(w).gso for w in written] == [GSO_TCP4, 0, GSO_TCP4, 0]
    assert written[1][LENGTH:] == ping


def test_a_pushed_segment_ends_its_run() -> None:
    segments = [p.tcp(payload=bytes(50), sequence=50 * n, flags=0x18 if n == 1 else 0x10) for n in range(4)]
    written = joined(segments, partial=False)
    assert [len(w) - LENGTH - 40 for w in written] == [100, 100]
    assert written[0][LENGTH + 33] == 0x18


def test_ipv6_runs_say_so() -> None:
    segments = [p.tcp(p.A6, p.B6, bytes(50), sequence=50 * n, partial=True) for n in range(2)]
    assert unpack(joined(segments)[0]).gso == GSO_TCP6


@fuzz
@given(st.binary(max_size=120), st.booleans(), st.integers(0, 30))
def test_no_packet_breaks_the_coalescer(packet: bytes, partial: bool, start: int) -> None:
    written = joined([packet, packet], partial, start)
    if len(written) == 2:
        assert [w[LENGTH:] for w in written] == [packet, packet]


@fuzz
@given(st.binary(min_size=LENGTH, max_size=200), st.integers(0, 20), st.integers(1, 2000))
def test_no_packet_breaks_the_splitter(buffer: bytes, start: int, limit: int) -> None:
    segments = split(buffer[LENGTH:], start, unpack(buffer), limit)
    assert segments is None or all(len(segment) <= limit for segment in segments)


@fuzz
@given(st.data())
def test_mutilated_packets_are_split_within_limits(data: st.DataObject) -> None:
    buffer = bytearray(p.gso(p.tcp(payload=bytes(300), partial=True), 100))
    for _ in range(data.draw(st.integers(1, 4))):
        buffer[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 255))
    segments = split(buffer[LENGTH:], 0, unpack(buffer), 200)
    assert segments is None or (len(segments) <= 400 and all(len(s) <= 200 for s in segments))


def test_what_cannot_be_split() -> None:
    buffer = p.gso(p.tcp(payload=bytes(300), partial=True), 100)
    packet, vnet = buffer[LENGTH:], unpack(buffer)
    assert split(packet, 0, vnet, 40) is None
    assert split(packet, 0, vnet._replace(size=0), 1000) is None
    assert split(packet, 0, vnet._replace(gso=GSO_UDP), 1000) is None
    assert split(packet, 0, vnet._replace(gso=2), 1000) is None
    assert split(packet, 0, vnet._replace(gso=GSO_TCP4 | GSO_ECN), 1000) is not None
    datagrams = p.gso(p.udp(payload=bytes(3000), partial=True), 1400)
    assert split(datagrams[LENGTH:], 0, unpack(datagrams), 1420) is None  # datagrams keep their size


@pytest.mark.parametrize(("protocol", "kind"), [(6, GSO_TCP4), (17, GSO_UDP)])
@pytest.mark.parametrize("ends", [(p.A4, p.B4), (p.A6, p.B6)])
def test_headers_that_are_not_all_there_are_not_split(ends: tuple[str, str], protocol: int, kind: int) -> None:
    kind = GSO_TCP6 if protocol == 6 and ":" in ends[0] else kind
    for size in range(20 if protocol == 6 else 8):
        packet = p.ip(*ends, protocol, b"\x50" * size)
        assert split(packet, 0, Vnet(NEEDS_CHECKSUM, kind, 60, 1000, len(packet) - size, 6), 1420) is None
