"""``pipe``: stdin to the peer, the peer to stdout."""

from __future__ import annotations

import click

from tincan.apps.ends import sink, source
from tincan.apps.pipe import run_pipe
from tincan.cli.lines import first_line
from tincan.cli.logs import set_up_logging
from tincan.cli.options import PHRASE_HELP, MeetingOptions, find_phrase, meeting_options
from tincan.cli.output import JsonOutput, Output
from tincan.cli.runner import run_async
from tincan.cli.strings import tie
from tincan.meet.events import Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase


@click.command(
    epilog="Exit code 0 only when both directions ended and everything arrived. What is for people goes to stderr; "
    "with --json events go there too, one a line. Example: tar c . | tin-can pipe PHRASE   and   "
    "tin-can pipe PHRASE </dev/null | tar x. For ssh: -o ProxyCommand='tin-can pipe -q PHRASE'. " + PHRASE_HELP
)
@click.argument("phrase", required=False)
@meeting_options
def pipe(phrase: str | None, options: MeetingOptions) -> int:
    """Carry stdin to the other can, and the other can's stdin to stdout.

    Both type the same; whoever comes first waits. Without PHRASE one is made
    up and shown.
    """
    found = find_phrase(phrase, options, first_line)
    set_up_logging(options.verbose, options.log_file)
    # stdout belongs to the peer's bytes.
    output = JsonOutput(quiet=True, aside=True) if options.json else Output(quiet=options.quiet)
    with output.telling_errors():
        return run_async(_run(found, options, output))


async def _run(phrase: Phrase | None, options: MeetingOptions, output: Output) -> int:
    side = None if phrase is not None else Side.ATTACH
    async with tie(side, phrase, options, output, app="pipe", hint=_hint) as string:
        sent, received = await run_pipe(string, source(0), sink(1))
        output.piped(sent, received)
        output.closed("local", "Both directions have ended.")
    return 0


def _hint(event: Waiting) -> str:
    if event.phrase.generated:
        return f"The other one types:\n\n    tin-can pipe {event.phrase.text}\n\nWaiting ..."
    return "Looking for the other can, which types the same ..."
