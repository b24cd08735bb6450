"""Sound: Opus, RTP, playout, and the devices.

This room knows nothing of networks or links: packets come in as bytes and
numbers, sound goes out as 10 ms pieces of PCM. Calls (`tincan.apps.call`) stand
on it. The cores have no clock, chance, threads or devices of their own:

* `rtp`, `rtcp`, `red`: what goes over the wire, `reception`: what is reported about it,
* `playout`: from packets that come as they like to sound that never stops,
* `rate`: how many bits to spend, and when to send everything twice,
* `levels`: how loud it is, and whether somebody speaks.

Around them:

* `devices`: the interface of sound; `system` and `sound` are the real one, `memory` the one for tests,
* `opus`: the codec, `echo`: what takes the loudspeaker out of the microphone.

docs/voice.md tells how playout decides.
"""

from tincan.audio.playout import Playout
from tincan.audio.states import State
from tincan.audio.statistics import Statistics

__all__ = ["Playout", "State", "Statistics"]
