"""The rules of the mailbox in docs/protocol.md, one by one, from both sides."""

from __future__ import annotations

import random

import pytest

from tincan.meet.mailbox import Side
from tincan.switchboard import frames
from tincan.switchboard.mailboxes import Mailboxes
from tincan.switchboard.quotas import MailboxLimits
from tincan.switchboard.store import MemoryStore
from unit.switchboard.desk import CODE, Can, Desk

both_sides = pytest.mark.parametrize("side", list(Side))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def pair(desk: Desk, side: Side) -> tuple[Can, Can, str]:
    """Return a can on ``side``, one on the other, and the mailbox's name."""
    one = desk.can().open(side, "one")
    two = desk.can().open(side.other, "two")
    name = one.opened().mailbox
    assert two.opened().mailbox == name
    return one, two, name


@both_sides
def test_messages_are_pushed_in_order(desk: Desk, side: Side) -> None:
    one, two, _ = pair(desk, side)
    one.send(0, b"a")
    two.send(0, b"x")
    one.send(1, b"b")
    assert two.take() == [frames.Message(0, b"a"), frames.Message(1, b"b")]
    assert one.take() == [frames.Message(0, b"x")]


@both_sides
def test_who_comes_later_hears_what_was_said(desk: Desk, side: Side) -> None:
    one = desk.can().open(side, "one")
    for seq in range(64):
        one.send(seq, b"%d" % seq)
    two = desk.can().open(side.other, "two")
    two.opened()
    assert two.bodies() == [b"%d" % seq for seq in range(64)]


def test_mailboxes_are_apart(desk: Desk) -> None:
    one, two, _ = pair(desk, Side.ATTACH)
    other = desk.can().open(Side.TAP, "other", "0" * 12)
    other.opened()
    one.send(0, b"a")
    assert two.bodies() == [b"a"]
    assert other.take() == []


@both_sides
def test_another_can_on_a_taken_side_is_told_busy(desk: Desk, side: Side) -> None:
    one, two, _ = pair(desk, side)
    third = desk.can().open(side, "third")
    assert third.error() == "busy"
    one.send(0, b"undisturbed")
    assert two.bodies() == [b"undisturbed"]


@both_sides
def test_the_same_can_comes_back_and_hears_what_it_missed(desk: Desk, side: Side) -> None:
    one, two, name = pair(desk, side)
    two.send(0, b"heard")
    one.drop()
    two.send(1, b"missed")
    two.send(2, b"missed too")
    again = desk.can().open(side, "one", resume=name, seen=1)
    assert again.take() == [
        frames.Opened(name),
        frames.Message(1, b"missed"),
        frames.Message(2, b"missed too"),
    ]
    again.send(0, b"here again")
    assert two.bodies() == [b"here again"]


@both_sides
def test_a_new_connection_of_the_same_can_replaces_the_old_one(desk: Desk, side: Side) -> None:
    one, two, name = pair(desk, side)
    again = desk.can().open(side, "one", resume=name)
    assert one.hung_up
    assert one.take() == []
    one.drop()  # the shell notices later; it must not touch the new connection
    again.opened()
    two.send(0, b"x")
    assert again.bodies() == [b"x"]


def test_without_resume_the_same_can_hears_everything(desk: Desk) -> None:
    one, two, name = pair(desk, Side.ATTACH)
    two.send(0, b"x")
    one.drop()
    again = desk.can().open(Side.ATTACH, "one", seen=1)
    assert again.opened().mailbox == name
    assert again.bodies() == [b"x"]


def test_a_message_sent_again_is_ignored(desk: Desk) -> None:
    one, two, name = pair(desk, Side.ATTACH)
    one.send(0, b"a")
    one.drop()
    again = desk.can().open(Side.ATTACH, "one", resume=name)
    again.send(0, b"a, or something else")
    again.send(1, b"b")
    assert two.bodies() == [b"a", b"b"]


@both_sides
def test_another_can_takes_over_a_side_whose_can_is_away(desk: Desk, side: Side) -> None:
    one, two, name = pair(desk, side)
    one.send(0, b"old")
    two.send(0, b"old")
    two.take()
    one.drop()
    new = desk.can().open(side, "new", resume=name, seen=0)
    reset = two.take()
    fresh = new.opened().mailbox
    assert fresh != name
    assert reset == [frames.Reset(fresh)]
    assert new.take() == []
    new.send(0, b"new")
    two.send(0, b"new")
    assert (new.bodies(), two.bodies()) == ([b"new"], [b"new"])
    late = desk.can().open(side, "one", resume=name)
    assert late.error() == "busy"


