"""What workers and widgets tell the screens."""

from __future__ import annotations

from textual.message import Message

from tincan.apps.doctor import Finding, Verdict
from tincan.tui.seam import Request


class TalkChanged(Message):
    """The talk is not what it was; posted once until the screen has looked (`Controller.seen`)."""


class LeaveAsked(Message):
    """The user wants to leave the conversation."""


class RequestMade(Message):
    """A form is filled in."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request


class FindingCame(Message):
    """The doctor has found something out."""

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self.finding = finding


class Examined(Message):
    """The doctor is done."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict
