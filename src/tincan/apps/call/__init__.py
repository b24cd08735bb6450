"""Calls: two people of a conversation hear each other.

* `events`: what a call tells its screen, `interface`: what a screen can ask of it (`Calls`),
  `memory`: a `Calls` without sound or network, for tests of screens,
* `frames`, `states`, `protocol`: who calls, who accepts, who hangs up; on the control channel, pure,
* `voice`: one call's sound, from microphone to packets and from packets to loudspeaker, pure,
* `session`: the shell that joins sound, voice and the link's media, with `cleaning` for the echo,
  `desk`: the real `Calls`.

A conversation imports `events` only; the rest is loaded with the first call.
docs/call.md is the protocol.
"""
