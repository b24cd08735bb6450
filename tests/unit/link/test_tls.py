"""TLS on a connected socket: whom it accepts, how it ends, how it breaks, and what it holds while nobody reads."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
import ssl
import stat
import struct
import sys
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path as FilePath

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tincan.errors import AuthenticationFailed
from tincan.link.interface import Path, Stream, StreamBroken
from tincan.link.tls import Certificate, Pin, TlsStream, fresh_certificate, secure
from tincan.meet.mailbox import Side
from unit.link.stream_contract import MIB, WITHIN, StreamContract
from unit.link.stream_pairs import (
    CERTIFICATES,
    open_files,
    pin,
    read_all,
    read_into,
    sockets,
    some_bytes,
    tls_pair,
    write_all,
)

both_sides = pytest.mark.parametrize("side", list(Side))
STRANGER = fresh_certificate()


class TestTlsStream(StreamContract):
    @contextlib.asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Stream, Stream]]:
        yield await tls_pair()


@pytest.fixture(autouse=True)
def no_file_is_left(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Certificates go through a file, which must not stay. Others' temporary files are none of our business."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.glob("tin-can-*")) == []


async def outcome(sock: socket.socket, pinned: Pin, side: Side) -> type[BaseException] | None:
    """Return what the handshake, or else the first use, ended with."""
    try:
        stream = await secure(sock, pinned, side, Path.LAN)
    except (OSError, AuthenticationFailed) as exc:
        assert sock.fileno() == -1
        return type(exc)
    try:
        await stream.write(b"secret")
        await stream.read(100)
    except StreamBroken as exc:
        return type(exc)
    finally:
        await stream.close()
    return None


# -- whom it accepts -------------------------------------------------------------------------


@both_sides
async def test_both_show_the_pinned_certificate(side: Side) -> None:
    streams = dict(zip(Side, await tls_pair(), strict=True))
    assert streams[side].peer_certificate == CERTIFICATES[side.other].der
    for stream in streams.values():
        await stream.close()


@both_sides
async def test_another_certificate_is_refused_on_both_sides(side: Side) -> None:
    """This side has one that the other was not told of."""
    near, far = sockets()
    async with asyncio.timeout(WITHIN):
        ours, theirs = await asyncio.gather(
            outcome(near, Pin(STRANGER, CERTIFICATES[side.other].der), side),
            outcome(far, pin(side.other), side.other),
        )
    assert theirs is AuthenticationFailed
    assert ours in {AuthenticationFailed, StreamBroken, ConnectionResetError}


@both_sides
async def test_a_peer_that_shows_no_certificate(side: Side) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if side is Side.ATTACH else ssl.PROTOCOL_TLS_SERVER)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    near, far = sockets()
    async with asyncio.timeout(WITHIN):
        judged, _ = await asyncio.gather(outcome(near, pin(side), side), raw_handshake(far, context, side.other))
    assert judged is AuthenticationFailed


async def raw_handshake(sock: socket.socket, context: ssl.SSLContext, side: Side) -> None:
    stream = TlsStream(sock, context, server=side is Side.ATTACH, path=Path.LAN)
    with contextlib.suppress(OSError, StreamBroken):
        await stream.handshake()
        await stream.read(1)
    await stream.close()


@both_sides
async def test_older_versions_of_tls_are_refused(side: Side) -> None:
    old = pin(side.other).context(side.other)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    near, far = sockets()
    async with asyncio.timeout(WITHIN):
        judged, _ = await asyncio.gather(outcome(near, pin(side), side), raw_handshake(far, old, side.other))
    assert judged in {AuthenticationFailed, ConnectionResetError}


@both_sides
@pytest.mark.parametrize(
    "blob",
    [bytes(100), b"\x30\x82" + bytes(500), CERTIFICATES[Side.TAP].der[:-1], b"-----BEGIN CERTIFICATE-----" * 9],
)
async def test_a_peer_whose_certificate_is_none(side: Side, blob: bytes) -> None:
    near, far = sockets()
    with far, pytest.raises(AuthenticationFailed):
        await secure(near, Pin(CERTIFICATES[side], blob), side, Path.LAN)
    assert near.fileno() == -1


@both_sides
@pytest.mark.parametrize(
    "says", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(5000), b"\x16\x03\x03\x40\x00" + bytes(20_000)]
)
async def test_a_peer_that_speaks_no_tls(side: Side, says: bytes) -> None:
    near, far = sockets()
    with far:
        far.sendall(says)
        far.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(WITHIN):
            assert await outcome(near, pin(side), side) in {AuthenticationFailed, ConnectionResetError}


def test_a_certificate_is_read_from_a_file_that_is_the_users_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    seen: list[tuple[int, bytes]] = []

    class Looking(ssl.SSLContext):
        def load_cert_chain(self, certfile, keyfile=None, password=None):  # type: ignore[no-untyped-def]
            path = FilePath(certfile)
            seen.append((stat.S_IMODE(path.stat().st_mode), path.read_bytes()))
            super().load_cert_chain(certfile, keyfile, password)

    STRANGER.load(Looking(ssl.PROTOCOL_TLS_CLIENT))
    [(mode, content)] = seen
    assert mode == 0o600
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in content
    assert b"BEGIN PRIVATE KEY" not in content
    broken = Certificate(STRANGER.der, b"no key", b"")
    with pytest.raises(ssl.SSLError):
        broken.load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


@pytest.mark.skipif(sys.platform != "linux", reason="others need a file")
def test_a_certificate_needs_no_disk(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may be full, or read-only as in many containers."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    before = open_files()
    STRANGER.load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    assert open_files() == before


def test_certificates_differ_hide_their_keys_and_allow_for_wrong_clocks() -> None:
    assert STRANGER.der != CERTIFICATES[Side.TAP].der
    assert "KEY" not in repr(STRANGER)
    read = x509.load_der_x509_certificate(STRANGER.der)
    assert read.not_valid_before_utc == datetime.datetime.fromtimestamp(0, datetime.UTC), "a machine without a clock"
    assert read.not_valid_after_utc.year == 9999


# -- how it ends ------------------------------------------------------------------------------


@both_sides
async def test_half_close_in_the_middle_of_the_other_direction(side: Side) -> None:
    """One ends early while megabytes come towards it; then the other ends."""
    streams = dict(zip(Side, await tls_pair(), strict=True))
    near, far = streams[side], streams[side.other]
    short, long = some_bytes(1, MIB), some_bytes(2, 8 * MIB)
    async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as group:
        group.create_task(write_all(far, long, 3))
        group.create_task(write_all(near, short, 4))
        got_short = group.create_task(read_all(far, 5))
        got_long = group.create_task(read_all(near, 6))
    assert got_short.result() == short
    assert got_long.result() == long
    await near.close()
    await far.close()


class Cut:
    """A TLS connection whose wire runs through the test: it may be cut, or changed."""

    def __init__(self, near: TlsStream, far: TlsStream, wires: tuple[socket.socket, socket.socket]) -> None:
        self.near = near
        self.far = far
        self.wires = wires

    def end(self) -> None:
        for wire in self.wires:
            wire.close()


@contextlib.asynccontextmanager
async def relayed(limit: int, change: bytes = b"") -> AsyncIterator[Cut]:
    """After the handshake so many bytes come from far to near; then ``change``, then the end of the connection."""
    near_sock, near_wire = sockets()
    far_sock, far_wire = sockets()
    loop = asyncio.get_running_loop()
    passed = 0
    counting = asyncio.Event()

    async def carry(source: socket.socket, sink: socket.socket, counted: bool) -> None:
        nonlocal passed
        while data := await loop.sock_recv(source, 65536):
            if counted and counting.is_set():
                data = data[: limit - passed]
                passed += len(data)
            await loop.sock_sendall(sink, data)
            if passed >= limit and counted and counting.is_set():
                await loop.sock_sendall(sink, change)
                sink.shutdown(socket.SHUT_WR)
                return

    carrying = [
        asyncio.create_task(carry(near_wire, far_wire, False)),
        asyncio.create_task(carry(far_wire, near_wire, True)),
    ]
    near, far = await asyncio.gather(
        secure(near_sock, pin(Side.ATTACH), Side.ATTACH, Path.LAN),
        secure(far_sock, pin(Side.TAP), Side.TAP, Path.LAN),
    )
    counting.set()
    cut = Cut(near, far, (near_wire, far_wire))
    try:
        yield cut
    finally:
        for task in carrying:
            task.cancel()
        await asyncio.wait(carrying)
        await near.close()
        await far.close()
        cut.end()


@pytest.mark.parametrize("limit", [1, 5, 21, 22, 1000, 16_406, 100_000])
async def test_a_connection_cut_in_the_middle_is_never_an_end(limit: int) -> None:
    data = some_bytes(1, 200_000)
    async with asyncio.timeout(WITHIN), relayed(limit) as cut:
        writing = asyncio.create_task(write_all(cut.far, data, 2))
        found = bytearray()
        with pytest.raises(StreamBroken):
            await read_into(found, cut.near)
        assert data.startswith(found)
        with pytest.raises(StreamBroken):
            await cut.near.read(5000)
        await asyncio.wait([writing])


async def test_a_missing_close_notify_is_not_an_end() -> None:
    near, far = sockets()
    loop = asyncio.get_running_loop()
    context = pin(Side.TAP).context(Side.TAP)
    async with asyncio.timeout(WITHIN):
        securing = asyncio.create_task(secure(near, pin(Side.ATTACH), Side.ATTACH, Path.LAN))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(far, outgoing.read())
                incoming.write(await loop.sock_recv(far, 65536))
        tls.write(b"everything")
        await loop.sock_sendall(far, outgoing.read())
        far.close()  # in good order for TCP, not for TLS
        stream = await securing
        assert bytes(await stream.read(100)) == b"everything"
        with pytest.raises(StreamBroken):
            await stream.read(100)
        await stream.close()


@pytest.mark.parametrize(
    "junk",
    [bytes(100), b"\x17\x03\x03\x00\x20" + bytes(32), b"\x15\x03\x03\x00\x02\x01\x00", b"\x17\x03\x03\xff\xff" * 9],
)
async def test_records_of_garbage_break_it(junk: bytes) -> None:
    async with asyncio.timeout(WITHIN), relayed(0, junk) as cut:
        await cut.far.write(b"x")
        with pytest.raises(StreamBroken):
            await read_all(cut.near)


# -- hostile peers, who have the certificate --------------------------------------------------


async def test_a_writer_to_a_peer_that_never_reads_holds_no_more_than_the_sockets() -> None:
    near, far = await tls_pair()
    written = 0

    async def flood() -> None:
        nonlocal written
        data = bytes(MIB)
        while True:
            await near.write(data)
            written += MIB

    async with asyncio.timeout(WITHIN):
        tracemalloc.start()
        try:
            flooding = asyncio.create_task(flood())
            await asyncio.wait([flooding], timeout=0.5)
            assert written < 16 * MIB
            assert tracemalloc.get_traced_memory()[1] < 8 * MIB
        finally:
            tracemalloc.stop()
        await near.close()
        assert type((await asyncio.gather(flooding, return_exceptions=True))[0]) is StreamBroken
        await far.close()


async def test_a_reader_that_stops_takes_no_more_than_a_chunk() -> None:
    near, far = await tls_pair()
    async with asyncio.timeout(WITHIN):
        flooding = asyncio.create_task(write_all(far, bytes(32 * MIB), 1))
        assert len(await near.read(1)) == 1
        await asyncio.wait([flooding], timeout=0.3)
        assert not flooding.done()
        await near.close()
        await far.close()
        assert type((await asyncio.gather(flooding, return_exceptions=True))[0]) is StreamBroken


async def test_every_limit_gives_exactly_the_bytes() -> None:
    near, far = await tls_pair()
    data = some_bytes(1, 70_000)
    async with asyncio.timeout(WITHIN):
        for limit in (1, 2, 16_383, 16_384, 16_385, 10**9):
            await far.write(data[: 2000 if limit < 3 else None])
            found = bytearray()
            while len(found) < (2000 if limit < 3 else len(data)):
                piece = await near.read(limit)
                assert 0 < len(piece) <= limit
                found += piece
            assert found == data[: len(found)]
    await near.close()
    await far.close()


async def test_closing_twice_and_at_once() -> None:
    near, far = await tls_pair()
    async with asyncio.timeout(WITHIN):
        reading = [asyncio.create_task(stream.read(1)) for stream in (near, far)]
        await asyncio.sleep(0)
        await asyncio.gather(near.close(), near.close(), far.close(), far.close())
        results = await asyncio.gather(*reading, return_exceptions=True)
        assert [type(result) for result in results] == [StreamBroken] * 2


async def test_a_close_that_was_cancelled_can_be_done_again() -> None:
    near, far = sockets()
    streams = await asyncio.gather(
        secure(near, pin(Side.ATTACH), Side.ATTACH, Path.LAN), secure(far, pin(Side.TAP), Side.TAP, Path.LAN)
    )
    async with asyncio.timeout(WITHIN):
        reading = asyncio.create_task(streams[0].read(1))
        await asyncio.sleep(0)
        closing = asyncio.create_task(streams[0].close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing, reading])
        assert isinstance(reading.exception(), StreamBroken)
        await streams[0].close()
        assert near.fileno() == -1
        await streams[1].close()


async def test_a_reset_is_a_break() -> None:
    near, far = await tls_pair()
    plain, hostile = sockets()
    hostile.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    hostile.close()
    async with asyncio.timeout(WITHIN):
        assert await outcome(plain, pin(Side.TAP), Side.TAP) in {ConnectionResetError, BrokenPipeError}
    await near.close()
    await far.close()


# -- key updates ------------------------------------------------------------------------------


class Records:
    """Encrypts records of TLS 1.3 for a peer that has ideas of its own of what to say (RFC 8446 section 5.2)."""

    KEY_UPDATE = b"\x18\x00\x00\x01\x01"
    """A handshake message that asks for one in return (RFC 8446 section 4.6.3)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._begin()

    def _begin(self) -> None:
        self._key = AESGCM(self._expand(b"key", 32))
        self._iv = int.from_bytes(self._expand(b"iv", 12), "big")
        self._count = 0

    def _expand(self, label: bytes, length: int) -> bytes:
        name = b"tls13 " + label
        info = struct.pack("!HB", length, len(name)) + name + b"\x00"
        return HKDFExpand(hashes.SHA384(), length, info).derive(self._secret)

    def record(self, content: bytes, kind: int = 23) -> bytes:
        """Return a record; 23 is application data."""
        inner = content + bytes([kind])
        header = struct.pack("!BHH", 23, 0x0303, len(inner) + 16)
        nonce = (self._iv ^ self._count).to_bytes(12, "big")
        self._count += 1
        return header + self._key.encrypt(nonce, inner, header)

    def key_update(self) -> bytes:
        """Return one, after which the next key is in use."""
        record = self.record(self.KEY_UPDATE, 22)
        self._secret = self._expand(b"traffic upd", 48)
        self._begin()
        return record


