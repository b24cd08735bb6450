"""Opens the terminal screens, and gives them what they need. Textual is loaded only when they open."""

from __future__ import annotations

import sys

import click

from tincan.apps.conversation import Conversation, StringConversation
from tincan.apps.doctor import examine
from tincan.apps.text import visible
from tincan.cli.logs import set_up_logging
from tincan.cli.options import MeetingOptions, meeting_options
from tincan.cli.runner import run_async
from tincan.errors import UsageError
from tincan.link.dial import Settings
from tincan.meet.phrase import parse
from tincan.tui.open import open_screens
from tincan.tui.seam import Dialect, Examine, MakeConversation, Opening, Request, Services


@click.command()
@meeting_options
def start(options: MeetingOptions) -> int:
    """Open the start screen."""
    return show_screens(options)


def show_screens(options: MeetingOptions, opening: Opening = None) -> int:
    """Open the screens and return the exit code; raises the error that ended a command's conversation."""
    set_up_logging(0, options.log_file)  # nothing may be printed into a screen
    services = Services(
        make_conversation=conversations(options.settings),
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


def conversations(settings: Settings) -> MakeConversation:
    """Return what makes the conversations that the screens ask for."""

    def make(request: Request) -> Conversation:
        if request.dialect is not Dialect.NATIVE:
            raise UsageError(f"This version does not speak {request.dialect.value}.")
        phrase = parse(request.phrase) if request.phrase is not None else None
        return StringConversation(request.side, phrase, settings, name=request.name)

    return make


def _examination() -> Examine:
    from tincan.cli.doctor import asked

    boards, known = asked({})
    return lambda show: examine(boards, known, show)
