"""Names: from what a document calls things to what Python may call them."""

import builtins
import keyword
import re

from pydantic import BaseModel

_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")
_TYPE_NAMES = {"date", "datetime", "time", "timedelta", "quote"}


def words(text: str) -> list[str]:
    """The words of `text`, also of `camelCase` and `HTTPError`."""
    return [word for word in _WORD_ENDS.split(text) if word]


def class_name(text: str) -> str:
    """`Page_OrderView_` becomes `PageOrderView`; what is in capitals stays so."""
    name = "".join(word[0].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", text) if word)
    return f"Model{name}" if not name or name[0].isdigit() else name


def identifier(text: str) -> str:
    """`userId` becomes `user_id`, `class` becomes `class_`."""
    name = "_".join(words(text)).lower() or "value"
    if name[0].isdigit():
        name = f"n{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in _TYPE_NAMES else name


def field(text: str) -> str:
    """An identifier that hides neither a method of a model nor a type."""
    name = identifier(text)
    return f"{name}_" if hasattr(BaseModel, name) or (hasattr(builtins, name) and name != "id") else name


def constant(text: str) -> str:
    """`out of stock` becomes `OUT_OF_STOCK`, `-price` becomes `MINUS_PRICE`."""
    name = "_".join(words(f"minus {text[1:]}" if text.startswith("-") else text)).upper() or "EMPTY"
    return f"N{name}" if name[0].isdigit() else name


def unique(name: str, taken: set[str]) -> str:
    """`name`, or `name_2` and so on if it is taken; it is taken afterwards."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found
