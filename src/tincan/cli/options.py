"""Options that every command shares which meets a peer, and what they make."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import click

from tincan import config
from tincan.cli.gather import F, gathered
from tincan.errors import UsageError
from tincan.link.dial import Settings
from tincan.meet.phrase import Phrase, parse
from tincan.nat.servers import IceServer, parse_server

DEFAULT_RELAY = "https://lafeir.com/api"

PHRASE_HELP = (
    "A phrase on the command line is visible in the process list and stays in the shell's history; "
    "the prompt, --phrase-file and TIN_CAN_PHRASE are the quiet ways."
)

_PLACES = (
    click.option("--switchboard", "switchboards", multiple=True, metavar="URL", help="Meet there (repeatable)."),
    click.option("--no-lan", is_flag=True, help="Do not meet on the LAN or this machine."),
    click.option("--stun", multiple=True, metavar="URL", help="STUN server (repeatable); 'none' for none."),
    click.option("--turn", multiple=True, metavar="URL", help="TURN server (repeatable)."),
    click.option("--turn-user", metavar="NAME", help="User name at the TURN server."),
    click.option("--turn-password", metavar="TEXT", help="Password at the TURN server."),
    click.option("--relay-only", is_flag=True, help="Go through a TURN server only; hides addresses from the peer."),
    click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait for the peer [default: 600]."),
    click.option("--phrase-file", metavar="FILE", help="Read the phrase from a file, or '-' for stdin's first line."),
    click.option("--name", metavar="NAME", help="How the peer sees you."),
)

_SHOWN = (
    click.option("--plain", is_flag=True, help="One line in, one message out; also without a terminal."),
    click.option("--json", "json", is_flag=True, help="One JSON event a line on stdout."),
    click.option("-q", "--quiet", is_flag=True, help="Say only errors on stderr."),
    click.option("-v", "--verbose", count=True, help="Say more; -vv: everything, with tracebacks."),
    click.option("--log-file", metavar="FILE", help="Write the log there."),
)


def _dialects(*, hidden: bool) -> tuple[Callable[[F], F], ...]:
    """Return the options of other programs' dialects, which only conversations can have.

    ``hidden``: a command without them takes them all the same, to say so in a sentence.
    """
    option = partial(click.option, hidden=hidden)
    return (
        option(
            "--pypeer", is_flag=True, help="Meet in a room of pypeer; PHRASE is ROOM or ROOM:PASSWORD.", hidden=hidden
        ),
        option(
            "--firebase",
            metavar="URL",
            help="The database that pypeer meets in [default: PYPEER_URL].",
            hidden=hidden,
        ),
        option(
            "--classic",
            is_flag=True,
            help="Talk with the classic tin-can (Morse); PHRASE is the secret.",
            hidden=hidden,
        ),
        option(
            "--relay",
            metavar="URL",
            help=f"The relay of the classic tin-can [default: {DEFAULT_RELAY}].",
            hidden=hidden,
        ),
        option(
            "--static-link",
            is_flag=True,
            help="No server: hand URLs over; PHRASE is an offer to answer.",
            hidden=hidden,
        ),
        option(
            "--file", metavar="PATH", help="With --static-link: read the other one's URL from a file.", hidden=hidden
        ),
    )


@dataclass(frozen=True)
class Foreign:
    """Which dialect of another program is asked for, and where it is spoken."""

    pypeer: bool = False
    firebase: str | None = None
    classic: bool = False
    relay: str = DEFAULT_RELAY
    static_link: bool = False
    file: str | None = None

    def __bool__(self) -> bool:
        return self.pypeer or self.classic or self.static_link


@dataclass(frozen=True)
class MeetingOptions:
    """What the shared options came to."""

    settings: Settings
    name: str
    phrase_file: str | None
    plain: bool
    json: bool
    quiet: bool
    verbose: int
    log_file: str | None
    foreign: Foreign = Foreign()
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    servers_elsewhere: tuple[IceServer, ...] = ()
    """The servers to use when a switchboard is known from somewhere else than the options."""

    def meeting_at(self, switchboards: Sequence[str]) -> Settings:
        """Return the settings, with these switchboards where none is named."""
        if self.settings.switchboards or not switchboards:
            return self.settings
        return replace(self.settings, switchboards=tuple(switchboards), servers=self.servers_elsewhere)

    @property
    def terminal(self) -> bool:
        """Whether a person sits at both ends of this process."""
        return not (self.plain or self.json) and sys.stdin.isatty() and sys.stdout.isatty()


def read(given: Mapping[str, Any]) -> MeetingOptions:
    """Turn options, environment and config file into `MeetingOptions`; `UsageError` for nonsense."""
    if given["plain"] and given["json"]:
        raise UsageError("--plain and --json exclude each other.")
    if given["phrase_file"] == "-" and sys.stdin.isatty():
        raise UsageError("--phrase-file - reads stdin, which is a terminal; leave it out to be asked.")
    options = dict(given)
    options["lan"] = False if given["no_lan"] else None
    options["relay_only"] = given["relay_only"] or None
    values = {name: value.value for name, value in config.load(options).items()}
    foreign = _foreign(given)
    return MeetingOptions(
        settings=_settings(values, foreign),
        foreign=foreign,
        name=values["name"],
        phrase_file=given["phrase_file"],
        plain=given["plain"],
        json=given["json"],
        quiet=given["quiet"],
        verbose=given["verbose"],
        log_file=given["log_file"],
        servers_elsewhere=servers(values, ask_default_stun=True),
    )


meeting_options = gathered("options", (*_PLACES, *_dialects(hidden=True), *_SHOWN), read)
"""Gives a command the options; it receives them as one `MeetingOptions` named ``options``."""

conversation_options = gathered("options", (*_PLACES, *_dialects(hidden=False), *_SHOWN), read)
"""The same for what can be done in other programs' dialects, too."""


