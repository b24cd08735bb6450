"""``tin-can switchboard``: the meeting server."""

from __future__ import annotations

import dataclasses
import os
import sys

import click

from tincan.cli.logs import set_up_logging
from tincan.errors import UsageError
from tincan.nat.servers import parse_server


@click.command()
@click.option("--listen", default="127.0.0.1:8080", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--stun", multiple=True, metavar="URL", help="STUN server to offer to cans (repeatable).")
@click.option("--turn", multiple=True, metavar="URL", help="TURN server to offer to cans (repeatable).")
@click.option("--turn-secret-file", metavar="FILE", help="File with the TURN server's static-auth-secret.")
@click.option("--turn-ttl", default=3600, show_default=True, metavar="SECONDS", help="Life of a TURN login.")
@click.option("--trust-forwarded", is_flag=True, help="Behind a proxy: take addresses from X-Forwarded-For.")
@click.option("--opens-per-minute", type=float, metavar="N", help="Lines that one address may open a minute.")
@click.option("-q", "--quiet", is_flag=True, help="Say only errors on stderr.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@click.option("--log-file", metavar="FILE", help="Write the log there.")
def switchboard(
    listen: str,
    stun: tuple[str, ...],
    turn: tuple[str, ...],
    turn_secret_file: str | None,
    turn_ttl: int,
    trust_forwarded: bool,
    opens_per_minute: float | None,
    quiet: bool,
    verbose: int,
    log_file: str | None,
) -> None:
    """Run a switchboard, where cans meet.

    It holds sealed messages for ten minutes and learns neither phrases nor
    what is said. Put a TLS proxy in front of it for wss://. The TURN secret
    is read from a file or from TIN_CAN_TURN_SECRET, since options can be seen
    by everybody on the machine.
    """
    from tincan.switchboard.app import run
    from tincan.switchboard.settings import SwitchboardSettings

    set_up_logging(verbose, log_file)
    host, port = split_listen(listen)
    secret = _secret(turn_secret_file)
    _check_servers(stun, turn, secret)
    settings = SwitchboardSettings(
        host=host,
        port=port,
        stun=stun,
        turn_urls=turn,
        turn_secret=secret,
        turn_ttl=turn_ttl,
        trust_forwarded=trust_forwarded,
    )
    if opens_per_minute is not None:
        if not 0 < opens_per_minute <= 1e6:
            raise UsageError("--opens-per-minute must be more than 0.")
        rates = dataclasses.replace(settings.rates, opens_per_minute=opens_per_minute, opens_burst=opens_per_minute)
        settings = dataclasses.replace(settings, rates=rates)

    def ready(url: str) -> None:
        if not quiet:
            print(f"The switchboard listens at {url} (cans use --switchboard {url}).", file=sys.stderr, flush=True)

    run(settings, ready)
    if not quiet:
        print("The switchboard has stopped.", file=sys.stderr, flush=True)


def split_listen(text: str) -> tuple[str, int]:
    """Read HOST:PORT, [IPv6]:PORT or a bare port (then on this machine only); `UsageError` otherwise."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{text!r}: write an IPv6 address in brackets, as [::]:8080.")
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise UsageError(f"{text!r} is not HOST:PORT.")
    return host or "127.0.0.1", int(port)


def _secret(file: str | None) -> str:
    if file is None:
        return os.environ.get("TIN_CAN_TURN_SECRET", "")
    try:
        with open(file, encoding="utf-8") as opened:
            secret = opened.readline().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{file} cannot be read ({exc}).") from None
    if not secret:
        raise UsageError(f"{file} is empty.")
    return secret


def _check_servers(stun: tuple[str, ...], turn: tuple[str, ...], secret: str) -> None:
    if any(parse_server(url).kind != "stun" for url in stun):
        raise UsageError("--stun takes stun: URLs.")
    if any(parse_server(url).kind != "turn" for url in turn):
        raise UsageError("--turn takes turn: or turns: URLs.")
    if turn and not secret:
        raise UsageError("--turn needs --turn-secret-file or TIN_CAN_TURN_SECRET.")
