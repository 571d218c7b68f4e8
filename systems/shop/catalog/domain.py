"""What a product is and how a search is put. Pure, no database."""

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hanse.core.errors import InvalidInput
from shop.money import Money

_WORD = re.compile(r"\w+", re.UNICODE)
MAX_WORDS = 12


class Sort(StrEnum):
    """Order of search results. Ties are broken by id, so that pages never overlap."""

    RELEVANCE = "relevance"
    NAME = "name"
    PRICE = "price"
    PRICE_DOWN = "-price"
    NEWEST = "newest"


class Search(BaseModel):
    """What somebody looks for."""

    model_config = ConfigDict(frozen=True)

    q: Annotated[str, Field(max_length=200)] = ""
    category: Annotated[str, Field(max_length=64)] = ""
    min_price: Annotated[int, Field(ge=0)] | None = None
    """Minor units, inclusive."""
    max_price: Annotated[int, Field(ge=0)] | None = None
    in_stock: bool = False
    """True leaves out what is sold out."""
    sort: Sort = Sort.RELEVANCE

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise InvalidInput("min_price is above max_price")
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """The words to look for, in lower case; at most 12."""
        return tuple(_WORD.findall(self.q.lower())[:MAX_WORDS])


Attributes = dict[Annotated[str, Field(min_length=1, max_length=40)], Annotated[str, Field(max_length=200)]]
Sku = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]{1,39}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Description = Annotated[str, Field(max_length=4000)]


class NewProduct(BaseModel):
    """What an admin writes to add a product."""

    sku: Sku
    name: Name
    description: Description = ""
    category: Annotated[str, Field(min_length=1, max_length=64)]
    price: Money
    attributes: Annotated[Attributes, Field(max_length=30)] = {}


class ProductChange(BaseModel):
    """What an admin writes to change a product; what is left out stays."""

    name: Name | None = None
    description: Description | None = None
    category: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    price: Money | None = None
    attributes: Annotated[Attributes, Field(max_length=30)] | None = None
