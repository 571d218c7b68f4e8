"""Layout: source lines as ruff's formatter would leave them."""

import textwrap
from collections.abc import Sequence

WIDTH = 120


def wrapped(indent: str, head: str, items: Sequence[str], tail: str) -> list[str]:
    """`head` + items + `tail` on one line; else the items on a line of their own; else each on its own.

    Args:
        indent: in front of the first line.
        head: ends with the opening bracket.
        tail: begins with the closing one.
    """
    one = f"{indent}{head}{', '.join(items)}{tail}"
    if len(one) <= WIDTH:
        return [one]
    inner = f"{indent}    "
    two = f"{inner}{', '.join(items)}"
    if len(two) <= WIDTH and "**" not in two:
        return [f"{indent}{head}", two, f"{indent}{tail}"]
    commas = ["" if item.startswith("**") and index == len(items) - 1 else "," for index, item in enumerate(items)]
    lines = [f"{inner}{item}{comma or ','}" for item, comma in zip(items, commas, strict=True)]
    return [f"{indent}{head}", *lines, f"{indent}{tail}"]


def docstring(indent: str, text: str) -> list[str]:
    """A docstring of one or several lines."""
    clean = text.replace("\\", "\\\\").replace('"""', "'''").strip()
    if clean.endswith('"'):
        clean += "."
    paragraphs = [part for part in clean.splitlines() if part.strip()] or ["Not described."]
    width = WIDTH - len(indent) - 6
    if len(paragraphs) == 1 and len(paragraphs[0]) <= width:
        return [f'{indent}"""{paragraphs[0].strip()}"""']
    lines = [line for part in paragraphs for line in textwrap.wrap(part, width)]
    return [f'{indent}"""{lines[0]}', *(["", *(f"{indent}{line}" for line in lines[1:])]), f'{indent}"""']


def literal(value: object) -> str:
    """A JSON scalar as Python, strings in double quotes."""
    if isinstance(value, str):
        inner = repr(value)[1:-1] if "'" not in value else value.replace("\\", "\\\\")
        return '"' + inner.replace("\\'", "'").replace('"', '\\"') + '"'
    return repr(value)
