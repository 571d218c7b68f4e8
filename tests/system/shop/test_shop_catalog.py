"""The catalogue through the gateway, and how inventory and carts follow it."""

import pytest
from tests.system.shop.shop_rig import Customer, RunningShop, until

pytestmark = pytest.mark.system


@pytest.fixture
def visitor(shop: RunningShop) -> Customer:
    return Customer(shop.url)


def test_the_first_assortment_is_there(visitor: Customer) -> None:
    categories = visitor.get("/api/categories")
    assert len(categories) == 8
    page = visitor.get("/api/products?limit=50")
    assert page["pagination"]["total"] >= 120
    assert sum(category["count"] for category in categories) == page["pagination"]["total"]
    product = page["items"][0]
    assert set(product["price"]) == {"amount", "currency"}
    assert visitor.get(f"/api/products/{product['id']}") == product


def test_pages_do_not_overlap(visitor: Customer) -> None:
    pages = [visitor.get(f"/api/products?category=garden&sort=price&limit=6&page={page}") for page in (1, 2, 3)]
    ids = [item["id"] for page in pages for item in page["items"]]
    prices = [item["price"]["amount"] for page in pages for item in page["items"]]
    assert len(set(ids)) == len(ids) == pages[0]["pagination"]["total"] == 15
    assert prices == sorted(prices)
    assert pages[0]["pagination"] == {"page": 1, "limit": 6, "total": 15, "pages": 3}


def test_words_filters_and_facets(visitor: Customer) -> None:
    found = visitor.get("/api/products?q=merino")
    assert {item["sku"] for item in found["items"]} == {"OUT-SOCK-M", "OFF-MAT-DESK"}
    counted = {facet["id"]: facet["count"] for facet in found["facets"]["categories"]}
    assert counted == {"outdoor": 1, "home-office": 1}
    dear = visitor.get("/api/products?category=audio&min_price=30000")
    assert dear["items"]
    assert all(item["price"]["amount"] >= 30000 and item["category"] == "audio" for item in dear["items"])
    sold_out = {item["sku"] for item in visitor.get("/api/products?q=Go%20set&limit=100")["items"]}
    assert "GAM-GO-19" in sold_out
    available = visitor.get("/api/products?q=Go%20set&in_stock=true&limit=100")["items"]
    assert "GAM-GO-19" not in {item["sku"] for item in available}


@pytest.mark.parametrize(
    "query", ["sort=best", "limit=0", "limit=1000", "page=0", "min_price=x", "min_price=2&max_price=1"]
)
def test_a_senseless_search_is_refused(visitor: Customer, query: str) -> None:
    answer = visitor.call("GET", f"/api/products?{query}")
    assert (answer.status, answer.body["code"]) == (422, "invalid_input")


def test_what_is_not_there_is_not_found(visitor: Customer) -> None:
    for path in ("/api/products/prod_none", "/api/inventory/prod_none", "/api/nothing"):
        answer = visitor.call("GET", path)
        assert answer.status == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_editing_is_for_admins(shop: RunningShop, visitor: Customer, ida: Customer) -> None:
    product = visitor.get("/api/products?limit=1")["items"][0]["id"]
    for who, status in ((visitor, 401), (ida, 403)):
        assert who.call("PATCH", f"/api/products/{product}", {"name": "Mine"}).status == status
        assert who.call("DELETE", f"/api/products/{product}").status == status


def test_a_product_lives_and_others_follow(shop: RunningShop, admin: Customer, ida: Customer) -> None:
    product = shop.product(admin, 5, name="Zanzibar clove")
    until(lambda: ida.get(f"/api/products/{product}")["in_stock"], "the catalogue hears of the stock")
    assert [item["id"] for item in ida.get("/api/products?q=zanzi")["items"]] == [product]

    change = {"name": "Pemba clove", "price": {"amount": 1234, "currency": "EUR"}}
    assert admin.call("PATCH", f"/api/products/{product}", change).status == 200
    assert ida.get("/api/products?q=zanzibar")["items"] == []
    assert [item["price"]["amount"] for item in ida.get("/api/products?q=pemba")["items"]] == [1234]
    until(lambda: ida.get(f"/api/inventory/{product}")["name"] == "Pemba clove", "inventory follows the name")

    cart = ida.call("PUT", f"/api/cart/items/{product}", {"quantity": 2})
    assert (cart.status, cart.body["total"]["amount"]) == (200, 2468)
    assert admin.call("DELETE", f"/api/products/{product}").status == 204
    assert ida.call("GET", f"/api/products/{product}").status == 404
    until(lambda: ida.get("/api/cart")["unavailable"] == ida.get("/api/cart")["items"] == [], "it leaves the cart")
    assert ida.call("PUT", f"/api/cart/items/{product}", {"quantity": 1}).status == 422


def test_a_sku_is_taken_once(shop: RunningShop, admin: Customer) -> None:
    body = {"sku": "COF-YIRGA-250", "name": "Copy", "category": "coffee-tea", "price": {"amount": 1, "currency": "EUR"}}
    assert admin.call("POST", "/api/products", body).status == 409
    assert admin.call("POST", "/api/products", {**body, "sku": "NEW-1", "category": "none"}).status == 422
    assert admin.call("POST", "/api/products", {**body, "sku": "lower case"}).status == 422
