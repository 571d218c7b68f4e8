"""The catalogue service itself: its name, its tables, its search index."""

from hanse import Service
from shop.catalog.browse import Browse
from shop.catalog.search_index import Fts5Index, SearchIndex
from shop.settings import ShopSettings

service = Service("catalog", version="1.0.0", models="shop.catalog.store", settings=ShopSettings)

index: SearchIndex = Fts5Index()
browse = Browse(index)
