"""The book of friends: who they are, what they are called here, and which addresses they have. Pure.

A book is never changed, only replaced: `with_friend`, `without`, `renamed`
and `moved` return another one. `tincan.vpn.social.friends` keeps it in a file.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Annotated, Final

import msgspec

from tincan.errors import UsageError
from tincan.identity import KEY, PublicIdentity
from tincan.vpn.names.safe import MAX_LABEL, is_label, label
from tincan.vpn.social import ranges

MAX_FRIENDS: Final = 1000

_Key = Annotated[bytes, msgspec.Meta(min_length=KEY, max_length=KEY)]


class Friend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One friend."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_LABEL)]
    """What this user calls the friend: a label of DNS, and nobody else's."""

    signing: _Key
    agreeing: _Key
    offset: Annotated[int, msgspec.Meta(ge=1, lt=2**24)]
    """The friend's place in this machine's range."""

    @property
    def public(self) -> PublicIdentity:
        """The friend's identity."""
        return PublicIdentity(self.signing, self.agreeing)

    @property
    def uid(self) -> str:
        """The friend's name for programs."""
        return self.public.uid

    @property
    def ip6(self) -> IPv6Address:
        """The friend's IPv6 address, the same for everybody."""
        return ranges.ip6_of(self.public)


class Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All friends, and the range of addresses for them."""

    version: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    range: str = str(ranges.DEFAULT)
    friends: Annotated[tuple[Friend, ...], msgspec.Meta(max_length=MAX_FRIENDS)] = ()

    def __post_init__(self) -> None:
        try:
            network = ranges.parse_range(self.range)
        except UsageError as exc:
            raise ValueError(str(exc)) from None
        for values in zip(*((f.name, f.offset, f.public, f.ip6) for f in self.friends), strict=True):
            if len(set(values)) != len(values):
                raise ValueError("two friends are the same")
        if not all(is_label(friend.name) and ranges.fits(network, friend.offset) for friend in self.friends):
            raise ValueError("a friend has no proper name or place")

    @property
    def network(self) -> IPv4Network:
        """The range."""
        return IPv4Network(self.range)

    @property
    def own(self) -> IPv4Address:
        """This machine's own address."""
        return ranges.address(self.network, ranges.own_offset(self.network))

    def address(self, friend: Friend) -> IPv4Address:
        """What this machine calls the friend."""
        return ranges.address(self.network, friend.offset)

    def named(self, name: str) -> Friend:
        """Return the friend of a name, with or without ``.can``; `UsageError` when there is none."""
        wanted = name.lower().removesuffix(".can")
        for friend in self.friends:
            if friend.name == wanted:
                return friend
        raise UsageError(f"There is no friend called {name}; 'tin-can friend list' shows them all.")

    def of(self, public: PublicIdentity) -> Friend | None:
        """Return the friend who has these keys."""
        return next((friend for friend in self.friends if friend.public == public), None)

    def with_friend(self, public: PublicIdentity, name: str) -> tuple[Book, Friend]:
        """Return a book with one more friend, who calls himself ``name``, and the friend.

        Somebody who is a friend already stays the same. Raises `UsageError` when there is no room.
        """
        known = self.of(public)
        if known is not None:
            return self, known
        if len(self.friends) >= MAX_FRIENDS:
            raise UsageError(f"There are {MAX_FRIENDS} friends already, and no more can be had.")
        if any(friend.signing == public.signing or friend.ip6 == ranges.ip6_of(public) for friend in self.friends):
            # Nobody's keys are like somebody else's by chance.
            raise UsageError(
                "The other one shows keys that belong in part to another friend of yours; do not trust it."
            )
        offset = ranges.free_offset(self.network, (friend.offset for friend in self.friends))
        chosen = label(name, taken={friend.name for friend in self.friends})
        friend = Friend(chosen, public.signing, public.agreeing, offset)
        return msgspec.structs.replace(self, friends=(*self.friends, friend)), friend

    def without(self, name: str) -> Book:
        """Return a book without a friend."""
        gone = self.named(name)
        return msgspec.structs.replace(self, friends=tuple(f for f in self.friends if f is not gone))

    def renamed(self, name: str, new: str) -> Book:
        """Return a book in which a friend is called otherwise."""
        friend, new = self.named(name), checked_name(new)
        if any(other.name == new for other in self.friends if other is not friend):
            raise UsageError(f"Another friend is called {new} already.")
        other = msgspec.structs.replace(friend, name=new)
        return msgspec.structs.replace(self, friends=tuple(other if f is friend else f for f in self.friends))

    def moved(self, network: IPv4Network) -> Book:
        """Return a book of another range. Friends keep their places as far as these are in it."""
        kept: list[Friend] = []
        for friend in self.friends:
            taken = {f.offset for f in self.friends if ranges.fits(network, f.offset)} | {f.offset for f in kept}
            fits = ranges.fits(network, friend.offset)
            offset = friend.offset if fits else ranges.free_offset(network, taken)
            kept.append(msgspec.structs.replace(friend, offset=offset))
        return msgspec.structs.replace(self, range=str(network), friends=tuple(kept))


def checked_name(text: str) -> str:
    """Return a name that a user chose for a friend, without ``.can``; `UsageError` when it cannot be one."""
    name = text.lower().removesuffix(".can")
    if not is_label(name):
        raise UsageError(f"A name has only a to z, digits and single hyphens: {label(name)!r} would do.")
    return name