async def test_key_updates_without_end_break_it(tmp_path: FilePath) -> None:
    """Each asks for an answer, and nobody takes the answers."""
    context = pin(Side.TAP).context(Side.TAP)
    context.keylog_filename = str(tmp_path / "keys")
    near, far = sockets()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)  # else the kernel takes 150,000 at once
    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    hostile = TlsStream(far, context, server=False, path=Path.LAN)
    async with asyncio.timeout(WITHIN):
        stream, _ = await asyncio.gather(secure(near, pin(Side.ATTACH), Side.ATTACH, Path.LAN), hostile.handshake())
        [line] = [text for text in (tmp_path / "keys").read_text().splitlines() if "CLIENT_TRAFFIC_SECRET_0" in text]
        records = Records(bytes.fromhex(line.split()[2]))

        loop = asyncio.get_running_loop()
        await loop.sock_sendall(far, records.key_update() + records.key_update() + records.record(b"a few are fine"))
        assert bytes(await stream.read(100)) == b"a few are fine"
        await stream.write(b"and are answered")
        assert bytes(await hostile.read(100)) == b"and are answered"

        async def flood() -> None:
            while True:
                await loop.sock_sendall(far, records.key_update())

        flooding = asyncio.create_task(flood())
        with pytest.raises(StreamBroken):
            await stream.read(1)
        await stream.close()
        [result] = await asyncio.gather(flooding, return_exceptions=True)
        assert isinstance(result, OSError)
        await hostile.close()
