"""What people do with a link: they write, call, send files, pipe bytes and forward ports.

Each app is a pure protocol core with a thin shell beside it. Apps know the
`Link` interface, never a transport, and print nothing: screens and commands
render their events. ``text`` makes a peer's text safe to show.

* ``conversation`` is one with people, from the phrase to the goodbye: ``chat``,
  and beside it ``desks`` for files (``desk``) and calls (``call``). ``foreign``
  and ``dialects`` offer the same for other programs.
* ``strings`` is a string for programs, tied again when it is lost: for
  ``pipe``, ``files`` and ``forward``. ``tete`` needs no string.
* ``doctor``, ``soundcheck`` and ``installation`` look at this machine.
"""
