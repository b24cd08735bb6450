"""The tree of errors: what went wrong, in one sentence, with the exit code of docs/cli.md.

Three families::

    TinCanError
    |-- UsageError            ours: the command was used wrongly                  2
    |-- WorldError            network, device, permission
    |   |-- PlaceUnreachable  one place did not answer (others may)                3
    |   |-- NoPlaceReachable  none of the places answered                          3
    |   |-- NobodyCame        the peer did not come in time                        4
    |   |-- NoPath            no candidate pair works, or the path died            6
    |   |-- IncompleteTransfer   not everything arrived; it can be gone on with     8
    |   `-- DeviceMissing     no such device, or no permission                     9
    `-- PeerError             theirs: what the peer or a place said
        |-- AuthenticationFailed   wrong phrase, or somebody in the middle         5
        |-- PeerRefused            busy line, refused request                      7
        `-- ProtocolError          what arrived cannot be understood               8

``str(error)`` is one plain sentence for the user, saying what to do next where
something can be done. Errors never carry secrets.
"""

from __future__ import annotations


class TinCanError(Exception):
    """Anything tin-can reports to its user on purpose."""

    exit_code = 1


class UsageError(TinCanError):
    """The command, an option or a setting was used wrongly."""

    exit_code = 2


class WorldError(TinCanError):
    """The network, a device or a permission is missing."""


class PlaceUnreachable(WorldError):
    """One place could not be reached; the meeting goes on at the others."""

    exit_code = 3


class NoPlaceReachable(WorldError):
    """No place where two cans could meet can be reached."""

    exit_code = 3


class NobodyCame(WorldError):
    """The peer did not come before the timeout."""

    exit_code = 4


class NoPath(WorldError):
    """No network path between the two works, or the one in use went silent."""

    exit_code = 6


class IncompleteTransfer(WorldError):
    """Not everything that was to be transferred is there and verified."""

    exit_code = 8


class DeviceMissing(WorldError):
    """A device or a permission is missing."""

    exit_code = 9


class PeerError(TinCanError):
    """The peer, or somebody speaking in its place, did something wrong."""


class AuthenticationFailed(PeerError):
    """The other end does not know the phrase, or somebody is in the middle."""

    exit_code = 5


class PeerRefused(PeerError):
    """The peer or the place says no: the line is busy, the request is refused."""

    exit_code = 7


class ProtocolError(PeerError):
    """What the peer sent breaks the protocol."""

    exit_code = 8
