"""link: one encrypted connection to one peer.

``interface`` has what others know of it (Link, Channel, Path), ``dial`` makes
one from a phrase, ``description`` is what the two cans tell each other for
that, ``webrtc`` (the only module that knows aiortc) and ``ice`` (the only one
that knows aioice) are the real thing, ``memory`` a pair for tests.
"""
