"""Rooms of pypeer without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.switchboard.dialects.rooms import NULL, Refusal, Refused, RoomLimits, Rooms, split_path
from tincan.switchboard.metrics import Metrics

ROOM = "AB12CD"
OFFER = b'{"payload":"o","timestamp":1700000000000}'
ANSWER = b'{"payload":"a","timestamp":1.5}'


class Desk:
    """Rooms, and how one asks them."""

    def __init__(self, **limits: Any) -> None:
        self.metrics = Metrics()
        self.rooms = Rooms(RoomLimits(**limits), self.metrics)

    def put(
        self, key: str = "offer", value: bytes = OFFER, *, room: str = ROOM, address: str = "a", now: float = 0
    ) -> list[tuple[int, bytes]]:
        stored, notices = self.rooms.put(room, key, value, address=address, now=now)
        assert json.loads(stored) == json.loads(value)
        return notices

    def get(self, key: str | None = None, *, room: str = ROOM, now: float = 0) -> Any:
        return json.loads(self.rooms.get(room, key, now=now))

    def refusal(self, *args: Any, **kwargs: Any) -> Refusal:
        with pytest.raises(Refused) as caught:
            self.put(*args, **kwargs)
        return caught.value.why


def test_two_values() -> None:
    desk = Desk()
    assert desk.get() is desk.get("offer") is None
    desk.put()
    assert desk.get() == {"offer": json.loads(OFFER)}
    desk.put("answer", ANSWER)
    assert desk.get() == {"offer": json.loads(OFFER), "answer": json.loads(ANSWER)}
    assert desk.get("answer") == json.loads(ANSWER)
    assert desk.get(room="AB12CE") is None
    assert desk.metrics.rooms == 1
    assert desk.rooms.delete(ROOM, None, now=0) == []
    assert desk.get() is None
    assert (desk.metrics.rooms, desk.metrics.room_values) == (0, 2)


def test_white_space_goes_away() -> None:
    desk = Desk()
    stored, _ = desk.rooms.put(ROOM, "offer", b' {\n"payload":\n "o\\n",\t"timestamp": 1 }\n', address="a", now=0)
    assert stored == b'{"payload":"o\\n","timestamp":1}'


def test_null_is_nothing() -> None:
    desk = Desk()
    desk.put(value=NULL)
    assert desk.metrics.rooms == 0
    desk.put()
    desk.put("answer", ANSWER)
    desk.put(value=NULL)
    assert set(desk.get()) == {"answer"}
    desk.put("answer", NULL)
    assert desk.rooms.next_deadline() is None


def test_watchers_hear_of_changes() -> None:
    desk = Desk()
    assert desk.rooms.watch(1, ROOM, "offer", now=0) == NULL
    assert desk.rooms.watch(2, ROOM, "answer", now=0) == NULL
    assert desk.metrics.room_watchers == 2
    assert desk.put() == [(1, OFFER)]
    assert desk.rooms.watch(3, ROOM, "offer", now=0) == OFFER
    assert sorted(desk.put(value=ANSWER)) == [(1, ANSWER), (3, ANSWER)]
    desk.rooms.unwatch(1, ROOM, "offer")
    assert desk.put("answer", ANSWER) == [(2, ANSWER)]
    assert sorted(desk.rooms.delete(ROOM, None, now=0)) == [(2, NULL), (3, NULL)]
    assert desk.rooms.delete(ROOM, None, now=0) == []
    desk.rooms.unwatch(2, ROOM, "answer")
    desk.rooms.unwatch(3, ROOM, "offer")
    assert desk.metrics.room_watchers == 0


def test_expiry() -> None:
    desk = Desk()
    desk.put(now=5)
    desk.put("answer", ANSWER, now=300)
    desk.rooms.watch(1, ROOM, "answer", now=300)
    assert desk.rooms.next_deadline() == 605
    assert desk.rooms.expire(604.9) == []
    assert desk.get(now=605) is None
    assert desk.rooms.expire(605) == [(1, NULL)]
    assert (desk.rooms.next_deadline(), desk.metrics.rooms_expired, desk.metrics.rooms) == (None, 1, 0)


def test_a_request_makes_others_expire() -> None:
    desk = Desk()
    desk.rooms.watch(1, ROOM, "offer", now=0)
    desk.put()
    assert desk.put(room="OTHER1", now=700) == [(1, NULL)]


def test_limits() -> None:
    desk = Desk(rooms=3, rooms_per_address=2, bytes=4 * len(OFFER))
    desk.put(room="AAAAA1")
    desk.put(room="AAAAA2")
    assert desk.refusal(room="AAAAA3") is Refusal.RATE
    desk.put(room="AAAAA3", address="b")
    assert desk.refusal(room="AAAAA4", address="c") is Refusal.FULL
    desk.put("answer", OFFER, room="AAAAA1")
    assert desk.refusal("answer", OFFER, room="AAAAA2") is Refusal.FULL
    desk.put("answer", OFFER, room="AAAAA1")  # in the place of the old one
    desk.rooms.delete("AAAAA1", None, now=0)
    desk.put(room="AAAAA5")
    assert desk.refusal(room="AAAAA6", value=b'{"payload":"%s","timestamp":1}' % (b"x" * 65536)) is Refusal.TOO_LARGE


def test_too_many_watchers() -> None:
    desk = Desk(watchers=3, watchers_of_a_value=2)
    for number in range(2):
        desk.rooms.watch(number, ROOM, "offer", now=0)
    for number, room in ((2, ROOM), (3, "OTHER1"), (4, "OTHER2")):
        if number == 3:
            desk.rooms.watch(number, room, "offer", now=0)
            continue
        with pytest.raises(Refused):
            desk.rooms.watch(number, room, "offer", now=0)
    desk.rooms.unwatch(0, ROOM, "offer")
    desk.rooms.watch(5, ROOM, "offer", now=0)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'"x"',
        b"{}",
        b'{"payload":1,"timestamp":1}',
        b'{"payload":"x"}',
        b'{"payload":"x","timestamp":"1"}',
        b'{"payload":"x","timestamp":1,"more":1}',
        b'{"payload":"\xff","timestamp":1}',
        b"[" * 20_000,
    ],
)
def test_values_that_pypeer_would_not_store(value: bytes) -> None:
    with pytest.raises(Refused) as caught:
        Desk().rooms.put(ROOM, "offer", value, address="a", now=0)
    assert caught.value.why is Refusal.INVALID


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/rooms/AB12CD.json", ("AB12CD", None)),
        ("/rooms/AB12CD/offer.json", ("AB12CD", "offer")),
        ("/rooms/AB12CD/answer.json", ("AB12CD", "answer")),
        ("/rooms.json", None),
        ("/rooms/.json", None),
        ("/rooms/AB12CD", None),
        ("/rooms/ab12cd.json", None),
        ("/rooms/AB12CD/.json", None),
        ("/rooms/AB12CD/offer", None),
        ("/rooms/AB12CD/other.json", None),
        ("/rooms/AB12CD/offer/payload.json", None),
        ("/rooms/AB12C\n.json", None),
        ("/rooms/AB12CD/offer.json.json", None),
    ],
)
def test_paths(path: str, found: tuple[str, str | None] | None) -> None:
    if found is not None:
        assert split_path(path) == found
    else:
        with pytest.raises(Refused):
            split_path(path)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "null", "delete", "watch", "unwatch"]),
        st.sampled_from(["AAAAA1", "AAAAA2", "AAAAA3"]),
        st.sampled_from(["offer", "answer"]),
        st.integers(0, 100),
    )
)


@given(STEPS)
def test_a_watcher_always_knows_what_is_there(steps: list[tuple[str, str, str, int]]) -> None:
    desk = Desk(lifetime=200)
    now, known, seats = 0, {}, {}
    for number, (what, room, key, later) in enumerate(steps):
        now += later
        notices = desk.rooms.expire(now)
        if what == "put":
            notices += desk.put(key, b'{"payload":"%d","timestamp":1}' % number, room=room, now=now)
        elif what == "null":
            notices += desk.put(key, NULL, room=room, now=now)
        elif what == "delete":
            notices += desk.rooms.delete(room, None, now=now)
        elif what == "watch" and (room, key) not in seats:
            seats[room, key] = number
            known[number] = desk.rooms.watch(number, room, key, now=now)
        elif what == "unwatch" and (room, key) in seats:
            desk.rooms.unwatch(seats.pop((room, key)), room, key)
        known.update(notices)
        for (room_seen, key_seen), watcher in seats.items():
            assert known[watcher] == desk.rooms.get(room_seen, key_seen, now=now)
    desk.rooms.expire(now + 1000)
    assert (desk.metrics.rooms, desk.rooms.next_deadline()) == (0, None)
