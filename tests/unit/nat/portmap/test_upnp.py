from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.nat.portmap import ssdp, upnp
from tincan.nat.portmap.http1 import Url
from tincan.nat.portmap.mapping import NoMapping, Wanted
from tincan.nat.portmap.upnp import Fault, Service, parse_answer, parse_description
from tincan.nat.portmap.xmltree import parse

ROUTER = "10.0.0.1"
LOCATION = Url(ROUTER, 5000, "/root.xml")
WANTED = Wanted("10.0.0.2", 41000, "tcp", 900)
IP1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
PPP = "urn:schemas-upnp-org:service:WANPPPConnection:1"
SERVICE = Service(Url(ROUTER, 5000, "/ctl"), IP1)

FOUND = (
    "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {st}\r\nLocation:{location}\r\n"
    "USN: uuid:1::upnp:rootdevice\r\nEXT:\r\n\r\n"
)


def found(location: str = "http://10.0.0.1:5000/root.xml", st: str = ssdp.TARGETS[0]) -> bytes:
    return FOUND.format(location=location, st=st).encode()


def service(kind: str, control: str) -> str:
    return f"<service><serviceType>{kind}</serviceType><controlURL> {control} </controlURL></service>"


def description(*services: str, base: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>\n<root xmlns="urn:schemas-upnp-org:device-1-0">{base}<device><deviceList><device>'
        f"<serviceList>{''.join(services)}</serviceList></device></deviceList></device></root>"
    ).encode()


def soap(inside: str) -> bytes:
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>' + inside + "</s:Body></s:Envelope>"
    ).encode()


def fault(code: object) -> bytes:
    return soap(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode>'
        "<errorDescription>\x1b[31mspoofed</errorDescription></UPnPError></detail></s:Fault>".replace("\x1b", "")
    )


# -- search ------------------------------------------------------------------------


def test_a_search_is_as_the_architecture_writes_it() -> None:
    assert ssdp.search(ssdp.TARGETS[0]) == (
        b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\n'
        b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
    )
    assert b"MX" not in ssdp.search(ssdp.TARGETS[0], ROUTER)


def test_an_answer_points_to_the_machine_that_sent_it() -> None:
    assert ssdp.parse_found(found(), ROUTER) == LOCATION


@pytest.mark.parametrize(
    ("name", "data", "source"),
    [
        ("it points to another machine", found(), "10.0.0.66"),
        ("it points to the internet", found("http://8.8.8.8/root.xml"), ROUTER),
        ("it points to ourselves", found("http://127.0.0.1/root.xml"), ROUTER),
        ("it names a name", found("http://router.local/root.xml"), ROUTER),
        ("it wants https", found("https://10.0.0.1/root.xml"), ROUTER),
        ("it names a user", found("http://10.0.0.1@8.8.8.8/"), ROUTER),
        ("it points nowhere", found(""), ROUTER),
        ("it is a printer", found(st="urn:schemas-upnp-org:device:Printer:1"), ROUTER),
        ("it is a search", ssdp.search(ssdp.TARGETS[0]), ROUTER),
        ("it is an announcement", found().replace(b"HTTP/1.1 200 OK", b"NOTIFY * HTTP/1.1"), ROUTER),
        ("it is long", found() + bytes(5000), ROUTER),
        ("it is empty", b"", ROUTER),
    ],
)
def test_any_other_answer_to_a_search_is_ignored(name: str, data: bytes, source: str) -> None:
    assert ssdp.parse_found(data, source) is None


@given(st.binary(max_size=500), st.booleans())
def test_any_answer_to_a_search_is_read_without_an_error(data: bytes, begun: bool) -> None:
    ssdp.parse_found(found()[:60] * begun + data, ROUTER)


# -- description -------------------------------------------------------------------


def test_the_best_service_comes_first() -> None:
    data = description(
        service(PPP, "/ppp"), service("urn:x:Layer3", "/l3"), service(IP1, "ip"), service(upnp.ANY_PORT, "/2")
    )
    assert [(s.kind, s.url.path) for s in parse_description(data, LOCATION)] == [
        (upnp.ANY_PORT, "/2"),
        (IP1, "/ip"),
        (PPP, "/ppp"),
    ]


def test_a_base_counts_if_it_stays_on_the_machine() -> None:
    base = "<URLBase>http://10.0.0.1:6000/x/</URLBase>"
    assert parse_description(description(service(IP1, "ip"), base=base), LOCATION)[0].url == Url(
        ROUTER, 6000, "/x/ip"
    )
    evil = "<URLBase>http://8.8.8.8/</URLBase>"
    assert parse_description(description(service(IP1, "/ip"), base=evil), LOCATION)[0].url == Url(ROUTER, 5000, "/ip")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("control on another machine", description(service(IP1, "http://10.0.0.66/ctl"))),
        ("control on the internet", description(service(IP1, "//8.8.8.8/ctl"))),
        ("control with a line end", description(service(IP1, "/c&#13;&#10;X-Evil: 1"))),
        ("a name that is not in our table", description(service(IP1 + "&#13;&#10;X-Evil: 1", "/ctl"))),
        ("no service", description()),
        ("no XML", b"<html><body>Please log in<br></body></html>"),
        ("nothing", b""),
        ("a document type", b'<!DOCTYPE root SYSTEM "http://8.8.8.8/x.dtd">' + description(service(IP1, "/c"))),
        ("too long", description(service(IP1, "/c"), " " * upnp.MAX_DESCRIPTION)),
        ("cut", description(service(IP1, "/c"))[:-9]),
    ],
)
def test_any_other_description_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(NoMapping):
        parse_description(data, LOCATION)


