"""What people do with a link: chat, and later calls, pipes, files and forwards.

Each app is a pure protocol core with a thin shell beside it. Apps know the
`Link` interface, never a transport, and print nothing: screens and commands
render their events. ``tincan.apps.text`` makes a peer's text safe to show.
"""
