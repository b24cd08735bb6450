"""``net``: group networks, in which everybody has a link to everybody else."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING

import click

from tincan.cli.lines import first_line
from tincan.cli.logs import set_up_logging
from tincan.cli.netoutput import NetJson, NetOutput
from tincan.cli.options import PHRASE_HELP, MeetingOptions, find_phrase, meeting_options
from tincan.cli.output import route, with_places
from tincan.cli.runner import run_async
from tincan.cli.social import social
from tincan.cli.xmpp import XmppAccount, rooms_of, xmpp_options
from tincan.errors import DeviceMissing, TinCanError, UsageError
from tincan.meet.events import Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, parse

if TYPE_CHECKING:
    from tincan.vpn.group.events import NetworkStatus
    from tincan.vpn.group.network import UpSettings

LINUX = "It takes Linux, and root or CAP_NET_ADMIN."


@click.group()
def net() -> None:
    """Group networks: machines anywhere, as if on one network of their own.

    One creates a group and is its admin; others are invited by a phrase each.
    Members name each other, as alice.NAME.can.
    """
    if sys.platform != "linux":
        raise DeviceMissing("Virtual networks need Linux.")


net.add_command(social)


@net.command()
@click.argument("network", metavar="NAME")
@click.option("--mode", type=click.Choice(["ip", "switch"]), default="ip", help="IP packets, or Ethernet frames.")
@click.option("--subnet", metavar="NET", help="Private IPv4 subnet [default: one of 100.64.0.0/10].")
@meeting_options
def create(network: str, mode: str, subnet: str | None, options: MeetingOptions) -> None:
    """Create the group NAME on this machine, with you as its admin.

    --switchboard says where it will meet; without, its members find each other
    on a LAN only. --name is what others see; else it is the host name.
    """
    from tincan.nat.addresses import interfaces
    from tincan.vpn.group import state, store
    from tincan.vpn.group.addresses import network_of, read_subnet

    output = _begin(options)
    with output.telling_errors():
        group = state.create(
            network,
            _own_name(options),
            time.time(),
            os.urandom,
            mode="switch" if mode == "switch" else "ip",
            subnet=read_subnet(subnet) if subnet is not None else None,
            avoid=[found for i in interfaces() if (found := network_of(i)) is not None],
        )
        group.switchboards = list(options.settings.switchboards)
        store.add(group)
        output.created(group)


@net.command(short_help="Invite somebody to the group NAME.", epilog=PHRASE_HELP)
@click.argument("network", metavar="[NAME]", required=False)
@meeting_options
def invite(network: str | None, options: MeetingOptions) -> None:
    """Invite somebody to the group NAME: prints a phrase for one use, and waits.

    Only the admin can, since only the admin has the group's key.
    """
    from tincan.vpn.group import joining, store

    output = _begin(options)
    with output.telling_errors():
        group = store.only(network)
        joining.may_invite(group)
        run_async(_invite(group, options, output))


async def _invite(name: str, options: MeetingOptions, output: NetOutput) -> None:
    from tincan.link.dial import tie_string
    from tincan.vpn.group import joining, store
    from tincan.vpn.group.control import NotUp, Question, ask

    settings = options.meeting_at(store.load(name).switchboards)
    hint = with_places(_hint, Side.ATTACH, settings.switchboards)
    tell = route(output, hint, counting_from_arrival=True)
    async with tie_string(Side.ATTACH, None, settings, tell) as link:
        member = await joining.invite(link.control, name, settings.switchboards)
    output.admitted(name, member)
    try:
        await ask(store.socket_folder(), name, Question("reload"))
    except NotUp:
        pass
    except TinCanError as exc:  # the new member is one all the same
        output.note(f"The network could not be told of it: {exc}")


def _hint(event: Waiting) -> str:
    return f"The other one types, once:\n\n    tin-can net join {event.phrase.text}\n\nWaiting ..."


@net.command(epilog=PHRASE_HELP)
@click.argument("phrase", required=False)
@click.option(
    "--as", "called", metavar="NAME", help="What the group is called here [default: as its admin calls it]."
)
@meeting_options
def join(phrase: str | None, called: str | None, options: MeetingOptions) -> None:
    """Join the group that the phrase of its admin invites you to.

    Without PHRASE it is asked for. --name is what the others see; else it is
    the host name.
    """
    from tincan.vpn.group import store
    from tincan.vpn.group.addresses import is_label

    if called in store.names():  # before the phrase, which is for one use, is used up
        raise UsageError(f"There is a group {called!r} here already; give this one another name.")
    if called is not None and not is_label(called):
        raise UsageError(f"{called!r} cannot be a group's name: a to z, 0 to 9 and '-', as in host names.")
    found = find_phrase(phrase, options, first_line)
    if found is None:
        if not options.terminal:
            raise UsageError("join needs a phrase: give it as argument, by --phrase-file or in TIN_CAN_PHRASE.")
        found = parse(input("Phrase (the admin's 'tin-can net invite' shows it): "))
    output = _begin(options)
    with output.telling_errors():
        run_async(_join(found, called, options, output))


async def _join(phrase: Phrase, called: str | None, options: MeetingOptions, output: NetOutput) -> None:
    from tincan.link.dial import tie_string
    from tincan.vpn.group import joining

    tell = route(output, lambda _: "Looking for the admin ...", counting_from_arrival=False)
    async with tie_string(Side.TAP, phrase, options.settings, tell) as link:
        group = await joining.join(link.control, _own_name(options), called, options.settings.switchboards)
    output.joined(group)


@net.command(epilog=LINUX)
@click.argument("network", metavar="[NAME]", required=False)
@click.option("--tap", metavar="NAME", help="Name of the virtual interface [default: can-NAME].")
@click.option("--allow-dhcp", is_flag=True, help="Let the DHCP of other members through (switch mode).")
@click.option("--allow-ra", is_flag=True, help="Let the router advertisements of other members through.")
@click.option("--mtu", type=int, metavar="BYTES", help="Largest packet on the interface.")
@click.option(
    "--on-demand",
    type=click.IntRange(0),
    default=32,
    metavar="N",
    help="Above N members: links when used [default: 32].",
)
@click.option("--no-names", is_flag=True, help="Leave /etc/hosts alone, and serve no DNS.")
@xmpp_options
@meeting_options
def up(
    network: str | None,
    tap: str | None,
    allow_dhcp: bool,
    allow_ra: bool,
    mtu: int | None,
    on_demand: int,
    no_names: bool,
    xmpp: XmppAccount | None,
    options: MeetingOptions,
) -> None:
    """Be on the network of the group NAME, until Ctrl-C or SIGTERM.

    It meets where it was created to meet, or at --switchboard.
    """
    from tincan.vpn.group import store
    from tincan.vpn.group.interfaces import tap_of
    from tincan.vpn.group.network import UpSettings
    from tincan.vpn.group.statuses import refusal

    if mtu is not None and not 1280 <= mtu <= 9000:  # every member has an IPv6 address
        raise UsageError("--mtu takes 1280 to 9000.")
    output = _begin(options)
    with output.telling_errors():
        group = store.only(network)
        state = store.load(group)
        if (refused := refusal(state, time.time())) is not None:
            raise refused
        settings = options.meeting_at(state.switchboards)
        wanted = UpSettings(
            switchboards=settings.switchboards,
            lan=settings.lan,
            servers=settings.servers,
            relay_only=settings.relay_only,
            allow_dhcp=allow_dhcp,
            allow_ra=allow_ra,
            mtu=mtu,
            on_demand_above=on_demand,
            names=not no_names,
            places=rooms_of(xmpp),
        )
        try:
            with store.only_one(group):
                run_async(_up(group, tap or tap_of(group), wanted, options.log_file, output))
        except KeyboardInterrupt:  # the good end of something that runs until it is told to stop
            output.down(group)


async def _up(name: str, tap: str, settings: UpSettings, log_file: str | None, output: NetOutput) -> None:
    from tincan.vpn.group import store
    from tincan.vpn.group.control import serving
    from tincan.vpn.group.network import GroupNetwork
    from tincan.vpn.module.client import spawn

    arguments = () if log_file is None else ("--log-file", log_file)
    async with spawn(tap=tap, arguments=arguments) as module:
        network = GroupNetwork(name, module, settings, output.network)
        async with serving(store.socket_folder(), name, network.reply):
            await network.run()
    output.down(name)


@net.command(short_help="Show who is a member, and who can be reached how.")
@click.argument("network", metavar="[NAME]", required=False)
@click.option("--json", "json", is_flag=True, help="One JSON object a line on stdout.")
def status(network: str | None, json: bool) -> None:
    """Show the group NAME, or all: who is a member, and who can be reached how."""
    from tincan.vpn.group import store

    output = NetJson() if json else NetOutput()
    with output.telling_errors():
        names = store.names() if network is None else [store.only(network)]
        if not names and not json:
            store.only(None)  # says what to do
        for found in names:
            output.status(run_async(_status(found)))


async def _status(name: str) -> NetworkStatus:
    from tincan.vpn.group import store
    from tincan.vpn.group.control import NotUp, Question, ask
    from tincan.vpn.group.events import NetworkStatus
    from tincan.vpn.group.statuses import status_of

    try:
        found: NetworkStatus = await ask(store.socket_folder(), name, Question("status"), NetworkStatus)
        return found
    except NotUp:
        return status_of(name, time.time())


@net.command()
@click.argument("network", metavar="[NAME]", required=False)
@click.option("--json", "json", is_flag=True, help="One JSON object a line on stdout.")
def leave(network: str | None, json: bool) -> None:
    """Leave the group NAME for good, and forget its keys.

    If it is up on this machine it is told to the others. Whoever leaves as the
    admin takes the only key along that could invite or ban.
    """
    from tincan.vpn.group import store

    output = NetJson() if json else NetOutput()
    with output.telling_errors():
        group = store.only(network)
        admin = store.load(group).admin
        run_async(_leave(group))
        output.left(group)
        if admin:
            output.note("You were its admin: nobody can invite to it or ban from it any more.")


async def _leave(name: str) -> None:
    from tincan.vpn.group import store
    from tincan.vpn.group.control import NotUp, Question, ask

    try:
        await ask(store.socket_folder(), name, Question("leave"))
    except NotUp:
        store.remove(name)


@net.command()
@click.argument("member")
@click.option("--net", "name", metavar="NAME", help="The group, if you are in several.")
@click.option("--json", "json", is_flag=True, help="One JSON object a line on stdout.")
def ban(member: str, name: str | None, json: bool) -> None:
    """Ban MEMBER: as the admin, and for good.

    The group gets a new secret, which the banned member does not get.
    """
    from tincan.vpn.group import store

    output = NetJson() if json else NetOutput()
    with output.telling_errors():
        group = store.only(name)
        output.banned(group, run_async(_ban(group, member)))


async def _ban(name: str, member: str) -> str:
    from tincan.vpn.group import store
    from tincan.vpn.group.control import NotUp, Question, ask

    try:
        return str(await ask(store.socket_folder(), name, Question("ban", member), str))
    except NotUp:
        # Members hear of it when the network is up here the next time.
        with store.changing(name) as state:
            return state.ban(member, os.urandom).name


def _begin(options: MeetingOptions) -> NetOutput:
    if options.foreign:
        raise UsageError("--pypeer, --classic and --static-link are for text: use attach-string, tap or talk.")
    set_up_logging(options.verbose, options.log_file)
    return NetJson(quiet=options.quiet) if options.json else NetOutput(quiet=options.quiet)


def _own_name(options: MeetingOptions) -> str:
    return options.name or socket.gethostname().partition(".")[0] or "member"
