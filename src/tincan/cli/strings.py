"""The string of the commands that move bytes, with the shared options and what they say on the way."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from tincan.apps.strings import Carrier, Lost, Mended, PhraseString, StringEvent
from tincan.cli.options import MeetingOptions
from tincan.cli.output import Hint, Output, route, with_places
from tincan.errors import UsageError
from tincan.meet.events import PeerFound
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, describe_strength, looks_mistyped


@contextlib.asynccontextmanager
async def tie(
    side: Side | None,
    phrase: Phrase | None,
    options: MeetingOptions,
    output: Output,
    *,
    app: str,
    hint: Hint,
    found: Callable[[], None] = lambda: None,
) -> AsyncIterator[PhraseString]:
    """Tie a string for an app (a key of `tincan.apps.greeting.COMMANDS`), telling on ``output`` how it goes.

    ``side`` None: whoever comes first. ``found`` is called when the other can is there, and the string is not
    tied yet. Raises `UsageError` for options of
    other programs' dialects, and what `PhraseString` raises.
    """
    if options.foreign:
        raise UsageError("--pypeer, --classic and --static-link are for text: use attach-string, tap or talk.")
    if phrase is not None:
        advise(phrase, output)
    hint = with_places(hint, side, options.settings.switchboards)
    hear = _hear(output, route(output, hint, counting_from_arrival=side is Side.ATTACH), found)
    async with PhraseString(side, phrase, options.settings, hear, app=app, name=options.name) as string:
        yield string


def _hear(output: Output, tell: Callable[..., None], found: Callable[[], None]) -> Callable[[StringEvent], None]:
    def hear(event: StringEvent) -> None:
        match event:
            case Lost():
                output.reconnecting()
            case Mended(path):
                output.reconnected(path.value)
            case Carrier(path, tcp):
                output.carrier(path.value, tcp)
            case PeerFound():
                tell(event)
                found()
            case _:
                tell(event)

    return hear


def advise(phrase: Phrase, output: Output) -> None:
    """Warn about a phrase that is easily guessed, or looks mistyped."""
    if not phrase.generated:
        strength = describe_strength(phrase)
        if strength.startswith("weak"):
            output.note(f"This phrase is {strength}.")
        word = looks_mistyped(phrase.text)
        if word is not None:
            output.note(f"{word!r} is not among the words that tin-can makes phrases of; it is taken as it is.")
