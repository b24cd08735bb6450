"""JSON-RPC 2.0 as a module and its controllers write it: one object a line, UTF-8, over a stream.

Pure: `ServerSide` reads calls and writes answers and events, `ClientSide` is
its twin. Parameters are named, never positional; there are no batches. A call
without an id is done and not answered, as the RPC's section 4.1 has it.
Events are notifications named ``event``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from tincan.vpn.module.events import Event
from tincan.vpn.module.interface import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    NO_SUCH_METHOD,
    PARSE_ERROR,
    ModuleError,
)
from tincan.vpn.module.methods import METHODS

MAX_LINE: Final = 256 * 1024
"""Bytes in a line: the largest packet and the largest message fit as base64."""

Id: TypeAlias = (
    Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | Annotated[str, msgspec.Meta(max_length=128)] | None
)

_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Call(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    method: Annotated[str, msgspec.Meta(max_length=64)]
    params: msgspec.Raw = msgspec.Raw(b"{}")
    id: Id | msgspec.UnsetType = msgspec.UNSET


class _OnlyId(msgspec.Struct):
    id: Id = None


class _Error(msgspec.Struct):
    code: int
    message: str


class _Answer(msgspec.Struct):
    """An answer or a notification; which of them shows by what is there."""

    jsonrpc: Literal["2.0"]
    id: int | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _Error | msgspec.UnsetType = msgspec.UNSET
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")


_calls = msgspec.json.Decoder(_Call)
_ids = msgspec.json.Decoder(_OnlyId)
_answers = msgspec.json.Decoder(_Answer)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_params = {name: msgspec.json.Decoder(taken) for name, (taken, _) in METHODS.items()}
_results = {name: msgspec.json.Decoder(given) for name, (_, given) in METHODS.items()}


@dataclass(frozen=True)
class Asked:
    """A call whose parameters are as they should be. ``answered`` False: a notification, which gets no answer."""

    id: Id
    method: str
    params: msgspec.Struct
    answered: bool


@dataclass(frozen=True)
class Refused:
    """A line that is no such call; ``line`` is the answer to it, empty for a notification."""

    line: bytes


@dataclass(frozen=True)
class Answered:
    """The answer to a call: a result or an error."""

    id: int
    result: Any


@dataclass(frozen=True)
class Told:
    """An event."""

    event: Event


class Lines:
    """Cuts a stream into lines; one that is too long spoils the stream (`ValueError`)."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._kept = bytearray()

    def cut(self, data: bytes) -> Iterator[bytes]:
        """Take bytes as they come; yield whole lines, without empty ones."""
        searched = len(self._kept)
        self._kept += data
        while (end := self._kept.find(b"\n", searched)) >= 0:
            if end > self._limit:
                raise ValueError(f"a line has more than {self._limit} bytes")
            line = bytes(self._kept[:end])
            del self._kept[: end + 1]
            searched = 0
            if line.strip():
                yield line
        if len(self._kept) > self._limit:
            raise ValueError(f"a line has more than {self._limit} bytes")


class ServerSide:
    """The module's end of one connection."""

    def __init__(self) -> None:
        self._lines = Lines()
        self.spoilt = False
        """Whether a line was too long: what was told about it is the last that is said here."""

    def receive(self, data: bytes) -> Iterator[Asked | Refused]:
        """Read what came; every line is one call, or is answered with what is wrong with it."""
        try:
            for line in self._lines.cut(data):
                yield self._read(line)
        except ValueError as exc:
            self.spoilt = True
            yield Refused(refusal(None, INVALID_REQUEST, f"This cannot go on: {exc}."))

    def _read(self, line: bytes) -> Asked | Refused:
        try:
            call = _calls.decode(line)
        except _BAD as exc:
            return _not_a_call(line, exc)
        silent = call.id is msgspec.UNSET
        id_ = None if isinstance(call.id, msgspec.UnsetType) else call.id
        try:
            if call.method not in METHODS:
                raise ModuleError(NO_SUCH_METHOD, f"There is no method {call.method!r}.")
            if bytes(call.params)[:1] != b"{":
                raise ModuleError(INVALID_PARAMS, f"{call.method}: name the parameters, as in an object.")
            try:
                params = _params[call.method].decode(call.params)
            except _BAD as exc:
                raise ModuleError(INVALID_PARAMS, f"{call.method}: {exc}.") from None
        except ModuleError as exc:
            return Refused(b"" if silent else refusal(id_, exc.code, str(exc)))
        return Asked(id_, call.method, params, not silent)


def _not_a_call(line: bytes, exc: Exception) -> Refused:
    try:
        id_ = _ids.decode(line).id
    except msgspec.ValidationError:
        id_ = None
    except _BAD:
        return Refused(refusal(None, PARSE_ERROR, f"This line is not JSON: {exc}."))
    if line.lstrip()[:1] == b"[":
        return Refused(refusal(None, INVALID_REQUEST, "Batches are not taken: write one call a line."))
    return Refused(refusal(id_, INVALID_REQUEST, f"This is not a call of JSON-RPC 2.0: {exc}."))


def answer(id_: Id, result: msgspec.Struct) -> bytes:
    """Write the answer to a call."""
    return _write({"jsonrpc": "2.0", "id": id_, "result": result})


def refusal(id_: Id, code: int, message: str) -> bytes:
    """Write that a call was not done, and why."""
    return _write({"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": message}})


def notice(event: Event) -> bytes:
    """Write an event."""
    return _write({"jsonrpc": "2.0", "method": "event", "params": event})


class ClientSide:
    """A controller's end of one connection."""

    def __init__(self) -> None:
        self._lines = Lines(8 * MAX_LINE)  # the state of a thousand links is one line
        self._asked: dict[int, str] = {}
        self._last = 0

    def ask(self, method: str, params: msgspec.Struct) -> tuple[int, bytes]:
        """Return the number of a new call and the line to send."""
        self._last += 1
        self._asked[self._last] = method
        return self._last, _write({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})

    def receive(self, data: bytes) -> Iterator[Answered | Told]:
        """Read what came; `ModuleError` where that is not what a module says."""
        try:
            for line in self._lines.cut(data):
                heard = self._read(line)
                if heard is not None:
                    yield heard
        except (*_BAD, ValueError) as exc:
            raise ModuleError(PARSE_ERROR, f"The module said what cannot be read: {exc}.") from None

    def _read(self, line: bytes) -> Answered | Told | None:
        said = _answers.decode(line)
        if said.method is not None:
            return self._event(said)
        if said.id is None:  # about a line that it could not read
            error = said.error if isinstance(said.error, _Error) else _Error(INTERNAL_ERROR, "an answer to nothing")
            raise ModuleError(error.code, error.message)
        method = self._asked.pop(said.id, None)
        if method is None:
            return None
        if isinstance(said.error, _Error):
            return Answered(said.id, ModuleError(said.error.code, said.error.message))
        if isinstance(said.result, msgspec.UnsetType):
            raise ValueError("an answer without a result")
        return Answered(said.id, _results[method].decode(said.result))

    def _event(self, said: _Answer) -> Told | None:
        try:
            return Told(_events.decode(said.params)) if said.method == "event" else None
        except msgspec.ValidationError:
            return None  # of a kind that a newer module tells


def _write(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message) + b"\n"
