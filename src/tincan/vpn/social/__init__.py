"""SocialVPN: links to one's own friends, each of whom has an address of one's own choice.

`book` knows who they are (`friends` is its file), `ranges` which addresses
are free, `translate` (with `texts`) makes a friend's packets speak of the
addresses that are used here, `befriending` is how two become friends
(`meeting` its shell), and `controller` drives a TinCan module so that there is
a link to every friend that is online; `letters` and `places` are how they meet.
docs/social.md describes all of it.
"""
