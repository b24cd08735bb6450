"""Opens the terminal screens, and gives them what they need. Textual is loaded only when they open."""

from __future__ import annotations

import dataclasses
import sys

import click

from tincan.apps.conversation import Conversation, StringConversation
from tincan.apps.doctor import examine
from tincan.apps.text import visible
from tincan.cli.calls import TalkOptions
from tincan.cli.dialects import Mode, foreign_conversation
from tincan.cli.lines import Lines, piped
from tincan.cli.logs import set_up_logging
from tincan.cli.options import MeetingOptions, conversation_options
from tincan.cli.output import Output
from tincan.cli.runner import run_async
from tincan.meet.mailbox import Side
from tincan.meet.phrase import parse
from tincan.tui.open import open_screens
from tincan.tui.seam import Dialect, Examine, MakeConversation, Opening, Request, Services


@click.command()
@conversation_options
def start(options: MeetingOptions) -> int:
    """Open the start screen."""
    return show_screens(options)


def show_screens(options: MeetingOptions, opening: Opening = None, wishes: TalkOptions | None = None) -> int:
    """Open the screens and return the exit code; raises the error that ended a command's conversation."""
    set_up_logging(0, options.log_file)  # nothing may be printed into a screen
    services = Services(
        make_conversation=conversations(options, wishes),
        dialects=(Dialect.NATIVE, Dialect.PYPEER),
        examine=_examination(),
        name=options.name,
    )
    outcome = run_async(open_screens(services, opening))
    if outcome.note and not options.quiet:
        print(visible(outcome.note), file=sys.stderr, flush=True)
    if outcome.error is not None:
        raise outcome.error
    if outcome.interrupted:
        raise KeyboardInterrupt
    return 0


def wanted(mode: str, text: str | None, options: MeetingOptions) -> Request:
    """Return the conversation that a command line asks for, as the screens know it."""
    side = Side.TAP if mode == "tap" else Side.ATTACH
    if options.foreign.classic:
        # Classic cans have no sides: either one answers an offer that is there. The mode is what they announce.
        return Request(side, text, dialect=Dialect.CLASSIC, mode=mode, name=options.name)
    if options.foreign.pypeer:
        from tincan.apps.dialects.pypeer_wire import parse_room

        room = parse_room(text) if text is not None else None
        name, password = (room.name, room.password) if room is not None else (None, None)
        return Request(side, name, password or None, Dialect.PYPEER, name=options.name)
    return Request(side, text, mode="talk" if mode == "talk" else "", name=options.name)


def conversations(options: MeetingOptions, wishes: TalkOptions | None = None) -> MakeConversation:
    """Return what makes the conversations that the screens ask for."""

    calls = wishes.make_calls if wishes is not None else None

    def make(request: Request) -> Conversation:
        if request.dialect is Dialect.NATIVE:
            phrase = parse(request.phrase) if request.phrase is not None else None
            talks = request.mode == "talk"
            return StringConversation(
                None if talks and phrase is not None else request.side,
                phrase,
                options.settings,
                name=request.name,
                calls=calls,
                talks=talks,
            )
        text = request.phrase
        if request.dialect is Dialect.PYPEER and request.password and text is not None:
            text = f"{text}:{request.password}"
        foreign = dataclasses.replace(
            options.foreign,
            pypeer=request.dialect is Dialect.PYPEER,
            classic=request.dialect is Dialect.CLASSIC,
            static_link=False,
        )
        mode: Mode = "talk" if request.mode == "talk" else "tap" if request.side is Side.TAP else "attach"
        return foreign_conversation(
            mode, text, dataclasses.replace(options, foreign=foreign), Output(quiet=True), Lines(piped), calls
        )

    return make


def _examination() -> Examine:
    from tincan.cli.doctor import asked

    boards, known = asked({})
    return lambda show: examine(boards, known, show)
