"""Cans that talk to the pure core of a switchboard, in virtual time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tincan.meet.mailbox import Side
from tincan.switchboard import frames
from tincan.switchboard.mailboxes import Effect, HangUp, Mailboxes
from tincan.switchboard.metrics import Metrics
from tincan.switchboard.quotas import MailboxLimits

CODE = "3f9a0c71d2be"


def token(name: str) -> str:
    return name.ljust(22, "-")


@dataclass
class Can:
    """One connection of one can: what it was sent, and whether it was hung up on."""

    desk: Desk
    number: int
    address: str = "192.0.2.1"
    inbox: list[frames.ServerFrame] = field(default_factory=list)
    hung_up: bool = False

    def open(
        self, side: Side, name: str, code: str | None = CODE, *, resume: str | None = None, seen: int = 0
    ) -> Can:
        self.say(frames.Open(side, code, token(name), resume, seen))
        return self

    def send(self, seq: int, body: bytes, mailbox: str | None = None) -> None:
        self.say(frames.Send(seq, body, mailbox))

    def close(self, *, done: bool) -> None:
        self.say(frames.Close(done))

    def say(self, frame: frames.ClientFrame) -> None:
        assert not self.hung_up
        self.desk.apply(self.desk.core.receive(self.number, frame, address=self.address, now=self.desk.now))

    def drop(self) -> None:
        """Lose the connection."""
        self.desk.core.disconnected(self.number)

    def take(self) -> list[frames.ServerFrame]:
        """Return what came since the last time."""
        taken, self.inbox = self.inbox, []
        return taken

    def opened(self) -> frames.Opened:
        """Return the `Opened` that came first."""
        frame = self.inbox.pop(0)
        assert isinstance(frame, frames.Opened)
        return frame

    def bodies(self) -> list[bytes]:
        """Return the bodies of the messages that came, which is all that came."""
        taken = self.take()
        assert all(isinstance(frame, frames.Message) for frame in taken), taken
        return [frame.body for frame in taken if isinstance(frame, frames.Message)]

    def error(self) -> str:
        """Return the code of the error that ended the conversation."""
        [frame] = self.take()
        assert isinstance(frame, frames.Error)
        assert self.hung_up
        return frame.code.value


class Desk:
    """A core with its clock, and its connections."""

    def __init__(self, limits: MailboxLimits | None = None, *, seed: int = 1) -> None:
        self.now = 1000.0
        self.metrics = Metrics()
        self.core = Mailboxes(random.Random(seed), limits=limits, metrics=self.metrics)
        self.cans: list[Can] = []

    def can(self, address: str = "192.0.2.1") -> Can:
        self.cans.append(Can(self, len(self.cans), address))
        return self.cans[-1]

    def pass_time(self, seconds: float) -> None:
        """Move the clock, as the shell does: `expire` at each deadline on the way."""
        end = self.now + seconds
        while (deadline := self.core.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.apply(self.core.expire(self.now))
        self.now = end

    def apply(self, effects: list[Effect]) -> None:
        for number, what in effects:
            can = self.cans[number]
            assert not can.hung_up, "nothing may follow HangUp"
            if isinstance(what, HangUp):
                can.hung_up = True
            else:
                can.inbox.append(what)
