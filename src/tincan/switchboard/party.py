"""Party lines at a switchboard: who is on which topic now, and nothing else. Pure.

Topics and bodies mean nothing to it. Nothing is stored: a message goes to
whoever is on its topic at that moment. What one address may cause is bounded:
topics here, and by its `Limiter` the bytes that its messages become when they
are multiplied.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from tincan.switchboard.frames import ErrorCode
from tincan.switchboard.metrics import Metrics
from tincan.switchboard.party_frames import MAX_TOPICS, ClientFrame, Enter, Heard, Join, Leave, Send, Welcome


@dataclass(frozen=True, slots=True)
class PartyLimits:
    """Limits of the party lines. Those on connections, frames and bytes are with the other rates."""

    topics: int = 100_000
    """Memberships in topics, of all connections."""
    topics_per_address: int = 1024
    members: int = 2048
    """Connections on one topic."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The connection is to be ended."""

    code: ErrorCode
    text: str


Effect: TypeAlias = tuple[int, Welcome | Heard | Refused]


@dataclass(slots=True)
class _Member:
    address: str
    topics: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Address:
    connections: int = 0
    topics: int = 0


class Party:
    """All party lines. ``number`` is the name of a connection."""

    def __init__(self, limits: PartyLimits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._members: dict[int, _Member] = {}
        self._topics: collections.defaultdict[str, set[int]] = collections.defaultdict(set)
        self._addresses: dict[str, _Address] = {}
        self._held = 0

    def connected(self, number: int, address: str) -> None:
        """A connection was opened; `disconnected` ends it."""
        self._members[number] = _Member(address)
        if address not in self._addresses:
            self._addresses[address] = _Address()
        self._addresses[address].connections += 1
        self._metrics.party_members = len(self._members)

    def disconnected(self, number: int) -> None:
        """A connection has ended."""
        member = self._members.pop(number, None)
        if member is None:
            return
        for topic in tuple(member.topics):
            self._leave(number, member, topic)
        address = self._addresses[member.address]
        address.connections -= 1
        if not address.connections:
            del self._addresses[member.address]  # an address is not kept for longer than needed
        self._metrics.party_members = len(self._members)

    def receive(self, number: int, frame: ClientFrame, spend: Callable[[int], bool]) -> Iterator[Effect]:
        """Take a frame; yield what goes to whom. ``spend`` says whether so many bytes may be sent."""
        member = self._members[number]
        match frame:
            case Enter():
                yield number, Welcome()
            case Join(topics):
                for topic in topics:
                    if topic not in member.topics and (refusal := self._join(number, member, topic)) is not None:
                        yield number, refusal
                        return
            case Leave(topics):
                for topic in member.topics & set(topics):
                    self._leave(number, member, topic)
            case Send(topic, body):
                others = [other for other in self._topics.get(topic, ()) if other != number]
                if not spend(len(body) * max(1, len(others))):
                    self._metrics.party_lost += 1  # a party line may lose messages: no reason to end it
                    return
                self._metrics.party_messages += 1
                self._metrics.party_bytes += len(body)
                heard = Heard(topic, body)
                for other in others:
                    yield other, heard

    def _join(self, number: int, member: _Member, topic: str) -> Refused | None:
        address, limits = self._addresses[member.address], self._limits
        if len(member.topics) >= MAX_TOPICS:
            return Refused(ErrorCode.RATE, f"One connection hears at most {MAX_TOPICS} topics.")
        if address.topics >= limits.topics_per_address:
            return Refused(ErrorCode.RATE, "Too many topics are heard from this address.")
        if self._held >= limits.topics or len(self._topics.get(topic, ())) >= limits.members:
            return Refused(ErrorCode.FULL, "This switchboard is full. Try again later, or use another one.")
        member.topics.add(topic)
        self._topics[topic].add(number)
        address.topics += 1
        self._held += 1
        self._metrics.party_topics = len(self._topics)
        return None

    def _leave(self, number: int, member: _Member, topic: str) -> None:
        member.topics.discard(topic)
        self._topics[topic].discard(number)
        if not self._topics[topic]:
            del self._topics[topic]
        self._addresses[member.address].topics -= 1
        self._held -= 1
        self._metrics.party_topics = len(self._topics)
