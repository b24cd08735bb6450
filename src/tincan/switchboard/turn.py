"""Logins for a TURN server that shares a secret with the switchboard.

The scheme is the one of draft-uberti-behave-turn-rest-00, which coturn calls
``use-auth-secret``: the user name tells when the login ends, and the password
proves that somebody who knows the secret made it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac


def turn_login(secret: str, *, now: int, ttl: int) -> tuple[str, str]:
    """Return user name and credential, good until ``now + ttl`` (Unix time and seconds)."""
    username = f"{now + ttl}:tin-can"
    # SHA-1 is what TURN servers expect here; as an HMAC it is still sound.
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()