def _foreign(given: Mapping[str, Any]) -> Foreign:
    if given["pypeer"] and (given["classic"] or given["static_link"]):
        raise UsageError("--pypeer excludes --classic and --static-link.")
    if given["firebase"] and not given["pypeer"]:
        raise UsageError("--firebase goes with --pypeer.")
    if given["relay"] and (not given["classic"] or given["static_link"]):
        raise UsageError("--relay goes with --classic, without --static-link.")
    if given["file"] and not given["static_link"]:
        raise UsageError("--file goes with --static-link.")
    return Foreign(
        pypeer=given["pypeer"],
        firebase=given["firebase"] or os.environ.get("PYPEER_URL"),
        classic=given["classic"],
        relay=given["relay"] or DEFAULT_RELAY,
        static_link=given["static_link"],
        file=given["file"],
    )


def _settings(values: Mapping[str, Any], foreign: Foreign) -> Settings:
    settings = Settings(
        switchboards=values["switchboards"],
        lan=values["lan"],
        # Other dialects know no LAN of ours: without STUN they would reach nobody outside.
        servers=servers(values, ask_default_stun=True if foreign else None),
        relay_only=values["relay_only"],
        timeout=values["timeout"],
    )
    if settings.switchboards:
        from tincan.meet.places.switchboard import switchboard_url

        for url in settings.switchboards:
            switchboard_url(url)  # nonsense is told before anything starts
    return settings


def servers(values: Mapping[str, Any], *, ask_default_stun: bool | None = None) -> tuple[IceServer, ...]:
    """Return the STUN and TURN servers of the settings; `UsageError` for a wrong URL.

    The default STUN servers count only when a switchboard is used (see
    `config.DEFAULT_STUN`), unless told otherwise.
    """
    stun = () if values["stun"] == ("none",) else values["stun"]
    ask_default = bool(values["switchboards"]) if ask_default_stun is None else ask_default_stun
    if stun == config.DEFAULT_STUN and not ask_default:
        stun = ()
    user, password = values["turn_user"], values["turn_password"]
    found = [parse_server(url) for url in stun] + [parse_server(url, user, password) for url in values["turn"]]
    for server in found[len(stun) :]:
        if server.kind != "turn" or not user or not password:
            raise UsageError("--turn takes turn: URLs, and needs --turn-user and --turn-password.")
    if any(server.kind == "turn" for server in found[: len(stun)]):
        raise UsageError("--stun takes stun: URLs; name TURN servers with --turn.")
    return tuple(found)


def find_phrase(argument: str | None, options: MeetingOptions, first_line: Callable[[], str]) -> Phrase | None:
    """Return the phrase from the argument, a file, stdin or TIN_CAN_PHRASE; None when there is none."""
    text = find_text(argument, options, first_line)
    return parse(text) if text is not None else None


def find_text(argument: str | None, options: MeetingOptions, first_line: Callable[[], str]) -> str | None:
    """Return what `find_phrase` reads, as it was written: other dialects have secrets of other forms."""
    if argument is not None and options.phrase_file is not None:
        raise UsageError("The phrase is given twice: on the command line and by --phrase-file.")
    if argument is not None:
        return argument
    if options.phrase_file == "-":
        return first_line()
    if options.phrase_file is not None:
        try:
            with open(options.phrase_file, encoding="utf-8") as file:
                return file.readline(2048).rstrip("\r\n")
        except OSError as exc:
            raise UsageError(f"{options.phrase_file} cannot be read ({exc.strerror}).") from exc
        except UnicodeDecodeError:
            raise UsageError(f"{options.phrase_file} is not text.") from None
    if options.environment.get("TIN_CAN_PHRASE"):
        return options.environment["TIN_CAN_PHRASE"]
    return None
