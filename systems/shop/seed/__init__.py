"""Seed: what the shop sells on its first day.

Purpose: 8 categories and 120 products as data, for the services that fill their empty databases with them.
May import: pydantic, shop.money.
May touch: the JSON files beside it; reads only.
Guarantees: the same products with the same ids each time, so that services can seed themselves independently.
"""

from shop.seed.products import SeedCategory, SeedProduct, categories, products

__all__ = ["SeedCategory", "SeedProduct", "categories", "products"]
