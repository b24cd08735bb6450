"""Options of the commands that use an XMPP account: to meet in its server's rooms, or friends of its roster."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tincan.cli.gather import gathered
from tincan.errors import UsageError

if TYPE_CHECKING:
    import ssl

    from tincan.vpn.party.places import MakePart

PORT = 5222

_OPTIONS = (
    click.option("--xmpp", metavar="USER@DOMAIN", help="Your XMPP account: a place to meet."),
    click.option("--xmpp-password-file", metavar="FILE", help="Its password [default: TIN_CAN_XMPP_PASSWORD]."),
    click.option("--xmpp-host", metavar="HOST[:PORT]", help="Where its server is [default: DOMAIN:5222]."),
    click.option("--xmpp-rooms", metavar="DOMAIN", help="Where it has rooms [default: conference.DOMAIN]."),
    click.option("--xmpp-ca", metavar="FILE", help="Certificates (PEM) that it is verified by."),
)


@dataclass(frozen=True)
class XmppAccount:
    """What the options came to."""

    user: str
    password: str = field(repr=False)
    host: str
    port: int
    rooms: str
    context: ssl.SSLContext


def account(
    xmpp: str | None,
    xmpp_password_file: str | None,
    xmpp_host: str | None,
    xmpp_rooms: str | None,
    xmpp_ca: str | None,
) -> XmppAccount | None:
    """Return the account, if there is one; `UsageError` for what cannot be meant."""
    if xmpp is None:
        if xmpp_password_file or xmpp_host or xmpp_rooms or xmpp_ca:
            raise UsageError("The other --xmpp options go with --xmpp USER@DOMAIN.")
        return None
    user, _, domain = xmpp.partition("@")
    if not user or not domain:
        raise UsageError(f"{xmpp!r} is no XMPP account; write USER@DOMAIN.")
    host, port = _host(xmpp_host or domain)
    try:
        from tincan.vpn.ipop.xmpp import trust
    except ImportError:
        raise UsageError("XMPP needs the package slixmpp: pip install 'tin-can[xmpp]'.") from None
    context = trust(None if xmpp_ca is None else Path(xmpp_ca))
    return XmppAccount(xmpp, _password(xmpp_password_file), host, port, xmpp_rooms or f"conference.{domain}", context)


xmpp_options = gathered("xmpp", _OPTIONS, lambda given: account(**given))
"""Gives a command the options; it receives them as one `XmppAccount`, or None, named ``xmpp``."""


def rooms_of(found: XmppAccount | None) -> tuple[MakePart, ...]:
    """Return the rooms of an account's server as places of a party line."""
    if found is None:
        return ()
    from tincan.vpn.ipop.party import XmppLine

    make = partial(XmppLine, found.user, found.password, found.rooms, found.context, host=found.host, port=found.port)
    return (make,)


def _host(text: str) -> tuple[str, int]:
    """Read HOST, HOST:PORT, [V6], [V6]:PORT, or an IPv6 address as it is."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        rest = f":{port}"
    else:
        host, rest = text, ""
    if not rest:
        return host, PORT
    number = rest[1:]
    if not (rest[0] == ":" and number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise UsageError(f"{text!r} has a port outside 1 to 65535.")
    return host, int(number)


def _password(file: str | None) -> str:
    if file is None:
        password = os.environ.get("TIN_CAN_XMPP_PASSWORD", "")
    else:
        try:
            password = Path(file).read_text(encoding="utf-8").splitlines()[0]
        except (OSError, UnicodeDecodeError, IndexError) as exc:
            raise UsageError(f"No password can be read from {file}.") from exc
    if not password:
        raise UsageError("--xmpp needs a password: --xmpp-password-file FILE, or TIN_CAN_XMPP_PASSWORD.")
    return password
