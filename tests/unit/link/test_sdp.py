"""Session descriptions: our own round trip, those that others wrote, and what must be refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.errors import ProtocolError
from tincan.link.description import MAX_CANDIDATES, Candidate, Description
from tincan.link.sdp import MAX_SDP, read, write

HERE = Path(__file__).parent / "sdp"

HOST = Candidate("host", "192.0.2.7", 50000, "f1", 2130706431)
REFLEXIVE = Candidate("srflx", "203.0.113.9", 50001, "f2", 1694498815)
RELAYED = Candidate("relay", "203.0.113.5", 50002, "f3", 16777215)
SIX = Candidate("host", "2001:db8::7", 50003, "f4", 2130706175)

OURS = Description("Uf+/", "p" * 22, bytes(range(32)), (SIX, HOST, REFLEXIVE, RELAYED), complete=True)

BROWSER = """v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS
a=ice-options:trickle
m=audio 54321 UDP/TLS/RTP/SAVPF 111
c=IN IP4 198.51.100.1
a=candidate:1 1 udp 2113937151 198.51.100.1 54321 typ host generation 0 network-cost 999
a=ice-ufrag:AUDI
a=ice-pwd:audioaudioaudioaudioaudi
a=fingerprint:sha-256 AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA
a=setup:actpass
a=mid:0
a=rtpmap:111 opus/48000/2
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=candidate:2999745851 1 udp 2113937151 6f2d9a1e-97e1-4d2c-8c3b-3a3a0c2a4e52.local 54400 typ host generation 0
a=candidate:842163049 1 udp 1677729535 198.51.100.7 54400 typ srflx raddr 0.0.0.0 rport 0 generation 0
a=candidate:842163050 1 tcp 1518280447 198.51.100.7 9 typ host tcptype active
a=candidate:842163049 2 udp 1677729534 198.51.100.7 54401 typ srflx raddr 0.0.0.0 rport 0
a=candidate:842163051 1 UDP 33562623 203.0.113.5 61000 typ relay raddr 198.51.100.7 rport 54400
a=ice-ufrag:dAtA
a=ice-pwd:datadatadatadatadatadata
a=ice-options:trickle
a=fingerprint:sha-256 01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef
a=setup:actpass
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
"""


def recorded(name: str) -> str:
    return (HERE / f"{name}.sdp").read_bytes().decode()


@pytest.mark.parametrize("setup", ["actpass", "active", "passive"])
def test_what_we_write_we_read(setup: str) -> None:
    text = write(OURS, setup)
    found = read(text)
    assert (found.description, found.setup) == (OURS, setup)
    assert "m=application 50000 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 192.0.2.7\r\n" in text
    assert text.endswith("\r\n")


def test_without_candidates() -> None:
    bare = Description("Uf+/", "p" * 22, bytes(32), (), complete=True)
    assert "m=application 9 " in write(bare, "actpass")
    assert read(write(bare, "actpass")).description == bare


@pytest.mark.parametrize(
    ("name", "ufrag", "setup", "ports"),
    [
        ("aiortc-offer", "FYPw", "actpass", [60498, 55755]),
        ("aiortc-answer", "dwxH", "active", [38967, 55431]),
        ("aiortc-legacy-answer", "Cts7", "active", [46340, 60916]),
        ("aiortc-audio-offer", "OxlM", "actpass", [57604, 39321]),
    ],
)
def test_what_aiortc_writes(name: str, ufrag: str, setup: str, ports: list[int]) -> None:
    found = read(recorded(name))
    assert (found.description.ufrag, found.setup) == (ufrag, setup)
    assert [c.port for c in found.description.candidates] == ports
    assert {c.kind for c in found.description.candidates} == {"host"}


def test_a_legacy_section_without_sctpmap() -> None:
    lines = [line for line in recorded("aiortc-legacy-answer").splitlines() if not line.startswith("a=sctpmap")]
    assert read("\n".join(lines)).description.ufrag == "Cts7"


def test_a_browser_with_sound_and_candidates_that_we_cannot_use() -> None:
    found = read(BROWSER)
    assert (found.description.ufrag, found.description.pwd) == ("dAtA", "datadatadatadatadatadata")
    assert found.description.fingerprint.hex() == "0123456789abcdef" * 4
    # The name stays for `acceptable` to refuse; TCP and the second component are nothing for us.
    assert [(c.kind, c.port) for c in found.description.candidates] == [
        ("host", 54400),
        ("srflx", 54400),
        ("relay", 61000),
    ]


def test_what_stands_for_the_whole_session_counts_for_its_section() -> None:
    lines = write(OURS, "active").splitlines()
    general = [line for line in lines if line.startswith(("a=ice-", "a=fingerprint", "a=setup"))]
    section = [line for line in lines if line not in general]
    place = section.index("a=group:BUNDLE 0")
    assert read("\n".join([*section[:place], *general, *section[place:]])).description == OURS


def test_no_more_candidates_than_a_peer_may_have() -> None:
    many = "\n".join(f"a=candidate:{n} 1 udp 1 192.0.2.7 {2000 + n} typ host" for n in range(500))
    assert len(read(write(OURS, "active") + many).description.candidates) == MAX_CANDIDATES


GOOD = write(OURS, "actpass")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "hello",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        GOOD.replace("v=0", "v=1"),
        GOOD.replace("m=application", "m=video"),
        GOOD.replace("UDP/DTLS/SCTP", "UDP/TLS/RTP/SAVPF"),
        GOOD.replace("a=ice-ufrag:Uf+/", ""),
        GOOD.replace("a=ice-ufrag:Uf+/", "a=ice-ufrag:U f"),
        GOOD.replace("p" * 22, "p" * 21),
        GOOD.replace("p" * 22, "p" * 257),
        GOOD.replace("a=fingerprint:sha-256", "a=fingerprint:sha-1"),
        GOOD.replace("00:01:02", "00:01"),
        GOOD.replace("00:01:02", "0x:01:02"),
        GOOD.replace("a=sctp-port:5000", "a=sctp-port:5001"),
        GOOD.replace("a=sctp-port:5000", ""),
        GOOD.replace("a=setup:actpass", "a=setup:holdconn"),
        GOOD + "a=x\r\n" * MAX_SDP,
    ],
)
def test_what_is_refused(bad: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(bad)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "line",
    [
        "a=candidate:",
        "a=candidate:f 1 udp 1 192.0.2.7 99999 typ host",
        "a=candidate:f 1 udp 1 192.0.2.7 0 typ host",
        "a=candidate:f 1 udp 0 192.0.2.7 5000 typ host",
        "a=candidate:f 1 udp 4294967295 192.0.2.7 5000 typ host",
        "a=candidate:f{} 1 udp 1 192.0.2.7 5000 typ host",
        "a=candidate:f 1 udp \u0661 192.0.2.7 5000 typ host",
        "a=candidate:f 1 udp 1 192.0.2.7 5000",
        "a=candidate:" + "f" * 33 + " 1 udp 1 192.0.2.7 5000 typ host",
    ],
)
def test_candidates_that_are_passed_over(line: str) -> None:
    assert read(GOOD + line).description == OURS


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        read(text)


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.text(max_size=4)), max_size=6))
def test_any_damage_is_read_or_refused(damage: list[tuple[int, str]]) -> None:
    text = GOOD
    for place, what in damage:
        text = text[:place] + what + text[place + 1 :]
    try:
        found = read(text)
    except ProtocolError:
        return
    assert len(found.description.fingerprint) == 32
    assert all(0 < c.port < 65536 for c in found.description.candidates)
