"""path: from the tap to the peers' sockets and back, 64 KB at a time.

`plane` is the seam: what the module may ask of a data plane, and its events.
`driver` is the real one: a tap and two small processes, one a direction
(`outpump`, `inpump`), each a loop around a pure core (`outgoing`, `incoming`).
The cores stand on `wire` (sealed datagrams), `segments` (split and coalesce),
`headers`, `switch`, `filters`, `routes` and `mtu`, which know no sockets and
no clock. `memory` has the fake for tests.
"""
