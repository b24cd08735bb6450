"""Group networks: everybody in a group has a link to everybody else in it.

Who belongs to it is said by certificates, signed with the group's key, and by
the group's statement, which names those that are banned (`certificate` has
both). They and one's own keys are the `state`, kept on disk by `store`. A
member comes in by the protocol of `join`, over the link of a one-time phrase.
`membership` decides what the others say is worth; `network` runs it all, with
a TinCan module and party lines.
"""
