"""``tete``: a pipe by addresses, with tete's own options and messages."""

from __future__ import annotations

import logging
import time

import click

from tincan.apps.ends import sink, source
from tincan.apps.tete import FlagError, TeteSettings, read_settings, usage
from tincan.apps.text import visible
from tincan.cli.lines import first_line
from tincan.cli.main import remark
from tincan.cli.options import MeetingOptions, find_phrase
from tincan.cli.runner import run_async
from tincan.link.dial import Settings
from tincan.meet.phrase import Phrase

_STAMP = "%Y/%m/%d %H:%M:%S"
"""As Go's log package writes date and time."""

_NOTE = (
    "The options of the program tete, which it speaks with; -phrase and -phrase-file are tin-can's own.\n"
    "stdin goes to the peer, what comes from there to stdout. Both start it within a few seconds:\n"
    "  tin-can tete -myip 192.0.2.1 -peerip 198.51.100.2      and the other way round"
)


class _Untouched(click.Command):
    """A command whose arguments click does not look at: they have rules of their own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        ctx.params["arguments"] = tuple(args)
        return []


@click.command(cls=_Untouched, add_help_option=False)
def tete(arguments: tuple[str, ...]) -> int:
    """Carry stdin to the peer, and the peer's to stdout, by two addresses that both users know."""
    try:
        settings = read_settings(arguments)
    except FlagError as exc:
        remark(f"{visible(str(exc))}\n{usage()}")
        return FlagError.exit_code
    if settings is None:
        remark(f"{usage()}\n\n{_NOTE}")
        return 0
    from tincan.apps.tete.session import run_tete  # TLS and CPace, which the list of options can do without

    phrase = _find_phrase(settings)
    if settings.verbose:
        _log_more()
    run_async(run_tete(settings, phrase, source(0), sink(1), _tell))
    return 0


def _find_phrase(settings: TeteSettings) -> Phrase | None:
    """Look where all commands look for a phrase."""
    options = MeetingOptions(
        settings=Settings(),
        name="",
        phrase_file=settings.phrase_file,
        plain=True,
        json=False,
        quiet=False,
        verbose=0,
        log_file=None,
    )
    return find_phrase(settings.phrase, options, first_line)


def _tell(text: str) -> None:
    remark(f"{time.strftime(_STAMP)} {text}")


class _Lines(logging.Formatter):
    """tete's lines, in which nothing of what others said is obeyed by a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), multiline=True)


def _log_more() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(message)s", _STAMP))
    log = logging.getLogger("tincan")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
