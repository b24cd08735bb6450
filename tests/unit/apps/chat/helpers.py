"""Two real cores back to back, and what the chat tests share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

import msgspec

from tincan.apps.chat import ChatEvent, ChatProtocol, ChatSession, Closed, MessageReceived
from tincan.link.interface import CloseReason
from tincan.link.memory import MemoryLink


def packed(**fields: object) -> bytes:
    """A frame as a peer might send it, well-formed or not."""
    return msgspec.msgpack.encode(fields)


HELLO: dict[str, object] = {
    "kind": "hello",
    "version": 1,
    "minimum": 1,
    "name": "Bob",
    "agent": "",
    "capabilities": [],
}


def taken(core: ChatProtocol) -> list[ChatEvent]:
    """All events that wait."""
    events = []
    while (event := core.next_event()) is not None:
        events.append(event)
    return events


class CorePair:
    """Cores "a" and "b", and the two wires between them."""

    def __init__(self, a: ChatProtocol | None = None, b: ChatProtocol | None = None) -> None:
        self.cores = {"a": a or ChatProtocol(name="Ada"), "b": b or ChatProtocol(name="Bob")}
        self.wires: dict[str, deque[bytes]] = {"a": deque(), "b": deque()}

    @classmethod
    def open(cls) -> CorePair:
        """A pair that has said hello; its events are taken."""
        pair = cls()
        for core in pair.cores.values():
            core.start()
        pair.deliver_all()
        for core in pair.cores.values():
            taken(core)
        return pair

    def flush(self, sender: str) -> None:
        """Put what one side sends on its wire."""
        self.wires[sender].extend(self.cores[sender].data_to_send())

    def deliver_one(self, sender: str) -> None:
        """Let the other side receive the oldest frame on the wire, if there is one."""
        self.flush(sender)
        if self.wires[sender]:
            other = "b" if sender == "a" else "a"
            self.cores[other].receive(self.wires[sender].popleft())

    def deliver_all(self) -> None:
        """Carry frames both ways until there are none."""
        while any(self.wires.values()) or any(core.has_data_to_send for core in self.cores.values()):
            self.deliver_one("a")
            self.deliver_one("b")


def greeted(**hello: object) -> ChatProtocol:
    """A core that is open; what it sent and its events are taken."""
    core = ChatProtocol(name="Ada")
    core.start()
    core.receive(packed(**(HELLO | hello)))
    core.data_to_send()
    taken(core)
    return core


def sent(frames: Iterable[bytes]) -> list[dict[str, object]]:
    """What is in the frames, read without the code under test."""
    return [msgspec.msgpack.decode(frame) for frame in frames]


async def all_blocked() -> None:
    """Give every ready task its turns. Nothing here waits for time to pass."""
    for _ in range(200):
        await asyncio.sleep(0)


# Sessions

GOOD = Closed(CloseReason.LOCAL, 0)
PEER_WENT = Closed(CloseReason.PEER, 0)


def soon(seconds: float = 20.0) -> float:
    """A deadline that only a hang reaches."""
    return asyncio.get_running_loop().time() + seconds


def now() -> float:
    """A deadline that is over."""
    return soon(0)


async def all_events(chat: ChatSession) -> list[ChatEvent]:
    return [event async for event in chat.events()]


def texts(events: list[ChatEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, MessageReceived)]


async def greet(link: MemoryLink) -> None:
    """Be a peer made by hand: say hello, take the other's."""
    await link.control.send(packed(**HELLO))
    assert sent([await link.control.receive()])[0]["kind"] == "hello"


async def take_until(events: AsyncIterator[ChatEvent], kind: type[ChatEvent]) -> ChatEvent:
    while not isinstance(event := await anext(events), kind):
        pass
    return event
