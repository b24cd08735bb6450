"""``tin-can linkd``: the TinCan module with its local API."""

from __future__ import annotations

import sys

import click

from tincan.cli.logs import set_up_logging
from tincan.errors import DeviceMissing, UsageError


@click.command()
@click.option("--socket", "path", metavar="PATH", help="The API's Unix socket [default: /run/tin-can/TAP.sock].")
@click.option("--tap", metavar="NAME", help="Name of the virtual interface [default: tincan0, or the next].")
@click.option("--ipop", type=click.Choice(["14", "16"]), help="Speak the API of IPOP v14 or v16 as well; see below.")
@click.option("--ipop-port", type=click.IntRange(1, 65535), default=5800, help="Its UDP port [default: 5800].")
@click.option("--xmpp-ca", metavar="FILE", help="Certificates (PEM) that XMPP servers are verified by.")
@click.option("--owner-fd", type=int, hidden=True, help="Speak the API on this open socket, and end with it.")
@click.option("-q", "--quiet", is_flag=True, help="Say only errors on stderr.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@click.option("--log-file", metavar="FILE", help="Write the log there.")
def linkd(
    path: str | None,
    tap: str | None,
    ipop: str | None,
    ipop_port: int,
    xmpp_ca: str | None,
    owner_fd: int | None,
    quiet: bool,
    verbose: int,
    log_file: str | None,
) -> None:
    """Run a TinCan module, which makes links for controllers.

    Controllers such as "tin-can net" start their own. Yours can use the API,
    which docs/linkd.md describes: JSON-RPC 2.0, one object a line. Only root
    and the user that runs this may. It takes Linux, and root or CAP_NET_ADMIN.

    --ipop lets IPOP's own GroupVPN and SocialVPN controllers drive the module,
    by UDP on loopback. DANGER: every program of root, of this user, and of
    who started it by sudo can then take links down, get and put packets, and
    choose who is linked to, without a password; and every friend on the XMPP
    account can ask for a link. docs/ipop.md says more.
    """
    if sys.platform != "linux":
        raise DeviceMissing("Virtual networks need Linux.")
    from tincan.cli.runner import run_async
    from tincan.vpn.module.run import Settings, run_linkd
    from tincan.vpn.path.driver import open_plane

    set_up_logging(verbose, log_file)

    drivers = []
    if ipop is None and xmpp_ca is not None:
        raise UsageError("--xmpp-ca is for --ipop alone.")
    if ipop is not None:
        from tincan.vpn.ipop.start import driver

        drivers.append(driver(int(ipop), ipop_port, xmpp_ca, _say))

    def ready(name: str, where: str | None) -> None:
        if not quiet and where is not None:
            print(f"The TinCan module is on {name}; its API is at {where}.", file=sys.stderr, flush=True)

    try:
        run_async(run_linkd(Settings(tap, path, owner_fd, ipop is not None), open_plane, ready, drivers))
    except KeyboardInterrupt:  # SIGTERM as well: the good end of something that runs until it is told to stop
        if not quiet:
            print("The TinCan module has stopped.", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    from tincan.apps.text import visible  # a server's words may be in it

    print(visible(text), file=sys.stderr, flush=True)
