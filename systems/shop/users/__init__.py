"""Users: who somebody is, and the tokens that prove it to all other services.

Purpose: register, sign in, rotate refresh tokens, profiles; publishes the keys that its tokens are verified with.
May import: hanse's public doors and the shop's own small modules.
May touch: its own database; tells others by `user.registered`.
Guarantees: passwords and refresh tokens are stored as hashes only; a refresh token works once, and using it again ends
the session of whoever holds any token of its family.
"""
