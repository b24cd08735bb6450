"""tin-can: two cans, one string.

Two people agree on a phrase; their terminals find each other, agree on a key
and pull one encrypted link between them. The rooms of this package, from the
top down (imports go only downwards): cli, switchboard, apps, link, meet, nat,
then config and errors. ``docs/architecture.md`` says what each is for.
"""

__version__ = "0.1.0"
