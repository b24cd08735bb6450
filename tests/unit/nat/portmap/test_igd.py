"""UPnP over real sockets, with routers on this machine: those that answer, and those that lie, drip and gush."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tincan.nat.portmap.http1 import Url
from tincan.nat.portmap.igd import Igd
from tincan.nat.portmap.mapping import Granted, NoMapping, Wanted

HERE = "127.0.0.1"
WANTED = Wanted(HERE, 41000, "tcp")
IP = "urn:schemas-upnp-org:service:WANIPConnection:"

Answer = Callable[[str, str], "bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"]


def http(body: str | bytes, status: str = "200 OK", extra: str = "") -> bytes:
    body = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


def describe(version: int = 1, control: str = "/ctl", services: int = 1) -> bytes:
    service = f"<service><serviceType>{IP}{version}</serviceType><controlURL>{control}</controlURL></service>"
    return http(f"<root><device><serviceList>{service * services}</serviceList></device></root>")


def soap(**texts: object) -> bytes:
    inside = "".join(f"<{name}>{text}</{name}>" for name, text in texts.items())
    return http(f'<s:Envelope xmlns:s="s"><s:Body><u:R xmlns:u="u">{inside}</u:R></s:Body></s:Envelope>')


def fault(code: int) -> bytes:
    return http(f"<s><Body><Fault><errorCode>{code}</errorCode></Fault></Body></s>", "500 Internal Server Error")


@contextlib.asynccontextmanager
async def web(answer: Answer) -> AsyncIterator[tuple[list[str], Igd]]:
    """Serve as a router; yields what was called, and the client."""
    calls: list[str] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = int(head.partition("Content-Length: ")[2].partition("\r\n")[0] or 0)
            body = (await reader.readexactly(size)).decode()
            calls.append(head.partition("#")[2].partition('"')[0] or head.split()[1])
            said = answer(calls[-1], body)
            if isinstance(said, bytes):
                writer.write(said)
                await writer.drain()
            else:
                await said(reader, writer)
        except ConnectionError:
            pass  # the client has heard enough
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HERE, 0)
    async with server:
        yield calls, Igd(Url(HERE, server.sockets[0].getsockname()[1], "/root.xml"), WANTED, patience=0.3)
        if serving:
            await asyncio.wait(serving)


def good(version: int = 1, address: str = "203.0.113.7", reserved: object = "") -> Answer:
    def answer(name: str, body: str) -> bytes:
        if name == "/root.xml":
            return describe(version)
        return soap(NewExternalIPAddress=address, NewReservedPort=reserved)

    return answer


async def test_upnp_maps_renews_and_deletes() -> None:
    async with web(good()) as (calls, igd):
        for _ in range(2):
            assert await igd.map() == Granted("203.0.113.7", 41000, 900)
        await igd.unmap()
        await igd.unmap()
    ask = ["GetExternalIPAddress", "AddPortMapping"]
    assert calls == ["/root.xml", *ask, *ask, "DeletePortMapping"]


async def test_a_router_of_version_2_chooses_the_port_and_keeps_it_at_the_renewal() -> None:
    async with web(good(2, reserved=42000)) as (calls, igd):
        for _ in range(2):
            assert (await igd.map()).port == 42000
    assert [call for call in calls if call.startswith("Add")] == ["AddAnyPortMapping", "AddPortMapping"]


@pytest.mark.parametrize("version", [1, 2])
async def test_where_the_port_is_taken_another_one_is_asked_for(version: int) -> None:
    tried: list[str] = []

    def answer(name: str, body: str) -> bytes:
        if not name.startswith("Add"):
            return good(version)(name, body)  # type: ignore[return-value]
        tried.append(body.partition("<NewExternalPort>")[2].partition("<")[0])
        return fault(718) if tried[-1] == "41000" else soap()

    async with web(answer) as (_, igd):
        granted = await igd.map()
    assert granted.port == int(tried[-1]) >= 49152


@pytest.mark.parametrize("code", [718, 725, 606, 402, 0])
async def test_a_router_that_refuses_is_not_asked_for_ever(code: int) -> None:
    def answer(name: str, body: str) -> bytes:
        return fault(code) if name.startswith("Add") else good()(name, body)  # type: ignore[return-value]

    async with web(answer) as (calls, igd):
        with pytest.raises(NoMapping):
            await igd.map()
        assert not igd.asked
    assert len(calls) <= 6
    assert "DeletePortMapping" not in calls


@pytest.mark.parametrize("address", ["192.168.1.2", "0.0.0.0", "", "203.0.113.7.evil.example", "9" * 9999])
async def test_a_router_without_a_usable_address_is_not_asked_for_a_mapping(address: str) -> None:
    async with web(good(address=address)) as (calls, igd):
        with pytest.raises(NoMapping):
            await igd.map()
    assert calls == ["/root.xml", "GetExternalIPAddress"]


async def test_where_one_service_refuses_the_next_is_asked_but_not_where_it_is_silent() -> None:
    for said, asked in ((fault(501), 2), (b"", 1)):

        def answer(name: str, body: str, said: bytes = said) -> bytes:
            if name == "/root.xml":
                return describe(services=2)
            return said if name.startswith("Add") else good()(name, body)  # type: ignore[return-value]

        async with web(answer) as (calls, igd):
            with pytest.raises(NoMapping):
                await igd.map()
            await igd.unmap()
        assert calls.count("AddPortMapping") == asked
        assert calls.count("DeletePortMapping") == (said == b"")


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def gush(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"<a>" * 10_000)
        await writer.drain()


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


EVIL: dict[str, object] = {
    "redirect elsewhere": http("", "302 Found", "Location: http://10.9.9.9/root.xml\r\n"),
    "not found": http("", "404 Not Found"),
    "control elsewhere": describe(control="http://10.9.9.9/ctl"),
    "entity bomb": http('<!DOCTYPE a [<!ENTITY b "ha">]><root>&b;</root>'),
    "too large": http(b" " * 65_537),
    "claims to be too large": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
    "no HTTP": b"220 ftp.example ready\r\n",
    "hangs up": b"",
    "hangs up early": http("<root/>")[:-2],
    "drips": drip,
    "gushes": gush,
    "says nothing": silence,
}


@pytest.mark.parametrize("said", EVIL.values(), ids=EVIL)
async def test_an_evil_description_is_no_mapping_and_soon(said: object) -> None:
    async with web(lambda name, body: said) as (calls, igd):  # type: ignore[arg-type,return-value]
        async with asyncio.timeout(120):  # its own patience is shorter
            with pytest.raises((NoMapping, OSError)):
                await igd.map()
        assert not igd.asked
    assert calls == ["/root.xml"]


@pytest.mark.parametrize("said", EVIL.values(), ids=EVIL)
async def test_an_evil_answer_to_a_call_is_no_mapping_but_may_be_one_to_delete(said: object) -> None:
    def answer(name: str, body: str) -> object:
        return said if name == "AddPortMapping" else good()(name, body)

    async with web(answer) as (calls, igd):  # type: ignore[arg-type]
        with pytest.raises((NoMapping, OSError)):
            await igd.map()
        assert igd.asked
        await igd.unmap()
    assert calls[-2:] == ["AddPortMapping", "DeletePortMapping"]
