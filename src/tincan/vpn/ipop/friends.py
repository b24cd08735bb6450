"""Who is there on XMPP: uids, the addresses that speak for them, and what they may say to a controller.

A node signs in with the resource ``tincan`` and its uid, and that claim is
all there is: in the original anybody of the roster can claim any uid at any
time. Here the first account that shows a uid keeps it while this process
runs. What a friend says reaches a controller as a notification, so a friend
may not use the types that a module itself uses, nor send a form that would
end the controller.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tincan.vpn.ipop.candidates import is_end, is_fingerprint
from tincan.vpn.ipop.wire import METHODS, is_uid

RESOURCE: Final = "tincan"
MAX_FRIENDS: Final = 2048
MAX_DATA: Final = 32 * 1024
"""Characters of one message. A list of candidates has up to 6,000."""

OWN_TYPES: Final = frozenset({"local_state", "peer_state", "con_stat", "error", *METHODS})
"""Types that say something of this machine, and names of methods: never a friend's to use."""

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def uid_of(resource: str) -> str | None:
    """Return the uid that a resource claims; some servers put something after it."""
    uid = resource[len(RESOURCE) : len(RESOURCE) + 40]
    return uid if resource.startswith(RESOURCE) and is_uid(uid) else None


class Friends:
    """Which XMPP address speaks for which uid."""

    def __init__(self, own_uid: str) -> None:
        self._own = own_uid
        self._accounts: dict[str, str] = {}
        self._present: dict[str, str] = {}

    def claim(self, bare: str, resource: str) -> str | None:
        """Return the uid that an address speaks for; None when it may not, or is nobody of ours."""
        uid = uid_of(resource)
        if uid is None or uid == self._own:
            return None
        if uid not in self._accounts:
            if len(self._accounts) >= MAX_FRIENDS:
                return None
            self._accounts[uid] = bare
        return uid if self._accounts[uid] == bare else None

    def came(self, bare: str, resource: str) -> str | None:
        """Take note of an address that is there; return the uid it speaks for."""
        uid = self.claim(bare, resource)
        if uid is not None:
            self._present[uid] = f"{bare}/{resource}"
        return uid

    def went(self, bare: str, resource: str) -> str | None:
        """Take note of an address that has signed off; return the uid that nobody speaks for now."""
        uid = self.claim(bare, resource)
        if uid is None or self._present.get(uid) != f"{bare}/{resource}":
            return None
        del self._present[uid]
        return uid

    def address(self, uid: str) -> str | None:
        """Return where a uid is reached."""
        return self._present.get(uid)

    def forget_all(self) -> list[str]:
        """Take note that our own connection is gone; return who was there."""
        uids = list(self._present)
        self._present.clear()
        return uids


def acceptable(kind: str, data: str, *, requests_only: bool = False) -> bool:
    """Whether a friend may say this to a controller. ``requests_only``: it is v16's GroupVPN, which reads JSON."""
    if not _TYPE.fullmatch(kind) or kind in OWN_TYPES or len(data) > MAX_DATA:
        return False
    if kind == "con_resp":
        return is_end(data)
    if kind in ("con_req", "con_ack"):
        return _is_request(data) or (not requests_only and (is_fingerprint(data) or is_end(data)))
    return True


class _Request(msgspec.Struct):
    fpr: str
    con_type: str


def _is_request(data: str) -> bool:
    """Whether this is what v16's GroupVPN sends: its controller ends at anything else."""
    try:
        return is_fingerprint(msgspec.json.decode(data.encode(), type=_Request).fpr)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
