"""The parts of the waiting screen: what the other one needs, and how far the meeting has come."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, describe_strength
from tincan.tui.seam import Dialect, Request
from tincan.tui.talk import Phase, PlaceState, Talk
from tincan.tui.widgets.plain import Plain
from tincan.tui.words import join_command

WEAK_ROOM = "pypeer's keys are weak: whoever sees the database can try millions of passwords a second."


class Invitation(Vertical):
    """The phrase, or the room's ID, what it is worth and what the other one types."""

    def __init__(self, request: Request, *, id: str) -> None:
        super().__init__(id=id)
        self._request = request

    def compose(self) -> ComposeResult:
        """See Textual."""
        room = self._request.dialect is Dialect.PYPEER
        yield Plain("The room is" if room else "The phrase is", classes="-label")
        yield Plain("...", id="phrase")
        yield Plain(id="strength")
        yield Plain("The other one types", classes="-label")
        yield Plain(id="command")

    def show(self, talk: Talk) -> None:
        """Show the phrase, once it is known."""
        if talk.phrase is None:
            return
        self.query_one("#phrase", Plain).put(talk.phrase.text)
        self.query_one("#strength", Plain).put(self._worth(talk.phrase))
        self.query_one("#command", Plain).put(join_command(self._request, talk.phrase.text))

    def _worth(self, phrase: Phrase) -> str:
        match self._request.dialect:
            case Dialect.PYPEER if self._request.password:
                return f"It has a password. {WEAK_ROOM}"
            case Dialect.PYPEER:
                return f"It has no password: anybody may come in. {WEAK_ROOM}"
            case Dialect.CLASSIC:
                from tincan.apps.dialects.classic import CLASSIC_SECURITY

                return CLASSIC_SECURITY
            case _:
                return describe_strength(phrase).capitalize() + "."


class Now(Plain):
    """What is waited for."""

    def __init__(self, side: Side, *, id: str) -> None:
        super().__init__(id=id)
        self._side = side

    def show(self, talk: Talk) -> None:
        """Show how far it has come."""
        self.put(_now(talk, self._side))


class Places(Plain):
    """The places, reached or in trouble."""

    def show(self, talk: Talk) -> None:
        """Show each on a line."""
        self.put("\n".join(_place(place) for place in talk.places.values()))


def _now(talk: Talk, side: Side) -> str:
    match talk.phase:
        case Phase.PREPARING:
            return "Getting ready ..."
        case Phase.WAITING if side is Side.ATTACH:
            return "Waiting for the other can ..."
        case Phase.WAITING:
            return "Looking for the other can ..."
        case Phase.TYING:
            return f"The other can is there (met at {talk.met_at}); tying the string ..."
        case Phase.OVER:
            return talk.ending.sentence if talk.ending is not None else ""
        case _:
            return "Connected."


def _place(place: PlaceState) -> str:
    if place.trouble is None:
        return f"\u2713 {place.name}: reached"
    return f"! {place.name}: {place.trouble}"
