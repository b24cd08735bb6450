"""How a group is, for `tin-can net status`: while it is up, and from the disk when it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from tincan.errors import PeerRefused, TinCanError, UsageError
from tincan.vpn.group import store
from tincan.vpn.group.certificate import Certificate
from tincan.vpn.group.events import MemberStatus, NetworkStatus, PlaceStatus
from tincan.vpn.group.state import GroupState
from tincan.vpn.party.states import PeerNews, PeerState

WARN: Final = 60 * 86_400
"""Seconds before its end from which on somebody is told that the certificate runs out."""

_STATES = {
    PeerState.AWAY: "away",
    PeerState.HERE: "present",
    PeerState.MAKING: "connecting",
    PeerState.OFFERING: "connecting",
    PeerState.CONNECTING: "connecting",
    PeerState.ONLINE: "online",
}


def refusal(state: GroupState, now: float) -> TinCanError | None:
    """Return why this machine cannot be on the network of a group any more; None when it can."""
    own, name = state.certificate(), state.name
    if own.serial in state.holds().banned:
        return PeerRefused(
            f"The admin has banned this machine from {name!r}; 'tin-can net leave {name}' forgets it here."
        )
    if now >= own.expires:
        return UsageError(f"Your certificate for {name!r} ran out on {_day(own.expires)}. {_what_then(state)}")
    return None


def warning(state: GroupState, now: float) -> str | None:
    """Return a sentence when the own certificate runs out before long."""
    own = state.certificate()
    if not own.expires - WARN <= now < own.expires:
        return None
    return f"Your certificate for {state.name!r} runs out on {_day(own.expires)}. {_what_then(state)}"


def _what_then(state: GroupState) -> str:
    if state.admin:
        return "You are its admin, and certificates are not renewed: make a new group before that one ends."
    return (
        f"Certificates are not renewed: type 'tin-can net leave {state.name}' then, and have {state.admin_name()} "
        "invite you again."
    )


def _day(time: int) -> str:
    try:
        return datetime.fromtimestamp(time, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return "a day far away"


def status_of(name: str, now: float) -> NetworkStatus:
    """Return the status of a group that is not up, from the disk."""
    state = store.load(name)
    own = state.certificate().uid
    others = {uid: c for uid, c in state.certificates().items() if uid != own and now < c.expires}
    return network_status(state, now, others, {}, up=False)


def network_status(
    state: GroupState,
    now: float,
    others: Mapping[str, Certificate],
    links: Mapping[str, PeerNews],
    *,
    up: bool,
    interface: str | None = None,
    places: Iterable[tuple[str, str | None]] = (),
) -> NetworkStatus:
    """Put a status together: of us, and of the other members in the order of their addresses."""
    own, statement = state.certificate(), state.holds()
    members = [_member(state, own, "me")]
    for uid, certificate in sorted(others.items(), key=lambda item: item[1].address4.ip):
        news = links.get(uid, PeerNews(uid, PeerState.AWAY))
        members.append(_member(state, certificate, "online" if news.standing else _STATES[news.state], news))
    refused = refusal(state, now)
    return NetworkStatus(
        network=state.name,
        mode=statement.mode,
        subnet=statement.subnet,
        up=up,
        admin=state.admin,
        epoch=statement.epoch,
        members=tuple(members),
        interface=interface,
        places=tuple(PlaceStatus(place, trouble) for place, trouble in places),
        expires=own.expires,
        trouble=str(refused) if refused is not None else warning(state, now),
    )


def _member(state: GroupState, certificate: Certificate, word: str, news: PeerNews | None = None) -> MemberStatus:
    known = state.members.get(certificate.uid)
    standing = news is not None and news.standing
    return MemberStatus(
        name=certificate.name,
        uid=certificate.uid,
        address=str(certificate.address4.ip),
        address6=str(certificate.address6.ip),
        state=word,
        admin=certificate.admin,
        path=news.path if news is not None and standing else None,
        rtt=news.rtt if news is not None and standing else None,
        reason=news.reason if news is not None and not standing else None,
        seen=known.seen if known is not None else 0,
    )
