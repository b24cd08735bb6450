"""Options of the commands whose networks can meet in the rooms of an XMPP server."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tincan.errors import UsageError

if TYPE_CHECKING:
    from tincan.vpn.party.places import MakePart

F = TypeVar("F", bound=Callable[..., Any])

PORT = 5222

_OPTIONS = (
    click.option("--xmpp", metavar="USER@DOMAIN", help="Meet in rooms of an XMPP server, too, with this account."),
    click.option("--xmpp-password-file", metavar="FILE", help="Its password [default: TIN_CAN_XMPP_PASSWORD]."),
    click.option("--xmpp-host", metavar="HOST[:PORT]", help="Where its server is [default: DOMAIN:5222]."),
    click.option("--xmpp-rooms", metavar="DOMAIN", help="Where it has rooms [default: conference.DOMAIN]."),
    click.option("--xmpp-ca", metavar="FILE", help="Certificates (PEM) that it is verified by."),
)

_NAMES = ("xmpp", "xmpp_password_file", "xmpp_host", "xmpp_rooms", "xmpp_ca")


def xmpp_options(function: F) -> F:
    """Give a command the options; it receives them as ``places``: further places of a party line."""

    @click.pass_context
    def wrapper(ctx: click.Context, /, **given: Any) -> Any:
        own = {name: given.pop(name) for name in _NAMES}
        return ctx.invoke(function, places=places(**own), **given)

    wrapper.__doc__ = function.__doc__
    wrapper.__name__ = function.__name__
    wrapper.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]


def places(
    xmpp: str | None,
    xmpp_password_file: str | None,
    xmpp_host: str | None,
    xmpp_rooms: str | None,
    xmpp_ca: str | None,
) -> tuple[MakePart, ...]:
    """Return what makes the place, if there is one; `UsageError` for what cannot be meant."""
    if xmpp is None:
        if xmpp_password_file or xmpp_host or xmpp_rooms or xmpp_ca:
            raise UsageError("The other --xmpp options go with --xmpp USER@DOMAIN.")
        return ()
    user, _, domain = xmpp.partition("@")
    if not user or not domain:
        raise UsageError(f"{xmpp!r} is no XMPP account; write USER@DOMAIN.")
    host, port = _host(xmpp_host or domain)
    try:
        from tincan.vpn.ipop.party import XmppLine
        from tincan.vpn.ipop.xmpp import trust
    except ImportError:
        raise UsageError("XMPP needs the package slixmpp: pip install 'tin-can[xmpp]'.") from None
    context = trust(None if xmpp_ca is None else Path(xmpp_ca))
    rooms = xmpp_rooms or f"conference.{domain}"
    return (partial(XmppLine, xmpp, _password(xmpp_password_file), rooms, context, host=host, port=port),)


def _host(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":") if text.count(":") == 1 or text.startswith("[") else (text, "", "")
    if text.startswith("[") and text.endswith("]"):
        host, colon, port = text, "", ""
    if not colon:
        return (host or text).strip("[]"), PORT
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"{text!r} has a port outside 1 to 65535.")
    return host.strip("[]"), int(port)


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
