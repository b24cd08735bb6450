"""Text chat over a link.

`ChatSession` is what screens and commands use: messages out, events in, every
message acknowledged once the other side has shown it. `ChatProtocol` is its
core, without any input or output. Both speak docs/chat.md, version 1.

Calls add frame kinds of their own to the same control channel; the chat
ignores every kind it does not know.

Nothing of it is loaded before it is used: those that move bytes greet each
other as a chat does, and need no more of it than its frames.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tincan.apps.chat.events import (
        ChatEvent,
        Closed,
        Delivered,
        MessageReceived,
        PeerHello,
        PeerLeft,
        PeerTyping,
    )
    from tincan.apps.chat.frames import MAX_TEXT, VERSION
    from tincan.apps.chat.protocol import WINDOW, ChatProtocol, NotOpen, WindowFull
    from tincan.apps.chat.session import ChatSession
    from tincan.apps.chat.states import State

__all__ = [
    "MAX_TEXT",
    "VERSION",
    "WINDOW",
    "ChatEvent",
    "ChatProtocol",
    "ChatSession",
    "Closed",
    "Delivered",
    "MessageReceived",
    "NotOpen",
    "PeerHello",
    "PeerLeft",
    "PeerTyping",
    "State",
    "WindowFull",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from tincan.apps.chat import events, frames, protocol, session, states

        for module in (events, frames, protocol, session, states):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"{__name__} has no {name}")
