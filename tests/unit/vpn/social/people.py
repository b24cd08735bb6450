"""Identities for tests: the same number makes the same one."""

from __future__ import annotations

from tincan.identity import Identity, identity_of


def person(number: int) -> Identity:
    return identity_of(bytes([number] * 32), bytes([number + 100] * 32))
