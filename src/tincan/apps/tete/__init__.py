"""tete's pipe: two users who know each other's addresses, and nobody else; no place to meet, no string.

tete is a program of its own (TLS over TCP hole punching), and this speaks with
it: the same options (`flags`, `settings`), the same simultaneous open
(`opening`), the same roles in TLS (`security`), and bytes both ways
(`carrying`). Between two of ours more holds: each direction ends by itself,
the end is known to be one, and a phrase proves both ends (`proof`, `binding`).

`session` runs it all, and is not imported here: reading options needs no TLS.
"""

from tincan.apps.tete.flags import FlagError
from tincan.apps.tete.settings import TeteSettings, read_settings, usage

__all__ = ["FlagError", "TeteSettings", "read_settings", "usage"]
