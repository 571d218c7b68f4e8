"""Catalog: what can be bought, at which price, and how to find it.

Purpose: products and categories; full-text search with filters, facets, sorting and pages; admin editing.
May import: hanse's public doors and the shop's own small modules (money, paging, seed).
May touch: its own database; tells others by `product.created`, `product.updated` and `product.deleted`.
Guarantees: a product and its entry in the search index change in one transaction; prices that others order by are read
here at that moment.
"""
