"""nat: this machine's addresses, and the servers that help to get through NATs.

``addresses`` says what this machine has and which addresses of a peer are
acceptable, ``servers`` reads STUN and TURN URLs, ``resolve`` turns names into
addresses without holding up the end of the program. ``stun`` asks over TCP how a
port is seen from outside, ``portmap`` asks the home router for a port that leads
to ours.
"""
