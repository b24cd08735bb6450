"""Ports through the string, like ``ssh -L`` and ``-R``; docs/forward.md is the wire format.

All connections share one stream (`mux.py`, pure). `Forwarder` carries out a
`Plan`: doors where local programs connect, and answers to what the peer asks
for, which is nothing but what the own user has named (`rules.py`).
"""

from tincan.apps.forward.addresses import Forwarding, Transport, read_forwarding
from tincan.apps.forward.events import (
    ConnectionClosed,
    ConnectionOpened,
    ForwardEvent,
    Listening,
    NotForwarded,
    StringBroke,
    StringMended,
)
from tincan.apps.forward.forwarder import Forwarder, Plan
from tincan.apps.forward.rules import allow_options, read_allow, read_allow_listen

__all__ = [
    "ConnectionClosed",
    "ConnectionOpened",
    "ForwardEvent",
    "Forwarder",
    "Forwarding",
    "Listening",
    "NotForwarded",
    "Plan",
    "StringBroke",
    "StringMended",
    "Transport",
    "allow_options",
    "read_allow",
    "read_allow_listen",
    "read_forwarding",
]
