"""``tin-can linkd``: the TinCan module with its local API."""

from __future__ import annotations

import sys

import click

from tincan.cli.logs import set_up_logging
from tincan.errors import DeviceMissing


@click.command()
@click.option("--socket", "path", metavar="PATH", help="The API's Unix socket [default: /run/tin-can/TAP.sock].")
@click.option("--tap", metavar="NAME", help="Name of the virtual interface [default: tincan0, or the next].")
@click.option("--owner-fd", type=int, hidden=True, help="Speak the API on this open socket, and end with it.")
@click.option("-q", "--quiet", is_flag=True, help="Say only errors on stderr.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@click.option("--log-file", metavar="FILE", help="Write the log there.")
def linkd(
    path: str | None, tap: str | None, owner_fd: int | None, quiet: bool, verbose: int, log_file: str | None
) -> None:
    """Run a TinCan module, which makes links for controllers.

    Controllers such as "tin-can net" start their own. Yours can use the API,
    which docs/linkd.md describes: JSON-RPC 2.0, one object a line. Only root
    and the user that runs this may. It takes Linux, and root or CAP_NET_ADMIN.
    """
    if sys.platform != "linux":
        raise DeviceMissing("Virtual networks need Linux.")
    from tincan.cli.runner import run_async
    from tincan.vpn.module.run import Settings, run_linkd
    from tincan.vpn.path.driver import open_plane

    set_up_logging(verbose, log_file)

    def ready(name: str, where: str | None) -> None:
        if not quiet and where is not None:
            print(f"The TinCan module is on {name}; its API is at {where}.", file=sys.stderr, flush=True)

    try:
        run_async(run_linkd(Settings(tap, path, owner_fd), open_plane, ready))
    except KeyboardInterrupt:  # SIGTERM as well: the good end of something that runs until it is told to stop
        if not quiet:
            print("The TinCan module has stopped.", file=sys.stderr, flush=True)
