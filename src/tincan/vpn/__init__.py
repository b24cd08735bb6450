"""Virtual networks: links that carry IP packets or Ethernet frames between machines. Linux only.

`path` is the packet path between a tap and the links, `module` the TinCan
module (``tin-can linkd``) with its local API, `ipop` that API as old IPOP
controllers speak it. `group` and `social` are the controllers of the two
kinds of network; they meet on a `party` line and give members `names`.
"""
