"""``friend``: who one's friends are in the social network (`net social up`)."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import secrets
import socket
import sys
from collections.abc import Iterator

import click

from tincan.apps.greeting import hello, read_hello
from tincan.apps.strings import GREETING
from tincan.cli.lines import Lines, first_line
from tincan.cli.logs import set_up_logging
from tincan.cli.options import PHRASE_HELP, MeetingOptions, find_phrase, meeting_options
from tincan.cli.output import JsonOutput, Output, route, with_places
from tincan.cli.runner import run_async
from tincan.cli.strings import advise
from tincan.cli.xmpp import XmppAccount, xmpp_options
from tincan.errors import NoPath, TinCanError, UsageError
from tincan.identity import PublicIdentity, own_identity
from tincan.link.dial import tie_string
from tincan.link.interface import Channel, ChannelClosed
from tincan.meet.events import Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase
from tincan.tasks import plain_errors
from tincan.vpn.social import friends
from tincan.vpn.social.book import Book, Friend, checked_name
from tincan.vpn.social.meeting import befriend
from tincan.vpn.social.ranges import ip6_of

APP = "friend"


@click.group()
def friend() -> None:
    """Friends of the social network: whom 'tin-can net social up' makes links to.

    Every friend is a name such as bob.can, with an address that is yours
    alone to give and stays the same.
    """


@friend.command(epilog="Exit code 7 when one of you says no; neither keeps anything then. " + PHRASE_HELP)
@click.argument("phrase", required=False)
@click.option("--as", "called", metavar="NAME", help="Call the friend this, instead of what it calls itself.")
@click.option("--yes", is_flag=True, help="Do not ask: whoever knows the phrase is a friend.")
@meeting_options
def add(phrase: str | None, called: str | None, yes: bool, options: MeetingOptions) -> int:
    """Make somebody a friend: both type this with the same PHRASE.

    Whoever comes first waits. Without PHRASE one is made up and shown. Both
    see who the other one is, and are asked. The other one sees your --name, or
    your login.
    """
    if options.foreign:
        raise UsageError("--pypeer, --classic and --static-link are for text: use attach-string, tap or talk.")
    if not yes and (options.json or not (sys.stdin.isatty() and sys.stderr.isatty())):
        raise UsageError("There is no terminal to ask at; agree beforehand with --yes.")
    if called is not None:
        called = checked_name(called)
    found = find_phrase(phrase, options, first_line)
    set_up_logging(options.verbose, options.log_file)
    output = JsonOutput(quiet=options.quiet) if options.json else Output(quiet=options.quiet)
    with output.telling_errors():
        return run_async(_add(found, called, yes, options, output))


async def _add(phrase: Phrase | None, called: str | None, yes: bool, options: MeetingOptions, output: Output) -> int:
    identity = own_identity()
    friends.read()  # a damaged file is told before anybody is bothered
    if phrase is not None:
        advise(phrase, output)
    side = None if phrase is not None else Side.ATTACH
    hint = with_places(_hint, side, options.settings.switchboards)
    tell = route(output, hint, counting_from_arrival=side is Side.ATTACH)
    async with tie_string(side, phrase, options.settings, tell) as link:
        name = await _greet(link.control, options.name or _login())

        async def ask(peer: PublicIdentity) -> bool:
            _with(friends.read(), peer, called, name)  # what could not be kept is told before anybody agrees
            output.note(f"{name} has the fingerprint {peer.fingerprint}; yours is {identity.public.fingerprint}.")
            return yes or await _ask(f"Make {name} a friend? [y/N] ", output)

        def keep(peer: PublicIdentity) -> None:
            known = friends.read().of(peer) is not None
            made = friends.change(lambda book: _with(book, peer, called, name))
            _show(made, friends.read(), output, "was a friend before" if known else "is a friend now")

        await befriend(link.control, identity, secrets.token_bytes(32), link.binding, ask, keep)
    output.note("Both of you now: sudo tin-can net social up")
    return 0


def _with(book: Book, peer: PublicIdentity, called: str | None, name: str) -> tuple[Book, Friend]:
    """Add the friend, under the name that the user chose if there is one."""
    book, made = book.with_friend(peer, called or name)
    if called is not None and made.name != called:
        book = book.renamed(made.name, called)
    return book, next(friend for friend in book.friends if friend.public == peer)


async def _greet(control: Channel, name: str) -> str:
    try:
        await control.send(hello(APP, name))
        async with asyncio.timeout(GREETING):
            return read_hello(await control.receive(), APP)
    except (TimeoutError, ChannelClosed):
        raise NoPath("The other can was reached, but it went away before it greeted. Try again.") from None


def _login() -> str:
    """Return what this user is called, as the one who is asked for his friendship has to know who wants it."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        name = "root"
    return socket.gethostname() if name == "root" else name


def _hint(event: Waiting) -> str:
    if event.phrase.generated:
        return f"The other one types:\n\n    tin-can friend add {event.phrase.text}\n\nWaiting ..."
    return "Looking for the other can, which types the same ..."


