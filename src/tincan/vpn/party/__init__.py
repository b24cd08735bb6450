"""The party line: sealed messages among many, and what controllers do with them.

`line` is the interface of what carries them, with a place in memory for
tests; `seal` makes letters that only those who share a secret can read, each
signed by its sender; `links` is the half of a controller that all kinds of
networks share: who is there, and a link to each of them. Its core is `peers`.
"""
