"""The first assortment is what the contract promises, and fit to be stored."""

from shop.catalog.domain import NewProduct
from shop.money import Money
from shop.seed import categories, products


def test_eight_categories_and_a_hundred_and_twenty_products() -> None:
    assert len(categories()) == 8
    assert len(products()) == 120
    for category in categories():
        assert sum(product.category == category.id for product in products()) == 15


def test_ids_skus_and_names_are_unique() -> None:
    for values in ([p.id for p in products()], [p.sku for p in products()], [p.name for p in products()]):
        assert len(set(values)) == 120


def test_every_product_would_be_accepted_from_an_admin() -> None:
    for product in products():
        NewProduct(
            sku=product.sku,
            name=product.name,
            description=product.description,
            category=product.category,
            price=Money(amount=product.price, currency="EUR"),
            attributes=product.attributes,
        )
        assert len(product.description) > 30


def test_some_is_sold_out_some_is_low_and_most_is_there() -> None:
    sold_out = [product for product in products() if product.stock == 0]
    low = [product for product in products() if 0 < product.stock < product.minimum]
    assert len(sold_out) >= 3
    assert len(low) >= 3
    assert len(sold_out) + len(low) < 20
