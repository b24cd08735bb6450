"""Coturn as a laboratory server: STUN and TURN over UDP, TCP and TLS."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import hmac
import ipaddress
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import stun
from lab.namespaces import LabError
from lab.processes import Process

if TYPE_CHECKING:
    from lab.hosts import Host

PORT = 3478
TLS_PORT = 5349


@dataclasses.dataclass
class TurnServer:
    """Where a running server is and what it takes to use it."""

    addresses: list[str]
    username: str
    password: str
    secret: str | None = None
    certificate: Path | None = None
    """The server's self-signed certificate, for a client to trust."""
    key: Path | None = None
    realm: str = "tin-can.test"
    port: int = PORT
    tls_port: int = TLS_PORT
    process: Process | None = None

    @property
    def address(self) -> str:
        """The first address it listens on."""
        return self.addresses[0]

    @property
    def stun_url(self) -> str:
        """The `stun:` URL."""
        return f"stun:{_bracketed(self.address)}:{self.port}"

    def turn_url(self, transport: str = "udp") -> str:
        """Write the TURN URL for "udp", "tcp" or "tls"."""
        if transport == "tls":
            return f"turns:{_bracketed(self.address)}:{self.tls_port}?transport=tcp"
        return f"turn:{_bracketed(self.address)}:{self.port}?transport={transport}"

    def credentials(self, lifetime: int = 3600) -> tuple[str, str]:
        """Give a user name and password: the fixed ones, or new ones made from the shared secret."""
        if self.secret is None:
            return self.username, self.password
        username = f"{int(time.time()) + lifetime}:{self.username}"
        digest = hmac.digest(self.secret.encode(), username.encode(), hashlib.sha1)
        return username, base64.b64encode(digest).decode()

    def make_certificate(self, directory: Path, name: str) -> None:
        """Make the self-signed certificate that TLS needs."""
        self.certificate, self.key = directory / f"{name}.crt", directory / f"{name}.key"
        _write_certificate(self.certificate, self.key, name, self.addresses)


def start_coturn(host: Host, server: TurnServer, directory: Path, timeout: float) -> None:
    """Start the server and return when it answers STUN and accepts connections."""
    program = shutil.which("turnserver")
    if program is None:
        raise LabError("turnserver is not installed (package coturn)")
    process = host.start([program, *_options(server, directory, host.name)])
    server.process = process
    deadline = time.monotonic() + timeout
    streams = [server.port] + [server.tls_port] * (server.certificate is not None)
    try:
        for address in server.addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with host.namespace.socket(family) as sock:
                stun.mapped_address(sock, (address, server.port), timeout)
            for port in streams:
                _wait_accepting(host, family, (address, port), deadline)
    except TimeoutError as exc:
        raise LabError(f"turnserver does not answer\n{process.report()}") from exc


def _options(server: TurnServer, directory: Path, name: str) -> list[str]:
    options = ["-n", "--no-cli", "--log-file=stdout", "--relay-threads=1", "--fingerprint"]
    options += [f"--userdb={directory / name}.db", f"--pidfile={directory / name}.pid"]
    options += [f"--realm={server.realm}", f"--listening-port={server.port}", "--no-dtls"]
    for address in server.addresses:
        options += [f"--listening-ip={address}", f"--relay-ip={address}"]
    if server.secret is None:
        options += ["--lt-cred-mech", f"--user={server.username}:{server.password}"]
    else:
        options += ["--use-auth-secret", f"--static-auth-secret={server.secret}"]
    if server.certificate is None:
        return [*options, "--no-tls"]
    return [
        *options,
        f"--tls-listening-port={server.tls_port}",
        f"--cert={server.certificate}",
        f"--pkey={server.key}",
    ]


def _wait_accepting(host: Host, family: int, where: tuple[str, int], deadline: float) -> None:
    while time.monotonic() < deadline:
        with host.namespace.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(1)
            try:
                sock.connect(where)
            except (ConnectionRefusedError, TimeoutError):
                time.sleep(0.01)
                continue
            return
    raise TimeoutError(f"nothing accepts connections at {where}")


def _write_certificate(certificate: Path, key: Path, name: str, addresses: list[str]) -> None:
    # Imported here: only labs with TLS pay for it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), *names]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
