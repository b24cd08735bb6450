"""Conversations in other dialects for the commands: pypeer's rooms, the classic relay, static links."""

from __future__ import annotations

import secrets
from typing import Literal

from tincan.apps.conversation import Conversation
from tincan.apps.desks import MakeCalls
from tincan.cli.lines import Lines
from tincan.cli.options import MeetingOptions
from tincan.cli.output import Output
from tincan.errors import ProtocolError, UsageError
from tincan.meet.phrase import Phrase

Mode = Literal["attach", "tap", "talk"]


def foreign_conversation(
    mode: Mode,
    text: str | None,
    options: MeetingOptions,
    output: Output,
    lines: Lines,
    calls: MakeCalls | None = None,
) -> Conversation:
    """Return the conversation that the options ask for.

    ``text``: what stands for the phrase: a room, a secret, an offer's URL.
    ``lines``: where an answer is pasted, when no file is named. ``calls``:
    what handles calls, if not as usual.
    """
    if options.foreign.static_link:
        return _static(mode, text, options, output, lines, calls)
    if options.foreign.classic:
        return _classic(mode, text, options, output, calls)
    return _pypeer(mode, text, options, output)


def _pypeer(mode: Mode, text: str | None, options: MeetingOptions, output: Output) -> Conversation:
    from tincan.apps.dialects.pypeer import pypeer_conversation
    from tincan.apps.dialects.pypeer_wire import WEAK_KEYS, Room, generate_room, parse_room

    if mode == "talk":
        raise UsageError("pypeer knows no calls; use attach-string and tap.")
    if text is None and mode == "tap":
        raise UsageError("tap --pypeer needs the room: ROOM or ROOM:PASSWORD.")
    room = parse_room(text) if text is not None else Room(generate_room(secrets.choice))
    url = database(options)
    output.note(WEAK_KEYS)
    if mode == "attach":
        output.note(f"The room is  {room.name}{'' if not room.password else '  (with your password)'}")
    return pypeer_conversation(
        host=mode == "attach",
        room=room.name,
        password=room.password,
        url=url,
        servers=options.settings.servers,
        timeout=options.settings.timeout,
        relay_only=options.settings.relay_only,
    )


def database(options: MeetingOptions) -> str:
    """Return the database that pypeer's rooms are in; `UsageError` when none is named."""
    if not options.foreign.firebase:
        raise UsageError("--pypeer needs a database: --firebase URL, or PYPEER_URL (a switchboard's URL will do).")
    return options.foreign.firebase


def _classic(
    mode: Mode, text: str | None, options: MeetingOptions, output: Output, calls: MakeCalls | None
) -> Conversation:
    from tincan.apps.dialects.classic import CLASSIC_SECURITY
    from tincan.apps.dialects.classic_relay import classic_conversation

    if text is None:
        raise UsageError("--classic needs the secret that both agreed on.")
    output.note(CLASSIC_SECURITY)
    output.note("What you type goes as Morse: capitals, digits and . , ? ! ' / - arrive, the rest does not.")
    return classic_conversation(
        mode=mode,
        secret=text,
        relay=options.foreign.relay,
        servers=options.settings.servers,
        timeout=options.settings.timeout,
        relay_only=options.settings.relay_only,
        calls=calls,
    )


def _static(
    mode: Mode, text: str | None, options: MeetingOptions, output: Output, lines: Lines, calls: MakeCalls | None
) -> Conversation:
    from tincan.apps.dialects.reading import Paste, from_file, read_file
    from tincan.apps.dialects.static_link import STATIC_SECURITY, static_conversation
    from tincan.apps.dialects.static_news import AnswerReady, AnswerUnusable, OfferReady, StaticNews, WordsReady

    file = options.foreign.file
    if text is None and mode == "tap":
        if file is None:
            raise UsageError("tap --static-link needs the offer: its URL, or --file PATH.")
        text, file = read_file(file), None
    output.note(STATIC_SECURITY)

    def show(news: StaticNews) -> None:
        match news:
            case OfferReady(url):
                output.handover("offer", url)
            case AnswerReady(url):
                output.handover("answer", url)
            case AnswerUnusable(why):
                output.note(f"{why} Try again.")
            case WordsReady(words):
                output.words(words)

    async def pasted() -> str:
        paste = Paste()
        while (line := await lines.next()) is not None:
            try:
                whole = paste.add(line)
            except ProtocolError as exc:
                output.note(str(exc))
                continue
            if whole is not None:
                return whole
        raise UsageError("The input ended before the answer was there.")

    return static_conversation(
        offer_text=text,
        show=show,
        read_answer=pasted if file is None else from_file(file),
        phrase=_shared_phrase(options),
        servers=options.settings.servers,
        timeout=options.settings.timeout,
        relay_only=options.settings.relay_only,
        name=options.name,
        classic=options.foreign.classic,
        mode=mode,
        calls=calls,
    )


def _shared_phrase(options: MeetingOptions) -> Phrase | None:
    """Return the phrase that seals a static link, if both have one; the argument is the offer."""
    from tincan.cli.lines import first_line
    from tincan.cli.options import find_phrase

    return find_phrase(None, options, first_line)
