"""What ``net`` prints: for people, and for programs (``--json``)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tincan.apps.text import visible
from tincan.cli.output import PATHS, JsonOutput, Output

if TYPE_CHECKING:
    from tincan.vpn.group.certificate import Certificate
    from tincan.vpn.group.events import GroupEvent, NetworkStatus
    from tincan.vpn.group.state import GroupState


class NetOutput(Output):
    """For people: results and news on stderr, as everything that is no data."""

    def happened(self, event: str, words: str, **fields: Any) -> None:
        """Tell one thing."""
        self.note(words)

    def created(self, group: GroupState) -> None:
        """A group was made."""
        certificate, statement = group.certificate(), group.holds()
        where = ", ".join(group.switchboards) or "the LAN only (name a --switchboard for more)"
        self.happened(
            "created",
            f"The group {group.name!r} is made: {statement.subnet}, you are {certificate.name} at "
            f"{certificate.address4.ip}. It meets at {where}.\n"
            f"Invite others by 'tin-can net invite {group.name}'; be on it by 'tin-can net up {group.name}'.",
            network=group.name,
            subnet=statement.subnet,
            mode=statement.mode,
            **_me(certificate),
        )

    def admitted(self, network: str, member: Certificate) -> None:
        """Somebody was made a member."""
        text = f"{member.name} is a member of {network!r} now, at {member.address4.ip}."
        self.happened("joined", text, network=network, **_me(member))

    def joined(self, group: GroupState) -> None:
        """We were made a member."""
        certificate = group.certificate()
        text = (
            f"You are a member of {group.name!r}: {certificate.name}, at {certificate.address4.ip}.\n"
            f"Be on it by 'tin-can net up {group.name}'."
        )
        statement = group.holds()
        fields = {"network": group.name, "subnet": statement.subnet, "mode": statement.mode}
        self.happened("joined", text, **fields, **_me(certificate))

    def left(self, network: str) -> None:
        """We are no member any more."""
        self.happened("left", f"You have left {network!r}; its keys are forgotten here.", network=network)

    def banned(self, network: str, member: str) -> None:
        """Somebody was banned."""
        self.happened("banned", f"{member} is banned from {network!r}.", network=network, member=member)

    def down(self, network: str) -> None:
        """The network is not up any more."""
        self.happened("closed", f"{network!r} is down.", network=network, reason="local")

    def status(self, status: NetworkStatus) -> None:
        """Show a network's status."""
        print("\n".join(status_lines(status, time.time())))

    def network(self, event: GroupEvent) -> None:
        """Tell what happens on a network that is up."""
        from tincan.vpn.group.events import MemberGone, MemberNews, NetworkUp

        match event:
            case NetworkUp():
                text = (
                    f"{event.network!r} is up on {event.interface}: you are {event.name}, {event.address} and "
                    f"{event.address6}. Ctrl-C ends it."
                )
                self.happened("up", text, **vars(event))
            case MemberNews():
                how = PATHS.get(event.path or "", event.path or "")
                text = (
                    f"{event.name} ({event.address}) is online, {how}."
                    if event.online
                    else f"{event.name} ({event.address}) is offline."
                )
                self.happened("member", text, **{k: v for k, v in vars(event).items() if v is not None})
            case MemberGone():
                self.happened("gone", f"{event.name} {'is banned' if event.banned else 'has left'}.", **vars(event))
            case _:
                self.happened("note", event.text, text=event.text)


class NetJson(JsonOutput, NetOutput):
    """For programs: one object a line on stdout."""

    def happened(self, event: str, words: str, **fields: Any) -> None:
        """See `NetOutput.happened`."""
        self._event(event, **fields)

    def status(self, status: NetworkStatus) -> None:
        """See `NetOutput.status`."""
        import msgspec

        self._event("status", **msgspec.to_builtins(status))


def status_lines(status: NetworkStatus, now: float) -> list[str]:
    """Return a network's status for people."""
    up = f"up on {status.interface}" if status.up else "not up"
    lines = [f"{status.network}: {up}, {status.mode} mode, {status.subnet}" + (", you are its admin" * status.admin)]
    if status.trouble is not None:
        lines.append(f"  ! {status.trouble}")
    for place in status.places:
        lines.append(f"  meets at {place.name}" + (f": {place.trouble}" if place.trouble else ""))
    width = max((len(member.name) for member in status.members), default=0)
    for member in status.members:
        how = member.state
        if member.path is not None:
            how += f", {PATHS.get(member.path, member.path)}"
        if member.rtt is not None:
            how += f", {member.rtt * 1000:.1f} ms"
        if member.state == "away" and member.seen:
            how += f", seen {_ago(now - member.seen)} ago"
        elif member.reason:
            how += f" ({member.reason.rstrip('.')})"
        star = "*" if member.admin else " "
        lines.append(f"  {star} {member.name:<{width}}  {member.address:<15}  {how}")
    return [visible(line) for line in lines]


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _me(certificate: Certificate) -> dict[str, str]:
    return {
        "name": certificate.name,
        "address": str(certificate.address4.ip),
        "address6": str(certificate.address6.ip),
    }
