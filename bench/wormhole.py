"""magic-wormhole in the laboratory: its own mailbox server and transit relay, and its two commands."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from lab.netlab import Host, LabError, Process

MAILBOX_PORT, RELAY_PORT = 4000, 4001
PROGRAMS = Path(sys.executable).parent


class Wormhole:
    """Its two servers on one host, and transfers between two others; everything as by default."""

    name = "magic-wormhole"

    def __init__(self, server: Host, workspace: Path) -> None:
        self._numbers = itertools.count(1)
        self._env = {"TMPDIR": str(workspace)}
        mailbox = f"tcp:{MAILBOX_PORT}:interface={server.address}"
        relay = f"tcp:{RELAY_PORT}:interface={server.address}"
        twist = str(PROGRAMS / "twist")
        database = f"--channel-db={workspace / 'mailbox.sqlite'}"
        server.start([twist, "wormhole-mailbox", f"--port={mailbox}", database], cwd=workspace)
        server.start([twist, "transitrelay", f"--port={relay}"], cwd=workspace)
        for port in (MAILBOX_PORT, RELAY_PORT):
            _wait_listening(server, port)
        place = [f"--relay-url=ws://{server.address}:{MAILBOX_PORT}/v1"]
        self._command = [str(PROGRAMS / "wormhole"), *place, f"--transit-helper=tcp:{server.address}:{RELAY_PORT}"]

    def send(self, host: Host, path: Path) -> tuple[Process, str]:
        """Start sending; returns once the code is shown."""
        code = f"{next(self._numbers)}-guitar-banana"
        argv = [*self._command, "send", "--no-qr", "--hide-progress", "--code", code, str(path)]
        sending = host.start(argv, env=self._env)
        sending.wait_line("Wormhole code is", timeout=60, stream="stderr")
        return sending, code

    def receive(self, host: Host, code: str, folder: Path) -> Process:
        """Start receiving into a folder."""
        argv = [*self._command, "receive", "--accept-file", "--hide-progress", code]
        return host.start(argv, env=self._env, cwd=folder)

    def phases(self, receiving: Process) -> str:
        """It does not tell."""
        return ""


def _wait_listening(server: Host, port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            server.call(_connect, server.address, port)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise LabError(f"nothing listens on port {port}\n{server.lab.report()}") from None
            time.sleep(0.05)


def _connect(address: str, port: int) -> None:
    import socket

    socket.create_connection((address, port), timeout=1).close()
