"""path: from the tap to the peers' sockets and back, 64 KB at a time.

`plane` is the seam: what the module may ask of a data plane, and its events.
`driver` is the real one: a tap and a small process that pumps (`pump`; or one
a direction), a loop (`hub`) with two halves (`outpump`, `inpump`) around pure
cores (`outgoing`, `incoming`). The cores stand on `wire` (sealed datagrams),
`split` and `coalesce` (large packets), `headers`, `switch`, `filters`,
`routes`, `mtu` and `toobig`, which know no sockets and no clock. `memory` has
the fakes for tests. What is on the wire: docs/packets.md.
"""
