"""Random cans do random things to a core: what must hold whatever they do."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.meet.mailbox import Side
from tincan.switchboard import frames
from tincan.switchboard.quotas import MailboxLimits
from unit.switchboard.desk import Can, Desk, token

CODES = ["0" * 12, "1" * 12, None]
LIMITS = MailboxLimits(mailboxes=3, mailboxes_per_address=2, messages=4, bytes=40, bytes_per_address=30)

command = st.one_of(
    st.tuples(st.just("connect"), st.sampled_from(["a", "b"])),
    st.tuples(
        st.just("open"),
        st.integers(0, 9),
        st.sampled_from(list(Side)),
        st.sampled_from(CODES),
        st.sampled_from(["one", "two", "three"]),
        st.booleans(),
        st.integers(0, 3),
    ),
    st.tuples(st.just("send"), st.integers(0, 9), st.integers(0, 5), st.binary(max_size=12)),
    st.tuples(st.just("close"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("drop"), st.integers(0, 9)),
    st.tuples(st.just("time"), st.sampled_from([0.0, 1.0, 299.0, 601.0])),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(command, max_size=60))
def test_nothing_breaks_and_nothing_grows(commands: list[tuple]) -> None:
    desk = Desk(LIMITS)
    names = ["unknown"]
    for kind, *rest in commands:
        living = [can for can in desk.cans if not can.hung_up]
        if kind == "connect":
            desk.can(rest[0])
        elif kind == "time":
            desk.pass_time(rest[0])
        elif living:
            perform(living[rest[0] % len(living)], kind, rest[1:], names)
        names += [f.mailbox for can in desk.cans for f in can.inbox if isinstance(f, frames.Opened)][-1:]
        assert len(desk.core) <= LIMITS.mailboxes
        assert desk.metrics.mailboxes == len(desk.core)
    for can in desk.cans:
        check_conversation(can)
    desk.pass_time(601)
    assert len(desk.core) == 0
    assert desk.core.next_deadline() is None


def perform(can: Can, kind: str, rest: list, names: list[str]) -> None:
    if kind == "open":
        side, code, name, resume, seen = rest
        can.say(frames.Open(side, code, token(name), names[-1] if resume else None, seen))
    elif kind == "send":
        can.send(*rest)
    elif kind == "close":
        can.close(done=rest[0])
    else:
        can.drop()
        can.hung_up = True


def check_conversation(can: Can) -> None:
    """Frames to one connection come in the order that the protocol promises."""
    expected = None
    for index, frame in enumerate(can.inbox):
        if isinstance(frame, frames.Opened):
            assert index == 0
        elif isinstance(frame, frames.Reset):
            expected = 0
        elif isinstance(frame, frames.Message):
            assert expected in (None, frame.seq)
            expected = frame.seq + 1
        else:
            assert index == len(can.inbox) - 1


@dataclass
class FaithfulCan:
    """A can that keeps to the protocol over a line that breaks all the time."""

    desk: Desk
    side: Side
    heard: list[bytes] = field(default_factory=list)
    line: Can | None = None
    mailbox: str | None = None

    def connect(self) -> None:
        self.line = self.desk.can().open(self.side, self.side.value, resume=self.mailbox, seen=len(self.heard))
        self.mailbox = self.line.opened().mailbox

    def listen(self) -> None:
        if self.line is not None:
            self.heard += self.line.bodies()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(Side)), st.sampled_from(["say", "listen", "break", "stall"])),
        max_size=80,
    )
)
def test_every_message_arrives_once_and_in_order(steps: list[tuple[Side, str]]) -> None:
    desk = Desk(MailboxLimits(messages=100))
    cans = {side: FaithfulCan(desk, side) for side in Side}
    said: dict[Side, list[bytes]] = {side: [] for side in Side}
    for side, step in steps:
        can = cans[side]
        if can.line is None or step == "stall":
            can.connect()  # "stall": without the old connection being noticed as dead
        assert can.line is not None
        if step == "say":
            said[side].append(b"%d" % len(said[side]))
            for seq in range(max(0, len(said[side]) - 2), len(said[side])):
                can.line.send(seq, said[side][seq])  # the last one once more: it might have been lost
        elif step == "listen":
            can.listen()
        elif step == "break":
            can.listen()
            can.line.drop()
            can.line = None
    for can in cans.values():
        if can.line is None:
            can.connect()
    for side, can in cans.items():
        can.listen()
        assert can.heard == said[side.other]
    assert len(desk.core) == 1
