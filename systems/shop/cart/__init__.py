"""Cart: what a customer means to buy, kept until it is ordered.

Purpose: one cart per user, priced from the catalogue each time it is shown.
May import: hanse's public doors and the shop's own small modules.
May touch: its own database; the catalogue through its internal endpoint.
Guarantees: a cart never holds a price; what was ordered from it leaves it exactly once.
"""
