"""Text chat over a link.

`ChatSession` is what screens and commands use: messages out, events in, every
message acknowledged once the other side has shown it. `ChatProtocol` is its
core, without any input or output. Both speak docs/chat.md, version 1.

Calls add frame kinds of their own to the same control channel; the chat
ignores every kind it does not know.
"""

from tincan.apps.chat.events import (
    ChatEvent,
    Closed,
    Delivered,
    MessageReceived,
    PeerHello,
    PeerLeft,
    PeerTyping,
)
from tincan.apps.chat.frames import MAX_TEXT
from tincan.apps.chat.protocol import VERSION, WINDOW, ChatProtocol, NotOpen, WindowFull
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
