"""The catalogue's endpoints for people; editing is for admins."""

from typing import Annotated

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncSession

from hanse import Session
from hanse.core.errors import InvalidInput, NotFound
from shop.catalog.domain import NewProduct, ProductChange, Search
from shop.catalog.events import ProductCreated, ProductDeleted, ProductUpdated
from shop.catalog.service import browse, index, service
from shop.catalog.store import Category, Product, categories, product, quoted
from shop.catalog.views import CategoryView, ProductView, QuoteView, Results
from shop.paging import PageQuery, Pagination

ADMIN = "admin"


@service.get("/categories")
async def list_categories(db: Session) -> list[CategoryView]:
    """All categories, in the shop's order."""
    return [
        CategoryView(id=category.id, name=category.name, description=category.description, count=count)
        for category, count in await categories(db)
    ]


@service.get("/products")
async def search_products(search: Annotated[Search, Query()], paging: PageQuery, db: Session) -> Results:
    """Products that match, one page of them, with facets."""
    found, total = await browse.page(db, search, paging)
    return Results(
        items=[ProductView.of(item) for item in found],
        pagination=Pagination.of(paging, total),
        facets=await browse.facets(db, search),
    )


@service.get("/products/{product_id}")
async def read_product(product_id: str, db: Session) -> ProductView:
    """One product."""
    return ProductView.of(await _product(db, product_id))


@service.post("/products", status_code=201, role=ADMIN)
async def create_product(body: NewProduct, db: Session) -> ProductView:
    """Add a product; inventory will know it with no stock. 409 when the SKU is taken."""
    category = await _category(db, body.category)
    now = service.env.clock.utc()
    created = Product(
        id=service.env.ids.new("prod"),
        sku=body.sku,
        name=body.name,
        description=body.description,
        category_id=category.id,
        price=body.price.amount,
        currency=body.price.currency,
        attributes=body.attributes,
        in_stock=False,
        stock_revision=0,
        deleted=False,
        created_at=now,
        updated_at=now,
    )
    db.add(created)
    await db.flush()
    await index.put(db, created, category.name)
    facts = ProductCreated(
        product_id=created.id, sku=created.sku, name=created.name, category=category.id, price=created.money
    )
    await service.publish(db, facts)
    return ProductView.of(created)


@service.patch("/products/{product_id}", role=ADMIN)
async def change_product(product_id: str, body: ProductChange, db: Session) -> ProductView:
    """Change a product; what the body leaves out stays."""
    changed = await _product(db, product_id)
    category = await _category(db, body.category or changed.category_id)
    changed.category_id = category.id
    if body.name is not None:
        changed.name = body.name
    if body.description is not None:
        changed.description = body.description
    if body.price is not None:
        changed.price, changed.currency = body.price.amount, body.price.currency
    if body.attributes is not None:
        changed.attributes = body.attributes
    changed.updated_at = service.env.clock.utc()
    await db.flush()
    await index.put(db, changed, category.name)
    facts = ProductUpdated(
        product_id=changed.id, sku=changed.sku, name=changed.name, category=category.id, price=changed.money
    )
    await service.publish(db, facts)
    return ProductView.of(changed)


@service.delete("/products/{product_id}", status_code=204, role=ADMIN)
async def delete_product(product_id: str, db: Session) -> None:
    """Take a product out of the shop. Orders that name it keep their own copy of its name and price."""
    gone = await _product(db, product_id)
    gone.deleted = True
    gone.updated_at = service.env.clock.utc()
    await index.remove(db, gone.id)
    await service.publish(db, ProductDeleted(product_id=gone.id))


@service.get("/internal/quotes", internal=True)
async def quotes(id: Annotated[list[str], Query(min_length=1, max_length=100)], db: Session) -> list[QuoteView]:
    """Names and prices of those of the products that can be bought; what is unknown is left out."""
    return [QuoteView.of(row) for row in await quoted(db, id)]


async def _product(db: AsyncSession, product_id: str) -> Product:
    found = await product(db, product_id)
    if found is None:
        raise NotFound(f"there is no product {product_id}")
    return found


async def _category(db: AsyncSession, category_id: str) -> Category:
    found = await db.get(Category, category_id)
    if found is None:
        raise InvalidInput(f"there is no category {category_id}")
    return found
