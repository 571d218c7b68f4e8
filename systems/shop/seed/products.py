"""Reads the assortment: one JSON file per category, one product per line."""

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

_FOLDER = Path(__file__).parent


class SeedCategory(BaseModel):
    """A shelf of the shop."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    description: str


class SeedProduct(BaseModel):
    """A product as it is first put on the shelf."""

    model_config = ConfigDict(frozen=True)

    sku: str
    name: str
    description: str
    price: int = Field(gt=0)
    """Minor units of the shop's currency."""
    stock: int = Field(ge=0)
    minimum: int = Field(ge=0, alias="min")
    attributes: dict[str, str]
    category: str = ""

    @property
    def id(self) -> str:
        """The same in every service and at every start."""
        return f"prod_{self.sku.lower()}"


@cache
def categories() -> tuple[SeedCategory, ...]:
    """The 8 categories, in the shop's order."""
    return tuple(TypeAdapter(list[SeedCategory]).validate_json((_FOLDER / "categories.json").read_bytes()))


@cache
def products() -> tuple[SeedProduct, ...]:
    """The 120 products, category by category."""
    read = TypeAdapter(list[SeedProduct]).validate_json
    return tuple(
        product.model_copy(update={"category": category.id})
        for category in categories()
        for product in read((_FOLDER / "assortment" / f"{category.id}.json").read_bytes())
    )
