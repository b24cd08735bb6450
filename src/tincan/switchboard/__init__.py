"""The switchboard: our own meeting server, where two cans find each other.

A pure core of two-party mailboxes that expire (`mailboxes`), the frames of its
protocol (`frames`), limits on what one address may do (`limits`, `quotas`), a
store (`store`), counts (`metrics`) and TURN logins (`turn`); `party` is the
core of party lines, `dialects` has those of other systems. Around them a shell
of asyncio and aiohttp: `gate`, `connection`, `handlers`, `expiry`, `app`.

To run one, import `tincan.switchboard.app`: ``run``, or ``serve`` within a
loop. It is not imported here, so that settings can be made without aiohttp.
"""

from tincan.switchboard.limits import RateLimits
from tincan.switchboard.mailboxes import Mailboxes
from tincan.switchboard.quotas import MailboxLimits
from tincan.switchboard.settings import SwitchboardSettings
from tincan.switchboard.store import MemoryStore, Store

__all__ = ["MailboxLimits", "Mailboxes", "MemoryStore", "RateLimits", "Store", "SwitchboardSettings"]
