"""Session descriptions (RFC 8866, RFC 8839, RFC 8841), for the dialects of clients that others wrote.

Our own cans never see one: they exchange a `Description`. Pure. `read` is the
only door for the text of a stranger.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tincan.errors import ProtocolError
from tincan.link.description import MAX_CANDIDATES, Candidate, Description

MAX_SDP: Final = 64 * 1024
"""Characters; a description with audio, video and 40 candidates has about 12,000."""

SCTP_PORT: Final = 5000
MAX_MESSAGE_SIZE: Final = 262144

_ICE_TEXT = re.compile(r"[A-Za-z0-9+/]{4,256}")
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}")
_CANDIDATE = re.compile(
    r"candidate:(?P<foundation>\S{1,32}) (?P<component>\d{1,3}) (?P<transport>\S+) (?P<priority>\d{1,10}) "
    r"(?P<address>\S{1,255}) (?P<port>\d{1,5}) typ (?P<kind>\w+)( .*)?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class SessionDescription:
    """What a session description says of its one data channel section."""

    description: Description
    setup: str
    """``actpass``, ``active`` or ``passive`` (RFC 8842): who begins DTLS."""


def write(description: Description, setup: str) -> str:
    """Return the session description of a data channel section, all candidates inside."""
    default = next((c for c in description.candidates if ":" not in c.address), None)
    address = default.address if default else "0.0.0.0"  # noqa: S104 - the RFC's placeholder
    fingerprint = ":".join(f"{byte:02X}" for byte in description.fingerprint)
    lines = [
        "v=0",
        f"o=- {int.from_bytes(description.fingerprint[:7], 'big')} 2 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=msid-semantic:WMS *",
        f"m=application {default.port if default else 9} UDP/DTLS/SCTP webrtc-datachannel",
        f"c=IN IP4 {address}",
        "a=mid:0",
        f"a=sctp-port:{SCTP_PORT}",
        f"a=max-message-size:{MAX_MESSAGE_SIZE}",
        *(f"a={_write_candidate(c)}" for c in description.candidates),
        "a=end-of-candidates",
        f"a=ice-ufrag:{description.ufrag}",
        f"a=ice-pwd:{description.pwd}",
        f"a=fingerprint:sha-256 {fingerprint}",
        f"a=setup:{setup}",
    ]
    return "\r\n".join(lines) + "\r\n"


def read(text: str) -> SessionDescription:
    """Read a session description with a data channel; raise `ProtocolError` when it has none that can be used."""
    if len(text) > MAX_SDP:
        raise ProtocolError("The other side's session description is far too long.")
    session, section = _sections(text)

    def value(name: str) -> str | None:
        found = [line[len(name) + 3 :] for line in (*section, *session) if line.startswith(f"a={name}:")]
        return found[0].strip() if found else None

    ufrag, pwd = value("ice-ufrag") or "", value("ice-pwd") or ""
    if not (_ICE_TEXT.fullmatch(ufrag) and _ICE_TEXT.fullmatch(pwd) and len(pwd) >= 22):
        raise ProtocolError("The other side's session description has no usable ICE credentials.")
    port = value("sctp-port") or (value("sctpmap") or "").split(" ")[0] or _port_of_media(section[0])
    if port != str(SCTP_PORT):
        raise ProtocolError("The other side's session description has no usable data channel.")
    setup = value("setup") or "actpass"
    if setup not in ("actpass", "active", "passive"):
        raise ProtocolError("The other side's session description does not say who begins DTLS.")
    description = Description(
        ufrag=ufrag,
        pwd=pwd,
        fingerprint=_fingerprint([*section, *session]),
        candidates=tuple(_candidates(section))[:MAX_CANDIDATES],
        complete=True,
    )
    return SessionDescription(description, setup)


def _sections(text: str) -> tuple[list[str], list[str]]:
    """Return the session's lines and those of its first data channel section."""
    session: list[str] = []
    media: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("m="):
            media.append([line])
        elif media:
            media[-1].append(line)
        else:
            session.append(line)
    if not session or session[0].strip() != "v=0":
        raise ProtocolError("What the other side sent is not a session description.")
    for section in media:
        if section[0].startswith("m=application ") and "DTLS/SCTP" in section[0]:
            return session, section
    raise ProtocolError("The other side's session description has no data channel.")


def _port_of_media(line: str) -> str:
    """Return the SCTP port of the old form ``m=application 9 DTLS/SCTP 5000``."""
    return line.rsplit(" ", maxsplit=1)[-1].strip()


def _fingerprint(lines: list[str]) -> bytes:
    for line in lines:
        if line.lower().startswith("a=fingerprint:sha-256 "):
            text = line.split(" ", 1)[1].strip()
            if _FINGERPRINT.fullmatch(text):
                return bytes.fromhex(text.replace(":", ""))
    raise ProtocolError("The other side's session description has no SHA-256 fingerprint of its certificate.")


def _candidates(section: list[str]) -> list[Candidate]:
    """Return the candidates that we can use; others (TCP, names, other components) are passed over."""
    found = []
    for line in section:
        match = _CANDIDATE.fullmatch(line.strip().removeprefix("a=")) if line.startswith("a=candidate:") else None
        if match is None or match["transport"].lower() != "udp" or match["component"] != "1":
            continue
        port, priority = int(match["port"]), int(match["priority"])
        if 0 < port < 65536 and 0 < priority < 2**31 and re.fullmatch(r"[A-Za-z0-9+/]+", match["foundation"]):
            found.append(Candidate(match["kind"].lower(), match["address"], port, match["foundation"], priority))
    return found


def _write_candidate(c: Candidate) -> str:
    line = f"candidate:{c.foundation} 1 udp {c.priority} {c.address} {c.port} typ {c.kind}"
    # RFC 8839 section 5.1: derived candidates name a related address; ours is nobody's business.
    return line if c.kind == "host" else f"{line} raddr 0.0.0.0 rport 9"
