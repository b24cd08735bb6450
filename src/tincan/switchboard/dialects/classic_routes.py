"""``/api/string`` and ``/api/knot-tie``: the thin shell around `ClassicRelay`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from tincan.switchboard.dialects.classic import BLOB, CODE, ClassicRelay, Refusal, What
from tincan.switchboard.expiry import Expiry
from tincan.switchboard.limits import Limiter
from tincan.switchboard.metrics import Metrics

_PATHS: Final = {What.OFFER: "/api/string", What.KNOT_TIE: "/api/knot-tie"}
_STATUS: Final = {Refusal.FULL: 503, Refusal.RATE: 429}
_NOTHING: Final = {What.OFFER: 404, What.KNOT_TIE: 204}

_FRAMING: Final = 1024
"""Bytes of a body besides the blob."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ClassicRoutes:
    """The four requests. ``address`` says where one comes from."""

    def __init__(
        self,
        limiter: Limiter,
        metrics: Metrics,
        address: Callable[[web.Request], str],
        relay: ClassicRelay | None = None,
    ) -> None:
        self._limiter = limiter
        self._metrics = metrics
        self._address = address
        self._relay = relay or ClassicRelay()
        self._expiry = Expiry(self._relay.next_deadline, self._relay.expire)

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        for what, path in _PATHS.items():
            app.router.add_get(path, self._getter(what), allow_head=False)
            app.router.add_put(path, self._putter(what))
        app.on_cleanup.append(self._stop)

    def _getter(self, what: What) -> Handler:
        async def get(request: web.Request) -> web.Response:
            code, _ = self._admit(request)
            text = self._relay.get(what, code, now=_now())
            if text is None:
                return web.Response(status=_NOTHING[what])
            return _json({what.value: text})

        return get

    def _putter(self, what: What) -> Handler:
        async def put(request: web.Request) -> web.Response:
            code, address = self._admit(request)
            if not self._limiter.allow_open(address, _now()):
                raise self._too_many()
            text = _blob(await self._body(request), what.value)
            if len(text) > self._relay.limits.blob:
                raise web.HTTPRequestEntityTooLarge(self._relay.limits.blob, len(text))
            refusal = self._relay.put(what, code, text, address=address, now=_now())
            if refusal is Refusal.RATE:
                raise self._too_many()
            if refusal is not None:
                return web.Response(status=_STATUS[refusal])
            self._metrics.classic_blobs[what.value] += 1
            self._expiry.arm()
            return _json({})

        return put

    def _admit(self, request: web.Request) -> tuple[str, str]:
        """Return the code, and the address that asks."""
        address = self._address(request)
        if not self._limiter.allow_frame(address, _now()):
            raise self._too_many()
        codes = request.query.getall("code", [])
        if len(codes) != 1 or not CODE.fullmatch(codes[0]):
            raise web.HTTPBadRequest(text="A code has 12 hex digits.\n")
        return codes[0], address

    async def _body(self, request: web.Request) -> bytes:
        limit = self._relay.limits.blob + _FRAMING
        if (request.content_length or 0) > limit:
            raise web.HTTPRequestEntityTooLarge(limit, request.content_length or 0)
        body = b""
        while chunk := await request.content.read(limit + 1 - len(body)):
            body += chunk
            if len(body) > limit:
                raise web.HTTPRequestEntityTooLarge(limit, len(body))
        return body

    def _too_many(self) -> web.HTTPTooManyRequests:
        self._metrics.rate_limited += 1
        return web.HTTPTooManyRequests()

    async def _stop(self, app: web.Application) -> None:
        self._expiry.stop()


def _blob(body: bytes, name: str) -> str:
    try:
        text = msgspec.json.decode(_decoder.decode(body)[name], type=str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        text = ""
    if not BLOB.fullmatch(text):
        raise web.HTTPBadRequest(text=f'The body is {{"{name}": BASE64}}.\n')
    return text


def _json(content: dict[str, str]) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")


def _now() -> float:
    return asyncio.get_running_loop().time()
