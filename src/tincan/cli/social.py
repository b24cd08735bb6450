"""``net social``: the social network. `tincan.cli.net` has the group of this among its own."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import click

from tincan import storage
from tincan.cli.logs import set_up_logging
from tincan.cli.options import MeetingOptions, meeting_options
from tincan.cli.output import PATHS, JsonOutput, Output
from tincan.cli.runner import run_async
from tincan.cli.xmpp import XmppAccount, rooms_of, xmpp_options
from tincan.errors import UsageError
from tincan.identity import own_identity
from tincan.meet.events import MeetEvent, PlaceTrouble
from tincan.vpn.social import friends
from tincan.vpn.social.ranges import parse_range

if TYPE_CHECKING:
    from tincan.vpn.party.places import MakePart
    from tincan.vpn.social.controller import FriendNews, SocialEvent


@click.group(short_help="The social network: a link to each friend.")
def social() -> None:
    """The social network: a link to each of your friends (see 'tin-can friend')."""


@social.command(
    epilog="Needs Linux, and root or CAP_NET_ADMIN (exit code 9). Under sudo your own friends count. With --json, "
    "events on stdout are up, moved, friend, note, closed. Ctrl-C takes the network down."
)
@click.option("--range", "chosen", metavar="NETWORK", help="Addresses to use from now on [default: 172.31.0.0/16].")
@click.option("--tap", metavar="NAME", help="Name of the network interface [default: the next free one].")
@click.option("--no-names", is_flag=True, help="Leave /etc/hosts alone, and serve no DNS.")
@xmpp_options
@meeting_options
def up(chosen: str | None, tap: str | None, no_names: bool, xmpp: XmppAccount | None, options: MeetingOptions) -> int:
    """Make links to all friends who are there, until interrupted.

    Friends have names such as bob.can, and addresses that nobody else needs to
    know of: what a friend sends is translated on arrival.
    """
    if options.foreign:
        raise UsageError("--pypeer, --classic and --static-link are for text, not for networks.")
    network = None if chosen is None else parse_range(chosen)
    set_up_logging(options.verbose, options.log_file)
    output = JsonOutput(quiet=options.quiet) if options.json else Output(quiet=options.quiet)
    with output.telling_errors():
        try:
            return run_async(_up(network, tap, no_names, rooms_of(xmpp), options, output))
        except KeyboardInterrupt:  # SIGTERM as well: the good end of something that runs until it is told to stop
            output.closed("local", "The social network is down.")
            return 0


async def _up(
    network: IPv4Network | None,
    tap: str | None,
    no_names: bool,
    rooms: tuple[MakePart, ...],
    options: MeetingOptions,
    output: Output,
) -> int:
    from tincan.vpn.module.client import spawn  # Linux alone has what these need
    from tincan.vpn.social.controller import Social, SocialSettings
    from tincan.vpn.social.places import SocialPlaces

    identity = own_identity()
    if not friends.read().friends:
        output.note("You have no friends here yet: 'tin-can friend add' makes one, also while this runs.")

    def tell(event: MeetEvent) -> None:
        if isinstance(event, PlaceTrouble):
            output.told("note", event.text, text=event.text)

    settings = SocialSettings(network, not no_names, options.settings.relay_only)
    # Two of them would be one and the same friend to others, who link only one.
    with storage.locked("social", or_say="The social network is up already; end that one first."):
        async with spawn(tap=tap) as module:
            places = SocialPlaces(options.settings, tell, (await module.identity()).tap, rooms)
            await Social(module, identity, places, lambda event: _show(event, output), settings).run()
    return 0


def _show(event: SocialEvent, output: Output) -> None:
    """Tell what happens in the network."""
    from tincan.vpn.social.controller import FriendNews, Moved, Trouble, Up

    match event:
        case Up(tap, ip4, ip6, network):
            fields = {"interface": tap, "address": str(ip4), "address6": str(ip6), "range": str(network)}
            output.told("up", f"The network is up: {tap} has {ip4} and {ip6}.", **fields)
        case Moved(before, after):
            text = f"This machine is in a network that overlaps {before}, so friends have addresses from {after} now."
            output.told("moved", text, before=str(before), range=str(after))
        case FriendNews():
            _show_friend(event, output)
        case Trouble(text):
            output.told("note", text, text=text)


def _show_friend(news: FriendNews, output: Output) -> None:
    state = news.state.value
    fields: dict[str, object] = {"name": f"{news.name}.can", "address": str(news.ip4), "state": state}
    known = {"path": news.path, "rtt": news.rtt, "reason": news.reason}
    fields |= {name: value for name, value in known.items() if value is not None}
    texts = {
        "online": f"{news.name}.can ({news.ip4}) is linked, {PATHS.get(news.path or '', 'directly')}.",
        "away": f"{news.name}.can is away. {news.reason or ''}".rstrip(),
        "here": f"{news.name}.can is there. {news.reason or ''}".rstrip(),
    }
    if state in texts:
        output.told("friend", texts[state], **fields)
