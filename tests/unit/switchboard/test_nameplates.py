"""Nameplates: random, short while there are few, and of no use to somebody who looks for them."""

from __future__ import annotations

import hashlib

from tincan.meet.mailbox import Side
from tincan.meet.nameplate import nameplate_code
from tincan.switchboard.quotas import MailboxLimits
from unit.switchboard.desk import Desk

MANY = MailboxLimits(mailboxes=100_000, mailboxes_per_address=100_000)


def nameplate(desk: Desk) -> str:
    plate = desk.can().open(Side.ATTACH, "one", None).opened().nameplate
    assert plate is not None
    return plate


def test_the_code_of_a_nameplate_is_that_of_the_protocol() -> None:
    assert nameplate_code(417) == hashlib.sha256(b"tin-can/1 nameplate 417").hexdigest()[:12]
    assert nameplate_code(417) == "b70c76cf21c9"


def test_the_tap_finds_the_attaching_can_by_its_nameplate() -> None:
    desk = Desk()
    one = desk.can().open(Side.ATTACH, "one", None)
    opened = one.opened()
    assert opened.nameplate is not None
    two = desk.can().open(Side.TAP, "two", nameplate_code(int(opened.nameplate)))
    assert two.opened() == type(opened)(opened.mailbox)  # who brings a code gets no nameplate
    one.send(0, b"hello")
    assert two.bodies() == [b"hello"]


def test_nameplates_get_longer_once_half_of_a_range_is_in_use() -> None:
    desk = Desk(MANY)
    plates = [nameplate(desk) for _ in range(450 + 4500 + 1)]
    assert len(set(plates)) == len(plates)
    assert {len(plate) for plate in plates[:450]} == {3}
    assert {len(plate) for plate in plates[450:4950]} == {4}
    assert len(plates[4950]) == 5
    assert all(plate[0] != "0" for plate in plates)


def test_nameplates_come_back_into_use() -> None:
    desk = Desk(MANY)
    assert {len(nameplate(desk)) for _ in range(450)} == {3}
    assert len(nameplate(desk)) == 4
    desk.pass_time(600)
    assert len(nameplate(desk)) == 3


def test_nameplates_are_spread_over_the_whole_range() -> None:
    hundreds = [0] * 10
    for seed in range(2000):
        hundreds[int(nameplate(Desk(seed=seed))) // 100] += 1
    assert hundreds[0] == 0
    assert all(150 < count < 300 for count in hundreds[1:]), hundreds  # 222 each, +- 5 sigma


def test_somebody_who_occupies_short_nameplates_does_not_stop_others() -> None:
    desk = Desk(MANY)
    for number in range(100, 1000):
        desk.can().open(Side.ATTACH, "evil", nameplate_code(number))
    assert len(nameplate(desk)) == 4


def test_looking_for_a_nameplate_shows_nothing() -> None:
    """An address without a mailbox and one with somebody waiting answer alike."""
    desk = Desk()
    taken = nameplate_code(int(nameplate(desk)))
    free = "0" * 12
    answers = []
    for code in (taken, free):
        looker = desk.can("198.51.100.1").open(Side.TAP, "looker", code)
        opened = looker.opened()
        answers.append((len(opened.mailbox), opened.nameplate, looker.take()))
    assert answers[0] == answers[1]
