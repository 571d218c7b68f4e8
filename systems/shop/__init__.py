"""The shop: the first reference system, a small real store made of seven services.

Purpose: show and prove what Hanse promises, with real databases, real events and an order saga that survives crashes.
May import: hanse's public doors (hanse, hanse.core.errors, .client, .config, .db, .durable, .events, .security) only.
May touch: each service its own database; other services through their HTTP endpoints and events, never their tables.
Guarantees: the invariants that `shop.invariants` checks hold whatever process dies at whatever moment.
"""
