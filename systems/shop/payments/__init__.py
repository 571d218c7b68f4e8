"""Payments: takes money through a provider, gives it back, and keeps books that always balance.

Purpose: authorise, capture, void and refund one payment per order; a double-entry ledger of everything that happened.
May import: hanse's public doors and the shop's own small modules.
May touch: its own database, and the provider's servers through `hanse.client`.
Guarantees: one payment per order, whatever is repeated or overtaken; the intent is stored before a provider is asked;
every ledger transaction sums to zero and is posted at most once.
"""
