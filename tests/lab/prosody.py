"""Prosody as an XMPP server: accounts, who is whose friend, and a certificate of the laboratory's own authority."""

from __future__ import annotations

import datetime
import shutil
import socket
import time
from pathlib import Path

from lab.hosts import Host
from lab.namespaces import LabError
from lab.processes import PATIENCE, Process

PORT = 5222
DOMAIN = "can.test"
PASSWORD = "a password of the laboratory"


class Authority:
    """A certificate authority that signs for servers."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        # Imported here: only labs with an authority pay for it.
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._directory = directory
        self._name = name
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(self._certificate(name, self._key.public_key(), authority=True))

    def sign(self, domain: str) -> tuple[Path, Path]:
        """Make a certificate for a server and return the files of certificate and key."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        certificate, private = (self._directory / f"{self._name}-{domain}.{end}" for end in ("crt", "key"))
        certificate.write_bytes(self._certificate(domain, key.public_key(), authority=False))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        private.chmod(0o644)  # Prosody reads it as itself
        return certificate, private

    def _certificate(self, subject: str, key: object, *, authority: bool) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import NameOID

        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(not authority, False, False, False, not authority, authority, authority, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(self._name))
            .public_key(key)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)  # type: ignore[arg-type]
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Prosody:
    """A running server. ``users`` are accounts of `DOMAIN` with `PASSWORD`; those of ``friends`` know each other."""

    def __init__(
        self,
        host: Host,
        users: list[str],
        *,
        friends: list[str] | None = None,
        certificate: tuple[Path, Path] | None = None,
        domain: str = DOMAIN,
    ) -> None:
        program = shutil.which("prosody")
        if program is None:
            raise LabError("prosody is not installed (package prosody)")
        self.host = host
        self.directory = host.lab.registry.directory / f"prosody-{host.name}"
        accounts = self.directory / "data" / domain.replace(".", "%2e") / "accounts"
        accounts.mkdir(parents=True)
        for user in users:
            (accounts / f"{user}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};\n')
        groups = self.directory / "groups.txt"
        groups.write_text("[Lab]\n" + "".join(f"{u}@{domain}\n" for u in (users if friends is None else friends)))
        config = self.directory / "prosody.cfg.lua"
        config.write_text(_config(host, domain, self.directory, groups, certificate))
        self._argv = [program, "--config", str(config), "-F"]
        self.process = self._start()

    def restart(self) -> None:
        """Start it again after `stop`."""
        self.process = self._start()

    def stop(self) -> None:
        """End it."""
        self.process.signal(9)
        self.process.wait()

    def _start(self, timeout: float = PATIENCE) -> Process:
        process = self.host.start(self._argv)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and process.returncode is None:
            with self.host.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
                sock.settimeout(1)
                try:
                    sock.connect((self.host.address, PORT))
                except (ConnectionRefusedError, TimeoutError):
                    time.sleep(0.02)
                    continue
            return process
        raise LabError(f"prosody does not accept connections\n{process.report()}")


def _config(host: Host, domain: str, directory: Path, groups: Path, certificate: tuple[Path, Path] | None) -> str:
    tls = ""
    modules = ["roster", "saslauth", "disco", "groups", "ping"]
    if certificate is not None:
        modules.append("tls")
        tls = f'ssl = {{ certificate = "{certificate[0]}"; key = "{certificate[1]}"; }}\n'
    secure = "true" if certificate is not None else "false"
    return f"""
run_as_root = true
certificates = "{directory}"
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
interfaces = {{ "{host.address}" }}
modules_enabled = {{ {", ".join(f'"{name}"' for name in modules)} }}
modules_disabled = {{ "s2s", "offline", "http" }}
groups_file = "{groups}"
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = {secure}
allow_unencrypted_plain_auth = {"false" if certificate is not None else "true"}
limits = {{ }}
VirtualHost "{domain}"
{tls}
Component "rooms.{domain}" "muc"
"""
