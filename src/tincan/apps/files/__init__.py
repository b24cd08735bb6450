"""Files and folders over a string: `send_files` here, `receive_files` there.

``names``, ``frames``, ``manifest``, ``states``, ``sender``, ``receiver``,
``rate`` and ``events`` are pure; ``scan``, ``feeder``, ``folders``, ``store``
and ``taker`` touch the disk, in a worker thread; ``send`` and ``receive`` are
the shells around all that, `question` asks the receiver's user. docs/files.md is the wire format.
"""

from tincan.apps.files.events import (
    Decision,
    FileDone,
    FileLeftOut,
    FilesEvent,
    Interrupted,
    NotSent,
    OfferAccepted,
    Offered,
    Outcome,
    Progress,
    TopEntry,
)
from tincan.apps.files.receive import receive_files, receive_over
from tincan.apps.files.scan import Source, distinct, named
from tincan.apps.files.send import look, send_files, send_over

__all__ = [
    "Decision",
    "FileDone",
    "FileLeftOut",
    "FilesEvent",
    "Interrupted",
    "NotSent",
    "OfferAccepted",
    "Offered",
    "Outcome",
    "Progress",
    "Source",
    "TopEntry",
    "distinct",
    "look",
    "named",
    "receive_files",
    "receive_over",
    "send_files",
    "send_over",
]
