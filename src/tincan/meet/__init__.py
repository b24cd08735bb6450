"""meet: how two cans find each other and agree on a key.

``phrase`` turns what people say to each other into a string code and a
password, ``handshake`` is CPace with sealed envelopes, ``mailbox`` and
``place`` are the interfaces of where they meet, ``places`` those places, and
``meeting`` tries all of them at once. phrase and handshake are pure.
"""
