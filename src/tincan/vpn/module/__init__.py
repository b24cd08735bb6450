"""The TinCan module: makes, keeps and tears down links, as controllers tell it to over a local API.

`methods` and `events` say what can be asked and what is told, `api` how that
is written (JSON-RPC 2.0, one object a line); all three are pure. `interface`
has `Module`, which is what a controller knows: `client` reaches one in another
process, `memory` has networks of false ones for tests, and `local` is the
real one, which `server` puts behind a Unix socket. docs/linkd.md is for
those who write controllers.
"""
