"""UPnP Internet Gateway Device: a router's description, and the SOAP calls of its WAN connection service.

WANIPConnection:1, WANIPConnection:2 and WANPPPConnection:1 of the UPnP Forum.
Only the names of services in our own table ever get into a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tincan.nat.portmap import xmltree
from tincan.nat.portmap.http1 import Url, relative, request
from tincan.nat.portmap.mapping import NoMapping, Wanted

MAX_DESCRIPTION: Final = 64 * 1024
MAX_ANSWER: Final = 16 * 1024

PORT_TAKEN: Final = frozenset({718, 729})
"""ConflictInMappingEntry, ConflictWithOtherMechanisms: another port may do."""

ANY_PORT: Final = "urn:schemas-upnp-org:service:WANIPConnection:2"
"""The service with AddAnyPortMapping, whose router looks for a free port itself."""

_SERVICES: Final = (
    ANY_PORT,
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)
_MAX_SERVICES: Final = 4
_FAULTS: Final = {
    402: "invalid arguments",
    501: "action failed",
    606: "not authorised",
    718: "that port is taken",
    724: "both ports must be the same",
    725: "it only makes mappings that last for ever",
    728: "no resources",
    729: "that port is taken",
}
_ENVELOPE: Final = (
    '<?xml version="1.0"?>\r\n'
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    ' s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
    '<u:{action} xmlns:u="{service}">{arguments}</u:{action}>'
    "</s:Body></s:Envelope>\r\n"
)


class Fault(NoMapping):
    """The router refuses a call. ``code``: UPnP's number."""

    def __init__(self, code: int) -> None:
        super().__init__(_FAULTS.get(code, f"UPnP error {code}"))
        self.code = code


@dataclass(frozen=True)
class Service:
    """Where to send calls, and the service's name, one of our table."""

    url: Url
    kind: str


def parse_description(data: bytes, location: Url) -> list[Service]:
    """Return the WAN connection services of a router, the best first; raise `NoMapping` if there is none."""
    root = xmltree.parse(data, MAX_DESCRIPTION)
    base = location
    for element in xmltree.named(root, "URLBase"):  # UPnP 1.0
        base = relative(location, (element.text or "").strip()) or location
    found = []
    for element in xmltree.named(root, "service"):
        texts = xmltree.children(element)
        url = relative(base, texts.get("controlURL", ""))
        kind = texts.get("serviceType", "")
        if kind in _SERVICES and url is not None:
            found.append(Service(url, kind))
    if not found:
        raise NoMapping("it describes no WAN connection")
    return sorted(found, key=lambda service: _SERVICES.index(service.kind))[:_MAX_SERVICES]


def external_address(service: Service) -> bytes:
    """Ask for the external address; `parse_answer` returns it as NewExternalIPAddress."""
    return _call(service, "GetExternalIPAddress", {})


def add_mapping(service: Service, wanted: Wanted, external: int, *, any_port: bool = False) -> bytes:
    """Ask for a mapping. ``any_port``: AddAnyPortMapping, whose answer names the port as NewReservedPort."""
    action = "AddAnyPortMapping" if any_port else "AddPortMapping"
    arguments = {
        **_entry(wanted, external),
        "NewInternalPort": wanted.port,
        "NewInternalClient": wanted.local,
        "NewEnabled": 1,
        "NewPortMappingDescription": "tin-can",
        "NewLeaseDuration": wanted.lease,
    }
    return _call(service, action, arguments)


def delete_mapping(service: Service, wanted: Wanted, external: int) -> bytes:
    """Ask for the end of a mapping."""
    return _call(service, "DeletePortMapping", _entry(wanted, external))


def parse_answer(status: int, body: bytes) -> dict[str, str]:
    """Return what a call answered, by name; raise `Fault` where it was refused and `NoMapping` for nonsense."""
    if status not in (200, 500):  # a redirect, above all, is not followed
        raise NoMapping(f"its web server answers {status}")
    root = xmltree.parse(body, MAX_ANSWER)
    for element in xmltree.named(root, "errorCode"):
        text = (element.text or "").strip()
        raise Fault(int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0)
    if status == 500:
        raise NoMapping("its web server fails")
    for element in xmltree.named(root, "Body"):
        for answer in element:
            return xmltree.children(answer)
    raise NoMapping("it answers a call with something else")


def parse_port(text: str | None) -> int:
    """Read a port that a router names; 0 when it is no number."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else 0


def _entry(wanted: Wanted, external: int) -> dict[str, str | int]:
    """Name a mapping; the order of arguments is fixed (UPnP Device Architecture 1.1, 3.1.1)."""
    return {"NewRemoteHost": "", "NewExternalPort": external, "NewProtocol": wanted.transport.upper()}


def _call(service: Service, action: str, arguments: dict[str, str | int]) -> bytes:
    written = "".join(f"<{name}>{value}</{name}>" for name, value in arguments.items())
    body = _ENVELOPE.format(action=action, service=service.kind, arguments=written).encode("ascii")
    headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": f'"{service.kind}#{action}"'}
    return request("POST", service.url, headers, body)
