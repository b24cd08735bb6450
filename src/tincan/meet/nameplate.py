"""From a nameplate to its string code. The switchboard and the cans compute the same."""

from __future__ import annotations

import hashlib


def nameplate_code(number: int) -> str:
    """Return the string code (12 lower-case hex digits) of nameplate ``number`` (>= 0).

    A nameplate is no secret: whoever knows its number knows its code.
    """
    return hashlib.sha256(b"tin-can/1 nameplate %d" % number).hexdigest()[:12]