@both_sides
def test_who_was_away_during_a_reset_sees_another_name(desk: Desk, side: Side) -> None:
    one, two, name = pair(desk, side)
    two.send(0, b"old")
    one.drop()
    two.drop()
    new = desk.can().open(side, "new")
    new.send(0, b"new")
    back = desk.can().open(side.other, "two", resume=name, seen=7)
    assert back.opened().mailbox == new.opened().mailbox != name
    assert back.bodies() == [b"new"]


def test_a_message_for_the_mailbox_before_a_reset_is_ignored(desk: Desk) -> None:
    one, two, name = pair(desk, Side.ATTACH)
    one.drop()
    new = desk.can().open(Side.ATTACH, "new")
    fresh = new.opened().mailbox
    two.send(0, b"under way during the reset", mailbox=name)
    two.send(5, b"this one too", mailbox=name)
    two.send(0, b"new", mailbox=fresh)
    assert new.bodies() == [b"new"]


def test_taking_over_from_a_can_that_is_done_resets_once(desk: Desk) -> None:
    one, two, name = pair(desk, Side.ATTACH)
    one.close(done=True)
    two.drop()
    new_two = desk.can().open(Side.TAP, "new two")
    assert new_two.opened().mailbox != name
    new_one = desk.can().open(Side.ATTACH, "new one")
    new_one.opened()
    assert new_two.take() == []


@both_sides
def test_done_on_both_sides_deletes_the_mailbox(desk: Desk, side: Side) -> None:
    one, two, _ = pair(desk, side)
    one.send(0, b"last words")
    one.close(done=True)
    assert one.hung_up
    assert two.bodies() == [b"last words"]
    assert len(desk.core) == 1
    two.close(done=True)
    assert two.hung_up
    assert two.take() == []
    assert len(desk.core) == 0
    assert desk.metrics.completed == 1


def test_what_a_done_can_left_is_still_delivered(desk: Desk) -> None:
    one, two, name = pair(desk, Side.ATTACH)
    two.drop()
    one.send(0, b"last words")
    one.close(done=True)
    again = desk.can().open(Side.TAP, "two", resume=name)
    again.opened()
    assert again.bodies() == [b"last words"]


@both_sides
def test_giving_up_deletes_the_mailbox_and_tells_the_other(desk: Desk, side: Side) -> None:
    one, two, _ = pair(desk, side)
    one.close(done=False)
    assert one.hung_up
    assert one.take() == []
    assert two.take() == [frames.Gone()]
    assert two.hung_up
    assert len(desk.core) == 0
    assert desk.metrics.completed == 0


def test_a_lost_connection_does_not_delete_the_mailbox(desk: Desk) -> None:
    one, two, name = pair(desk, Side.ATTACH)
    one.drop()
    two.drop()
    desk.pass_time(599)
    assert desk.can().open(Side.ATTACH, "one", resume=name).opened().mailbox == name


def test_ten_minutes_after_its_making_a_mailbox_expires(desk: Desk) -> None:
    one = desk.can().open(Side.ATTACH, "one")
    one.opened()
    assert desk.core.next_deadline() == 1600
    desk.pass_time(300)
    two = desk.can().open(Side.TAP, "two")
    two.opened()
    two.send(0, b"talking does not prolong it")
    one.take()
    desk.pass_time(299.9)
    assert one.take() == two.take() == []
    desk.pass_time(0.1)
    assert one.error() == two.error() == "expired"
    assert len(desk.core) == 0
    assert desk.core.next_deadline() is None
    assert desk.metrics.expired == 1


def test_a_reset_does_not_prolong_it_either(desk: Desk) -> None:
    one, _, _ = pair(desk, Side.ATTACH)
    desk.pass_time(500)
    one.drop()
    new = desk.can().open(Side.ATTACH, "new")
    new.opened()
    desk.pass_time(100)
    assert new.error() == "expired"


def test_an_overdue_mailbox_is_gone_even_if_expire_was_not_called(desk: Desk) -> None:
    one, two, name = pair(desk, Side.ATTACH)
    desk.now += 601
    two.send(0, b"too late")
    assert one.error() == two.error() == "expired"
    assert desk.can().open(Side.ATTACH, "one", resume=name).opened().mailbox != name


def test_after_a_restart_a_can_gets_a_fresh_mailbox(desk: Desk) -> None:
    one, _, name = pair(desk, Side.ATTACH)
    one.send(0, b"a")
    restarted = Desk(seed=2)
    again = restarted.can().open(Side.TAP, "two", resume=name, seen=1)
    fresh = again.opened().mailbox
    assert fresh != name
    assert again.take() == []
    assert restarted.can().open(Side.ATTACH, "one", resume=name).opened().mailbox == fresh


