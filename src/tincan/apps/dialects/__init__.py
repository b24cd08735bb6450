"""dialects: what the clients of other systems say, and the static link, which needs no place at all.

Each dialect has a pure codec and a function that makes a
`tincan.apps.conversation.Conversation` of it. The table of what goes over the
wire is docs/protocol.md.
"""
