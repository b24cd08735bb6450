"""``forward``: ports through the string, as ``ssh -L`` and ``-R``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import click

from tincan.apps.forward import (
    ConnectionClosed,
    ConnectionOpened,
    Forwarder,
    ForwardEvent,
    Listening,
    NotForwarded,
    Plan,
    StringBroke,
    StringMended,
    Transport,
    allow_options,
    read_allow,
    read_allow_listen,
    read_forwarding,
)
from tincan.apps.text import visible
from tincan.cli.lines import first_line
from tincan.cli.logs import set_up_logging
from tincan.cli.main import remark
from tincan.cli.options import PHRASE_HELP, MeetingOptions, find_phrase, meeting_options
from tincan.cli.output import JsonOutput, Output
from tincan.cli.runner import run_async
from tincan.cli.strings import tie
from tincan.errors import UsageError
from tincan.meet.events import Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase

MAX_TOLD: Final = 1000
"""Different failures that are remembered, so that each is told once."""

logger = logging.getLogger(__name__)

_SPEC = "[BIND:]PORT:HOST:PORT"


@click.command(
    epilog="Both ends of a forwarding may be paths of Unix sockets, IPv6 addresses stand in brackets, port 0 is any, "
    "and /udp after a forwarding carries datagrams. Nothing can be reached here that is not named here: by --allow, "
    "--allow-listen or as the target of an own -R. Example: tin-can forward -L 8080:localhost:80   and on the other "
    "side   tin-can forward PHRASE --allow localhost:80. " + PHRASE_HELP
)
@click.argument("phrase", required=False)
@click.option("-L", "local", multiple=True, metavar=_SPEC, help="Listen here, connect there (repeatable).")
@click.option("-R", "remote", multiple=True, metavar=_SPEC, help="Listen there, connect here (repeatable).")
@click.option("-u", "udp", is_flag=True, help="Carry UDP, not TCP.")
@click.option("--allow", multiple=True, metavar="HOST:PORT", help="The other can may connect there (repeatable).")
@click.option(
    "--allow-listen", multiple=True, metavar="[HOST:]PORT", help="The other can may listen there (repeatable)."
)
@meeting_options
def forward(
    phrase: str | None,
    local: tuple[str, ...],
    remote: tuple[str, ...],
    udp: bool,
    allow: tuple[str, ...],
    allow_listen: tuple[str, ...],
    options: MeetingOptions,
) -> int:
    """Carry TCP, UDP and Unix connections between here and the other can.

    Whoever comes first waits. Without PHRASE one is made up and shown.
    """
    if options.foreign:
        raise UsageError("--classic, --pypeer and --static-link cannot forward: both sides must be tin-can forward.")
    if not (local or remote or allow or allow_listen):
        raise UsageError("There is nothing to forward: name at least one -L, -R, --allow or --allow-listen.")
    transport = Transport.UDP if udp else Transport.TCP
    plan = Plan(
        local=tuple(read_forwarding(text, transport) for text in local),
        remote=tuple(read_forwarding(text, transport) for text in remote),
        allow=tuple(map(read_allow, allow)),
        allow_listen=tuple(map(read_allow_listen, allow_listen)),
    )
    found = find_phrase(phrase, options, first_line)
    set_up_logging(options.verbose, options.log_file)
    output = ForwardJson(quiet=options.quiet) if options.json else Output(quiet=options.quiet)
    with output.telling_errors():
        return run_async(_run(plan, found, options, output))


async def _run(plan: Plan, phrase: Phrase | None, options: MeetingOptions, output: Output) -> int:
    side = None if phrase is not None else Side.ATTACH
    async with (
        Forwarder(plan, teller(output)) as forwarder,  # first, so that a taken port is told before anybody is met
        tie(side, phrase, options, output, app="forward", hint=lambda event: hint(plan, event)) as string,
    ):
        await forwarder.run(string)
        output.closed("peer", "The other can hung up.")
    return 0


def hint(plan: Plan, event: Waiting) -> str:
    """Return what to tell a person who waits: what the other one types, with what this plan needs there."""
    needed = allow_options(plan.local, plan.remote)
    if not needed:
        needed = f"-L {_SPEC}" if plan.allow else f"-R {_SPEC}"
    if event.phrase.generated:
        return f"The other one types:\n\n    tin-can forward {event.phrase.text} {needed}\n\nWaiting ..."
    return f"Looking for the other can, which types tin-can forward, the same phrase, and {needed} ..."


class ForwardJson(JsonOutput):
    """For programs: the events of forwarding too."""

    def forwarded(self, event: ForwardEvent) -> None:
        """Print the event, unless other events tell the same."""
        match event:
            case Listening(spec, address, there):
                self._event("listening", spec=spec, address=address, **({"there": True} if there else {}))
            case ConnectionOpened(number, target):
                self._event("open", id=number, target=target)
            case ConnectionClosed(number, sent, received):
                self._event("close", id=number, sent=sent, received=received)
            case NotForwarded(target, text):
                self._event("refused", target=target, text=text)
            case StringBroke() | StringMended():
                pass  # the string tells these itself: reconnecting, reconnected


def teller(output: Output) -> Callable[[ForwardEvent], None]:
    """Return what a `Forwarder` tells its events to: notes for people, and for programs every event."""
    told: set[NotForwarded] = set()

    def tell(event: ForwardEvent) -> None:
        if isinstance(output, ForwardJson):
            output.forwarded(event)
        match event:
            case Listening(spec, address, there):
                output.note(f"Listening on {address}{' at the other can' if there else ''} ({spec}).")
            case ConnectionOpened(number, target):
                logger.info("connection %d to %s", number, target)
            case ConnectionClosed(number, sent, received):
                logger.info("connection %d closed, %d bytes sent, %d received", number, sent, received)
            case NotForwarded(target, text):
                if event not in told and len(told) < MAX_TOLD:
                    told.add(event)
                    # An error, so it is told even with --quiet.
                    remark(visible(f"Not forwarded ({target}): {text}"))
            case StringMended():
                output.note("Connections that were open have been reset; new ones go through.")
            case StringBroke():
                pass  # the string says so

    return tell
