"""Offers, answers and late candidates: what goes into sealed envelopes."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.errors import ProtocolError
from tincan.link.description import (
    MAX_CANDIDATES,
    Candidate,
    Description,
    MoreCandidates,
    Unknown,
    acceptable,
    decode,
    encode,
)

HOST = Candidate("host", "192.168.1.7", 40000, "abc123", 2130706431)
SRFLX = Candidate("srflx", "2001:db8::7", 1, "+/", 1)
RELAY = Candidate("relay", "198.51.100.1", 65535, "f" * 32, 2**31 - 1)
OFFER = Description("uFrg", "p" * 22, bytes(range(32)), (HOST, SRFLX, RELAY), False)
MORE = MoreCandidates((SRFLX,), True)

FROZEN = {
    "offer": (
        "86a46b696e64ab6465736372697074696f6ea57566726167a475467267a3707764b670707070707070707070707070707070"
        "707070707070ab66696e6765727072696e74c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d"
        "1e1faa63616e646964617465739395a4686f7374ab3139322e3136382e312e37cd9c40a6616263313233ce7effffff95a573"
        "72666c78ab323030313a6462383a3a3701a22b2f0195a572656c6179ac3139382e35312e3130302e31cdffffd92066666666"
        "66666666666666666666666666666666666666666666666666666666ce7fffffffa8636f6d706c657465c2"
    ),
    "more": (
        "83a46b696e64aa63616e64696461746573aa63616e646964617465739195a57372666c78ab323030313a6462383a3a3701a2"
        "2b2f01a8636f6d706c657465c3"
    ),
}
"""Version 1 on the wire. If this changes, old and new cans cannot talk."""


def fields(payload: Description | MoreCandidates) -> dict[str, object]:
    found = msgspec.msgpack.decode(encode(payload))
    assert isinstance(found, dict)
    return found


def changed(payload: Description | MoreCandidates, **values: object) -> bytes:
    return msgspec.msgpack.encode(fields(payload) | values)


@pytest.mark.parametrize(("name", "payload"), [("offer", OFFER), ("more", MORE)])
def test_frozen(name: str, payload: Description | MoreCandidates) -> None:
    assert encode(payload).hex() == FROZEN[name]
    assert decode(bytes.fromhex(FROZEN[name])) == payload


_texts = st.text(alphabet="abcXYZ019+/", min_size=4, max_size=256)
_candidates = st.builds(
    Candidate,
    st.sampled_from(["host", "srflx", "relay", "prflx"]),
    st.ip_addresses().map(str) | st.text(max_size=20),
    st.integers(1, 65535),
    st.text(alphabet="aZ0+/", min_size=1, max_size=32),
    st.integers(1, 2**31 - 1),
)
_lists = st.lists(_candidates, max_size=MAX_CANDIDATES).map(tuple)
_payloads = st.builds(
    Description,
    _texts,
    st.text(alphabet="abcXYZ019+/", min_size=22, max_size=256),
    st.binary(min_size=32, max_size=32),
    _lists,
    st.booleans(),
) | st.builds(MoreCandidates, _lists, st.booleans())


@settings(max_examples=40, deadline=None)
@given(_payloads)
def test_what_is_encoded_comes_back(payload: Description | MoreCandidates) -> None:
    assert decode(encode(payload)) == payload


@pytest.mark.parametrize("payload", [OFFER, MORE])
def test_truncated_anywhere(payload: Description | MoreCandidates) -> None:
    whole = encode(payload)
    for length in range(len(whole)):
        with pytest.raises(ProtocolError):
            decode(whole[:length])
    with pytest.raises(ProtocolError):
        decode(whole + b"\0")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ufrag", "abc"),
        ("ufrag", "a" * 257),
        ("ufrag", "ab c"),
        ("ufrag", "abcd\n"),
        ("ufrag", "abcd\r\na=setup:active"),
        ("ufrag", "äbcd"),
        ("ufrag", b"abcd"),
        ("ufrag", None),
        ("pwd", "p" * 21),
        ("pwd", "p" * 257),
        ("pwd", "p" * 22 + "\n"),
        ("pwd", "p" * 21 + "="),
        ("fingerprint", bytes(31)),
        ("fingerprint", bytes(33)),
        ("fingerprint", "x" * 32),
        ("fingerprint", None),
        ("complete", 1),
        ("complete", None),
        ("candidates", None),
        ("candidates", [None]),
        ("candidates", [[]]),
        ("candidates", [["host", "192.0.2.1", 1, "f"]]),
    ],
)
def test_fields_have_their_form(field: str, value: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(changed(OFFER, **{field: value}))
    assert caught.value.exit_code == 8


@pytest.mark.parametrize("field", ["ufrag", "pwd", "fingerprint", "candidates", "complete"])
def test_fields_are_required(field: str) -> None:
    left = {name: value for name, value in fields(OFFER).items() if name != field}
    with pytest.raises(ProtocolError):
        decode(msgspec.msgpack.encode(left))


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, None),
        (0, 7),
        (1, None),
        (1, b"192.0.2.1"),
        (2, 0),
        (2, 65536),
        (2, -1),
        (2, "80"),
        (2, 80.0),
        (3, ""),
        (3, "f" * 33),
        (3, "a b"),
        (3, "abc\n"),
        (3, "é"),
        (4, 0),
        (4, 2**31),
        (4, None),
    ],
)
def test_candidates_have_their_form(position: int, value: object) -> None:
    parts: list[object] = ["host", "192.0.2.1", 40000, "abc", 1]
    assert isinstance(decode(changed(MORE, candidates=[parts])), MoreCandidates)
    parts[position] = value
    for payload in OFFER, MORE:
        with pytest.raises(ProtocolError):
            decode(changed(payload, candidates=[parts]))


@pytest.mark.parametrize("payload", [OFFER, MORE])
def test_candidates_are_few(payload: Description | MoreCandidates) -> None:
    parts = ["host", "192.0.2.1", 40000, "abc", 1]
    assert decode(changed(payload, candidates=[parts] * MAX_CANDIDATES))
    with pytest.raises(ProtocolError):
        decode(changed(payload, candidates=[parts] * (MAX_CANDIDATES + 1)))


def test_what_is_not_known_is_ignored() -> None:
    assert decode(changed(OFFER, colour="red")) == OFFER
    assert decode(changed(MORE, candidates=[["host", "192.0.2.1", 1, "f", 1, "new"]])) == MoreCandidates(
        (Candidate("host", "192.0.2.1", 1, "f", 1),), True
    )
    assert decode(msgspec.msgpack.encode({"kind": "restart", "ufrag": 7})) == Unknown()
    assert decode(msgspec.msgpack.encode({"kind": ""})) == Unknown()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x80",
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode({"kind": 7}),
        msgspec.msgpack.encode({"kind": None}),
        msgspec.msgpack.encode({"kind": "description"}),
        msgspec.msgpack.encode({"kind": "candidates"}),
        msgspec.msgpack.encode({1: "description"}),
        b"\x81\xa4kind\xa2\xff\xfe",
        b"\x81\xa4kind" * 5000,
        b"\x91" * 30000,
        b"\x82\xa4kind\xa7restart\xa1x" + b"\x91" * 30000,
    ],
    ids=range(13),
)
def test_what_cannot_be_read(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    decodes_or_refuses(data)


@settings(deadline=None)
@given(st.sampled_from([encode(OFFER), encode(MORE)]), st.data())
def test_mutated_payloads(payload: bytes, data: st.DataObject) -> None:
    mutated = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        place, removed = data.draw(st.integers(0, len(mutated))), data.draw(st.integers(0, 3))
        mutated[place : place + removed] = data.draw(st.binary(max_size=3))
    decodes_or_refuses(bytes(mutated))


def decodes_or_refuses(data: bytes) -> None:
    try:
        payload = decode(data)
    except ProtocolError:
        return
    if not isinstance(payload, Unknown):
        assert decode(encode(payload)) == payload
        assert len(payload.candidates) <= MAX_CANDIDATES


# -- which candidates count --------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "address", "good"),
    [
        ("host", "192.168.1.7", True),
        ("srflx", "8.8.8.8", True),
        ("relay", "2001:db8::1", True),
        ("prflx", "192.168.1.7", False),
        ("HOST", "192.168.1.7", False),
        ("", "192.168.1.7", False),
        ("host", "localhost", False),
        ("host", "abcd.local", False),
        ("host", "224.0.0.251", False),
        ("host", "255.255.255.255", False),
        ("host", "::ffff:127.0.0.1", False),
        ("host", "fe80::1%eth0", False),
        ("host", "0.0.0.0", False),
    ],
)
def test_acceptable(kind: str, address: str, good: bool) -> None:
    candidate = Candidate(kind, address, 40000, "f", 1)
    for loopback in False, True:
        assert acceptable([HOST, candidate, RELAY], loopback=loopback) == (
            [HOST, candidate, RELAY] if good else [HOST, RELAY]
        )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_loopback_only_where_there_is_nothing_else(address: str) -> None:
    candidate = Candidate("host", address, 40000, "f", 1)
    assert acceptable([candidate], loopback=True) == [candidate]
    assert acceptable([candidate], loopback=False) == []


def test_payloads_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        HOST.port = 1  # type: ignore[misc]
    assert dataclasses.is_dataclass(Unknown)
