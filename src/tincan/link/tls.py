"""TLS 1.3 on a connected TCP socket: the bulk path, at the speed of OpenSSL.

Both ends have a fresh certificate, and each accepts only the very certificate
that the link has told it of (`Pin`). TLS works on memory buffers here
(`ssl.MemoryBIO`), 256 KiB at a time, so that one system call sends what sixteen
would through an SSL socket; and so that reading never waits for writing.

Half-close is TLS's own: `close_notify` ends one direction (RFC 8446 section
6.1), and a TCP connection that ends without one has been cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import hmac
import os
import secrets
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tincan.errors import AuthenticationFailed
from tincan.link.interface import Path, StreamBroken
from tincan.link.tcp import NO_LINGER
from tincan.meet.mailbox import Side

CHUNK: Final = 256 * 1024
"""Bytes encrypted and sent at once."""

RECORD: Final = 16 * 1024
"""Bytes of plaintext in one TLS record at most (RFC 8446 section 5.1); one is decrypted at a time."""

ROOM: Final = CHUNK + 2 * RECORD
"""Bytes of plaintext that can come of one chunk and what was kept of the record before; with some to spare."""

MAX_PENDING: Final = 64 * 1024
"""Bytes that TLS itself may want to say (answers to key updates) before the peer counts as hostile."""

TURN: Final = 8
"""Chunks after which everybody else gets a turn: about two milliseconds."""

HANDSHAKE_TIMEOUT: Final = 10.0

_BROKEN: Final = "The stream to the peer broke."
_MODERN: Final = ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True)
class Certificate:
    """A certificate of one's own. ``der`` is what the peer pins; the key never leaves this process in the clear."""

    der: bytes
    _key_pem: bytes = field(repr=False)
    _password: bytes = field(repr=False)

    def load(self, context: ssl.SSLContext) -> None:
        """Use it in a context.

        Python's ssl reads certificates from files only; the key in it is
        encrypted under a password of this process.
        """
        with _file_of(self._key_pem + ssl.DER_cert_to_PEM_cert(self.der).encode()) as path:
            context.load_cert_chain(path, password=self._password)