def test_a_store_that_remembers_brings_mailboxes_back() -> None:
    store = MemoryStore()
    before = Mailboxes(random.Random(1), store=store)
    before.receive(0, frames.Open(Side.ATTACH, CODE, "t" * 22), address="a", now=0)
    before.receive(0, frames.Send(0, b"kept"), address="a", now=0)
    before.disconnected(0)
    after = Mailboxes(random.Random(2), store=store, limits=MailboxLimits(mailboxes_per_address=1))
    [opened, message] = after.receive(0, frames.Open(Side.TAP, CODE, "u" * 22), address="b", now=1)
    assert isinstance(opened[1], frames.Opened)
    assert message == (0, frames.Message(0, b"kept"))
    refused = after.receive(1, frames.Open(Side.TAP, "0" * 12, "u" * 22), address="a", now=1)
    assert isinstance(refused[0][1], frames.Error)


# -- what is refused --


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(None, frames.Send(0, b""), id="send before open"),
        pytest.param(None, frames.Close(True), id="close before open"),
        pytest.param(None, frames.Open(Side.TAP, None, "t" * 22), id="a nameplate for the tap"),
        pytest.param(
            frames.Open(Side.ATTACH, CODE, "t" * 22), frames.Open(Side.TAP, CODE, "t" * 22), id="second open"
        ),
        pytest.param(frames.Open(Side.ATTACH, CODE, "t" * 22), frames.Send(1, b""), id="gap"),
    ],
)
def test_what_makes_no_sense_is_malformed(
    desk: Desk, first: frames.ClientFrame | None, second: frames.ClientFrame
) -> None:
    can = desk.can()
    if first is not None:
        can.say(first)
        can.opened()
    can.say(second)
    assert can.error() == "malformed"


def test_having_seen_what_was_never_said_is_malformed(desk: Desk) -> None:
    one, _, name = pair(desk, Side.ATTACH)
    one.drop()
    assert desk.can().open(Side.ATTACH, "one", resume=name, seen=1).error() == "malformed"


def test_after_an_error_the_side_is_free_for_its_can(desk: Desk) -> None:
    one, _, name = pair(desk, Side.ATTACH)
    one.send(9, b"")
    assert one.error() == "malformed"
    again = desk.can().open(Side.ATTACH, "one", resume=name)
    assert again.opened().mailbox == name


def test_a_side_may_leave_64_messages(desk: Desk) -> None:
    one, two, _ = pair(desk, Side.ATTACH)
    for seq in range(64):
        one.send(seq, b"")
    one.send(64, b"")
    assert one.error() == "too-large"
    assert len(two.bodies()) == 64


def test_the_switchboard_is_full_at_its_limit_of_mailboxes() -> None:
    desk = Desk(MailboxLimits(mailboxes=2))
    first = desk.can("a").open(Side.ATTACH, "one", "0" * 12)
    desk.can("b").open(Side.ATTACH, "one", "1" * 12)
    assert desk.can("c").open(Side.ATTACH, "one", "2" * 12).error() == "full"
    assert desk.can("c").open(Side.ATTACH, "one", None).error() == "full"
    desk.can("c").open(Side.TAP, "two", "0" * 12).opened()  # joining needs no room
    first.close(done=False)
    desk.can("c").open(Side.ATTACH, "one", "2" * 12).opened()


def test_one_address_has_only_so_many_mailboxes() -> None:
    desk = Desk(MailboxLimits(mailboxes_per_address=2))
    for code in ("0" * 12, "1" * 12):
        desk.can("a").open(Side.ATTACH, "one", code)
    assert desk.can("a").open(Side.ATTACH, "one", "2" * 12).error() == "rate"
    desk.can("b").open(Side.ATTACH, "one", "2" * 12).opened()
    desk.can("a").open(Side.TAP, "two", "2" * 12).opened()
    desk.pass_time(600)
    desk.can("a").open(Side.ATTACH, "one", "3" * 12).opened()


@pytest.mark.parametrize(
    ("limits", "code"),
    [(MailboxLimits(bytes=10), "full"), (MailboxLimits(bytes_per_address=10), "rate")],
)
def test_bytes_are_limited_and_freed(limits: MailboxLimits, code: str) -> None:
    desk = Desk(limits)
    one, two, _ = pair(desk, Side.ATTACH)
    one.send(0, b"12345")
    two.send(0, b"12345")
    one.take()
    one.send(1, b"6")
    assert one.error() == code
    # A takeover empties the mailbox, and its bytes can be used again.
    new = desk.can().open(Side.ATTACH, "new")
    new.opened()
    new.send(0, b"1234567890")
    new.close(done=False)
    other = desk.can().open(Side.ATTACH, "other", "1" * 12)
    other.opened()
    other.send(0, b"1234567890")
    assert other.take() == []


def test_the_core_logs_moves_but_no_code(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    one, _, name = pair(desk, Side.ATTACH)
    one.drop()
    assert "attach side: connected -> away" in caplog.text
    assert CODE not in caplog.text
    assert name not in caplog.text
