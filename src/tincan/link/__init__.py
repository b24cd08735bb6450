"""link: one encrypted connection to one peer.

``interface`` has what others know of it (Link, Channel, Stream, Media, Path);
``memory`` and ``memory_media`` are pairs for tests.

* The real link is ``webrtc``, made of ``ice`` (the only module that knows
  aioice) with ``consent`` and ``route``, ``transports`` (the only one that
  knows aiortc) with ``sctp`` and ``srtp``, and ``datachannel``.
* ``dial`` makes one from a phrase, ``foreign`` one for other dialects;
  ``description`` and ``sdp`` are what the two ends tell each other for that.
* ``streams`` is the bulk path of a link: on a channel by ``lanes``, then by
  ``punch`` (which asks for a ``proof``), ``tcp`` and ``tls``.
* ``shared``: a virtual network's packets on the link's port (Linux).
"""
