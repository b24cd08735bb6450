"""Links as this dialect makes them: a description each way, told once, and the module does the rest.

``create_link`` without candidates begins our end. When its candidates are
known the peer is told of them (``con_resp``); its controller hands them to
its module by a second ``create_link``, and so does ours. All further calls
are no-ops, with two exceptions, for links that the original left down for
good: a link that is dead is begun anew, and the controlling end, which is the
one with the larger uid, begins anew when the peer has done so and the link is
not online. Only one end may: if both did, each would answer the other's new
end with a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from tincan.errors import UsageError
from tincan.link.description import Description
from tincan.nat.servers import parse_server
from tincan.vpn.ipop import wire
from tincan.vpn.ipop.candidates import (
    distinct,
    read_candidates,
    read_fingerprint,
    write_end,
)
from tincan.vpn.ipop.effects import Ask, Effect, Open
from tincan.vpn.ipop.peers import PATIENCE, Link, Peer, Phase
from tincan.vpn.module.events import CandidatesFound, Event, LinkChanged
from tincan.vpn.module.methods import ConnectLink, CreateLink, LinkMade, Server, TrimLink
from tincan.vpn.module.methods import Description as ApiDescription
from tincan.vpn.module.states import State

logger = logging.getLogger(__name__)

STATUS = {State.ONLINE: "online", State.OFFLINE: "offline", State.FAILED: "unknown"}
"""What a link's state is told as in ``con_stat``; the others are not told."""


