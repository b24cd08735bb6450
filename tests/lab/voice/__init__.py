"""Calls of two real cans: speech in at one microphone, out at the other's speaker, measured.

`callers` sets two cans into a sound room and a network, `quality` says how
what came out compares with what went in.
"""
