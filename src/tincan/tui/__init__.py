"""The terminal screens.

From the bottom up: `talk` is what a screen knows of one conversation, pure and
without Textual; `controller` runs the conversation and keeps the talk up to
date; `screens` and `widgets` show it and forward what the user wants; `app`
opens one screen after the other. What they need from outside is in `seam`.

Rules:

* A screen composes, binds and forwards: nothing in it touches network, files
  or protocols.
* Everything that came from outside goes through `tincan.apps.text.visible`
  and is never read as markup.
* Nothing is written to disk, and nothing but the screens is printed.

Textual takes a fifth of a second to load, so only `tincan.tui.open` is
imported by commands, and only when a screen is about to open.
"""
