"""Real tin-can processes within an asyncio test: what they tell, what they print, how they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import tincan
from tincan.apps.text import visible

SOURCE = str(Path(tincan.__file__).parents[1])
TIN_CAN = (sys.executable, "-m", "tincan")
PATIENCE = 120.0
"""Seconds after which a test that waits for a process has failed. No test waits for a time to pass."""

NO_STUN = ("--no-lan", "--stun", "none")


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without settings of tin-can's and without proxies."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TIN_CAN") and not k.lower().endswith("_proxy")}
    return kept | {"PYTHONPATH": SOURCE} | more


class Can:
    """One tin-can process."""

    def __init__(self, process: asyncio.subprocess.Process, *, json: bool) -> None:
        self.process = process
        self.stdout = b""
        self.stderr = b""
        self.events: list[dict[str, Any]] = []
        self._json = json
        self.peak = 0
        """The most memory that it had in use while its end was waited for."""
        self._taken = 0
        self._news = asyncio.Condition()
        self._over = asyncio.create_task(process.wait())
        self._readers = [asyncio.create_task(self._read_stdout()), asyncio.create_task(self._read_stderr())]

    @classmethod
    @contextlib.asynccontextmanager
    async def started(
        cls,
        command: str,
        *arguments: str,
        json: bool = True,
        env: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> AsyncIterator[Self]:
        """Run a command; kill it at the end if it still runs. ``within``: what to put before it."""
        process = await asyncio.create_subprocess_exec(
            *within,
            *TIN_CAN,
            command,
            *arguments,
            *(["--json"] if json else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(**(env or {})),
            limit=2**20,
        )
        can = cls(process, json=json)
        try:
            yield can
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            if process.stdin is not None:
                process.stdin.close()
            await asyncio.gather(can._over, *can._readers)

    async def event(self, kind: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Return the next event of a kind, passing over others."""
        async with asyncio.timeout(timeout), self._news:
            while True:
                while self._taken < len(self.events):
                    found = self.events[self._taken]
                    self._taken += 1
                    if found["event"] == kind:
                        return found
                if self._readers[0].done():
                    raise AssertionError(f"ended without {kind!r}: {self.report()}")
                await self._news.wait()

    async def printed(self, text: bytes, *, stream: str = "stdout") -> None:
        """Wait until it has printed this."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: text in getattr(self, stream) or self._readers[0].done())
        assert text in getattr(self, stream), self.report()

    async def say(self, text: str | bytes) -> None:
        """Type a line, waiting while it takes none."""
        assert self.process.stdin is not None
        self.process.stdin.write((text.encode() if isinstance(text, str) else text) + b"\n")
        await self.process.stdin.drain()

    def end_input(self) -> None:
        """End its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def ended(self, timeout: float = PATIENCE) -> int:
        """Return its exit code, with everything it printed there to look at."""
        try:
            async with asyncio.timeout(timeout):
                while self.process.returncode is None:
                    with contextlib.suppress(OSError, LookupError):
                        self.peak = max(self.peak, self.memory())
                    await asyncio.wait([self._over], timeout=0.1)
                await asyncio.gather(*self._readers)
        except TimeoutError:
            raise AssertionError(f"still running: {self.report()}") from None
        return self._over.result()

    async def fails(self, code: int, timeout: float = PATIENCE) -> str:
        """Wait for the end with that exit code and one plain sentence; return the sentence."""
        found = await self.ended(timeout)
        assert found == code, self.report()
        text = self.stderr.decode()
        assert "Traceback" not in text, self.report()
        sentences = [line for line in text.splitlines() if line.startswith("tin-can: ")]
        assert len(sentences) == 1, self.report()
        assert re.fullmatch(r"tin-can: [A-Z].*\.", sentences[0]), sentences
        if self._json:
            last = self.events[-1]  # its text is exact, for programs
            assert (last["event"], last["code"]) == ("error", code)
            assert visible(last["text"]) == sentences[0].removeprefix("tin-can: ")
        assert not control_bytes(self.stdout + self.stderr)
        return sentences[0]

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return all events of a kind so far."""
        return [event for event in self.events if event["event"] == kind]

    def memory(self) -> int:
        """Return the bytes of memory that it has in use now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def udp_ports(self) -> list[tuple[str, int]]:
        """Return the IPv4 addresses and ports of its UDP sockets, as the kernel tells."""
        inodes = set()
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if (link := os.readlink(entry)).startswith("socket:["):
                    inodes.add(link[8:-1])
        found = []
        for line in Path(f"/proc/{self.process.pid}/net/udp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                address, port = fields[1].split(":")
                found.append((".".join(str(b) for b in bytes.fromhex(address)[::-1]), int(port, 16)))
        return found

    def report(self) -> str:
        """Say what happened, for the message of a failed test."""
        return f"exit {self.process.returncode}\n{self.stdout[-2000:].decode()}\n{self.stderr[-4000:].decode()}"

    async def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        try:
            async for line in self.process.stdout:
                async with self._news:
                    self.stdout += line
                    if self._json:
                        self.events.append(json.loads(line))
                    self._news.notify_all()
        finally:
            async with self._news:
                self._news.notify_all()

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        while data := await self.process.stderr.read(65536):
            async with self._news:
                self.stderr += data
                self._news.notify_all()


def control_bytes(printed: bytes) -> list[str]:
    """Return what a terminal would obey, or hide, in something printed: all controls but line ends, and bidi."""
    return re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", printed.decode())


async def converse(a: Can, b: Can) -> None:
    """Check that the two are connected and that messages pass both ways."""
    await a.event("connected")
    await b.event("connected")
    await a.say("there")
    assert (await b.event("message"))["text"] == "there"
    await b.say("and back")
    assert (await a.event("message"))["text"] == "and back"


async def meet(url: str, *options: str) -> tuple[int, int]:
    """Let two new cans meet at a switchboard, talk and hang up; return their exit codes."""
    where = ("--switchboard", url, *NO_STUN, *options)
    async with Can.started("attach-string", *where) as attach:
        phrase = (await attach.event("waiting"))["phrase"]
        async with Can.started("tap", phrase, *where) as tap:
            await converse(attach, tap)
            tap.end_input()
            return await attach.ended(), await tap.ended()
