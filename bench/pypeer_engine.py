"""The unmodified engine of pypeer without its screens: ``host ROOM`` prints what arrives, ``join ROOM`` says hi."""

import asyncio
import sys

from pypeer.constants import FIREBASE_DB_URL
from pypeer.engine.rtc_engine import RTCEngine
from pypeer.engine.signaler import FirebaseSignaler


async def main(role: str, room: str) -> None:
    engine = RTCEngine(FirebaseSignaler(FIREBASE_DB_URL, room, "password"))
    engine.on_message_callback = lambda text: print("message", text, flush=True)
    engine.on_status_callback = lambda text: print("status", text, flush=True)
    if role == "host":
        hosting = asyncio.create_task(engine.setup_as_host())
        while engine.pc.iceGatheringState != "complete":
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # its own wait for that looks every 0.1 s, and then the room is written
        print("ready", flush=True)
        await hosting
    else:
        await engine.setup_as_peer()
        # Its `open` event does not fire for a channel that the peer opened.
        while engine.channel is None or engine.channel.readyState != "open":
            await asyncio.sleep(0.001)
        engine.send_message("hi")
    await asyncio.sleep(60)


asyncio.run(main(*sys.argv[1:]))