def test_a_description_with_a_thousand_services_gives_a_few() -> None:
    assert len(parse_description(description(*[service(IP1, "/c")] * 300), LOCATION)) < 10


# -- XML ---------------------------------------------------------------------------

BOMB = '<!DOCTYPE a [<!ENTITY b "haha"><!ENTITY c "&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;">]><a>&d;</a>'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("an entity bomb", BOMB.encode()),
        ("the same in UTF-16", BOMB.encode("utf-16")),
        ("the same in UTF-16 without a mark", BOMB.encode("utf-16-le")),
        ("the same in UTF-32", BOMB.encode("utf-32")),
        ("the same in UTF-7", b'<?xml version="1.0" encoding="utf-7"?>' + BOMB.encode("utf-7")),
        ("the same behind a declaration", b'<?xml version="1.0" encoding="utf-16"?>' + BOMB.encode()),
        ("an outside entity", b'<!doctype a [<!entity b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
        ("an entity nobody declared", b"<a>&b;</a>"),
        ("a deep nest", b"<a>" * 5000 + b"</a>" * 5000),
        ("a wide one", b"<a>" + b"<b/>" * 5000 + b"</a>"),
        ("two roots", b"<a/><b/>"),
        ("bytes", bytes(range(256))),
    ],
)
def test_xml_that_is_made_to_hurt_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(NoMapping):
        parse(data, 64 * 1024)


def test_xml_that_lies_about_its_encoding_is_read_as_utf_8() -> None:
    assert parse('<?xml version="1.0" encoding="latin-1"?><a>ü</a>'.encode(), 100).text == "ü"
    assert parse(b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><a>\xfc</a>\0', 100).text == "\ufffd"


@given(st.binary(max_size=300) | st.text(alphabet="<>/a&;! =\"'x", max_size=60).map(str.encode))
def test_any_xml_raises_nothing_else(data: bytes) -> None:
    with contextlib.suppress(NoMapping):
        parse(data, 200)


# -- calls -------------------------------------------------------------------------


def test_a_call_is_as_the_forum_writes_it() -> None:
    head, body = upnp.add_mapping(SERVICE, WANTED, 42000).split(b"\r\n\r\n")
    assert b"POST /ctl HTTP/1.1\r\nHost: 10.0.0.1:5000\r\n" in head
    assert b'SOAPAction: "urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping"' in head
    assert f"Content-Length: {len(body)}".encode() in head
    call = next(iter(parse(body, 4096)[0]))
    assert call.tag == f"{{{IP1}}}AddPortMapping"
    assert [(argument.tag, argument.text) for argument in call] == [
        ("NewRemoteHost", None),
        ("NewExternalPort", "42000"),
        ("NewProtocol", "TCP"),
        ("NewInternalPort", "41000"),
        ("NewInternalClient", "10.0.0.2"),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", "tin-can"),
        ("NewLeaseDuration", "900"),
    ]


def test_the_other_calls_are_what_they_are_called() -> None:
    assert b"#AddAnyPortMapping" in upnp.add_mapping(SERVICE, WANTED, 42000, any_port=True)
    assert b"<NewExternalPort>42000<" in upnp.delete_mapping(SERVICE, WANTED, 42000)
    assert b"#GetExternalIPAddress" in upnp.external_address(SERVICE)


def test_an_answer_is_read_by_name() -> None:
    body = soap(
        f'<u:XResponse xmlns:u="{IP1}"><NewExternalIPAddress>203.0.113.7</NewExternalIPAddress></u:XResponse>'
    )
    assert parse_answer(200, body) == {"NewExternalIPAddress": "203.0.113.7"}
    assert parse_answer(200, soap("<u/>")) == {}


@pytest.mark.parametrize("status", [200, 500])
def test_a_fault_keeps_its_number_and_nothing_of_the_routers_text(status: int) -> None:
    with pytest.raises(Fault) as caught:
        parse_answer(status, fault(718))
    assert caught.value.code == 718
    assert "spoofed" not in str(caught.value)


@pytest.mark.parametrize("code", ["", "x", "-1", "9" * 5000, "²"])
def test_a_fault_without_a_proper_number_is_one_too(code: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_answer(500, fault(code))
    assert caught.value.code == 0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (302, soap("<u/>")),
        (404, soap("<u/>")),
        (500, soap("<u/>")),
        (200, soap("")),
        (200, b"<a/>"),
        (200, soap("<u>" + "x" * upnp.MAX_ANSWER + "</u>")),
        (0, b""),
    ],
)
def test_any_other_answer_to_a_call_is_refused(status: int, body: bytes) -> None:
    with pytest.raises(NoMapping):
        parse_answer(status, body)


@pytest.mark.parametrize(
    ("text", "port"), [("5000", 5000), ("", 0), (None, 0), ("-5", 0), ("5e3", 0), ("9" * 99, 0), ("²", 0)]
)
def test_a_port_is_a_number(text: str | None, port: int) -> None:
    assert upnp.parse_port(text) == port
