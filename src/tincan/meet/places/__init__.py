"""places: where two cans meet. Each offers the `tincan.meet.mailbox.Mailbox` of a string code.

``switchboard`` is the WebSocket to a switchboard; ``lan`` finds the other can
on the same network or machine with no server, and waits there behind a
``lan_door``; ``firebase`` is pypeer's database and ``relay`` the classic one.
Whatever a place says is not trusted: the handshake guards against it.
"""
