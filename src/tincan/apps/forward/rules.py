"""Who may reach what: the one decision of forwarding that matters, in two small pure functions.

A peer can ask this side to connect somewhere, or to listen somewhere. Both
are refused unless the user of this side named the place: by ``--allow`` and
``--allow-listen``, or as the target of an own ``-R``, which asks the peer to
send connections there. Names are compared as they were written (in normal
form), never by what they resolve to: ``localhost`` allows ``localhost``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from tincan.apps.forward.addresses import (
    EVERYWHERE,
    LOOPBACK,
    Address,
    Forwarding,
    HostPort,
    Transport,
    UnixPath,
    read_host,
    read_path,
    read_port,
    split_fields,
)
from tincan.errors import UsageError

_LOOPBACKS = frozenset({LOOPBACK, "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Rule:
    """What is allowed. None allows any: host, port, transport. With a ``path`` the others do not count."""

    host: str | None = None
    port: int | None = None
    path: str | None = None
    transport: Transport | None = None


def read_allow(text: str) -> Rule:
    """Read ``HOST:PORT``, ``HOST:*``, ``*:PORT`` or ``/path``; raise `UsageError`."""
    try:
        if text.startswith("/"):
            return Rule(path=read_path(text).path)
        host, port = split_fields(text)
        return Rule(_any_or_host(host), _any_or_port(port))
    except ValueError:
        raise UsageError(
            f"{text!r} cannot be allowed: write HOST:PORT, HOST:*, *:PORT or the path of a Unix socket, "
            "with IPv6 addresses in brackets."
        ) from None


def read_allow_listen(text: str) -> Rule:
    """Read ``[HOST:]PORT`` or ``/path``, where a star stands for any; raise `UsageError`."""
    try:
        if text.startswith("/"):
            return Rule(path=read_path(text).path)
        *hosts, port = split_fields(text)
        [host] = hosts or [LOOPBACK]
        return Rule(_any_or_host(host), _any_or_port(port))
    except ValueError:
        raise UsageError(
            f"{text!r} cannot be allowed to be listened on: write [HOST:]PORT or the path of a Unix socket, "
            "with IPv6 addresses in brackets."
        ) from None


def own_targets(remote: Iterable[Forwarding]) -> tuple[Rule, ...]:
    """Return what the user allows by asking for ``-R``: that its targets are dialled."""
    return tuple(
        Rule(path=wish.target.path)
        if isinstance(wish.target, UnixPath)
        else Rule(wish.target.host, wish.target.port, transport=wish.transport)
        for wish in remote
    )


def may_dial(target: Address, transport: Transport, rules: Iterable[Rule]) -> bool:
    """Whether the peer may have this side connect to a target."""
    return any(_names(rule, target, transport) for rule in rules)


def may_listen(at: Address, rules: Iterable[Rule]) -> bool:
    """Whether the peer may have this side listen at an address.

    A rule for the loopback host covers its numbers too; a listener on all
    interfaces is covered only by a rule whose host is a star.
    """
    return any(
        _names(rule, at, None)
        or (
            isinstance(at, HostPort)
            and rule.host == LOOPBACK
            and at.host in _LOOPBACKS
            and rule.port in (None, at.port)
        )
        for rule in rules
    )


def _names(rule: Rule, address: Address, transport: Transport | None) -> bool:
    if isinstance(address, UnixPath):
        return rule.path == address.path
    return (
        rule.path is None
        and rule.host in (None, address.host)
        and rule.port in (None, address.port)
        and (transport is None or rule.transport in (None, transport))
    )


def _any_or_host(text: str) -> str | None:
    return None if text == EVERYWHERE else read_host(text)


def _any_or_port(text: str) -> int | None:
    return None if text == "*" else read_port(text)


# What is said about a refusal: one sentence for each side, with what to add.


def dial_refused_there(target: Address) -> str:
    """Return what the peer is told whose connection is refused."""
    return f"The other can does not let you reach {target}; it must be started with --allow {_typed(target)}."


def dial_refused_here(target: Address) -> str:
    """Return what the own user is told of that."""
    return f"The other can asked for {target}, which is not allowed; to allow it, add --allow {_typed(target)}."


def listen_refused_there(at: Address) -> str:
    """Return what the peer is told that may not have a listener here."""
    return f"The other can does not listen on {at} for you; it must be started with --allow-listen {_listen(at)}."


def listen_refused_here(at: Address) -> str:
    """Return what the own user is told of that."""
    return f"The other can asked this one to listen on {at}; to allow it, add --allow-listen {_listen(at)}."


def _listen(at: Address) -> str:
    return str(at.port) if isinstance(at, HostPort) and at.host == LOOPBACK else _typed(at)


def _typed(address: Address) -> str:
    return shlex.quote(str(address))


def allow_options(local: Iterable[Forwarding], remote: Iterable[Forwarding]) -> str:
    """Return the options that the other side needs for these wishes, as it types them."""
    wanted = [f"--allow {_typed(wish.target)}" for wish in local]
    wanted += [f"--allow-listen {_listen(wish.at)}" for wish in remote]
    return " ".join(dict.fromkeys(wanted))
