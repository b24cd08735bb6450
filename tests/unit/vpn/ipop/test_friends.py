from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.ipop import friends
from tincan.vpn.ipop.candidates import NO_FINGERPRINT
from tincan.vpn.ipop.friends import MAX_DATA, OWN_TYPES, Friends, acceptable, uid_of

OWN, A, B = "00" * 20, "aa" * 20, "bb" * 20
PRINT = ":".join(["AB"] * 32)


def test_uids_of_resources() -> None:
    assert uid_of("tincan" + A) == A
    assert uid_of(f"tincan{A}7c1") == A  # a server's addition
    assert [uid_of(text) for text in ("", "tincan", A, "tincan" + A[1:], "Tincan" + A, "tincan" + "X" * 40)] == [
        None
    ] * 6


def test_the_first_account_keeps_a_uid() -> None:
    them = Friends(OWN)
    assert them.came("a@can.test", "tincan" + A) == A
    assert them.address(A) == f"a@can.test/tincan{A}"
    assert them.came("evil@can.test", "tincan" + A) is None
    assert them.claim("evil@can.test", "tincan" + A) is None
    assert them.went("evil@can.test", "tincan" + A) is None
    assert them.address(A) == f"a@can.test/tincan{A}"
    assert them.went("a@can.test", "tincan" + A) == A
    assert them.address(A) is None
    assert them.came("evil@can.test", "tincan" + A) is None  # not while this process runs
    assert them.came("a@can.test", "tincan" + A) == A
    assert them.forget_all() == [A]
    assert them.address(A) is None


def test_nobody_has_our_own_uid() -> None:
    assert Friends(OWN).came("evil@can.test", "tincan" + OWN) is None


def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(friends, "MAX_FRIENDS", 2)
    them = Friends(OWN)
    uids = [f"{n:040x}" for n in range(1, 4)]
    assert [them.came("a@can.test", "tincan" + uid) for uid in uids] == [uids[0], uids[1], None]


REQUEST = json.dumps({"fpr": PRINT, "con_type": "successor"})


@pytest.mark.parametrize(
    ("kind", "data", "may"),
    [
        ("con_req", PRINT, True),
        ("con_req", NO_FINGERPRINT, True),
        ("con_req", REQUEST, True),
        ("con_ack", REQUEST, True),
        ("con_req", "", False),
        ("con_req", "{", False),
        ("con_req", "null", False),
        ("con_req", json.dumps({"fpr": PRINT}), False),
        ("con_req", json.dumps({"fpr": 5, "con_type": "x"}), False),
        ("con_ack", json.dumps({"fpr": "short", "con_type": "x"}), False),
        ("con_req", "[" * 9999, False),
        ("con_resp", PRINT, True),
        ("con_resp", f"{PRINT} 0:1:udp:192.0.2.7:40000:1:ufrag:{'p' * 22}:local:net:0:1", True),
        ("con_resp", f"{PRINT} what", False),
        ("con_resp", "", False),
        ("send_msg", "destroy" + A, True),
        ("send_msg", "x" * (MAX_DATA + 1), False),
        ("ping", A, True),
        ("ping_resp", "", True),
        ("anything_else", "", True),
        ("", "", False),
        ("a b", "", False),
        ("x" * 65, "", False),
        *((kind, PRINT, False) for kind in sorted(OWN_TYPES)),
    ],
)
def test_what_a_friend_may_say(kind: str, data: str, may: bool) -> None:
    assert acceptable(kind, data) is may


@given(st.text(max_size=80), st.text(max_size=80))
def test_anything_can_be_judged(kind: str, data: str) -> None:
    acceptable(kind, data)
    acceptable("con_req", data)