class Linking:
    """The links of one node. ``effect`` takes what is to be done, ``pass_on`` messages to peers, ``notify`` news."""

    def __init__(
        self,
        effect: Callable[[Effect], None],
        pass_on: Callable[[int, str, str, str], None],
        notify: Callable[[str, str, str], None],
    ) -> None:
        self._effect = effect
        self._pass_on = pass_on
        self._notify = notify
        self._tickets: dict[int, Peer] = {}
        self._numbers: dict[int, Peer] = {}
        self._last = 0

    def create(self, own: str, peer: Peer, fields: Mapping[str, Any], now: float) -> None:
        """``create_link``: begin our end if there is none, and take the peer's if it is new. ``own``: our uid."""
        fingerprint = read_fingerprint(wire.text(fields, "fpr"))
        candidates = wire.text(fields, "cas")
        link = peer.link
        if link is not None and (link.dead or self._begun_anew(link, candidates)):
            self.trim(peer)
            link = None
        if link is None:
            if fingerprint is None:
                logger.warning("create_link: no link to %s, as there is no SHA-256 fingerprint", peer.uid[:8])
                return
            link = self._begin(own, peer, fingerprint, fields, now)
        if candidates and link.theirs is None:
            link.theirs = read_candidates(candidates, link.fingerprint)
            if link.theirs is not None:
                self._connect(link)
        self.remind(peer)

    def remind(self, peer: Peer) -> None:
        """Tell a controller that asks for a link which is online that it is.

        v16's GroupVPN takes ``con_stat`` alone for that. It has heard none if it was started again, and forgets
        it when a request comes late.
        """
        if peer.link is not None and peer.link.state is State.ONLINE:
            self._notify(peer.uid, STATUS[State.ONLINE], "con_stat")

    def trim(self, peer: Peer) -> None:
        """``trim_link``: forget a link; without one there is nothing to do."""
        link, peer.link = peer.link, None
        peer.status = ""
        if link is not None and link.number is not None:
            self._numbers.pop(link.number, None)
            self._effect(Ask("trim_link", TrimLink(link=link.number)))

    def opened(self, ticket: int, made: object, now: float) -> None:
        """The module has begun a link, or refused to."""
        peer = self._tickets.pop(ticket)
        link = peer.link
        if link is None or link.ticket != ticket:  # trimmed meanwhile
            if isinstance(made, LinkMade):
                self._effect(Ask("trim_link", TrimLink(link=made.link)))
        elif not isinstance(made, LinkMade):
            peer.link = None
            self._tell(peer, "unknown")
        else:
            link.number, link.ours = made.link, made.description.ice()
            link.deadline = now + PATIENCE
            link.turn(Phase.GATHERING)
            self._numbers[made.link] = peer
            self._connect(link)
            if link.ours.complete:
                self._told(link)

    def happened(self, event: Event, now: float) -> None:
        """The module has told something of a link."""
        if isinstance(event, CandidatesFound):
            link = self._of(event.link)
            if link is not None and link.ours is not None and event.ufrag == link.ours.ufrag:
                more = tuple(candidate.ice() for candidate in event.candidates)
                link.ours = _with(link.ours, distinct(link.ours.candidates + more))
                if event.complete and link.phase is Phase.GATHERING:
                    self._told(link)
        elif isinstance(event, LinkChanged):
            link = self._of(event.link)
            if link is not None:
                link.state = event.state
                if event.state in STATUS:
                    self._tell(self._numbers[event.link], STATUS[event.state])

    def next_deadline(self) -> float | None:
        """When `tick` is due."""
        waiting = [link.deadline for link in self._all() if link.deadline is not None]
        return min(waiting, default=None)

    def tick(self, now: float) -> None:
        """Tell peers of ends that have waited long enough for more candidates."""
        for link in self._all():
            if link.deadline is not None and link.deadline <= now:
                if link.ours is not None and link.ours.candidates:
                    self._told(link)
                else:
                    link.deadline = now + PATIENCE

    # -- inside ----------------------------------------------------------------------

    def _begin(self, own: str, peer: Peer, fingerprint: bytes, fields: Mapping[str, Any], now: float) -> Link:
        self._last += 1
        params = CreateLink(peer.uid, controlling=peer.uid < own, servers=_servers(fields))
        overlay = wire.number(fields, "overlay_id")
        peer.link = Link(peer.uid, self._last, params, overlay, fingerprint, now)
        self._tickets[self._last] = peer
        self._effect(Open(self._last, params))
        return peer.link

    def _begun_anew(self, link: Link, candidates: str) -> bool:
        """Whether the peer has begun its end anew, and it is ours to follow."""
        if not candidates or link.theirs is None or link.state is State.ONLINE or not link.params.controlling:
            return False
        theirs = read_candidates(candidates, link.fingerprint)
        return theirs is not None and theirs.ufrag != link.theirs.ufrag

    def _connect(self, link: Link) -> None:
        if link.number is not None and link.theirs is not None:
            self._effect(Ask("connect_link", ConnectLink(link.number, ApiDescription.of(link.theirs))))

    def _told(self, link: Link) -> None:
        link.turn(Phase.TOLD)
        link.deadline = None
        if link.ours is not None:
            self._pass_on(link.overlay, link.uid, write_end(link.ours), "con_resp")

    def _tell(self, peer: Peer, status: str) -> None:
        if peer.status != status:
            peer.status = status
            self._notify(peer.uid, status, "con_stat")

    def _of(self, number: int) -> Link | None:
        peer = self._numbers.get(number)
        return None if peer is None else peer.link

    def _all(self) -> list[Link]:
        return [peer.link for peer in self._numbers.values() if peer.link is not None]


def _with(description: Description, candidates: tuple[Any, ...]) -> Description:
    return Description(description.ufrag, description.pwd, description.fingerprint, candidates, description.complete)


def _servers(fields: Mapping[str, Any]) -> tuple[Server, ...]:
    """Return the STUN and the TURN server of a ``create_link``; what cannot be read is left out."""
    stun, turn, user = (wire.text(fields, name) for name in ("stun", "turn", "turn_user"))
    found: list[Server] = []
    if stun:
        found.append(Server(f"stun:{stun}"))
    if turn and user:
        found.append(Server(f"turn:{turn}?transport=udp", user, wire.text(fields, "turn_pass")))
    return tuple(server for server in found if _readable(server))


def _readable(server: Server) -> bool:
    try:
        parse_server(server.url)
    except UsageError:
        logger.info("create_link: %r is no server's name and port", server.url)
        return False
    return len(server.url) <= 512 and len(server.username or "") <= 512 and len(server.credential or "") <= 512
