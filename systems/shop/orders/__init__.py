"""Orders: takes an order, sees it through stock and payment, and answers for its status ever after.

Purpose: place, follow, cancel and return orders; the saga that makes reservation and payment one promise.
May import: hanse's public doors and the shop's own small modules.
May touch: its own database; catalog, cart, inventory and payments through their internal endpoints.
Guarantees: an accepted order ends confirmed, rejected or cancelled whatever dies; a status changes only by a legal
transition, each is an event published exactly once and an entry in the order's timeline.
"""
