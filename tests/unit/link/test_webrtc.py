"""The real link: two of them in one process, over the addresses of this machine."""

from __future__ import annotations

from tincan.link.interface import Link
from unit.link.contract import LinkContract
from unit.link.pairs import Ends


class TestWebRtcLink(LinkContract):
    async def pair(self) -> tuple[Link, Link]:
        made = Ends()
        await made.gather()
        await made.connect_both()
        return made.attach, made.tap
