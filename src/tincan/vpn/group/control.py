"""How `tin-can net status` and others talk to a network that is up on this machine.

A Unix socket of mode 0600 beside the group's file; one JSON object a line each
way, one question a connection. Its path is given to the system through a file
descriptor of its folder: a path of one's own may be longer than a socket's can.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from tincan import storage
from tincan.errors import DeviceMissing, TinCanError

MAX_LINE: Final = 4 * 1024 * 1024
PATIENCE: Final = 10.0


class Question(msgspec.Struct, frozen=True):
    """What a command asks of a network."""

    do: Literal["status", "ban", "reload", "leave"]
    member: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What comes back. ``code``: the exit code of an error."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None
    code: int = 0


class Refused(TinCanError):
    """The network said no."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.exit_code = code


Reply = Callable[[Question], Awaitable[object]]


@contextlib.asynccontextmanager
async def serving(folder: Path, name: str, reply: Reply) -> AsyncIterator[None]:
    """Answer questions while this lasts. The caller is the only process that does (`store.only_one`).

    Under sudo the socket is that of the user who called it, as the files are:
    so he can ask without sudo.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await _answered(await reader.readline(), reply)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass
        finally:
            writer.close()

    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with storage.as_user(), _path(folder, name) as path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # of a process that was killed
            opened.bind(path)
            inode = os.stat(path).st_ino
    except OSError as exc:
        opened.close()
        raise DeviceMissing(f"There can be no socket in {folder} ({exc.strerror}).") from exc
    finally:
        os.umask(mask)
    server = await asyncio.start_unix_server(handle, sock=opened, limit=65_536)
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(OSError, NotUp), storage.as_user(), _path(folder, name) as path:
            if os.stat(path).st_ino == inode:  # not that of another one that was started meanwhile
                os.unlink(path)


async def _answered(line: bytes, reply: Reply) -> Answer:
    try:
        question = msgspec.json.decode(line, type=Question)
        return Answer(msgspec.Raw(msgspec.json.encode(await reply(question))))
    except TinCanError as exc:
        return Answer(error=str(exc), code=exc.exit_code)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Answer(error="This question is not understood; the network was started by another version.", code=1)


class NotUp(TinCanError):
    """The network is not up on this machine."""


class NoAnswer(TinCanError):
    """It is up, and says nothing."""


async def ask(folder: Path, name: str, question: Question, kind: type[Any] = object) -> Any:
    """Ask a network that is up; `NotUp` when it is not, `NoAnswer` when it hangs, `Refused` when it says no."""
    try:
        with _path(folder, name) as path:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                raise NotUp(f"{name!r} is not up.")
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
    except PermissionError:
        raise DeviceMissing(f"{name!r} is up for another user; ask as that one (sudo).") from None
    except OSError:
        raise NotUp(f"{name!r} is not up.") from None
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(msgspec.json.encode(question) + b"\n")
            line = await reader.readline()
        if not line:
            raise NotUp(f"{name!r} has just gone down.")
        answer = msgspec.json.decode(line, type=Answer)
    except (TimeoutError, ValueError):
        raise NoAnswer(f"{name!r} is up on this machine, and does not answer: stop it, and start it again.") from None
    except OSError:
        raise NotUp(f"{name!r} has just gone down.") from None
    finally:
        writer.close()
    if answer.error is not None:
        raise Refused(answer.error, answer.code)
    return msgspec.json.decode(answer.result, type=kind)


@contextlib.contextmanager
def _path(folder: Path, name: str) -> Iterator[str]:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotUp(f"{name!r} is not up.") from None
    try:
        yield f"/proc/self/fd/{handle}/{name}.sock"
    finally:
        os.close(handle)
