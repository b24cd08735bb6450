"""What ``tin-can linkd --ipop`` adds to a module."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, cast

from tincan.vpn.ipop.effects import Login
from tincan.vpn.ipop.events import OverlayEvent, SignedOut
from tincan.vpn.ipop.overlay import Events, Overlay
from tincan.vpn.ipop.service import serve
from tincan.vpn.ipop.wire import Release
from tincan.vpn.module.events import XmppChanged
from tincan.vpn.module.local import LocalModule


class NoOverlay:
    """Stands where XMPP would, on an installation without it: every login fails, and it is said why."""

    def __init__(self) -> None:
        self._events = Events()

    async def run(self, login: Login) -> None:
        """See `Overlay.run`."""
        self._events.put(SignedOut("XMPP needs the package slixmpp: pip install 'tin-can[xmpp]'.", True))

    def send(self, uid: str, kind: str, data: str) -> bool:
        """See `Overlay.send`."""
        return False

    async def event(self) -> OverlayEvent:
        """See `Overlay.event`."""
        return await self._events.get()


def driver(
    release: int, port: int, ca_file: str | None, say: Callable[[str], None]
) -> Callable[[LocalModule], Coroutine[Any, Any, None]]:
    """Return what drives a module as controllers of that release ask.

    Raises `UsageError` when the file of certificates cannot be read.
    """
    overlay = _overlay(ca_file)

    async def drive(module: LocalModule) -> None:
        def told(state: str, reason: str) -> None:
            known = cast(Literal["connecting", "online", "failed"], state)
            module.tell(XmppChanged(known, reason or None))

        def ready() -> None:
            say(f"The API of IPOP v{release} is at UDP port {port} of 127.0.0.1 and ::1.")

        await serve(module, overlay, Release(release), port=port, say=say, told=told, ready=ready)

    return drive


def _overlay(ca_file: str | None) -> Overlay:
    try:
        from tincan.vpn.ipop.nodes import XmppOverlay
        from tincan.vpn.ipop.xmpp import trust
    except ImportError:
        return NoOverlay()
    return XmppOverlay(trust(None if ca_file is None else Path(ca_file)))
