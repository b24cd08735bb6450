"""``send`` and ``receive``: files and folders over a string."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from tincan.apps.files import (
    Decision,
    Offered,
    Outcome,
    Source,
    distinct,
    look,
    named,
    receive_files,
    send_files,
)
from tincan.apps.files.plain import why
from tincan.apps.files.send import Looked
from tincan.apps.files.words import offer_words, summary
from tincan.apps.text import visible
from tincan.cli.filescreen import Screen
from tincan.cli.lines import Lines, first_line
from tincan.cli.logs import set_up_logging
from tincan.cli.options import PHRASE_HELP, MeetingOptions, find_phrase, meeting_options
from tincan.cli.runner import run_async
from tincan.cli.strings import tie
from tincan.errors import IncompleteTransfer, UsageError
from tincan.meet.events import Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, parse
from tincan.tasks import settle

_EXITS = (
    "Exit code 0 only when everything is in place and verified; 7 when it was declined, 8 when something is missing. "
    "Interrupted or broken off, run the same commands again: what has arrived is kept and gone on with. "
) + PHRASE_HELP


@click.command(epilog=_EXITS)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--phrase", metavar="PHRASE", help="Use this phrase; without it one is made up and shown.")
@click.option("--as", "called", metavar="NAME", help="What the receiver calls it; for '-' it is 'stdin' otherwise.")
@meeting_options
def send(paths: tuple[str, ...], phrase: str | None, called: str | None, options: MeetingOptions) -> int:
    """Send files and folders to the other can; '-' is standard input.

    Symlinks in folders are not sent. Tell the phrase that is shown to the
    other one, who types tin-can receive PHRASE.
    """
    if called is not None and len(paths) > 1:
        raise UsageError("--as names one file or folder; send them one by one, or put them into a folder.")
    sources = distinct([named(path, called) for path in paths])
    if options.phrase_file == "-" and any(source.path is None for source in sources):
        raise UsageError("Standard input cannot be both the phrase and the file.")
    found = find_phrase(phrase, options, first_line)
    set_up_logging(options.verbose, options.log_file)
    screen = Screen(options, sending=True)
    if any(source.path is None for source in sources):
        screen.output.note("What comes from standard input cannot be gone on with if the string breaks.")
    return _run(_send(sources, found, options, screen), screen)


@click.command(epilog=_EXITS)
@click.argument("phrase", required=False)
@click.option("--to", "target", metavar="DIR", default=".", help="Put it there [default: this folder].")
@click.option("--yes", is_flag=True, help="Accept what is offered without asking.")
@click.option("--overwrite", is_flag=True, help="Replace files of the same name that differ.")
@meeting_options
def receive(phrase: str | None, target: str, yes: bool, overwrite: bool, options: MeetingOptions) -> int:
    """Receive files and folders from the other can, which types tin-can send.

    Without PHRASE it is asked for. You are shown what is offered first, unless --yes.
    """
    asks = sys.stdin.isatty() and sys.stderr.isatty() and not options.json
    if not (yes or asks):
        raise UsageError("There is no terminal to ask at; accept everything beforehand with --yes.")
    place = Path(target)
    _check_target(place)
    found = find_phrase(phrase, options, first_line)
    if found is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("receive needs a phrase: give it as argument, by --phrase-file or in TIN_CAN_PHRASE.")
        found = parse(input("Phrase: "))
    set_up_logging(options.verbose, options.log_file)
    screen = Screen(options, sending=False)
    return _run(_receive(found, Path(os.path.abspath(place)), yes, overwrite, options, screen), screen)


def _run(work: Coroutine[Any, Any, int], screen: Screen) -> int:
    with screen.output.telling_errors():
        try:
            return run_async(work)
        except KeyboardInterrupt:
            screen.clear()
            if screen.resumable:
                screen.output.note("What has arrived is kept: run the same commands again to go on from there.")
            raise
        finally:
            screen.clear()


async def _send(sources: Sequence[Source], phrase: Phrase | None, options: MeetingOptions, screen: Screen) -> int:
    def hint(event: Waiting) -> str:
        if phrase is not None:
            return "Waiting for the other can, which types 'tin-can receive' and the same phrase ..."
        return f"The other one types:\n\n    tin-can receive {event.phrase.text}\n\nWaiting ..."

    looking: list[asyncio.Task[Looked]] = []

    def found() -> None:
        """Look what there is to send while the string is being tied: not before, when it may still change."""
        if not looking:
            looking.append(asyncio.create_task(look(sources)))

    try:
        async with tie(Side.ATTACH, phrase, options, screen.output, app="files", hint=hint, found=found) as string:
            found()
            outcome = await send_files(string, looking[0], screen.tell)
            return _end(outcome, screen, f"to {string.peer}")
    finally:
        await settle(*looking)


async def _receive(
    phrase: Phrase, target: Path, yes: bool, overwrite: bool, options: MeetingOptions, screen: Screen
) -> int:
    async def decide(offer: Offered) -> Decision:
        return Decision(True) if yes else await _ask(offer, string.peer, screen)

    async with tie(
        Side.TAP, phrase, options, screen.output, app="files", hint=lambda event: "Looking for the other can ..."
    ) as string:
        outcome = await receive_files(string, target, decide, screen.tell, overwrite=overwrite)
        return _end(outcome, screen, f"into {visible(str(target))}")


async def _ask(offer: Offered, peer: str, screen: Screen) -> Decision:
    for line in offer_words(offer, peer):
        print(line, file=sys.stderr)

    with screen.output.asking("Receive it? [y/N] "):
        lines = Lines(_one_line)
        lines.start()
        answer = ""
        try:
            answer = await lines.next() or ""
        finally:
            if not answer.endswith("\n"):  # also when the question is taken back
                print(file=sys.stderr)
    return Decision(answer.strip().lower() in {"y", "yes"})


def _one_line() -> Iterator[str]:
    yield sys.stdin.readline()


def _end(outcome: Outcome, screen: Screen, where: str) -> int:
    screen.clear()
    screen.output.closed("local", summary(outcome, screen.sending, where))
    if not outcome.complete:
        raise IncompleteTransfer(
            f"{outcome.left_out} {'thing was' if outcome.left_out == 1 else 'things were'} left out; "
            "the reasons are above. Put them right and run the same commands again."
        )
    return 0


def _check_target(target: Path) -> None:
    shown = visible(str(target))
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        if not target.absolute().parent.is_dir():
            raise UsageError(f"The folder that {shown} would be in does not exist; make it first.") from None
    except OSError as exc:
        raise UsageError(f"{shown} cannot be used: {why(exc)}; name another folder with --to.") from exc
    else:
        if not stat.S_ISDIR(mode):
            raise UsageError(f"{shown} is not a folder; name one with --to.")
        if not os.access(target, os.W_OK | os.X_OK):
            raise UsageError(f"Nothing can be written into {shown}; name another folder with --to.")
