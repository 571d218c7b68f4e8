"""Inventory: how much of each product there is, who holds some of it, and who has bought it.

Purpose: stock levels, reservations that expire, adjustments, low-stock alerts, a live stream of what is available.
May import: hanse's public doors and the shop's own small modules (money, paging, signals, seed).
May touch: its own database; tells others by `stock.depleted`, `stock.replenished` and `alert.low_stock`.
Guarantees: `reserved + available = quantity ≥ 0` and `sold + quantity = received` in every committed state; reserving,
committing and releasing may each arrive any number of times and in any order.
"""
