"""Programs that write addresses down are read as if they knew how they are called here."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.vpn.social.texts import Swap, dns, message
from tincan.vpn.social.translate import MAX_PORTS, Translator
from unit.vpn.social.packets import UDP, Read, internet_sum, pseudo, tcp, udp

THEY = "172.31.0.100"
ME_THERE = "172.31.0.7"
OWN = "172.30.0.25"
PEER = "172.31.144.209"


def translator() -> Translator:
    return Translator(IPv4Address(OWN), IPv4Address(PEER))


def swap() -> Swap:
    packed = [IPv4Address(text).packed for text in (THEY, PEER, ME_THERE, OWN)]
    return Swap({packed[0]: packed[1], packed[2]: packed[3]})


def heard(ports: tuple[int, int], data: bytes, there: str = ME_THERE) -> bytes:
    got = translator().translate(udp(THEY, there, ports, data, options=bytes([1, 1, 1, 0])))
    assert got is not None
    read = Read(got)
    assert read.header_good
    assert read.transport_good
    assert read.length == len(got)
    assert read.payload[4:6] == (len(read.data) + 8).to_bytes(2, "big")
    return read.data


# -- SIP --------------------------------------------------------------------------------

SDP = (
    b"v=0\r\no=bob 53655765 2353687637 IN IP4 172.31.0.100\r\ns=-\r\nc=IN IP4 172.31.0.100\r\n"
    b"t=0 0\r\nm=audio 49170 RTP/AVP 0\r\n"
)


def invite(body: bytes, length: str = "Content-Length: %d") -> bytes:
    head = (
        "INVITE sip:alice@172.31.0.7 SIP/2.0\r\nVia: SIP/2.0/UDP 172.31.0.100:5060;branch=z9hG4bK776\r\n"
        "To: <sip:alice@172.31.0.7>\r\nFrom: <sip:bob@172.31.0.100>;tag=1\r\nContact: <sip:bob@172.31.0.100:5060>\r\n"
        f"{length % len(body) if '%' in length else length}\r\n\r\n"
    )
    return head.encode() + body


@pytest.mark.parametrize("length", ["Content-Length: %d", "l: %d", "CONTENT-LENGTH :\t%d"])
def test_sip(length: str) -> None:
    got = heard((5060, 5060), invite(SDP, length))
    _, _, body = got.partition(b"\r\n\r\n")
    assert body == SDP.replace(b"172.31.0.100", PEER.encode())
    assert len(body) == len(SDP) + 4
    assert got == invite(SDP, length).replace(SDP, body).replace(
        str(len(SDP)).encode() + b"\r\n\r\n", str(len(body)).encode() + b"\r\n\r\n"
    ).replace(b"172.31.0.100", PEER.encode()).replace(b"172.31.0.7", OWN.encode())


def test_sip_without_a_length() -> None:
    got = heard((5060, 40000), invite(SDP, "Max-Forwards: 70"))
    assert got.count(PEER.encode()) == 5
    assert got.count(OWN.encode()) == 2


def test_sip_that_is_cut_off_is_left_alone() -> None:
    data = invite(SDP)[:-10]
    assert heard((5060, 5060), data) == data


def test_what_follows_the_body_stays() -> None:
    data = invite(SDP) + b"\0\0 172.31.0.100"
    assert heard((5060, 5060), data).endswith(b"\0\0 172.31.0.100")


@pytest.mark.parametrize(
    "text", ["172.31.0.1001", "1172.31.0.100", "9.172.31.0.100", "172.31.0.100.5", "172x31x0x100"]
)
def test_only_whole_addresses_are_meant(text: str) -> None:
    assert message(text.encode(), swap()) == text.encode()


@pytest.mark.parametrize(
    "text", ["172.31.0.100:80", "172.31.0.100.", "(172.31.0.100)", "a172.31.0.100;", "172.31.0.100"]
)
def test_whole_addresses(text: str) -> None:
    assert message(text.encode(), swap()) == text.replace(THEY, PEER).encode()


def test_addresses_may_change_places() -> None:
    packed = [IPv4Address(text).packed for text in (THEY, ME_THERE)]
    crossed = Swap({packed[0]: packed[1], packed[1]: packed[0]})
    assert message(f"{THEY} {ME_THERE}".encode(), crossed) == f"{ME_THERE} {THEY}".encode()


# -- SSDP -------------------------------------------------------------------------------

ANSWER = b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLOCATION: http://172.31.0.100:49152/desc.xml\r\n\r\n"
NOTIFY = ANSWER.replace(b"HTTP/1.1 200 OK", b"NOTIFY * HTTP/1.1")


def test_an_answer_goes_to_any_port() -> None:
    assert heard((41000, 38000), ANSWER) == ANSWER.replace(b"172.31.0.100", PEER.encode())


def test_a_notification_goes_to_many() -> None:
    assert heard((41000, 1900), NOTIFY, "239.255.255.250") == NOTIFY.replace(b"172.31.0.100", PEER.encode())


def test_other_datagrams_are_left_alone() -> None:
    for data in (b"172.31.0.100", b"HTTP/1.0 172.31.0.100", b"\0" * 12 + b"172.31.0.100"):
        assert heard((41000, 41000), data) == data


def page(text: str, port: int) -> bytes:
    data = f"HTTP/1.1 200 OK\r\n\r\n<URLBase>http://{text}:{port}/</URLBase>"
    return data.encode()


@pytest.mark.parametrize("odd", ["", "x"], ids=["even", "odd"])
@pytest.mark.parametrize("partial", [False, True])
def test_a_description_by_tcp_where_the_length_stays(partial: bool, odd: str) -> None:
    made = Translator(IPv4Address(OWN), IPv4Address("172.31.0.209"))
    packet = tcp(THEY, ME_THERE, (49152, 38000), odd.encode() + page(f"{THEY} {ME_THERE}", 1))
    got = made.translate(bytearray(packet))
    assert got is not None
    assert THEY.encode() in Read(got).data  # nobody has said yet that there is a description
    made.translate(udp(THEY, ME_THERE, (1900, 38000), ANSWER))
    if partial:
        ends = IPv4Address(THEY).packed, IPv4Address(ME_THERE).packed
        packet[36:38] = internet_sum(pseudo(*ends, 6, len(packet) - 20)).to_bytes(2, "big")
    got = made.translate(packet, partial=partial)
    assert got is packet
    read = Read(got)
    assert read.data == odd.encode() + page(f"172.31.0.209 {ME_THERE}", 1)  # the second would have become shorter
    if partial:
        done = internet_sum(read.payload) ^ 0xFFFF
        read = Read(read.whole[:36] + done.to_bytes(2, "big") + read.whole[38:])
    assert read.transport_good


def test_ports_are_remembered_up_to_a_bound() -> None:
    made = Translator(IPv4Address(OWN), IPv4Address("172.31.0.209"))
    for port in range(1000, 1000 + MAX_PORTS + 1):
        made.translate(udp(THEY, ME_THERE, (1900, 38000), ANSWER.replace(b"49152", b"%d" % port)))
    seen = []
    for port in (1000 + MAX_PORTS - 1, 1000 + MAX_PORTS):
        got = made.translate(tcp(THEY, ME_THERE, (port, 38000), page(THEY, 1)))
        assert got is not None
        seen.append(b"172.31.0.209" in got)
    assert seen == [True, False]


# -- DNS --------------------------------------------------------------------------------


def name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 0x8001, 120, len(data)) + data


def packed(text: str) -> bytes:
    return IPv4Address(text).packed


def reply(first: str, second: str) -> bytes:
    """A question, an answer, a name server and an additional record."""
    owner = b"\xc0\x0c"
    head = struct.pack("!6H", 7, 0x8400, 1, 2, 1, 1)
    return (
        head + name("bob.local") + struct.pack("!HH", 1, 1)
        + record(owner, 1, packed(first)) + record(owner, 28, bytes(15) + b"\1")
        + record(name("local"), 2, name("ns.local")) + record(name("ns.local"), 1, packed(second))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ports", "there"), [((5353, 5353), "224.0.0.251"), ((53, 40000), ME_THERE), ((5353, 5353), ME_THERE)]
)
def test_records_of_addresses(ports: tuple[int, int], there: str) -> None:
    mine = OWN if there == ME_THERE else ME_THERE  # what goes to many does not say what the friend calls me
    assert heard(ports, reply(THEY, ME_THERE), there) == reply(PEER, mine)


def test_records_of_others_stay() -> None:
    assert heard((53, 40000), reply("8.8.8.8", "1.2.3.4")) == reply("8.8.8.8", "1.2.3.4")


def test_a_question_is_left_alone() -> None:
    question = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + name("bob.local") + b"\0\1\0\1"
    assert heard((40000, 53), question) == question


@pytest.mark.parametrize("size", range(0, 108, 3))
def test_dns_that_is_cut_off_is_left_alone(size: int) -> None:
    whole = reply(THEY, ME_THERE)
    assert dns(whole[:size], swap()) == whole[:size] or size >= len(whole)


def test_counts_that_lie_are_quick() -> None:
    data = struct.pack("!6H", 7, 0x8400, 65535, 65535, 65535, 65535) + bytes(1400)
    assert dns(data, swap()) == data


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=200), st.sampled_from([5060, 1900, 53, 5353]))
def test_nothing_breaks_it(data: bytes, port: int) -> None:
    for payload in (data, ANSWER[:30] + data, invite(data)):
        heard((port, port), payload)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from([THEY, ME_THERE, "172.31.0.10", "x", "\r\n", "\r\n\r\n", "l: 5\r\n", "."]), max_size=12)
)
def test_texts_of_any_kind_have_good_checksums(parts: list[str]) -> None:
    heard((5060, 5060), "".join(parts).encode())


def test_no_checksum_stays_none_when_the_length_changes() -> None:
    packet = udp(THEY, ME_THERE, (5060, 5060), invite(SDP))
    packet[26:28] = b"\0\0"
    got = translator().translate(packet)
    assert got is not None
    assert Read(got).payload[6:8] == b"\0\0"
    assert Read(got).header_good


def test_a_sum_that_the_kernel_is_to_finish() -> None:
    packet = udp(THEY, ME_THERE, (5060, 5060), invite(SDP))
    ends = packed(THEY), packed(ME_THERE)
    packet[26:28] = internet_sum(pseudo(*ends, UDP, len(packet) - 20)).to_bytes(2, "big")
    got = translator().translate(packet, partial=True)
    assert got is not None
    done = internet_sum(bytes(got[20:])) ^ 0xFFFF
    assert Read(got[:26] + done.to_bytes(2, "big") + got[28:]).transport_good


def test_a_text_that_would_not_fit_stays() -> None:
    data = b"l: 1\r\n\r\n" + THEY.encode() * 0 + (THEY + " ").encode() * 5036
    packet = udp(THEY, ME_THERE, (5060, 5060), data[:65507])
    got = translator().translate(packet)
    assert got is not None
    assert len(got) <= 65535