async def _ask(question: str, output: Output) -> bool:
    with output.asking(question):
        lines = Lines(_one_line)
        lines.start()
        answer = await lines.next() or ""
        if not answer.endswith("\n"):
            print(file=sys.stderr)
    return answer.strip().lower() in {"y", "yes"}


def _one_line() -> Iterator[str]:
    yield sys.stdin.readline()


@friend.command(
    short_help="Make friends of those in your XMPP roster.",
    epilog="Exit codes: 3 without a server, 5 when it refuses. Ctrl-C is the good end, and exits with 0.",
)
@click.option("--yes", is_flag=True, help="Do not ask: everybody of the roster who comes is a friend.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say only errors on stderr.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@xmpp_options
def roster(yes: bool, as_json: bool, quiet: bool, verbose: int, xmpp: XmppAccount | None) -> int:
    """Make friends of those in your XMPP roster who type this as well, until interrupted.

    The XMPP server is trusted to say who is who; to be sure, compare the
    fingerprints. It is used for this alone: links need no account.
    """
    if xmpp is None:
        raise UsageError("Name your account: --xmpp USER@DOMAIN.")
    if not yes and (as_json or not (sys.stdin.isatty() and sys.stderr.isatty())):
        raise UsageError("There is no terminal to ask at; agree beforehand with --yes.")
    set_up_logging(verbose, None)
    output = JsonOutput(quiet=quiet) if as_json else Output(quiet=quiet)
    with output.telling_errors():
        try:
            run_async(_befriend_roster(xmpp, yes, output))
        except KeyboardInterrupt:  # the good end of something that runs until it is told to stop
            output.note("That was it.")
    return 0


async def _befriend_roster(account: XmppAccount, yes: bool, output: Output) -> None:
    from tincan.vpn.ipop.roster import Roster, RosterChannel

    identity = own_identity()
    friends.read()  # a damaged file is told before anybody is bothered
    asking = asyncio.Lock()
    found = Roster(account.user, account.password, account.context, host=account.host, port=account.port)
    output.note(f"Waiting for friends of {account.user} who type the same; yours is {identity.public.fingerprint}.")

    async def meet(channel: RosterChannel) -> None:
        name = channel.who.partition("@")[0]

        async def ask(peer: PublicIdentity) -> bool:
            _with(friends.read(), peer, None, name)
            output.note(f"{channel.who} has the fingerprint {peer.fingerprint}.")
            async with asking:
                return yes or await _ask(f"Make {channel.who} a friend? [y/N] ", output)

        def keep(peer: PublicIdentity) -> None:
            known = friends.read().of(peer) is not None
            made = friends.change(lambda book: _with(book, peer, None, name))
            _show(made, friends.read(), output, "was a friend before" if known else "is a friend now")

        try:
            await befriend(channel, identity, secrets.token_bytes(32), channel.binding, ask, keep)
        except TinCanError as exc:
            output.note(f"{channel.who}: {exc}")
        finally:
            await channel.close()

    with plain_errors():
        async with asyncio.TaskGroup() as group:
            group.create_task(found.run())
            while True:
                group.create_task(meet(await found.accept()))


@friend.command("list", short_help="Show yourself and every friend.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_friends(as_json: bool) -> None:
    """Show yourself, and every friend with its addresses and fingerprint."""
    book, me = friends.read(), own_identity().public
    rows = [("you", str(book.own), str(ip6_of(me)), me), *(_row(friend, book) for friend in book.friends)]
    if as_json:
        for place, (name, ip4, ip6, public) in enumerate(rows):
            print(json.dumps({"event": "friend" if place else "you", **_fields(name, ip4, ip6, public)}))
        return
    width = max(len(name) for name, *_ in rows)
    for name, ip4, ip6, public in rows:
        print(f"{name:<{width}}  {ip4:<15}  {ip6:<38}  {public.fingerprint}")


@friend.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a friend. A link to it is cut at once, and none is made any more."""
    gone = friends.change(lambda book: (book.without(name), book.named(name)))
    print(f"{gone.name} is no friend any more.")


@friend.command()
@click.argument("name")
@click.argument("new_name")
def rename(name: str, new_name: str) -> None:
    """Call a friend something else. Its addresses stay."""
    new_name = checked_name(new_name)
    friends.change(lambda book: (book.renamed(name, new_name), None))
    print(f"{new_name}.can is what this friend is called from now on.")


def _row(friend: Friend, book: Book) -> tuple[str, str, str, PublicIdentity]:
    return f"{friend.name}.can", str(book.address(friend)), str(friend.ip6), friend.public


def _fields(name: str, ip4: str, ip6: str, public: PublicIdentity) -> dict[str, str]:
    return {"name": name, "address": ip4, "address6": ip6, "fingerprint": public.fingerprint, "uid": public.uid}


def _show(friend: Friend, book: Book, output: Output, what: str) -> None:
    name, ip4, ip6, public = _row(friend, book)
    output.told("friend", f"{name} {what}, at {ip4} (and {ip6}).", **_fields(name, ip4, ip6, public))
