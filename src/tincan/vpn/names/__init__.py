"""Names of the members of a network, such as ``bob.can``, for every program on this machine.

`safe` makes a name of what somebody calls himself, `dns` answers questions
(pure) and `responder` asks it at port 53 of the machine's own virtual
address, `hosts` keeps a block in /etc/hosts. `naming` does both at once, and
is what controllers use.
"""