@contextlib.contextmanager
def _file_of(content: bytes) -> Iterator[str]:
    """Give the path of a file with this content: in memory on Linux, else the user's alone, and gone at once.

    A disk may be full, or not be written to at all; then there would be no TLS.
    """
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with open(os.memfd_create("tin-can"), "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    import tempfile  # which Linux can do without

    handle, path = tempfile.mkstemp(prefix="tin-can-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        yield path
    finally:
        os.unlink(path)


class KeyKind(enum.Enum):
    """What key a certificate is made for."""

    P256 = "ECDSA on P-256"
    ED25519 = "Ed25519"


def fresh_certificate(kind: KeyKind = KeyKind.P256) -> Certificate:
    """Make a self-signed certificate that nobody has seen before."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    elliptic = kind is KeyKind.P256
    key = ec.generate_private_key(ec.SECP256R1()) if elliptic else ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(8))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Any clock will do, also one that begins anew with the machine: what counts is that it is pinned.
        .not_valid_before(datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC))  # RFC 5280, 4.1.2.5
        .sign(key, hashes.SHA256() if elliptic else None)  # Ed25519 brings its own
    )
    password = secrets.token_hex(32).encode()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    return Certificate(certificate.public_bytes(serialization.Encoding.DER), pem, password)


@dataclass(frozen=True)
class Pin:
    """Both certificates of a connection: this end's own, and the one that the peer must show (DER)."""

    mine: Certificate
    theirs: bytes

    def context(self, side: Side) -> ssl.SSLContext:
        """Return a context: TLS 1.3 only, both ends authenticated. The tapping can is the client.

        Raises `AuthenticationFailed` when the peer's is no certificate at all.
        """
        server = side is Side.ATTACH
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = _MODERN
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        if server:
            context.num_tickets = 0  # a session is never resumed
        self.mine.load(context)
        try:
            context.load_verify_locations(cadata=self.theirs)
        except ssl.SSLError as exc:
            raise AuthenticationFailed("The peer named a certificate that is none.") from exc
        return context


class TlsStream:
    """A TLS connection as a `tincan.link.interface.Stream`. Make one with `secure`."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server: bool, path: Path) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.path = path
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._received = bytearray(CHUNK)
        self._plain = memoryview(bytearray(ROOM))
        self._start = self._end = 0  # what of ``_plain`` has been decrypted and not been read
        self._reading = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._eof_came = False
        self._eof_sent = False
        self._closed = False
        self._turns = 0
        self._torn = False

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the peer has shown (DER)."""
        return self._tls.getpeercert(binary_form=True)

    @property
    def protocol(self) -> str | None:
        """What both ends speak inside, if they have agreed on that by ALPN (RFC 7301)."""
        return self._tls.selected_alpn_protocol()

    async def handshake(self) -> None:
        """Do the TLS handshake. Raises `ssl.SSLError` and `OSError`."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                count = await loop.sock_recv_into(self._sock, self._received)
                if not count:
                    raise ConnectionResetError("closed in the middle of the handshake") from None
                self._incoming.write(memoryview(self._received)[:count])
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._flush()  # the alert, which says why
                raise
        await self._flush()
        self._end = self._decrypt(self._plain)  # what came along with the last handshake message

    async def read(self, limit: int) -> memoryview:
        """See `Stream.read`."""
        async with self._reading:
            while self._start == self._end and not self._eof_came:
                self._start, self._end = 0, await self._receive(self._plain)
            return self._take(limit)

    async def read_into(self, buffer: memoryview) -> int:
        """See `Stream.read_into`."""
        async with self._reading:
            while self._start == self._end and not self._eof_came:
                if len(buffer) >= ROOM:
                    if count := await self._receive(buffer):
                        return count
                else:
                    self._start, self._end = 0, await self._receive(self._plain)
            data = self._take(len(buffer))
            buffer[: len(data)] = data
            return len(data)

    def _take(self, limit: int) -> memoryview:
        start = self._start
        self._start = min(self._end, start + limit)
        return self._plain[start : self._start]

    async def _receive(self, target: memoryview) -> int:
        """Wait for something to come, and decrypt it; return how much that is, which may be nothing."""
        if self._closed:
            raise StreamBroken(_BROKEN)
        await self._take_turns()  # before anything is taken: a read that is given up loses nothing
        try:
            count = await asyncio.get_running_loop().sock_recv_into(self._sock, self._received)
        except OSError as exc:
            raise StreamBroken(_BROKEN) from exc
        if not count or self._closed:
            raise StreamBroken(_BROKEN)
        self._incoming.write(memoryview(self._received)[:count])
        return self._decrypt(target)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `Stream.write`."""
        view = memoryview(data).cast("B")
        async with self._writing:
            for start in range(0, len(view), CHUNK):
                if self._closed or self._eof_sent:
                    raise StreamBroken(_BROKEN)
                try:
                    self._tls.write(view[start : start + CHUNK])
                    await self._flush()
                    await self._take_turns()
                except OSError as exc:  # ssl.SSLError is one
                    raise StreamBroken(_BROKEN) from exc

    async def write_eof(self) -> None:
        """See `Stream.write_eof`."""
        async with self._writing:
            if self._eof_sent:
                return
            if self._closed:
                raise StreamBroken(_BROKEN)
            self._eof_sent = True
            try:
                # Nothing that has come is left undecrypted, so this finds nothing to complain of;
                # SSL_shutdown is called twice by Python, and the second one looks for the peer's.
                with contextlib.suppress(ssl.SSLWantReadError):
                    self._tls.unwrap()
                await self._flush()
            except OSError as exc:  # ssl.SSLError is one
                raise StreamBroken(_BROKEN) from exc

    async def close(self, *, came_elsewhere: bool = False, sent_elsewhere: bool = False) -> None:
        """See `Stream.close`. The flags: the end of that direction was said, though not in TLS."""
        if not self._closed:
            self._closed = True
            if self._torn or not ((self._eof_came or came_elsewhere) and (self._eof_sent or sent_elsewhere)):
                # A reset, so that nothing lingers that nobody will read.
                with contextlib.suppress(OSError):
                    self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)  # wakes whoever waits to read or to write
        # Also the second time: the first may have been cancelled while it waited here.
        async with self._reading, self._writing:
            self._sock.close()  # now that nobody waits for a number that may soon be another socket's

    def _decrypt(self, plain: memoryview) -> int:
        """Decrypt all that has come, which has room in `ROOM` bytes; return how much that is."""
        at = 0
        read = self._tls.read
        try:
            while True:
                # Typed as str | bytes for its other form; with a buffer it returns a count.
                count: int = read(RECORD, plain[at : at + RECORD])  # type: ignore[assignment]
                if not count:
                    self._eof_came = True
                    break
                at += count
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._eof_came = True
        except ssl.SSLError as exc:
            raise StreamBroken(_BROKEN) from exc
        if self._outgoing.pending > MAX_PENDING:
            raise StreamBroken(_BROKEN)
        return at

    async def _take_turns(self) -> None:
        """Let others run now and then: a call that finds the socket ready does not wait, and so yields to nobody."""
        self._turns += 1
        if self._turns % TURN == 0:
            await asyncio.sleep(0)

    async def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            if self._torn:
                raise ConnectionAbortedError("an earlier write was cut off")
            self._torn = True  # what follows a cancelled write could not be read by the peer
            await asyncio.get_running_loop().sock_sendall(self._sock, data)
            self._torn = False


async def secure(sock: socket.socket, pin: Pin, side: Side, path: Path) -> TlsStream:
    """Return the TLS stream on a connected socket, which it owns from now on.

    Raises `AuthenticationFailed` when the other end has not the pinned
    certificate, `OSError` when the connection breaks or says nothing.
    """
    try:
        context = pin.context(side)
    except BaseException:
        sock.close()
        raise
    stream = TlsStream(sock, context, server=side is Side.ATTACH, path=path)
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            await stream.handshake()
        # OpenSSL has checked it against the only one that it trusts; this says it in our own words.
        if not hmac.compare_digest(stream.peer_certificate or b"", pin.theirs):
            raise AuthenticationFailed(_NOT_PINNED)
    except ssl.SSLError as exc:
        await stream.close()
        raise AuthenticationFailed(_NOT_PINNED) from exc
    except BaseException:
        await stream.close()
        raise
    return stream


_NOT_PINNED: Final = "Whoever answered on the TCP path is not the peer of this string; that path was dropped."
