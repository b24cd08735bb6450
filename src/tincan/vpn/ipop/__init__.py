"""The local API of old IPOP releases: their own controllers run against ``tin-can linkd --ipop 14|16``.

`wire` is how datagrams look, `candidates` how a link's end is written,
`friends` who is there on XMPP, `core` what a module answers and does: all of
them pure. `service` has the sockets and drives a `Module`; `overlay` is the
seam to the messages between controllers, `nodes` those by XMPP, and `xmpp`
the only module that knows its library.
docs/ipop.md describes the dialect and its dangers.
"""
